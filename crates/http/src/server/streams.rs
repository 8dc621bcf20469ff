//! Answers that go on while they are sent: kept alive, ended by a shutdown, cut off when they stall. They may be polled
//! after their end, as layers that compress do.

use super::Shutdown;
use crate::sse::PING;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use std::io;
use std::time::Duration;

/// Whole events, and a ping whenever there was none for so long.
pub(super) fn pinged<E: Send>(
    events: impl Stream<Item = Result<Bytes, E>> + Unpin + Send,
    silence: Duration,
) -> impl Stream<Item = Result<Bytes, E>> + Send {
    stream::unfold(events, move |mut events| async move {
        let next = tokio::time::timeout(silence, events.next()).await;
        let next = next.unwrap_or(Some(Ok(Bytes::from_static(PING.as_bytes()))))?;
        Some((next, events))
    })
    .fuse()
}

/// The same stream until the shutdown.
pub(super) fn until<E: Send>(
    shutdown: Shutdown,
    parts: impl Stream<Item = Result<Bytes, E>> + Send,
) -> impl Stream<Item = Result<Bytes, E>> + Send {
    parts.take_until(async move { shutdown.begun().await })
}

/// The parts of an answer if each comes in time; otherwise it breaks off.
pub(super) fn in_time<E: Send>(
    parts: impl Stream<Item = Result<Bytes, E>> + Unpin + Send,
    time: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Some(parts), move |parts| async move {
        let mut parts = parts?;
        match tokio::time::timeout(time, parts.next()).await {
            Ok(Some(Ok(part))) => Some((Ok(part), Some(parts))),
            // Where it comes from has told its log why; a client sees only that the answer is cut off.
            Ok(Some(Err(_))) => Some((Err(io::Error::other("the answer broke off")), None)),
            Ok(None) => None,
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    })
    .fuse()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{BrokenOff, EventStream, PartStream};
    use futures_util::FutureExt;

    /// Of all of a stream, how much came; then it is asked again after its end.
    async fn all<T>(stream: impl Stream<Item = T>) -> usize {
        let mut stream = std::pin::pin!(stream);
        let mut items = 0;
        while stream.next().await.is_some() {
            items += 1;
        }
        for _ in 0..3 {
            assert!(stream.next().now_or_never().flatten().is_none(), "nothing comes after the end");
        }
        items
    }

    fn parts(count: usize, end: Option<BrokenOff>) -> PartStream {
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
    async fn answers_stay_at_their_end() {
        let time = Duration::from_mins(1);
        for count in [1, 2, 5] {
            for end in [None, Some(BrokenOff)] {
                assert_eq!(all(parts(count, end)).await, count);
                assert_eq!(all(in_time(parts(count, end), time)).await, count);
                assert_eq!(all(pinged(parts(count, end), time)).await, count);
                assert_eq!(all(until(Shutdown::new(), parts(count, end))).await, count);
            }
            let events = stream::unfold(count, |left| async move {
                Some((Bytes::from_static(b": event\n\n"), left.checked_sub(1)?))
            });
            assert_eq!(all(EventStream::new(events)).await, count);
        }
        let stopped = Shutdown::new();
        stopped.begin();
        assert_eq!(all(until(stopped, parts(2, None))).await, 0);
        let stalled = stream::pending::<Result<Bytes, BrokenOff>>();
        assert_eq!(all(in_time(stalled, Duration::from_millis(1))).await, 1, "the error");
    }
}
