//! Streamed responses: with pings, ended by a shutdown, cut off when they stall. They may be polled
//! after their end, as layers that compress do.

use super::shutdown::Shutdown;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use std::io;
use std::time::Duration;

/// The events, and `ping` after each `silence` without an event.
pub(super) fn pinged(
    events: impl Stream<Item = Bytes> + Unpin + Send,
    ping: &'static str,
    silence: Duration,
) -> impl Stream<Item = Bytes> + Send {
    stream::unfold(events, move |mut events| async move {
        let next = tokio::time::timeout(silence, events.next()).await;
        let next = next.unwrap_or(Some(Bytes::from_static(ping.as_bytes())))?;
        Some((next, events))
    })
    .fuse()
}

/// The stream until the shutdown begins.
pub(super) fn until<E: Send>(
    shutdown: Shutdown,
    parts: impl Stream<Item = Result<Bytes, E>> + Send,
) -> impl Stream<Item = Result<Bytes, E>> + Send {
    parts.take_until(async move { shutdown.begun().await })
}

/// The stream until the shutdown begins. It breaks off then: its client would take an end for the
/// end of the reply.
pub(super) fn broken_off_by(
    shutdown: Shutdown,
    parts: impl Stream<Item = Bytes> + Unpin + Send,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Some(parts), move |parts| {
        let shutdown = shutdown.clone();
        async move {
            let mut parts = parts?;
            tokio::select! {
                part = parts.next() => Some((Ok(part?), Some(parts))),
                () = shutdown.begun() => {
                    Some((Err(io::Error::other("the service stops")), None))
                }
            }
        }
    })
    .fuse()
}

/// The parts of a response, which breaks off with an error if a part takes longer than `timeout`.
pub(super) fn in_time<E: Send>(
    parts: impl Stream<Item = Result<Bytes, E>> + Unpin + Send,
    timeout: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Some(parts), move |parts| async move {
        let mut parts = parts?;
        match tokio::time::timeout(timeout, parts.next()).await {
            Ok(Some(Ok(part))) => Some((Ok(part), Some(parts))),
            // The source has logged the reason. The client sees only that the response breaks off.
            Ok(Some(Err(_))) => Some((Err(io::Error::other("the response broke off")), None)),
            Ok(None) => None,
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    })
    .fuse()
}

#[cfg(test)]
mod tests {
    use super::{broken_off_by, in_time, pinged, until};
    use crate::server::shutdown::Shutdown;
    use crate::wire::body::{BodyAborted, EventStream, PartStream};
    use crate::wire::sse::PING;
    use bytes::Bytes;
    use futures_core::Stream;
    use futures_util::{FutureExt, StreamExt, stream};
    use std::time::Duration;

    /// The number of items of a stream, which is polled again after its end.
    async fn count_items<T>(stream: impl Stream<Item = T>) -> usize {
        let mut stream = std::pin::pin!(stream);
        let mut items = 0;
        while stream.next().await.is_some() {
            items += 1;
        }
        for _ in 0..3 {
            assert!(
                stream.next().now_or_never().flatten().is_none(),
                "nothing comes after the end"
            );
        }
        items
    }

    fn parts(count: usize, end: Option<BodyAborted>) -> PartStream {
        let rest = stream::unfold(count - 1, move |left| async move {
            match (left, end) {
                (0, _) => None,
                (1, Some(error)) => Some((Err(error), 0)),
                _ => Some((Ok(Bytes::from_static(b"part")), left - 1)),
            }
        });
        PartStream::new(Bytes::from_static(b"first"), rest)
    }

    #[tokio::test]
    async fn streams_may_be_polled_after_their_end() {
        let time = Duration::from_mins(1);
        for count in [1, 2, 5] {
            for end in [None, Some(BodyAborted)] {
                assert_eq!(count_items(parts(count, end)).await, count);
                assert_eq!(count_items(in_time(parts(count, end), time)).await, count);
                assert_eq!(count_items(until(Shutdown::new(), parts(count, end))).await, count);
            }
            let events = stream::unfold(count, |left| async move {
                Some((Bytes::from_static(b": event\n\n"), left.checked_sub(1)?))
            });
            let events = EventStream::new(events);
            assert_eq!(count_items(pinged(events, PING, time)).await, count);
        }
        let stopped = Shutdown::new();
        stopped.begin();
        let one = stream::iter([Bytes::from_static(b"one")]);
        assert_eq!(count_items(broken_off_by(Shutdown::new(), one)).await, 1);
        let never = stream::pending::<Bytes>();
        assert_eq!(count_items(broken_off_by(stopped.clone(), never)).await, 1, "the error");
        assert_eq!(count_items(until(stopped, parts(2, None))).await, 0);
        let stalled = stream::pending::<Result<Bytes, BodyAborted>>();
        assert_eq!(count_items(in_time(stalled, Duration::from_millis(1))).await, 1, "the error");
    }
}
