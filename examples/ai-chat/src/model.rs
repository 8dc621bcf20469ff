//! A model that is made up.

use durable_session::{Error, JsonObject, Message, Reply, role};
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use std::time::Duration;

/// Says words, one after another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Model {
    pub(crate) tokens: usize,
    pub(crate) delay: Duration,
    pub(crate) tools: bool,
}

const CALL: &str = "call-weather";

impl Model {
    /// Writes the chunks of an answer. A real model reads the prompt.
    pub(crate) async fn answer(
        &self,
        _prompt: &[Message],
        posted: &Message,
        reply: &mut Reply,
    ) -> Result<(), Error> {
        if posted.role() == role::ASSISTANT {
            // The tool runs here, if it was approved.
            if let Some(chunk) = run(posted) {
                reply.push(chunk).await?;
            }
            return reply.pump(self.words("after")).await;
        }
        reply.push(json!({"type": "start-step"})).await?;
        reply.pump(self.words("text")).await?;
        if self.tools {
            let call = json!({"type": "tool-input-available", "toolCallId": CALL,
                "toolName": "weather", "input": {"city": "Berlin"}});
            reply.push(call).await?;
            let ask = json!({"type": "tool-approval-request", "toolCallId": CALL,
                "approvalId": "approve-weather"});
            reply.push(ask).await?;
        }
        reply.push(json!({"type": "finish-step"})).await
    }

    /// The chunks of one text.
    fn words(self, id: &'static str) -> impl Stream<Item = Value> {
        let markdown = if self.tools { "**The answer:**\n\n" } else { "" };
        let words = (0..self.tokens).map(|n| format!("w{n} "));
        let words = (!markdown.is_empty()).then(|| markdown.to_owned()).into_iter().chain(words);
        let deltas = stream::iter(words.collect::<Vec<_>>()).then(move |word| async move {
            tokio::time::sleep(self.delay).await;
            json!({"type": "text-delta", "id": id, "delta": word})
        });
        let one = |kind| stream::iter([json!({"type": kind, "id": id})]);
        one("text-start").chain(deltas).chain(one("text-end"))
    }
}

/// The outcome of the tool in a message of the assistant.
fn run(message: &Message) -> Option<Value> {
    let parts: Vec<JsonObject> = message.extra("parts").ok().flatten().unwrap_or_default();
    let call =
        parts.iter().find(|part| part.get("toolCallId").ok().flatten() == Some(CALL.to_owned()))?;
    if call.get::<String>("state").ok().flatten().as_deref() != Some("approval-responded") {
        return None;
    }
    let approval: JsonObject = call.get("approval").ok().flatten().unwrap_or_default();
    Some(if approval.get_json("approved") == Some("true") {
        json!({"type": "tool-output-available", "toolCallId": CALL, "output": {"sky": "clear"}})
    } else {
        json!({"type": "tool-output-denied", "toolCallId": CALL})
    })
}
