//! Versions as entity tags: `ETag`, `If-Match`, `If-None-Match`.

use crate::refusal::Refusal;
use durable_session::store::Version;
use http::header::{AsHeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};

/// The tag of a session that does not exist: its state is the initial one.
const ABSENT: &str = "new";

/// The tag of this version, in quotes.
pub(crate) fn of(version: Option<Version>) -> String {
    match version {
        Some(version) => format!("\"{version}\""),
        None => format!("\"{ABSENT}\""),
    }
}

/// The versions that a header lists.
#[derive(Debug, PartialEq)]
enum Listed {
    /// There is no such header.
    Nothing,
    /// `*`.
    Anything,
    /// These; a tag that is none of ours is left out, since it matches nothing.
    Versions(Vec<Option<Version>>),
}

fn listed(headers: &HeaderMap, name: impl AsHeaderName) -> Listed {
    let mut versions = Vec::new();
    let mut given = false;
    for value in headers.get_all(name) {
        given = true;
        // Our tags hold no commas, so splitting cannot cut one of them in two.
        for tag in value.to_str().unwrap_or_default().split(',').map(str::trim) {
            if tag == "*" {
                return Listed::Anything;
            }
            // Compressing proxies weaken tags; the content is the same.
            let quoted = tag.strip_prefix("W/").unwrap_or(tag);
            let inner = quoted.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
            match inner {
                Some(ABSENT) => versions.push(None),
                Some(text) => versions.extend(text.parse().ok().map(Some)),
                None => {}
            }
        }
    }
    if given { Listed::Versions(versions) } else { Listed::Nothing }
}

/// What `If-Match` asks of the version before a change.
#[derive(Debug, PartialEq)]
pub(crate) enum Expected {
    /// Nothing.
    Any,
    /// One of these.
    OneOf(Vec<Option<Version>>),
}

/// What `If-Match` asks for. A state can always be read, so `*` asks for nothing.
pub(crate) fn if_match(headers: &HeaderMap) -> Expected {
    match listed(headers, IF_MATCH) {
        Listed::Nothing | Listed::Anything => Expected::Any,
        Listed::Versions(versions) => Expected::OneOf(versions),
    }
}

/// Whether `If-None-Match` says that the client has this version.
pub(crate) fn client_has(headers: &HeaderMap, version: Option<Version>) -> bool {
    match listed(headers, IF_NONE_MATCH) {
        Listed::Nothing => false,
        Listed::Anything => true,
        Listed::Versions(versions) => versions.contains(&version),
    }
}

/// `If-Match` where it cannot be kept: better refused than passed over.
pub(crate) fn refuse_if_match(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(IF_MATCH) {
        return Err(Refusal::bad_request("If-Match is not supported for this request"));
    }
    Ok(())
}

/// The refusal of a change to another version than the client has.
pub(crate) fn mismatch(current: Option<Version>) -> Refusal {
    Refusal::new(StatusCode::PRECONDITION_FAILED, "the session has changed since that version was read")
        .etag(&of(current))
}

#[cfg(test)]
mod tests {
    use super::*;
    use durable_session::store::Incarnation;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append(IF_MATCH, value.parse().unwrap());
        headers
    }

    #[test]
    fn tags_are_read_strong_weak_and_in_lists() {
        let version = Version::new(Incarnation::from_bytes([7; 16]), 3);
        let tag = of(Some(version));
        assert_eq!(if_match(&HeaderMap::new()), Expected::Any);
        assert_eq!(if_match(&headers("*")), Expected::Any);
        for text in [tag.clone(), format!("W/{tag}"), format!("\"other\" , {tag}")] {
            assert_eq!(if_match(&headers(&text)), Expected::OneOf(vec![Some(version)]), "{text}");
        }
        assert_eq!(if_match(&headers("\"new\"")), Expected::OneOf(vec![None]));
        for foreign in ["\"other\"", "unquoted", "", "\""] {
            assert_eq!(if_match(&headers(foreign)), Expected::OneOf(vec![]), "{foreign}");
        }
    }
}
