//! Whole states and lists of messages as responses: in one piece if they are in memory, otherwise
//! read from the store while they are sent.

use crate::wire::body::{Body, BodyAborted, PartStream};
use crate::wire::errors;
use crate::wire::refusal::Refusal;
use crate::wire::response::{json, respond};
use bytes::{Bytes, BytesMut};
use durable_session::{Error, JsonParts, SessionId};
use futures_util::stream;
use http::{Response, StatusCode};

/// A JSON response of these parts, with text before and after them.
pub(crate) async fn response(
    mut parts: JsonParts,
    id: &SessionId,
    [before, after]: [&'static str; 2],
) -> Result<Response<Body>, Refusal> {
    let first = parts.next().await.map_err(|e| errors::refusal(id, &e))?.unwrap_or_default();
    if parts.is_done() {
        return Ok(json(StatusCode::OK, around(before, first, after)));
    }
    let first = around(before, first, "");
    let rest = stream::unfold(Some((parts, id.clone())), move |reading| async move {
        let (mut parts, id) = reading?;
        match parts.next().await {
            Ok(part) => {
                let part = part.unwrap_or_default();
                let done = parts.is_done();
                let part = around("", part, if done { after } else { "" });
                Some((Ok(part), (!done).then_some((parts, id))))
            }
            Err(e) => {
                if !matches!(e, Error::VersionChanged { .. }) {
                    errors::log(&id, &e);
                }
                Some((Err(BodyAborted), None))
            }
        }
    });
    Ok(respond(StatusCode::OK, Some("application/json"), Body::Parts(PartStream::new(first, rest))))
}

fn around(before: &str, part: Bytes, after: &str) -> Bytes {
    if before.is_empty() && after.is_empty() {
        return part;
    }
    let mut whole = BytesMut::with_capacity(before.len() + part.len() + after.len());
    whole.extend_from_slice(before.as_bytes());
    whole.extend_from_slice(&part);
    whole.extend_from_slice(after.as_bytes());
    whole.freeze()
}
