//! `GET /events`: the changes of a session, sent as they happen.

use crate::routes::feed::{Feed, StreamPermit};
use crate::wire::body::{Body, EventStream};
use crate::wire::errors;
use crate::wire::input::Input;
use crate::wire::paging::once;
use crate::wire::refusal::Refusal;
use crate::wire::response::respond;
use crate::wire::stream_cursor::StreamCursor;
use durable_session::{AppState, ChatSession};
use futures_util::stream;
use http::{HeaderMap, Response, StatusCode};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

const CONTENT_TYPE: &str = "text/event-stream";

/// The response to `HEAD`.
pub(crate) fn head() -> Response<Body> {
    // A stream, so that it has no length; an empty one, because `HEAD` has no body.
    respond(StatusCode::OK, Some(CONTENT_TYPE), Body::Events(EventStream::new(stream::empty())))
}

/// Opens a stream from the current version, or from the cursor in `Last-Event-ID`.
pub(crate) async fn open<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
    streams: &Arc<AtomicUsize>,
    max_streams: usize,
) -> Result<Response<Body>, Refusal> {
    let from = last_event_id(&input.headers)?;
    let edited = wants_edited(input.query.as_deref())?;
    let permit = StreamPermit::acquire(streams, max_streams)?;
    // The watcher comes first: a change between the two calls is then seen twice and recognized,
    // never missed.
    let watcher = chat.watch();
    let snapshot = chat.snapshot().await.map_err(|e| errors::refusal(chat.id(), &e))?;
    let feed = Feed::begin(chat.clone(), watcher, &snapshot, from, edited, permit)?;
    let stream = stream::unfold(feed, Feed::next);
    Ok(respond(StatusCode::OK, Some(CONTENT_TYPE), Body::Events(EventStream::new(stream))))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<StreamCursor>, Refusal> {
    match headers.get("last-event-id") {
        // A client that has received no event may send an empty id.
        Some(id) if !id.is_empty() => id.to_str().unwrap_or_default().parse().map(Some),
        _ => Ok(None),
    }
}

/// Whether the client asks for `edited` events: `?edited=true`.
fn wants_edited(query: Option<&str>) -> Result<bool, Refusal> {
    let mut wanted = None;
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if name == "edited" {
            let value = value
                .parse()
                .map_err(|_| Refusal::bad_request("`edited` must be true or false"))?;
            once(&mut wanted, "edited", value)?;
        }
    }
    Ok(wanted.unwrap_or(false))
}
