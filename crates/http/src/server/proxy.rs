//! The same routes, answered by a service elsewhere, such as a deployed Worker.

use super::{RouterOptions, keep_alive, receive, refused, under};
use crate::refusal::Refusal;
use crate::{DEFAULT_PREFIX, session_of};
use ::axum::Router;
use ::axum::body::Body;
use ::axum::extract::Request;
use ::axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
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
    /// `request_time` bounds the wait for the answer's head, and for each next part of its body.
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

/// Nothing can be forwarded there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBase {
    /// It is no URL of a service.
    #[error("{base:?} is not an http or https URL of a service: scheme and host, no query")]
    Url {
        /// What was given.
        base: String,
    },
    /// This build cannot speak https.
    #[error("{base:?} needs the feature `rustls` of durable-session-http")]
    Tls {
        /// What was given.
        base: String,
    },
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
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
    let url = reqwest::Url::parse(&base).ok().filter(|url| url.has_host() && url.query().is_none());
    match url.as_ref().map(reqwest::Url::scheme) {
        Some("http") => {}
        Some("https") if cfg!(feature = "rustls") => {}
        Some("https") => return Err(InvalidBase::Tls { base }),
        _ => return Err(InvalidBase::Url { base }),
    }
    let client = reqwest::Client::builder()
        .connect_timeout(options.connect_time)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(InvalidBase::Client)?;
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
        let RouterOptions { body_time, request_time, .. } = self.options.router;
        let url = self.url(parts.uri.path(), parts.uri.query())?;
        let body = receive::whole(&parts.headers, body, self.options.max_body_bytes, body_time).await?;
        let mut headers = self.options.headers.clone();
        for name in FORWARDED {
            for value in parts.headers.get_all(&name) {
                headers.append(&name, value.clone());
            }
        }
        let request = self.client.request(parts.method, url).headers(headers).body(body).build();
        let request = request.map_err(|_| Refusal::not_found())?;
        // In a task of its own: a client that goes away does not stop a change on its way.
        let sent = self.options.router.shutdown.track(self.client.execute(request).into_future());
        match tokio::time::timeout(request_time, sent).await {
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
        let body = if events {
            Body::from_stream(keep_alive::keep_alive(
                Box::pin(bytes),
                options.keep_alive,
                options.shutdown.clone(),
            ))
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

/// A body whose parts each come in time, or that breaks off.
fn in_time<S>(
    bytes: S,
    time: Duration,
) -> impl futures_core::Stream<Item = Result<Bytes, std::io::Error>> + Send
where
    S: futures_core::Stream<Item = Result<Bytes, reqwest::Error>> + Unpin + Send,
{
    stream::unfold(Some(bytes), move |bytes| async move {
        let mut bytes = bytes?;
        match tokio::time::timeout(time, bytes.next()).await {
            Ok(Some(Ok(part))) => Some((Ok(part), Some(bytes))),
            Ok(Some(Err(_))) => Some((Err(std::io::Error::other("the service's answer broke off")), None)),
            Ok(None) => None,
            Err(_) => Some((Err(std::io::ErrorKind::TimedOut.into()), None)),
        }
    })
}
