//! Answers that go on while they are sent: kept alive, ended by a shutdown, cut off when they stall.

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
}
