//! One session at its service, or the routes beside it: sending calls, with their tries.

use super::error::ClientError;
use super::retry::Retry;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::json::JsonError;
use http::header::{CONTENT_TYPE, IF_MATCH, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A call before it is sent.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: HeaderMap,
    body: Bytes,
    /// The call must not be sent again once its change may have been made.
    once: bool,
    /// 404 is success if an earlier try may have removed the message.
    gone_is_done: bool,
    /// A status beside those of success whose body is an answer.
    answers: Option<StatusCode>,
}

impl Call {
    /// A call of the session's route `path`.
    pub(super) fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            once: false,
            gone_is_done: false,
            answers: None,
        }
    }

    pub(super) fn json(mut self, text: String) -> Self {
        self.body = text.into();
        self.header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    pub(super) fn query(mut self, name: &'static str, value: &str) -> Self {
        self.query.push((name, value.to_owned()));
        self
    }

    /// Adds `If-Match` if a version is given.
    pub(super) fn only_if(self, version: Option<&str>) -> Result<Self, ClientError> {
        let Some(version) = version else { return Ok(self) };
        let tag = HeaderValue::from_str(version).map_err(|_| ClientError::InvalidVersion)?;
        Ok(self.header(IF_MATCH, tag).once())
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(super) fn once(mut self) -> Self {
        self.once = true;
        self
    }

    pub(super) fn answered_by(mut self, status: StatusCode) -> Self {
        self.answers = Some(status);
        self
    }

    pub(super) fn gone_is_done(mut self) -> Self {
        self.gone_is_done = true;
        self
    }
}

/// A response that answers the call.
#[derive(Debug)]
pub(super) struct Success {
    pub(super) headers: HeaderMap,
    body: Bytes,
}

impl Success {
    /// The response to a change that returns nothing.
    fn empty() -> Self {
        Self { headers: HeaderMap::new(), body: Bytes::from_static(b"{\"success\":true}") }
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|e| ClientError::malformed(JsonError::from(e)))
    }
}

/// A failed try.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: ClientError,
    /// The service's `Retry-After`.
    pub(super) retry_after: Option<Duration>,
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        Self { error, retry_after: None }
    }
}

/// A session at its service.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) http: reqwest::Client,
    /// The service's URL with the prefix of sessions and a slash.
    pub(super) base: reqwest::Url,
    /// `None`: the paths of calls are under `base`.
    pub(super) id: Option<SessionId>,
    pub(super) retry: Retry,
    /// How long one try may take.
    pub(super) timeout: Duration,
    /// How long an event stream may be silent.
    pub(super) max_silence: Duration,
}

impl Endpoint {
    /// Sends a call, again after failures that may pass, as long as that is safe.
    pub(super) async fn send(&self, call: Call) -> Result<Success, ClientError> {
        let mut tried = 0;
        let mut maybe_done = false;
        loop {
            tried += 1;
            let Failed { error, retry_after } = match self.send_once(&call).await {
                Ok(success) => return Ok(success),
                Err(failed) if call.gone_is_done && maybe_done && failed.error.is_not_found() => {
                    return Ok(Success::empty());
                }
                Err(failed) => failed,
            };
            maybe_done |= error.may_have_happened();
            let unsafe_again = call.once && error.may_have_happened();
            if tried >= self.retry.tries || !error.is_transient() || unsafe_again {
                return Err(error);
            }
            tokio::time::sleep(self.retry.wait(tried, retry_after)).await;
        }
    }

    async fn send_once(&self, call: &Call) -> Result<Success, Failed> {
        let work = async {
            let response = self.open(call).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = response.bytes().await.map_err(ClientError::unreachable)?;
            if status.is_success() || call.answers == Some(status) {
                Ok(Success { headers, body })
            } else {
                Err(refused(status, &headers, &body))
            }
        };
        let done = tokio::time::timeout(self.timeout, work).await;
        done.unwrap_or_else(|_| Err(ClientError::TimedOut.into()))
    }

    /// Sends a call once and waits for the head of the response.
    pub(super) async fn open(&self, call: &Call) -> Result<reqwest::Response, ClientError> {
        let mut url = self.base.clone();
        let id = self.id.as_ref().map_or("", SessionId::as_str);
        let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
        url.set_path(&format!("{}{id}{}", self.base.path(), call.path));
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        self.http
            .request(call.method.clone(), url)
            .headers(call.headers.clone())
            .body(call.body.clone())
            .send()
            .await
            .map_err(ClientError::unreachable)
    }
}

/// The error of a response without success.
pub(super) fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failed {
    #[derive(Deserialize)]
    struct Reason {
        error: String,
    }
    let reason = serde_json::from_slice::<Reason>(body)
        .map_or_else(|_| "no reason given".to_owned(), |r| r.error);
    let seconds =
        headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    Failed {
        error: ClientError::Refused { status, reason },
        retry_after: seconds.map(Duration::from_secs),
    }
}
