//! Serves the page's files.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use durable_session_http::Refusal;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, Method};

static FILES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Scripts, styles and requests from this origin only; nothing inline; not in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

pub(crate) fn routes() -> Router {
    FILES.iter().fold(Router::new(), |router, &(name, bytes)| {
        let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
        router.route(&path, any(move |method: Method| async move { file(&method, name, bytes) }))
    })
}

/// Whether a file of the page has this path.
pub(crate) fn has(path: &str) -> bool {
    path == "/" || path.strip_prefix('/').is_some_and(|path| FILES.iter().any(|f| f.0 == path))
}

fn file(method: &Method, name: &str, bytes: &'static [u8]) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return Refusal::method_not_allowed("GET, HEAD").into_response();
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
    (headers, bytes).into_response()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}
