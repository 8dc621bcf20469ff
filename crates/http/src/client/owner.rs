//! The client for the conversations of an owner.

use super::endpoint::{Call, Endpoint};
use super::error::ClientError;
use super::retry::Retry;
use crate::base_url::{self, InvalidBaseUrl};
use durable_session::{Message, SessionId};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::time::Duration;

/// The sessions of an owner at a service whose routes for conversations are at `/api/chat` (see
/// [`ApiBuilder::conversations`](crate::ApiBuilder::conversations)). Cheap to clone.
#[derive(Clone)]
pub struct OwnerClient {
    endpoint: Endpoint,
    owner: String,
}

impl fmt::Debug for OwnerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerClient")
            .field("host", &self.endpoint.base.host_str())
            .field("owner_bytes", &self.owner.len())
            .finish_non_exhaustive()
    }
}

/// A page of the sessions of an owner, newest first.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct ListedPage {
    /// The sessions.
    pub sessions: Vec<Listed>,
    /// The cursor of the next page; `None` at the end. A short page may have one, too.
    pub next: Option<String>,
}

/// A session of a page. `Debug` shows neither title nor message.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Listed {
    /// The session's id.
    #[serde(deserialize_with = "session_id")]
    pub id: SessionId,
    /// The owner.
    pub owner: Option<String>,
    /// The title.
    pub title: Option<String>,
    /// How many messages the session has; `None` if the service cannot read it.
    pub messages: Option<u64>,
    /// When messages or app state last changed, Unix milliseconds.
    pub changed_at: Option<u64>,
    /// The last message.
    pub last: Option<LastMessage>,
}

/// The last message of a listed session.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct LastMessage {
    /// Its seq.
    pub seq: u64,
    /// The message.
    pub message: Message,
}

impl fmt::Debug for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listed")
            .field("id", &self.id)
            .field("messages", &self.messages)
            .field("changed_at", &self.changed_at)
            .finish_non_exhaustive()
    }
}

fn session_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SessionId, D::Error> {
    SessionId::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

impl OwnerClient {
    /// The sessions of `owner` at the service `base_url`, with an HTTP client that sends what the
    /// service tells callers by, such as a header.
    ///
    /// ```
    /// use durable_session_http::client::OwnerClient;
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let http = reqwest::Client::new();
    /// let owner = OwnerClient::with_http(http, "http://127.0.0.1:8080", "u-42")?;
    /// # let _ = owner;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::InvalidBaseUrl`] if `base_url` is not a URL of a service.
    pub fn with_http(
        http: reqwest::Client,
        base_url: &str,
        owner: &str,
    ) -> Result<Self, ClientError> {
        let url = base_url::parse_any(base_url)?;
        let path = format!("{}/api/chat", url.path().trim_end_matches('/'));
        let base =
            url.join(&path).map_err(|_| InvalidBaseUrl::Url { base: base_url.to_owned() })?;
        let timeout = Duration::from_secs(20);
        let endpoint = Endpoint {
            http,
            base,
            id: None,
            retry: Retry::default(),
            timeout,
            max_silence: timeout,
        };
        Ok(Self { endpoint, owner: owner.to_owned() })
    }

    /// Sets the number of tries of a call and the waits between them.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.endpoint.retry = retry;
        self
    }

    /// Reads a page of at most `limit` sessions: the first one, or the one after `cursor`.
    ///
    /// ```no_run
    /// # use durable_session_http::client::{ClientError, OwnerClient};
    /// # async fn example(owner: OwnerClient) -> Result<(), ClientError> {
    /// let page = owner.sessions(30, None).await?;
    /// for session in &page.sessions {
    ///     println!("{:?}", session.title);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sessions(
        &self,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<ListedPage, ClientError> {
        let call = Call::new(Method::GET, "/sessions")
            .query("owner", &self.owner)
            .query("limit", &limit.to_string());
        let call = match cursor {
            Some(cursor) => call.query("cursor", cursor),
            None => call,
        };
        self.endpoint.send(call).await?.json()
    }

    /// Deletes all sessions of the owner and returns how many this call deleted. It may be called
    /// again after a failure.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn erase(&self) -> Result<u64, ClientError> {
        #[derive(Deserialize)]
        struct Erased {
            sessions: u64,
        }
        let owner = utf8_percent_encode(&self.owner, NON_ALPHANUMERIC);
        let call = Call::new(Method::DELETE, &format!("/owners/{owner}"));
        Ok(self.endpoint.send(call).await?.json::<Erased>()?.sessions)
    }
}
