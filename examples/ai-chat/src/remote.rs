//! A model behind a server that speaks `OpenAI`'s chat completions, as a stream.

use crate::prompt;
use anyhow::{Context as _, Result};
use durable_session::{Error, Message, Reply};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;

/// The longest line of a stream, in bytes.
const MAX_LINE: usize = 1 << 20;

/// So long may a model think, before its first word and between two.
const PATIENCE: Duration = Duration::from_mins(2);

/// A model of another server.
#[derive(Clone)]
pub(crate) struct Remote {
    client: reqwest::Client,
    url: String,
    model: String,
    key: Option<String>,
}

/// Why there is no answer, or only a part of it.
#[derive(Debug)]
enum Fault {
    Unreachable,
    Status(u16),
    Broken,
    Told,
    Cut,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("the model's server did not answer"),
            Self::Status(status) => write!(f, "the model's server answered with status {status}"),
            Self::Broken => f.write_str("the model's server broke off, or sent no event stream"),
            Self::Told => f.write_str("the model's server reported an error in its stream"),
            Self::Cut => f.write_str("the model's stream ended without an end mark"),
        }
    }
}

/// What a stream said besides its words.
#[derive(Default)]
struct End {
    reason: Option<String>,
    fault: Option<Fault>,
}

impl Remote {
    pub(crate) fn new(url: &str, model: String) -> Result<Self> {
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(PATIENCE)
            .build()
            .context("cannot set up an HTTP client")?;
        let url = format!("{}/chat/completions", url.trim_end_matches('/'));
        reqwest::Url::parse(&url).context("--model-url is no URL")?;
        let key = std::env::var("OPENAI_API_KEY").ok().filter(|key| !key.is_empty());
        Ok(Self { client, url, model, key })
    }

    /// Writes the answer to a prompt, and ends the reply.
    pub(crate) async fn answer(&self, view: &[Message], reply: &mut Reply) -> Result<(), Error> {
        let asked = tokio::select! {
            asked = self.ask(view) => asked,
            // Somebody stopped the reply before the first word.
            ended = reply.ended() => return ended.map(drop),
        };
        let events = match asked {
            Ok(events) => events,
            Err(fault) => return fail(reply, &fault).await,
        };
        reply.push(json!({"type": "start-step"})).await?;
        reply.push(json!({"type": "text-start", "id": "text"})).await?;
        let end = Arc::new(Mutex::new(End::default()));
        // The stream is dropped if the reply ends before, and the connection with it.
        reply.pump(words(events, end.clone())).await?;
        let End { reason, fault } =
            std::mem::take(&mut *end.lock().unwrap_or_else(PoisonError::into_inner));
        match (fault, reason) {
            (Some(fault), _) => fail(reply, &fault).await,
            (None, None) => fail(reply, &Fault::Cut).await,
            (None, Some(reason)) => {
                reply.push(json!({"type": "text-end", "id": "text"})).await?;
                reply.push(json!({"type": "finish-step"})).await?;
                let reason = match &*reason {
                    "stop" | "length" => &*reason,
                    "content_filter" => "content-filter",
                    _ => "other",
                };
                reply.push(json!({"type": "finish", "finishReason": reason})).await?;
                reply.finish().await.map(drop)
            }
        }
    }

    /// Asks the server. Returns its events.
    async fn ask(
        &self,
        view: &[Message],
    ) -> Result<impl Stream<Item = Result<Value, Fault>> + Send + use<>, Fault> {
        let messages = prompt::messages(view);
        let body = json!({"model": self.model, "messages": messages, "stream": true});
        let mut request = self.client.post(&self.url).json(&body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(|_| Fault::Unreachable)?;
        if !response.status().is_success() {
            return Err(Fault::Status(response.status().as_u16()));
        }
        let bytes = StreamReader::new(response.bytes_stream().map_err(io::Error::other));
        let lines = FramedRead::new(bytes, LinesCodec::new_with_max_length(MAX_LINE));
        Ok(lines.filter_map(|line| async move {
            let Ok(line) = line else { return Some(Err(Fault::Broken)) };
            // Comments and other fields say nothing; an event is one line.
            let data = line.strip_prefix("data:")?.trim();
            Some(match data {
                "[DONE]" => Ok(Value::Null),
                json => serde_json::from_str(json).map_err(|_| Fault::Broken),
            })
        }))
    }
}

/// The words of a stream as chunks. It says in `end` how the stream ended.
fn words(
    events: impl Stream<Item = Result<Value, Fault>> + Send,
    end: Arc<Mutex<End>>,
) -> impl Stream<Item = Value> + Send {
    let read = move |event: Result<Value, Fault>| {
        let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
        let event = match event {
            Ok(Value::Null) => return None,
            Ok(event) if event.get("error").is_some_and(|error| !error.is_null()) => {
                end.fault = Some(Fault::Told);
                return None;
            }
            Ok(event) => event,
            Err(fault) => {
                // After the model's end mark nothing is missing.
                end.fault = end.reason.is_none().then_some(fault);
                return None;
            }
        };
        let choice = &event["choices"][0];
        if let Some(reason) = choice["finish_reason"].as_str() {
            end.reason = Some(reason.to_owned());
        }
        let word = choice["delta"]["content"].as_str().filter(|word| !word.is_empty());
        Some(word.map(|word| json!({"type": "text-delta", "id": "text", "delta": word})))
    };
    events.map(read).take_while(|word| std::future::ready(word.is_some())).flat_map(|word| {
        // A word, or nothing such as in a count of tokens.
        stream::iter(word.flatten())
    })
}

async fn fail(reply: &mut Reply, fault: &Fault) -> Result<(), Error> {
    eprintln!("ai-chat: {fault}");
    reply.fail(fault).await.map(drop)
}
