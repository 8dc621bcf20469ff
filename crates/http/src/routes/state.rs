//! Reading, changing, resetting and deleting the whole state of a session.

use crate::client_permissions::ClientPermissions;
use crate::routes::fields::set_fields;
use crate::routes::preconditions::{client_has, refuse_if_match, turn_or};
use crate::wire::body::Body;
use crate::wire::input::Input;
use crate::wire::refusal::Refusal;
use crate::wire::response::{respond, success};
use crate::wire::{errors, etag, parts};
use bytes::Bytes;
use durable_session::store::Version;
use durable_session::{
    AppState, ChatSession, Draft, Error, ErrorChain, JsonObject, LimitKind, Limits, Message,
    SessionId,
};
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Response, StatusCode};
use serde_json::value::RawValue;

/// `GET /`.
pub(crate) async fn get<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
) -> Result<Response<Body>, Refusal> {
    let error = |e| errors::refusal(chat.id(), &e);
    if input.headers.contains_key(IF_NONE_MATCH) {
        let version = chat.snapshot().await.map_err(error)?.version();
        if client_has(&input.headers, version) {
            return Ok(tagged(
                respond(StatusCode::NOT_MODIFIED, None, Body::Full(Bytes::new())),
                version,
            ));
        }
    }
    let state = chat.state_parts().await.map_err(error)?;
    let version = state.version();
    Ok(tagged(parts::response(state, chat.id(), ["", ""]).await?, version))
}

/// `PUT /`: replaces the given fields. `messages` replaces the whole list, and only the difference
/// is stored. The session's own times may be in the body, as in a state that was read and is
/// written back; they are ignored.
pub(crate) async fn put<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
    may: &ClientPermissions,
) -> Result<Response<Body>, Refusal> {
    let mut given: JsonObject = input
        .text()?
        .parse()
        .map_err(|e| Refusal::bad_request(format!("the body must be a JSON object: {e}")))?;
    let messages = match given.get_json("messages") {
        Some(list) => {
            may.check_list()?;
            let messages = read_messages(list)?;
            may.check(&messages)?;
            Some(messages)
        }
        None => None,
    };
    for own in ["messages", "createdAt", "lastAccessedAt"] {
        given.remove(own);
    }
    let change = |draft: &mut Draft<'_, A>| {
        if let Some(messages) = &messages {
            draft.set_messages(messages)?;
        }
        set_fields(draft, &given)
    };
    let refusal = |id: &SessionId, e: &Error| {
        match (&messages, e) {
            (Some(_), Error::TooLarge { limit, is, max, .. }) => too_different(*limit, *is, *max),
            _ => None,
        }
        .unwrap_or_else(|| errors::refusal(id, e))
    };
    turn_or(chat, input, change, refusal).await?;
    let state = chat.state_parts().await.map_err(|e| errors::refusal(chat.id(), &e))?;
    let version = state.version();
    Ok(tagged(
        parts::response(state, chat.id(), ["{\"success\":true,\"state\":", "}"]).await?,
        version,
    ))
}

/// The refusal of a list whose difference to the stored messages does not fit into one commit.
fn too_different(limit: LimitKind, is: u64, max: u64) -> Option<Refusal> {
    let unit = match limit {
        LimitKind::CommitOps => "operations",
        LimitKind::CommitBytes => "bytes",
        _ => return None,
    };
    let reason = format!(
        "the difference to the stored messages needs {is} {unit}; the limit of one commit is {max}"
    );
    Some(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason))
}

/// The largest state in bytes that a client may put: as `GET /` writes it, within these limits.
pub(crate) fn max_bytes(limits: Limits, may: &ClientPermissions) -> usize {
    // The names of the session's own fields, punctuation and the digits of two times.
    const FRAME: u64 = 128;
    let messages = limits.session_bytes.saturating_add(limits.session_messages);
    let messages = if may.may_rewrite() { messages } else { 0 };
    let bytes = messages.saturating_add(limits.app_bytes).saturating_add(FRAME);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn read_messages(list: &str) -> Result<Vec<Message>, Refusal> {
    let list: Vec<&RawValue> = serde_json::from_str(list)
        .map_err(|_| Refusal::bad_request("`messages` must be a list of messages"))?;
    let message = |(i, raw): (usize, &RawValue)| {
        Message::from_json(raw.get())
            .map_err(|e| Refusal::bad_request(format!("messages[{i}]: {}", ErrorChain(&e))))
    };
    list.into_iter().enumerate().map(message).collect()
}

/// `POST /reset`. The body is ignored.
pub(crate) async fn reset<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
) -> Result<Response<Body>, Refusal> {
    refuse_if_match(&input.headers)?;
    chat.reset().await.map_err(|e| errors::refusal(chat.id(), &e))?;
    Ok(success())
}

/// `DELETE /`. Deleting a session that does not exist succeeds.
pub(crate) async fn delete<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
) -> Result<Response<Body>, Refusal> {
    refuse_if_match(&input.headers)?;
    chat.delete().await.map_err(|e| errors::refusal(chat.id(), &e))?;
    Ok(success())
}

fn tagged(mut response: Response<Body>, version: Option<Version>) -> Response<Body> {
    if let Ok(tag) = HeaderValue::from_str(&etag::of(version)) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}
