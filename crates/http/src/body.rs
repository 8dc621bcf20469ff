//! The body of a response: all there, in parts, or a stream of events.

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
    /// The whole body.
    Full(Bytes),
    /// JSON text that is read while it is sent.
    Parts(PartStream),
    /// Server-sent events as they happen.
    Events(EventStream),
}

/// The rest of an answer can no longer be read: the session was rewritten meanwhile, or its store failed. What was sent is
/// of no use; a client that asks again gets the session as it is by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rest of this answer can no longer be read, ask again")]
pub struct BrokenOff;

/// A whole state or list of messages of one version, in parts of some 256 KiB, each read when it is asked for. How long
/// it is in all is not known before its end. After the end it stays at its end.
pub struct PartStream(Pin<Box<dyn Stream<Item = Result<Bytes, BrokenOff>> + Send>>);

impl PartStream {
    pub(crate) fn new(
        first: Bytes,
        rest: impl Stream<Item = Result<Bytes, BrokenOff>> + Send + 'static,
    ) -> Self {
        Self(Box::pin(stream::once(std::future::ready(Ok(first))).chain(rest).fuse()))
    }

    /// Nothing, in the place of parts: for the answer to `HEAD`.
    pub(crate) fn none() -> Self {
        Self(Box::pin(stream::empty()))
    }
}

impl Stream for PartStream {
    type Item = Result<Bytes, BrokenOff>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for PartStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartStream")
    }
}

/// A `text/event-stream`: each item is one or more whole events. It ends when the session's store fails; the client then
/// comes back with `Last-Event-ID`. It never sends anything just to keep a connection alive: that is the transport's part, with [`PING`](crate::PING).
pub struct EventStream(Pin<Box<dyn Stream<Item = Bytes> + Send>>);

impl EventStream {
    pub(crate) fn new(stream: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self(Box::pin(stream.fuse()))
    }
}

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventStream")
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
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
