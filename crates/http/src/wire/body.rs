//! The body of a response: complete, in parts, or a stream of events.

use crate::wire::sse::PING;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use http_body::{Frame, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a response.
#[derive(Debug)]
pub enum Body {
    /// The complete body.
    Full(Bytes),
    /// JSON text that is read from the store while it is sent.
    Parts(PartStream),
    /// Server-sent events, sent as they happen.
    Events(EventStream),
}

/// The rest of a response cannot be read: messages were replaced or removed meanwhile, or the store
/// failed. The part that was sent is useless; a client should repeat the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rest of this response cannot be read; repeat the request")]
pub struct BodyAborted;

/// A state or list of messages of one version, in parts of about 256 KiB. Each part is read from
/// the store when it is polled for, so the total length is unknown. May be polled after its end.
pub struct PartStream(Pin<Box<dyn Stream<Item = Result<Bytes, BodyAborted>> + Send>>);

impl PartStream {
    pub(crate) fn new(
        first: Bytes,
        rest: impl Stream<Item = Result<Bytes, BodyAborted>> + Send + 'static,
    ) -> Self {
        Self(Box::pin(stream::once(std::future::ready(Ok(first))).chain(rest).fuse()))
    }

    /// No parts, for the response to `HEAD`.
    pub(crate) fn none() -> Self {
        Self(Box::pin(stream::empty()))
    }
}

impl Stream for PartStream {
    type Item = Result<Bytes, BodyAborted>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for PartStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartStream")
    }
}

/// A `text/event-stream`; each item is one or more complete events.
///
/// It ends when the store fails; the client then resumes with `Last-Event-ID`. The transport sends
/// [`keep_alive`](Self::keep_alive) when the stream is silent; this stream does not.
pub struct EventStream {
    events: Pin<Box<dyn Stream<Item = Bytes> + Send>>,
    keep_alive: &'static str,
}

impl EventStream {
    pub(crate) fn new(stream: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self::kept_alive_by(PING, stream)
    }

    /// A stream that the transport keeps alive by this text.
    pub(crate) fn kept_alive_by(
        keep_alive: &'static str,
        stream: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Self {
        Self { events: Box::pin(stream.fuse()), keep_alive }
    }

    /// Whether the stream ends when the service stops. Any other stream has to break off then: its
    /// client resumes only if it sees an error.
    pub fn ends_with_the_service(&self) -> bool {
        self.keep_alive == PING
    }

    /// What a transport sends after each interval of silence: a [`PING`], or a comment where the
    /// client would take a ping for something else.
    pub fn keep_alive(&self) -> &'static str {
        self.keep_alive
    }
}

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.events.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventStream")
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyAborted;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyAborted>>> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Parts(parts) => Pin::new(parts).poll_next(cx).map_ok(Frame::data),
            Self::Events(events) => {
                Pin::new(events).poll_next(cx).map(|item| item.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Parts(_) | Self::Events(_) => SizeHint::default(),
        }
    }
}
