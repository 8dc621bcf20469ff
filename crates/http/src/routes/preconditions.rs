//! `If-Match` and `If-None-Match`: the versions a request depends on, and turns that check them.

use crate::wire::errors;
use crate::wire::etag::{self, TagList};
use crate::wire::input::Input;
use crate::wire::refusal::Refusal;
use durable_session::store::Version;
use durable_session::{AppState, ChatSession, Draft, Error, NewReply, Opened, SessionId};
use http::HeaderMap;
use http::header::{IF_MATCH, IF_NONE_MATCH};

/// The versions that `If-Match` accepts.
#[derive(Debug, PartialEq)]
enum IfMatch {
    /// Every version.
    Any,
    /// These versions; `None` is a session that does not exist.
    OneOf(Vec<Option<Version>>),
}

/// Reads `If-Match`. A session always has a state, so `*` accepts every version.
fn if_match(headers: &HeaderMap) -> IfMatch {
    match etag::parse_list(headers, IF_MATCH) {
        TagList::Missing | TagList::Any => IfMatch::Any,
        TagList::Versions(versions) => IfMatch::OneOf(versions),
    }
}

/// Whether the request depends on a version.
pub(crate) fn is_conditional(headers: &HeaderMap) -> bool {
    if_match(headers) != IfMatch::Any
}

/// Whether `If-None-Match` says that the client has this version.
pub(crate) fn client_has(headers: &HeaderMap, version: Option<Version>) -> bool {
    match etag::parse_list(headers, IF_NONE_MATCH) {
        TagList::Missing => false,
        TagList::Any => true,
        TagList::Versions(versions) => versions.contains(&version),
    }
}

/// Refuses `If-Match` on a route that cannot check it.
pub(crate) fn refuse_if_match(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(IF_MATCH) {
        return Err(Refusal::bad_request("If-Match is not supported for this request"));
    }
    Ok(())
}

/// Runs a turn, on the condition of `If-Match` if the request has it.
pub(crate) async fn turn<A: AppState, T>(
    chat: &ChatSession<A>,
    input: &Input,
    turn: impl FnMut(&mut Draft<'_, A>) -> Result<T, Error>,
) -> Result<T, Refusal> {
    turn_or(chat, input, turn, errors::refusal).await
}

/// Like [`turn`], with the caller's own refusal for a turn that fails.
pub(crate) async fn turn_or<A: AppState, T>(
    chat: &ChatSession<A>,
    input: &Input,
    turn: impl FnMut(&mut Draft<'_, A>) -> Result<T, Error>,
    refusal: impl FnOnce(&SessionId, &Error) -> Refusal,
) -> Result<T, Refusal> {
    let result = match if_match(&input.headers) {
        IfMatch::Any => chat.turn(turn).await,
        IfMatch::OneOf(versions) => {
            let current =
                chat.snapshot().await.map_err(|e| errors::refusal(chat.id(), &e))?.version();
            if !versions.contains(&current) {
                return Err(errors::version_changed(current));
            }
            chat.turn_if(current, turn).await
        }
    };
    result.map_err(|e| refusal(chat.id(), &e))
}

/// Opens a reply, on the condition of `If-Match` if the request has it.
pub(crate) async fn reply<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
    open: impl FnMut(&mut Draft<'_, A>) -> Result<NewReply, Error>,
) -> Result<Opened<A>, Error> {
    match if_match(&input.headers) {
        IfMatch::Any => chat.reply(open).await,
        IfMatch::OneOf(versions) => {
            let current = chat.snapshot().await?.version();
            if !versions.contains(&current) {
                return Err(Error::VersionChanged { session: chat.id().clone(), current });
            }
            chat.reply_if(current, open).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IfMatch, if_match};
    use crate::wire::etag;
    use durable_session::store::{Incarnation, Version};
    use http::HeaderMap;
    use http::header::IF_MATCH;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append(IF_MATCH, value.parse().unwrap());
        headers
    }

    #[test]
    fn if_match_takes_strong_and_weak_tags_and_lists() {
        let version = Version::new(Incarnation::from_bytes([7; 16]), 3);
        let tag = etag::of(Some(version));
        assert_eq!(if_match(&HeaderMap::new()), IfMatch::Any);
        assert_eq!(if_match(&headers("*")), IfMatch::Any);
        for text in [tag.clone(), format!("W/{tag}"), format!("\"other\" , {tag}")] {
            assert_eq!(if_match(&headers(&text)), IfMatch::OneOf(vec![Some(version)]), "{text}");
        }
        assert_eq!(if_match(&headers("\"new\"")), IfMatch::OneOf(vec![None]));
        for foreign in ["\"other\"", "unquoted", "", "\""] {
            assert_eq!(if_match(&headers(foreign)), IfMatch::OneOf(vec![]), "{foreign}");
        }
    }
}
