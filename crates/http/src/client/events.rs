//! Following a session over HTTP.

use super::endpoint::{Call, Endpoint, Failed, refused};
use super::error::ClientError;
use crate::wire::sse::NAMED;
use bytes::{Bytes, BytesMut};
use durable_session::{JsonObject, Message};
use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use http::header::ACCEPT;
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt;

/// The largest event in bytes.
const MAX_EVENT_BYTES: usize = 64 << 20;

/// A change of a session.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A message was added.
    Message {
        /// The message's seq.
        seq: u64,
        /// The message.
        message: Message,
    },
    /// A message was replaced in place.
    Edited {
        /// The message's seq.
        seq: u64,
        /// The new message.
        message: Message,
    },
    /// A reply was opened: its message grows by the chunks that follow. At its end the message
    /// comes whole, as [`Message`](Self::Message), or as [`Edited`](Self::Edited) if it was there
    /// before the reply. Also comes for each open reply when the events begin, and after
    /// [`Resync`](Self::Resync).
    Reply {
        /// The message's seq.
        seq: u64,
        /// The message as it was opened.
        message: Message,
    },
    /// A chunk of an open reply, which is durable.
    Chunk {
        /// The message's seq.
        seq: u64,
        /// The number of the chunk in the reply, from 0.
        at: u64,
        /// The chunk's JSON text.
        json: String,
    },
    /// The app state was set. Has at least the fields that changed.
    State(JsonObject),
    /// Changes were missed, or no event describes them: read the state again.
    Resync,
}

/// An event, or the sign that the stream has named every open reply.
pub(super) enum Heard {
    Event(Event),
    Named,
}

/// The events of a session, from [`ChatSessionClient::events`](super::ChatSessionClient::events).
///
/// Connects on first use and again after a break, and continues after the last event. Services send
/// pings, so a stream that is silent for longer than
/// [`max_silence`](super::ChatSessionClient::max_silence) counts as a break.
///
/// ```no_run
/// use durable_session_http::client::{ChatSessionClient, ClientError, Event};
///
/// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
/// let mut events = chat.events(None);
/// events.open().await?;
/// loop {
///     match events.next().await? {
///         Event::Message { seq, message } => println!("{seq}: {:?}", message.text()),
///         Event::Resync => println!("{} messages", chat.messages().await?.len()),
///         _ => {}
///     }
/// }
/// # }
/// ```
pub struct Events {
    endpoint: Endpoint,
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
    pub(super) fn new(endpoint: Endpoint, cursor: Option<String>) -> Self {
        Self { endpoint, cursor, bytes: None, buffer: BytesMut::new(), failures: 0 }
    }

    /// The cursor of the last event.
    /// [`ChatSessionClient::events`](super::ChatSessionClient::events) continues from it, in any
    /// process.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Opens the stream: changes from now on become events. [`next`](Self::next) opens the stream
    /// if this was not called.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn open(&mut self) -> Result<(), ClientError> {
        while self.bytes.is_none() {
            if let Err(failed) = self.try_open().await {
                self.wait_after(failed).await?;
            }
        }
        Ok(())
    }

    /// The next event.
    ///
    /// # Errors
    /// [`ClientError`] if the service refuses the stream, or no try opens it.
    /// [`ClientError::is_gone`] if the session was deleted after the cursor was made: begin again
    /// without a cursor.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Heard::Event(event) = self.hear().await? {
                return Ok(event);
            }
        }
    }

    /// The next event or sign.
    pub(super) async fn hear(&mut self) -> Result<Heard, ClientError> {
        loop {
            while let Some(block) = self.take_block() {
                if let Some(heard) = self.read_block(&block)? {
                    return Ok(heard);
                }
            }
            self.open().await?;
            let Some(bytes) = &mut self.bytes else { continue };
            match tokio::time::timeout(self.endpoint.max_silence, bytes.next()).await {
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
    ///
    /// ```no_run
    /// use durable_session_http::client::ChatSessionClient;
    /// use futures_util::StreamExt;
    ///
    /// # async fn example(chat: ChatSessionClient) {
    /// let mut events = std::pin::pin!(chat.events(None).into_stream());
    /// while let Some(Ok(event)) = events.next().await {
    ///     println!("{event:?}");
    /// }
    /// # }
    /// ```
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
        // Half an event: the service sends it again.
        self.buffer.clear();
    }

    async fn try_open(&mut self) -> Result<(), Failed> {
        let mut call = Call::new(Method::GET, "/events").query("edited", "true");
        call = call.header(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(cursor) =
            self.cursor.as_deref().and_then(|cursor| HeaderValue::from_str(cursor).ok())
        {
            call = call.header(HeaderName::from_static("last-event-id"), cursor);
        }
        let open = tokio::time::timeout(self.endpoint.timeout, self.endpoint.open(&call));
        let response = open.await.unwrap_or(Err(ClientError::TimedOut))?;
        if !response.status().is_success() {
            let (status, headers) = (response.status(), response.headers().clone());
            let body = response.bytes().await.unwrap_or_default();
            return Err(refused(status, &headers, &body));
        }
        self.bytes = Some(response.bytes_stream().boxed());
        Ok(())
    }

    /// Waits before the next try, or gives up with the error of this one.
    async fn wait_after(&mut self, failed: Failed) -> Result<(), ClientError> {
        let Failed { error, retry_after } = failed;
        self.failures += 1;
        if self.failures >= self.endpoint.retry.tries || !error.is_transient() {
            self.failures = 0;
            return Err(error);
        }
        tokio::time::sleep(self.endpoint.retry.wait(self.failures, retry_after)).await;
        Ok(())
    }

    /// The next whole block of the stream, without its end.
    fn take_block(&mut self) -> Option<BytesMut> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        let block = self.buffer.split_to(end + 2);
        Some(block)
    }

    /// Parses a block; `None` for a ping, another comment, or an event of an unknown type.
    fn read_block(&mut self, block: &[u8]) -> Result<Option<Heard>, ClientError> {
        let text = std::str::from_utf8(block)
            .map_err(|_| ClientError::malformed("an event that is not UTF-8"))?;
        if text == NAMED {
            return Ok(Some(Heard::Named));
        }
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

fn read_event(name: &str, data: &str) -> Result<Option<Heard>, ClientError> {
    #[derive(Deserialize)]
    struct Row {
        seq: u64,
        message: Message,
    }
    #[derive(Deserialize)]
    struct Grown<'d> {
        seq: u64,
        at: u64,
        #[serde(borrow)]
        chunk: &'d RawValue,
    }
    #[derive(Deserialize)]
    struct State {
        state: JsonObject,
    }
    // The text of serde's error quotes the event, which has texts of users.
    let malformed = |_| ClientError::malformed(format!("a {name} event with other data"));
    Ok(Some(Heard::Event(match name {
        "message" | "edited" | "reply" => {
            let Row { seq, message } = serde_json::from_str(data).map_err(malformed)?;
            match name {
                "message" => Event::Message { seq, message },
                "edited" => Event::Edited { seq, message },
                _ => Event::Reply { seq, message },
            }
        }
        "chunk" => {
            let Grown { seq, at, chunk } = serde_json::from_str(data).map_err(malformed)?;
            Event::Chunk { seq, at, json: chunk.get().to_owned() }
        }
        "state" => {
            let State { state } = serde_json::from_str(data).map_err(malformed)?;
            Event::State(state)
        }
        "resync" => Event::Resync,
        _ => return Ok(None),
    })))
}
