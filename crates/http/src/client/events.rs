//! Following a session over HTTP.

use super::ChatSessionClient;
use super::error::ClientError;
use super::send::{Call, refused};
use bytes::{Bytes, BytesMut};
use durable_session::{JsonObject, Message};
use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use http::header::ACCEPT;
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// The largest event that is taken in.
const MAX_EVENT_BYTES: usize = 64 << 20;

/// Something that happened to a session.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A message was added.
    Message {
        /// Its place in the session's order.
        seq: u64,
        /// The message.
        message: Message,
    },
    /// A message was replaced in place.
    Edited {
        /// Its place in the session's order.
        seq: u64,
        /// The message as it is now.
        message: Message,
    },
    /// The app state was set: at least the fields that changed.
    State(JsonObject),
    /// More happened than can be told, or it is not known what was missed: read the state again.
    Resync,
}

/// The events of a session. It opens its connection on first use, and again after a break, going on where it was. A stream
/// that is silent for longer than [`silence`](ChatSessionClient::silence) is a break, too: services send pings.
pub struct Events {
    client: ChatSessionClient,
    cursor: Option<String>,
    bytes: Option<BoxStream<'static, reqwest::Result<Bytes>>>,
    buffer: BytesMut,
    failures: u32,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new(client: ChatSessionClient, cursor: Option<String>) -> Self {
        Self { client, cursor, bytes: None, buffer: BytesMut::new(), failures: 0 }
    }

    /// The cursor of the last event: where to go on later, also from another process.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Opens the stream, so that nothing that happens from now on is missed. [`next`](Self::next) does so by itself.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn open(&mut self) -> Result<(), ClientError> {
        while self.bytes.is_none() {
            if let Err((error, wish)) = self.try_open().await {
                self.failed(error, wish).await?;
            }
        }
        Ok(())
    }

    /// The next event.
    ///
    /// # Errors
    /// [`ClientError`] once the stream could not be opened for as many tries as the client makes, or was refused. It
    /// [is gone](ClientError::is_gone) if the session was deleted since the cursor was given: begin again without one.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            while let Some(block) = self.take_block() {
                if let Some(event) = self.read_block(&block)? {
                    return Ok(event);
                }
            }
            self.open().await?;
            let Some(bytes) = &mut self.bytes else { continue };
            match tokio::time::timeout(self.client.silence, bytes.next()).await {
                Ok(Some(Ok(part))) if self.buffer.len() + part.len() <= MAX_EVENT_BYTES => {
                    self.buffer.extend_from_slice(&part);
                    self.failures = 0;
                }
                Ok(Some(Ok(_))) => {
                    self.close();
                    return Err(ClientError::malformed("an event without an end"));
                }
                Ok(Some(Err(_)) | None) | Err(_) => self.close(),
            }
        }
    }

    /// The events as a stream, which ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Event, ClientError>> + Send {
        futures_util::stream::unfold(Some(self), |events| async {
            let mut events = events?;
            let next = events.next().await;
            let rest = next.is_ok().then_some(events);
            Some((next, rest))
        })
        .fuse()
    }

    fn close(&mut self) {
        self.bytes = None;
        // Half an event: it comes again.
        self.buffer.clear();
    }

    async fn try_open(&mut self) -> Result<(), (ClientError, Option<Duration>)> {
        let mut call = Call::new(Method::GET, "/events").query("edited", "true");
        call = call.header(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(cursor) = self.cursor.as_deref().and_then(|cursor| HeaderValue::from_str(cursor).ok()) {
            call = call.header(HeaderName::from_static("last-event-id"), cursor);
        }
        let open = tokio::time::timeout(self.client.time, self.client.open(&call));
        let response = open.await.unwrap_or(Err((ClientError::TimedOut, None)))?;
        if !response.status().is_success() {
            let (status, headers) = (response.status(), response.headers().clone());
            let body = response.bytes().await.unwrap_or_default();
            return Err(refused(status, &headers, &body));
        }
        self.bytes = Some(response.bytes_stream().boxed());
        Ok(())
    }

    async fn failed(&mut self, error: ClientError, wish: Option<Duration>) -> Result<(), ClientError> {
        self.failures += 1;
        if self.failures >= self.client.retry.tries || !error.is_transient() {
            self.failures = 0;
            return Err(error);
        }
        tokio::time::sleep(self.client.retry.wait(self.failures, wish)).await;
        Ok(())
    }

    /// The next whole block of the stream, without its end.
    fn take_block(&mut self) -> Option<BytesMut> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        let block = self.buffer.split_to(end + 2);
        Some(block)
    }

    /// What a block says; `None` if it is a comment, a ping, or a kind of event that is not known.
    fn read_block(&mut self, block: &[u8]) -> Result<Option<Event>, ClientError> {
        let text =
            std::str::from_utf8(block).map_err(|_| ClientError::malformed("an event that is not UTF-8"))?;
        let (mut name, mut id, mut data) = ("message", None, Vec::new());
        for line in text.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => name = value,
                "id" => id = Some(value),
                "data" => data.push(value),
                _ => {}
            }
        }
        let event = if data.is_empty() { None } else { read_event(name, &data.join("\n"))? };
        if let Some(id) = id {
            self.cursor = Some(id.to_owned());
        }
        Ok(event)
    }
}

fn read_event(name: &str, data: &str) -> Result<Option<Event>, ClientError> {
    #[derive(Deserialize)]
    struct Row {
        seq: u64,
        message: Message,
    }
    #[derive(Deserialize)]
    struct State {
        state: JsonObject,
    }
    // The text of serde's error quotes the event, and that is the users' own words.
    let malformed = |_| ClientError::malformed(format!("a {name} event with other data"));
    Ok(match name {
        "message" => {
            let Row { seq, message } = serde_json::from_str(data).map_err(malformed)?;
            Some(Event::Message { seq, message })
        }
        "edited" => {
            let Row { seq, message } = serde_json::from_str(data).map_err(malformed)?;
            Some(Event::Edited { seq, message })
        }
        "state" => {
            let State { state } = serde_json::from_str(data).map_err(malformed)?;
            Some(Event::State(state))
        }
        "resync" => Some(Event::Resync),
        _ => None,
    })
}
