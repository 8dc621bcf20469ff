//! A model that is made up. `examples/ai-chat-worker` has this file, too: each crate gives `pause`.

use durable_session::{Added, Error, JsonObject, Message, Reply, role};
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use std::time::Duration;

/// Says words, one after another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fake {
    pub(crate) tokens: usize,
    pub(crate) delay: Duration,
    pub(crate) tools: bool,
}

const MARKDOWN: &str = "**The forecast** comes from a *tool*, so it may need your `OK`:\n\n\
                        1. I ask for the weather.\n2. You approve.\n3. I tell you.\n\n";

impl Fake {
    /// Writes an answer to the message, and ends the reply. A real model reads a prompt.
    pub(crate) async fn answer(&self, posted: &Added, reply: &mut Reply) -> Result<(), Error> {
        if posted.message.role() == role::ASSISTANT {
            // The tool runs here, if it was approved.
            for chunk in outcomes(&posted.message) {
                reply.push(chunk).await?;
            }
            reply.push(json!({"type": "start-step"})).await?;
            reply.pump(self.words("after", "")).await?;
        } else {
            reply.push(json!({"type": "start-step"})).await?;
            reply.pump(self.words("text", if self.tools { MARKDOWN } else { "" })).await?;
            if self.tools {
                let call = format!("call-{}", posted.seq);
                reply
                    .push(json!({"type": "tool-input-available", "toolCallId": call,
                        "toolName": "weather", "input": {"city": "Berlin"}}))
                    .await?;
                reply
                    .push(json!({"type": "tool-approval-request", "toolCallId": call,
                        "approvalId": format!("approve-{}", posted.seq)}))
                    .await?;
            }
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
            crate::pause(self.delay).await;
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
            json!({"type": "tool-output-available", "toolCallId": call,
                "output": {"sky": "clear", "degrees": 21}})
        } else {
            json!({"type": "tool-output-denied", "toolCallId": call})
        }
    };
    answered.map(outcome).collect()
}
