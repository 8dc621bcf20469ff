//! The same routes, answered by a service elsewhere, such as a deployed Worker.

use super::streams::{in_time, until};
use super::{RouterOptions, receive, refused, under};
use crate::base::{self, InvalidBase};
use crate::refusal::Refusal;
use crate::{DEFAULT_PREFIX, session_of};
use ::axum::Router;
use ::axum::body::Body;
use ::axum::extract::Request;
use ::axum::response::Response;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;

/// What a session's request may say to the service. Cookies and credentials are for this server, not for that one.
const FORWARDED: [HeaderName; 10] = [
    ACCEPT,
    ACCEPT_ENCODING,
    CONTENT_TYPE,
    IF_MATCH,
    IF_NONE_MATCH,
    USER_AGENT,
    HeaderName::from_static("accept-language"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("x-request-id"),
];

/// What an answer says about its own connection only.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-connection"),
];

/// After how many silences, each as long as that in which a service sends a ping, an event stream is taken for dead.
const SILENCES: u32 = 3;

const ID: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What can be set on a [`proxy`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProxyOptions {
    /// Where sessions are served, here and there. Default: [`DEFAULT_PREFIX`].
    pub prefix: String,
    /// Headers that every forwarded request gets, such as a token that the service wants.
    pub headers: HeaderMap,
    /// How long connecting may take. Default: 5 seconds.
    pub connect_time: Duration,
    /// The most bytes of a body. Default: 4 MiB.
    pub max_body_bytes: usize,
    /// `request_time` bounds the wait for the answer's head, and for each next part of its body. An event stream in which the
    /// service sends nothing for three times `keep_alive`, not even a ping, is ended; the proxy sends no pings of its own.
    pub router: RouterOptions,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            prefix: DEFAULT_PREFIX.to_owned(),
            headers: HeaderMap::new(),
            connect_time: Duration::from_secs(5),
            max_body_bytes: 4 << 20,
            router: RouterOptions::default(),
        }
    }
}

#[derive(Debug)]
struct Upstream {
    client: reqwest::Client,
    base: String,
    options: ProxyOptions,
}

/// The session routes, answered by the service at `base_url`: its scheme and host, before the prefix.
///
/// Requests are forwarded once: whether to try again is for the client to say, which knows whether that is safe. A
/// service that cannot be reached is 502, one that does not answer in time 504.
///
/// # Errors
/// [`InvalidBase`] if nothing can be forwarded there.
pub fn proxy(base_url: &str, options: ProxyOptions) -> Result<Router, InvalidBase> {
    let base = base_url.trim_end_matches('/').to_owned();
    base::parse(&base)?;
    let client = reqwest::Client::builder()
        .connect_timeout(options.connect_time)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(InvalidBase::client)?;
    let prefix = options.prefix.clone();
    let upstream = std::sync::Arc::new(Upstream { client, base, options });
    Ok(under(&prefix, move |request: Request| {
        let upstream = upstream.clone();
        async move { upstream.answer(request).await.unwrap_or_else(refused) }
    }))
}

impl Upstream {
    async fn answer(&self, request: Request) -> Result<Response, Refusal> {
        let (parts, body) = request.into_parts();
        let options = &self.options.router;
        let url = self.url(parts.uri.path(), parts.uri.query())?;
        let body = receive::whole(&parts.headers, body, self.options.max_body_bytes, options).await?;
        let (body, held) = (body.bytes, body.share);
        let mut headers = self.options.headers.clone();
        for name in FORWARDED {
            for value in parts.headers.get_all(&name) {
                headers.append(&name, value.clone());
            }
        }
        let request = self.client.request(parts.method, url).headers(headers).body(body).build();
        let request = request.map_err(|_| Refusal::not_found())?;
        // In a task of its own: a client that goes away does not stop a change on its way.
        let sent = self.client.execute(request).into_future();
        let sent = options.shutdown.track(async move {
            let _held = held;
            sent.await
        });
        match tokio::time::timeout(options.request_time, sent).await {
            Ok(Ok(Ok(response))) => Ok(self.carry(response)),
            Ok(Ok(Err(error))) => Err(unreachable(&error)),
            Ok(Err(_)) => Err(Refusal::new(StatusCode::BAD_GATEWAY, "the request could not be forwarded")),
            Err(_) => Err(too_late()),
        }
    }

    /// The request's place at the service, put together from what was understood of it: nothing in a path can lead
    /// outside the prefix.
    fn url(&self, path: &str, query: Option<&str>) -> Result<String, Refusal> {
        let prefix = &self.options.prefix;
        let (id, rest) = session_of(prefix, path)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~');
        let name = rest.strip_prefix('/').unwrap_or(rest);
        if !name.bytes().all(plain) {
            return Err(Refusal::not_found());
        }
        let id = utf8_percent_encode(id.as_str(), ID);
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        Ok(format!("{}{prefix}/{id}{rest}{query}", self.base))
    }

    fn carry(&self, response: reqwest::Response) -> Response {
        let options = &self.options.router;
        let status = response.status();
        let headers = end_to_end(response.headers());
        let events =
            headers.get(CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/event-stream"));
        let bytes = response.bytes_stream();
        // The service's own pings are passed on. None are added: they would say that a stream is there which has died
        // on its other half.
        let body = if events {
            let heard = in_time(Box::pin(bytes), options.keep_alive.saturating_mul(SILENCES));
            Body::from_stream(until(options.shutdown.clone(), heard))
        } else {
            Body::from_stream(in_time(Box::pin(bytes), options.request_time))
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

fn too_late() -> Refusal {
    Refusal::new(
        StatusCode::GATEWAY_TIMEOUT,
        "the service does not answer in time; it may or may not have stored this",
    )
}

fn unreachable(error: &reqwest::Error) -> Refusal {
    if error.is_timeout() {
        return too_late();
    }
    // The URL holds the session's id, so of the error only its kind is told.
    let connected = !error.is_connect();
    tracing::warn!(connected, "a request could not be forwarded");
    Refusal::new(StatusCode::BAD_GATEWAY, "the service cannot be reached")
}

/// The headers without what is only about the connection to the service.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> =
        named.flat_map(|list| list.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    let kept = headers.iter().filter(|(name, _)| !HOP_BY_HOP.contains(name) && !named.contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}
