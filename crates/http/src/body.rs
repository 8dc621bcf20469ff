//! The body of a response: all there, or a stream of events.

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Frame, SizeHint};
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a response.
#[derive(Debug)]
pub enum Body {
    /// The whole body.
    Full(Bytes),
    /// Server-sent events as they happen.
    Events(EventStream),
}

/// A `text/event-stream`: each item is one or more whole events. It ends when the session's store fails; the client then
/// comes back with `Last-Event-ID`. It never sends anything just to keep a connection alive: that is the transport's part.
pub struct EventStream(Pin<Box<dyn Stream<Item = Bytes> + Send>>);

impl EventStream {
    pub(crate) fn new(stream: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self(Box::pin(stream))
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
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
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
            Self::Events(_) => SizeHint::default(),
        }
    }
}
