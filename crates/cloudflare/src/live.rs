//! The event stream as it leaves an object.

use crate::store::DurableObjectStore;
use durable_session_http::EventStream;
use futures_util::future::{self, Either};
use futures_util::stream::{self, Stream, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use worker::Delay;

/// A stream without events for so long gets its keep-alive. It keeps proxies from closing the
/// connection, and a client that hears none knows that the connection is dead.
const QUIET: Duration = Duration::from_secs(15);

/// Each event after the platform has confirmed the change behind it (clause C1), and keep-alives.
///
/// The platform holds back a response until then, but not the later parts of a response that has
/// begun.
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
            None => Ok(events.keep_alive().as_bytes().to_vec()),
        };
        Some((sent, (events, store)))
    })
}
