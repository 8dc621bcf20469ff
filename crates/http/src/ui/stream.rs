//! A reply as a UI message stream.

use super::chunk::Chunk;
use super::format;
use super::parts::{Parts, has_parts, set, set_json};
use crate::routes::feed::StreamPermit;
use crate::wire::body::{Body, EventStream};
use crate::wire::errors;
use crate::wire::response::respond;
use bytes::Bytes;
use durable_session::json::JsonObject;
use durable_session::{Follow, Followed, Message, ReplyEnd, SessionId};
use futures_util::{FutureExt, stream};
use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue, Response, StatusCode};

/// What keeps a silent UI message stream alive. Its client takes every event for a chunk, so this
/// is a comment.
const KEEP_ALIVE: &str = ": keep-alive\n\n";

const DONE: &str = "data: [DONE]\n\n";

/// So many bytes of chunks are sent together, if they are there.
const BATCH: usize = 16 << 10;

/// The response with a reply. `client` is what the client has of the message.
pub(super) fn response(
    id: SessionId,
    follow: Follow,
    client: &Parts,
    permit: StreamPermit,
) -> Response<Body> {
    let relay = Relay::new(id, follow, client);
    with(stream::unfold((relay, permit), |(mut relay, permit)| async move {
        Some((relay.next().await?, (relay, permit)))
    }))
}

/// The response when no reply was opened.
pub(super) fn nothing() -> Response<Body> {
    with(stream::once(std::future::ready(Bytes::from_static(DONE.as_bytes()))))
}

fn with(events: impl futures_core::Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    let events = EventStream::kept_alive_by(KEEP_ALIVE, events);
    let mut response = respond(StatusCode::OK, Some("text/event-stream"), Body::Events(events));
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    for (name, value) in [("x-vercel-ai-ui-message-stream", "v1"), ("x-accel-buffering", "no")] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// Sends a reply to one client.
struct Relay {
    id: SessionId,
    follow: Follow,
    /// What the client has of the message.
    shown: Parts,
    /// The chunks are texts: the reply is in another format.
    plain: bool,
    /// The chunk `finish` of the producer, which is the last one.
    finish: Option<String>,
    /// Events that are encoded and not sent.
    out: String,
    ended: bool,
}

impl Relay {
    fn new(id: SessionId, follow: Follow, client: &Parts) -> Self {
        let opened = follow.message();
        let plain = !has_parts(opened);
        let mut start = chunk("start");
        if let Some(id) = opened.id() {
            set(&mut start, "messageId", &id);
        }
        let metadata = format::begun(opened, client.metadata());
        if !metadata.is_empty() {
            set_json(&mut start, "messageMetadata", &metadata.to_string());
        }
        let shown = Parts::of(opened);
        let mut out = String::new();
        push(&mut out, &start.to_string());
        for missing in client.towards(&shown) {
            push(&mut out, &missing);
        }
        Self { id, follow, shown, plain, finish: None, out, ended: false }
    }

    async fn next(&mut self) -> Option<Bytes> {
        if self.out.is_empty() && !self.ended {
            let next = self.follow.next().await;
            self.tell(next);
        }
        // More chunks that are there already go into the same item.
        while self.out.len() < BATCH && !self.ended {
            let Some(next) = self.follow.next().now_or_never() else { break };
            self.tell(next);
        }
        if self.out.is_empty() && !self.ended {
            // The chunk said nothing to clients.
            return Box::pin(self.next()).await;
        }
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out).into())
    }

    fn tell(&mut self, next: Result<Followed, durable_session::Error>) {
        match next {
            Ok(Followed::Chunk { json, .. }) if self.plain => self.word(&json),
            Ok(Followed::Chunk { json, .. }) => self.chunk(&json),
            Ok(Followed::Ended(ended)) => {
                self.end(ended.how, ended.message.as_ref().map(|stored| &stored.message));
            }
            Ok(_) => {}
            Err(e) => {
                errors::log(&self.id, &e);
                self.error("the reply cannot be read");
                self.done();
            }
        }
    }

    /// Sends a chunk, if the client can take it.
    fn chunk(&mut self, json: &str) {
        let Ok(chunk) = Chunk::parse(json) else { return };
        if !self.shown.take(&chunk) {
            return;
        }
        match &*chunk.kind {
            // The stream has its own beginning and end.
            "start" => {
                if let Some(metadata) = chunk.json("messageMetadata") {
                    self.metadata(metadata);
                }
            }
            "finish" => self.finish = Some(json.to_owned()),
            "abort" => {}
            _ => push(&mut self.out, json),
        }
    }

    /// Sends a chunk of text of another format.
    fn word(&mut self, json: &str) {
        let of = |kind: &str| {
            let mut of = chunk(kind);
            set(&mut of, "id", "text");
            of
        };
        let mut delta = of("text-delta");
        set_json(&mut delta, "delta", json);
        let before = self.out.len();
        let delta = delta.to_string();
        self.chunk(&delta);
        if self.out.len() == before {
            self.chunk(&of("text-start").to_string());
            self.chunk(&delta);
        }
    }

    /// Sends what is missing of the message, and how the reply ended.
    fn end(&mut self, how: ReplyEnd, message: Option<&Message>) {
        let is = message.map(Parts::of);
        let missing = self.shown.towards(is.as_ref().unwrap_or(&self.shown));
        for missing in missing {
            push(&mut self.out, &missing);
        }
        if how == ReplyEnd::Finished {
            let finish = self.finish.take().unwrap_or_else(|| chunk("finish").to_string());
            push(&mut self.out, &finish);
            return self.done();
        }
        let metadata = format::marks(how).to_string();
        if how == ReplyEnd::Failed {
            self.metadata(&metadata);
            self.error("the reply failed");
            return self.done();
        }
        if how != ReplyEnd::Interrupted {
            let mut abort = chunk("abort");
            set(&mut abort, "reason", how.as_str());
            push(&mut self.out, &abort.to_string());
        }
        // The client sends nothing by itself after such an end.
        let mut finish = chunk("finish");
        set(&mut finish, "finishReason", "interrupted");
        if how != ReplyEnd::Removed {
            set_json(&mut finish, "messageMetadata", &metadata);
        }
        push(&mut self.out, &finish.to_string());
        self.done();
    }

    fn metadata(&mut self, metadata: &str) {
        let mut chunk = chunk("message-metadata");
        set_json(&mut chunk, "messageMetadata", metadata);
        push(&mut self.out, &chunk.to_string());
    }

    fn error(&mut self, text: &str) {
        let mut chunk = chunk("error");
        set(&mut chunk, "errorText", text);
        push(&mut self.out, &chunk.to_string());
    }

    fn done(&mut self) {
        self.out.push_str(DONE);
        self.ended = true;
    }
}

fn chunk(kind: &str) -> JsonObject {
    let mut chunk = JsonObject::new();
    set(&mut chunk, "type", kind);
    chunk
}

/// Appends an event. Line ends in JSON are white space; each begins another `data` line.
fn push(out: &mut String, json: &str) {
    out.push_str("data: ");
    for (n, line) in json.split(['\r', '\n']).enumerate() {
        if n > 0 {
            out.push_str("\ndata: ");
        }
        out.push_str(line);
    }
    out.push_str("\n\n");
}
