//! A model that is made up.

use durable_session::{Added, Error, JsonObject, Message, Reply, role};
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use std::time::Duration;
use worker::Delay;
use worker::send::SendFuture;

/// Says words, one after another. With `tools`, it writes markdown and calls a tool that needs
/// approval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Model {
    pub(crate) tokens: usize,
    pub(crate) delay: Duration,
    pub(crate) tools: bool,
}

const MARKDOWN: &str = "**The answer:**\n\n";

impl Model {
    /// Writes an answer to the message, and ends the reply. A real model reads a prompt.
    pub(crate) async fn answer(&self, posted: &Added, reply: &mut Reply) -> Result<(), Error> {
        if posted.message.role() == role::ASSISTANT {
            // The tool runs here, if it was approved.
            for outcome in outcomes(&posted.message) {
                reply.push(outcome).await?;
            }
            reply.pump(self.words("after", "")).await?;
            return reply.finish().await.map(drop);
        }
        reply.push(json!({"type": "start-step"})).await?;
        reply.pump(self.words("text", if self.tools { MARKDOWN } else { "" })).await?;
        if self.tools {
            let (call, approval) =
                (format!("call-{}", posted.seq), format!("approve-{}", posted.seq));
            let input = json!({"type": "tool-input-available", "toolCallId": call,
                "toolName": "weather", "input": {"city": "Berlin"}});
            reply.push(input).await?;
            let ask = json!({"type": "tool-approval-request", "toolCallId": call,
                "approvalId": approval});
            reply.push(ask).await?;
        }
        reply.push(json!({"type": "finish-step"})).await?;
        reply.finish().await.map(drop)
    }

    /// The chunks of one text.
    fn words(self, id: &'static str, before: &'static str) -> impl Stream<Item = Value> {
        let words = (0..self.tokens).map(|n| format!("w{n} "));
        let before = (!before.is_empty()).then(|| before.to_owned());
        let words: Vec<_> = before.into_iter().chain(words).collect();
        let deltas = stream::iter(words).then(move |word| async move {
            SendFuture::new(Delay::from(self.delay)).await;
            json!({"type": "text-delta", "id": id, "delta": word})
        });
        let one = |kind| stream::iter([json!({"type": kind, "id": id})]);
        one("text-start").chain(deltas).chain(one("text-end"))
    }
}

/// The outcomes of the calls in a message that were approved or denied.
fn outcomes(message: &Message) -> Vec<Value> {
    let parts: Vec<JsonObject> = message.extra("parts").ok().flatten().unwrap_or_default();
    let text =
        |part: &JsonObject, field| part.get::<String>(field).ok().flatten().unwrap_or_default();
    let answered = parts.iter().filter(|part| text(part, "state") == "approval-responded");
    let outcome = |part: &JsonObject| {
        let call = text(part, "toolCallId");
        let approval: JsonObject = part.get("approval").ok().flatten().unwrap_or_default();
        if approval.get_json("approved") == Some("true") {
            json!({"type": "tool-output-available", "toolCallId": call, "output": {"sky": "clear"}})
        } else {
            json!({"type": "tool-output-denied", "toolCallId": call})
        }
    };
    answered.map(outcome).collect()
}
