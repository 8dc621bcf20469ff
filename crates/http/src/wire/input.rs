//! The headers, query and body of a request.

use crate::wire::refusal::Refusal;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};

/// The most characters of an encoding's name in a refusal.
const MAX_ENCODING_NAME: usize = 40;

/// A request without its method and path.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) headers: HeaderMap,
    pub(crate) query: Option<String>,
    pub(crate) body: Bytes,
    pub(crate) max_body_bytes: usize,
}

impl Input {
    pub(crate) fn new(parts: &Parts, body: Bytes, max_body_bytes: usize) -> Self {
        let query = parts.uri.query().map(str::to_owned);
        Self { headers: parts.headers.clone(), query, body, max_body_bytes }
    }

    /// The body as text, which the caller parses as JSON.
    pub(crate) fn text(&self) -> Result<&str, Refusal> {
        check_content_type(&self.headers)?;
        check_content_encoding(&self.headers)?;
        if self.body.len() > self.max_body_bytes {
            return Err(Refusal::body_too_large(self.max_body_bytes));
        }
        std::str::from_utf8(&self.body)
            .map_err(|e| Refusal::bad_request(format!("the body must be JSON in UTF-8: {e}")))
    }
}

/// Accepts JSON, and `text/plain`: browsers send it for a string body without a header.
fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    let json = essence == "application/json"
        || essence.strip_prefix("application/").is_some_and(|subtype| subtype.ends_with("+json"));
    if json || essence == "text/plain" {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the content type must be application/json (or text/plain with JSON in it)",
    ))
}

/// Refuses a compressed body.
fn check_content_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    for value in headers.get_all(CONTENT_ENCODING) {
        let names = value.to_str().unwrap_or("unreadable").split(',').map(str::trim);
        if let Some(name) =
            names.into_iter().find(|n| !n.is_empty() && !n.eq_ignore_ascii_case("identity"))
        {
            let name: String = name.chars().take(MAX_ENCODING_NAME).collect();
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("content-encoding {name:?} is not supported; send the body without one"),
            ));
        }
    }
    Ok(())
}
