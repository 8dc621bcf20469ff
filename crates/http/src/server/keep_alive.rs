//! Event streams on a connection: kept alive while silent, ended by a shutdown.

use super::Shutdown;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use std::time::Duration;

const COMMENT: &[u8] = b": still here\n\n";

/// The same stream with comments in its silences, until the shutdown.
pub(super) fn keep_alive<S, E>(
    events: S,
    silence: Duration,
    shutdown: Shutdown,
) -> impl Stream<Item = Result<Bytes, E>> + Send + use<S, E>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
    E: Send,
{
    // A comment may only stand between events; another server's chunks need not end with them.
    stream::unfold((events, true), move |(mut events, mut between)| {
        let shutdown = shutdown.clone();
        async move {
            loop {
                let next = tokio::select! {
                    biased;
                    () = shutdown.begun() => return None,
                    next = tokio::time::timeout(silence, events.next()) => next,
                };
                match next {
                    Ok(Some(Ok(bytes))) => {
                        between = bytes.ends_with(b"\n\n");
                        return Some((Ok(bytes), (events, between)));
                    }
                    Ok(Some(Err(e))) => return Some((Err(e), (events, between))),
                    Ok(None) => return None,
                    Err(_) if between => return Some((Ok(Bytes::from_static(COMMENT)), (events, between))),
                    Err(_) => {}
                }
            }
        }
    })
}
