//! Event streams on a connection: kept alive while silent, ended by a shutdown.

use super::RouterOptions;
use crate::body::EventStream;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use std::convert::Infallible;

const COMMENT: &[u8] = b": still here\n\n";

pub(super) fn keep_alive(
    events: EventStream,
    options: &RouterOptions,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
    let silence = options.keep_alive;
    let shutdown = options.shutdown.clone();
    stream::unfold(events, move |mut events| {
        let shutdown = shutdown.clone();
        async move {
            let next = tokio::select! {
                biased;
                () = shutdown.begun() => return None,
                next = tokio::time::timeout(silence, events.next()) => next,
            };
            let bytes = next.unwrap_or(Some(Bytes::from_static(COMMENT)))?;
            Some((Ok(bytes), events))
        }
    })
}
