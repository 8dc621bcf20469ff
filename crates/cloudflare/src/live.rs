//! The event stream as it leaves an object.

use crate::DurableObjectStore;
use durable_session_http::{EventStream, PING};
use futures_util::future::{self, Either};
use futures_util::stream::{self, Stream, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use worker::Delay;

/// After so long without an event a stream gets a ping: what is between us and the browser does not take the connection for
/// dead, and the browser can tell when it is.
const QUIET: Duration = Duration::from_secs(15);

/// Each event once the platform has confirmed what it tells of (clause C1), and a ping when there was none for a while.
///
/// Responses wait for that confirmation by themselves; what is written to a response that is already under way need not.
pub(crate) fn confirmed(
    events: EventStream,
    store: Arc<DurableObjectStore>,
) -> impl Stream<Item = worker::Result<Vec<u8>>> + 'static {
    stream::unfold((events, store), |(mut events, store)| async move {
        let item = match future::select(events.next(), Delay::from(QUIET)).await {
            Either::Left((None, _)) => return None,
            Either::Left((Some(event), _)) => Some(event),
            Either::Right(((), _)) => None,
        };
        let sent = match item {
            Some(event) => store.confirmed().await.map(|()| event.into()),
            None => Ok(PING.as_bytes().to_vec()),
        };
        Some((sent, (events, store)))
    })
}
