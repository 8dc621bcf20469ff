//! Forwarding the routes to a service elsewhere, such as a deployed Worker.

use super::options::RouterOptions;
use super::receive;
use super::router::{refused, under};
use super::streams::{in_time, until};
use crate::base_url::{self, InvalidBaseUrl};
use crate::config::DEFAULT_PREFIX;
use crate::routes::route::session_of;
use crate::wire::refusal::Refusal;
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

/// The headers of a request that are forwarded. Cookies and credentials are for this server only.
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

/// The headers of a response that describe only its own connection.
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

/// An event stream without a byte for this many intervals of pings is dead.
const MISSED_PINGS: u32 = 3;

const ID: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Options of a [`proxy`].
///
/// ```
/// use durable_session_http::server::ProxyOptions;
/// use http::HeaderValue;
/// use http::header::AUTHORIZATION;
///
/// let mut options = ProxyOptions::default();
/// options.headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer token"));
/// options.max_body_bytes = 1 << 20;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProxyOptions {
    /// The path in front of session ids, here and at the service. Default: [`DEFAULT_PREFIX`].
    pub prefix: String,
    /// Headers added to every forwarded request, such as a token for the service.
    pub headers: HeaderMap,
    /// How long connecting may take. Default: 5 seconds.
    pub connect_timeout: Duration,
    /// The largest body in bytes; a larger one is 413. Default: 4 MiB.
    pub max_body_bytes: usize,
    /// `request_timeout` bounds the wait for the head of a response and for each next part of its
    /// body. An event stream without a byte, even of a ping, for three times `keep_alive` is ended;
    /// the proxy sends no pings of its own.
    pub router: RouterOptions,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            prefix: DEFAULT_PREFIX.to_owned(),
            headers: HeaderMap::new(),
            connect_timeout: Duration::from_secs(5),
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

/// The session routes, forwarded to the service at `base_url`: its scheme and host, before the
/// prefix.
///
/// Each request is forwarded once, since only the client knows whether another try is safe. 502 if
/// the service cannot be reached, 504 if it does not respond in time.
///
/// ```
/// use durable_session_http::server::{InvalidBaseUrl, ProxyOptions, proxy};
///
/// # fn example() -> Result<(), InvalidBaseUrl> {
/// let routes = proxy("http://127.0.0.1:8787", ProxyOptions::default())?;
/// let app = axum::Router::new().merge(routes);
/// # let _: axum::Router = app;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`InvalidBaseUrl`] if `base_url` is no URL of a service, or needs TLS and the feature `rustls`
/// is off.
pub fn proxy(base_url: &str, options: ProxyOptions) -> Result<Router, InvalidBaseUrl> {
    let base = base_url.trim_end_matches('/').to_owned();
    base_url::parse(&base)?;
    let client = reqwest::Client::builder()
        .connect_timeout(options.connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(InvalidBaseUrl::client)?;
    let prefix = options.prefix.clone();
    let upstream = std::sync::Arc::new(Upstream { client, base, options });
    Ok(under(&prefix, move |request: Request| {
        let upstream = upstream.clone();
        async move { upstream.forward(request).await.unwrap_or_else(refused) }
    }))
}

impl Upstream {
    async fn forward(&self, request: Request) -> Result<Response, Refusal> {
        let (parts, body) = request.into_parts();
        let options = &self.options.router;
        let url = self.url(parts.uri.path(), parts.uri.query())?;
        let body =
            receive::whole(&parts.headers, body, self.options.max_body_bytes, options).await?;
        let (body, held) = (body.bytes, body.share);
        let mut headers = self.options.headers.clone();
        for name in FORWARDED {
            for value in parts.headers.get_all(&name) {
                headers.append(&name, value.clone());
            }
        }
        let request = self.client.request(parts.method, url).headers(headers).body(body).build();
        let request = request.map_err(|_| Refusal::not_found())?;
        // In a task of its own, so that a client that disconnects does not stop a change.
        let sent = self.client.execute(request).into_future();
        let sent = options.shutdown.track(async move {
            let _held = held;
            sent.await
        });
        match tokio::time::timeout(options.request_timeout, sent).await {
            Ok(Ok(Ok(response))) => Ok(self.convert(response)),
            Ok(Ok(Err(error))) => Err(unreachable(&error)),
            Ok(Err(_)) => {
                Err(Refusal::new(StatusCode::BAD_GATEWAY, "the request could not be forwarded"))
            }
            Err(_) => Err(too_late()),
        }
    }

    /// The URL of a request at the service. It is assembled from the parsed path, so that no path
    /// leads outside the prefix.
    fn url(&self, path: &str, query: Option<&str>) -> Result<String, Refusal> {
        let prefix = &self.options.prefix;
        let (id, rest) = session_of(prefix, path)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~');
        let name = rest.strip_prefix('/').unwrap_or(rest);
        // Such as `replies/3/stop`. Without dots no part leads anywhere else.
        let part = |part: &str| !part.is_empty() && part.bytes().all(plain);
        if !name.is_empty() && !name.split('/').all(part) {
            return Err(Refusal::not_found());
        }
        let id = utf8_percent_encode(id.as_str(), ID);
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        Ok(format!("{}{prefix}/{id}{rest}{query}", self.base))
    }

    fn convert(&self, response: reqwest::Response) -> Response {
        let options = &self.options.router;
        let status = response.status();
        let headers = end_to_end(response.headers());
        let events = headers
            .get(CONTENT_TYPE)
            .is_some_and(|t| t.as_bytes().starts_with(b"text/event-stream"));
        let bytes = response.bytes_stream();
        // The service's own pings are forwarded. Pings of the proxy would hide that the connection
        // to the service is dead.
        let body = if events {
            let heard = in_time(Box::pin(bytes), options.keep_alive.saturating_mul(MISSED_PINGS));
            Body::from_stream(until(options.shutdown.clone(), heard))
        } else {
            Body::from_stream(in_time(Box::pin(bytes), options.request_timeout))
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
        "the service did not respond in time; the change may or may not be stored",
    )
}

fn unreachable(error: &reqwest::Error) -> Refusal {
    if error.is_timeout() {
        return too_late();
    }
    // The error has the URL with the session id, so only its kind is logged.
    let connected = !error.is_connect();
    tracing::warn!(connected, "a request could not be forwarded");
    Refusal::new(StatusCode::BAD_GATEWAY, "the service cannot be reached")
}

/// The headers without those that describe only the connection to the service.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> = named
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let kept =
        headers.iter().filter(|(name, _)| !HOP_BY_HOP.contains(name) && !named.contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}
