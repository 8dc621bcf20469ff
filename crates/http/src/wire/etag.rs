//! Versions as entity tags.

use durable_session::store::Version;
use http::HeaderMap;
use http::header::AsHeaderName;

/// The tag of a session that does not exist, whose state is the initial one.
const ABSENT: &str = "new";

/// The tag of this version, in quotes.
pub(crate) fn of(version: Option<Version>) -> String {
    match version {
        Some(version) => format!("\"{version}\""),
        None => format!("\"{ABSENT}\""),
    }
}

/// The tags in a header.
#[derive(Debug, PartialEq)]
pub(crate) enum TagList {
    /// There is no such header.
    Missing,
    /// `*`.
    Any,
    /// The versions of the tags that are versions. Other tags match nothing and are left out.
    Versions(Vec<Option<Version>>),
}

/// Reads the tags in the header `name`.
pub(crate) fn parse_list(headers: &HeaderMap, name: impl AsHeaderName) -> TagList {
    let mut versions = Vec::new();
    let mut found = false;
    for value in headers.get_all(name) {
        found = true;
        // A version has no comma, so splitting cannot cut a tag of ours in two.
        for tag in value.to_str().unwrap_or_default().split(',').map(str::trim) {
            if tag == "*" {
                return TagList::Any;
            }
            // Proxies that compress make tags weak; the content is the same.
            let quoted = tag.strip_prefix("W/").unwrap_or(tag);
            let inner = quoted.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
            match inner {
                Some(ABSENT) => versions.push(None),
                Some(text) => versions.extend(text.parse().ok().map(Some)),
                None => {}
            }
        }
    }
    if found { TagList::Versions(versions) } else { TagList::Missing }
}
