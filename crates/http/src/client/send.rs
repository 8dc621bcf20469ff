//! One call: its tries and its answer.

use super::ChatSessionClient;
use super::error::ClientError;
use bytes::Bytes;
use durable_session::json::JsonError;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A request before it is sent.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: HeaderMap,
    body: Bytes,
    /// It must not be sent again once it may have been done.
    once: bool,
    /// That what it removes is not there is success, once an earlier try may have removed it.
    gone_is_done: bool,
}

impl Call {
    /// A call of the route `path` of the session.
    pub(super) fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            once: false,
            gone_is_done: false,
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

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(super) fn once(mut self) -> Self {
        self.once = true;
        self
    }

    pub(super) fn gone_is_done(mut self) -> Self {
        self.gone_is_done = true;
        self
    }
}

/// A successful answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// The answer to a change that has nothing more to say.
    fn success() -> Self {
        Self { headers: HeaderMap::new(), body: Bytes::from_static(b"{\"success\":true}") }
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|e| ClientError::malformed(JsonError::from(e)))
    }
}

impl ChatSessionClient {
    /// Sends a call, again and again as far as that is wise.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, ClientError> {
        let mut tried = 0;
        let mut maybe_done = false;
        loop {
            tried += 1;
            let (error, wish) = match self.send_once(&call).await {
                Ok(answer) => return Ok(answer),
                Err((error, _)) if call.gone_is_done && maybe_done && error.is_not_found() => {
                    return Ok(Answer::success());
                }
                Err(failed) => failed,
            };
            maybe_done |= error.may_have_happened();
            let unwise = call.once && error.may_have_happened();
            if tried >= self.retry.tries || !error.is_transient() || unwise {
                return Err(error);
            }
            tokio::time::sleep(self.retry.wait(tried, wish)).await;
        }
    }

    async fn send_once(&self, call: &Call) -> Result<Answer, (ClientError, Option<Duration>)> {
        let broken = |e| (ClientError::unreachable(e), None);
        let work = async {
            let response = self.open(call).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = response.bytes().await.map_err(broken)?;
            if status.is_success() {
                Ok(Answer { headers, body })
            } else {
                Err(refused(status, &headers, &body))
            }
        };
        tokio::time::timeout(self.time, work).await.unwrap_or(Err((ClientError::TimedOut, None)))
    }

    /// Sends it once and waits for the answer's head.
    pub(super) async fn open(
        &self,
        call: &Call,
    ) -> Result<reqwest::Response, (ClientError, Option<Duration>)> {
        let mut url = self.base.clone();
        let id = utf8_percent_encode(self.id.as_str(), NON_ALPHANUMERIC);
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
            .map_err(|e| (ClientError::unreachable(e), None))
    }
}

/// What a refusal says: its reason, and after how long to come back.
pub(super) fn refused(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> (ClientError, Option<Duration>) {
    #[derive(Deserialize)]
    struct Reason {
        error: String,
    }
    let reason =
        serde_json::from_slice::<Reason>(body).map_or_else(|_| "no reason given".to_owned(), |r| r.error);
    let seconds = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    (ClientError::Refused { status, reason }, seconds.map(Duration::from_secs))
}
