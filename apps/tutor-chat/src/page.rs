//! Serves the page's files.

use crate::access::hex;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use durable_session_http::Refusal;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sha2::{Digest as _, Sha256};

static FILES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Scripts, styles and requests from this origin only; nothing inline; not in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

pub(crate) fn routes() -> Router {
    FILES.iter().fold(Router::new(), |router, &(name, bytes)| {
        let etag = etag(bytes);
        let answer = move |method: Method, headers: HeaderMap| {
            std::future::ready(file(&method, &headers, name, bytes, &etag))
        };
        router.route(&path_of(name), any(answer))
    })
}

/// The two pages have names without an ending.
fn path_of(file: &str) -> String {
    match file {
        "index.html" => "/".to_owned(),
        "dashboard.html" => "/dashboard".to_owned(),
        _ => format!("/{file}"),
    }
}

/// The tag of a file's content.
fn etag(bytes: &[u8]) -> HeaderValue {
    let tag = format!("\"{}\"", hex(&Sha256::digest(bytes)[..12]));
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether a file of the page has this path.
pub(crate) fn has(path: &str) -> bool {
    FILES.iter().any(|&(name, _)| path_of(name) == path)
}

fn file(
    method: &Method,
    headers: &HeaderMap,
    name: &str,
    bytes: &'static [u8],
    etag: &HeaderValue,
) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return Refusal::method_not_allowed("GET, HEAD").into_response();
    }
    let known = headers.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    // A proxy that compresses makes the tag weak.
    let is_known = |tag: &str| tag.trim().trim_start_matches("W/").as_bytes() == etag.as_bytes();
    if known.is_some_and(|known| known.split(',').any(is_known)) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, etag.clone())]).into_response();
    }
    let headers = [
        (CONTENT_TYPE, content_type(name)),
        // A new release of the server is a new page.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        // The address may contain a session's link, which gives access to the session.
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    ([(ETAG, etag.clone())], headers, bytes).into_response()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
