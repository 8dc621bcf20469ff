//! Requests and responses between the platform's types and those of the `http` crate.

use bytes::{Bytes, BytesMut};
use durable_session_http::{Body, Refusal};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use worker::Headers;

/// The upper limit of a body in bytes, even if the sessions' limits are higher: an object has 128
/// MB of memory in all.
const MAX_BODY: usize = 32 << 20;
/// Up to so many bytes of a body that is too large are read and thrown away. A client that is still
/// sending would not read the refusal.
const MAX_DRAINED: usize = 16 << 20;

/// The request with its whole body, which has at most `limit(method, path)` bytes; otherwise the
/// refusal to answer.
pub(crate) async fn request(
    mut from: worker::Request,
    limit: impl Fn(&Method, &str) -> usize,
) -> Result<Request<Bytes>, Refusal> {
    let mut request = head(&from)?;
    let limit = limit(request.method(), request.uri().path()).min(MAX_BODY);
    *request.body_mut() = body(&mut from, limit).await?;
    Ok(request)
}

/// The request without its body.
pub(crate) fn head(from: &worker::Request) -> Result<Request<Bytes>, Refusal> {
    let mut request =
        Request::builder().method(method(from)?).uri(path_and_query(&from.inner().url()));
    if let Some(headers) = request.headers_mut() {
        *headers = header_map(from.headers()).map_err(malformed)?;
    }
    request.body(Bytes::new()).map_err(malformed)
}

/// `worker::Request::method` turns every method that it does not know into GET; this does not.
pub(crate) fn method(from: &worker::Request) -> Result<Method, Refusal> {
    Method::from_bytes(from.inner().method().as_bytes()).map_err(malformed)
}

fn malformed(e: impl Into<http::Error>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, format!("the request is not HTTP: {}", e.into()))
}

/// Path and query of an absolute URL, as the platform gives it.
fn path_and_query(url: &str) -> &str {
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    let path = url[host..].find('/').map_or("/", |path| &url[host + path..]);
    path.split('#').next().unwrap_or(path)
}

fn header_map(from: &Headers) -> Result<HeaderMap, http::Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in from.entries() {
        headers.append(
            HeaderName::from_bytes(name.as_bytes())?,
            HeaderValue::from_bytes(value.as_bytes())?,
        );
    }
    Ok(headers)
}

async fn body(from: &mut worker::Request, limit: usize) -> Result<Bytes, Refusal> {
    let broken = |_| Refusal::new(StatusCode::BAD_REQUEST, "the body broke off");
    if from.inner().body().is_none() {
        return Ok(Bytes::new());
    }
    let announced = from.headers().get("content-length").ok().flatten();
    let announced = announced.and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length <= limit) {
        // The platform passes on no more bytes than were announced.
        return Ok(from.bytes().await.map_err(broken)?.into());
    }
    let (drained, mut seen) = (MAX_DRAINED.max(limit), 0_usize);
    let mut fits = announced.is_none();
    let mut whole = BytesMut::new();
    if announced.is_some_and(|length| length > drained) {
        return Err(Refusal::body_too_large(limit));
    }
    let mut parts = from.stream().map_err(broken)?;
    while let Some(part) = parts.next().await {
        let part = part.map_err(broken)?;
        seen = seen.saturating_add(part.len());
        fits &= seen <= limit;
        if fits {
            whole.extend_from_slice(&part);
        } else if seen > drained {
            break;
        } else {
            whole = BytesMut::new();
        }
    }
    if fits { Ok(whole.freeze()) } else { Err(Refusal::body_too_large(limit)) }
}

/// The platform's response. `events` makes the bytes of an event stream.
pub(crate) fn response<S>(
    from: Response<Body>,
    events: impl FnOnce(durable_session_http::EventStream) -> S,
) -> worker::Result<worker::Response>
where
    S: futures_util::Stream<Item = worker::Result<Vec<u8>>> + 'static,
{
    let (parts, body) = from.into_parts();
    let to = worker::Response::builder()
        .with_status(parts.status.as_u16())
        .with_headers(headers(&parts.headers)?);
    match body {
        Body::Full(bytes) if bytes.is_empty() => Ok(to.empty()),
        Body::Full(bytes) => Ok(to.fixed(bytes.into())),
        Body::Parts(parts) => to.from_stream(parts.map(|part| match part {
            Ok(part) => Ok(Vec::from(part)),
            Err(e) => Err(worker::Error::RustError(e.to_string())),
        })),
        Body::Events(stream) => to.from_stream(events(stream)),
    }
}

/// A response that is no stream.
pub(crate) fn whole(from: Response<Body>) -> worker::Result<worker::Response> {
    response(from, |events| events.map(|event| Ok(event.into())))
}

fn headers(from: &HeaderMap) -> worker::Result<Headers> {
    let headers = Headers::new();
    for (name, value) in from {
        headers.append(name.as_str(), &String::from_utf8_lossy(value.as_bytes()))?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::path_and_query;

    #[test]
    fn path_and_query_follow_the_host() {
        for (url, expected) in [
            ("https://h/a/b?c=/d", "/a/b?c=/d"),
            ("http://h:8080/", "/"),
            ("http://h", "/"),
            ("https://h/a#b", "/a"),
        ] {
            assert_eq!(path_and_query(url), expected);
        }
    }
}
