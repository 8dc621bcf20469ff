//! A client for one session (feature `client`).
//!
//! ```no_run
//! use durable_session::{Message, SessionId};
//! use durable_session_http::client::ChatSessionClient;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let chat = ChatSessionClient::new("http://127.0.0.1:8080", SessionId::generate()?)?;
//! chat.add_message(Message::user("I want help with python")).await?;
//! let state = chat.get_state().await?;
//! assert!(!state.messages.is_empty());
//! # Ok(())
//! # }
//! ```

mod error;
mod events;
mod retry;
mod send;

pub use error::ClientError;
pub use events::{Event, Events};
pub use retry::Retry;

use crate::DEFAULT_PREFIX;
use crate::base::{self, InvalidBase};
use durable_session::json::JsonError;
use durable_session::{ChatSessionState, JsonObject, Message, SessionId};
use http::header::{ETAG, IF_MATCH};
use http::{HeaderValue, Method};
use send::Call;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Three times the silence after which services send a ping unless told otherwise.
const SILENCE: Duration = Duration::from_secs(45);
/// A message that was added.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Posted {
    /// Its place in the session's order, which [`edit`](ChatSessionClient::edit) and others name it
    /// by; `None` if the service speaks the protocol without it.
    pub seq: Option<u64>,
    /// The message as it is stored.
    pub message: Message,
}

/// A page of messages.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MessagesPage {
    /// Messages with their seqs, oldest first.
    pub messages: Vec<(u64, Message)>,
    /// Where to go on: give it as [`PageFrom::Before`] or [`PageFrom::After`].
    pub next: Option<String>,
}

/// Where a page of messages begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageFrom {
    /// The newest messages.
    End,
    /// The newest messages before this cursor.
    Before(String),
    /// The oldest messages after this cursor.
    After(String),
}

/// A session at a service, over HTTP. Cheap to clone.
///
/// A call that fails for a moment (no connection, no answer in time, 429, 502, 503, 504) is tried
/// again with growing, random waits. A message is sent with an `id` by which a retry is found, and
/// a field, an edit or a removal names what it changes. A call that removes whatever messages there
/// are ([`update`](Self::update) with `messages`, [`rewind`](Self::rewind), [`reset`](Self::reset),
/// [`delete`](Self::delete)) is not sent again once it may have been done: a second time it would
/// take messages that others added meanwhile. Nor is a call with a version, which a second try
/// would not find any more. Dropping a call's future may or may not stop its change.
#[derive(Clone)]
pub struct ChatSessionClient {
    http: reqwest::Client,
    base: reqwest::Url,
    id: SessionId,
    retry: Retry,
    /// How long one try may take.
    time: Duration,
    /// How long an event stream may be silent.
    silence: Duration,
}

impl fmt::Debug for ChatSessionClient {
    /// The service by its host only: a URL may hold a password, and the HTTP client default headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatSessionClient")
            .field("host", &self.base.host_str())
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl ChatSessionClient {
    /// The session `id` at the service `base_url`: its scheme and host, before the prefix [`DEFAULT_PREFIX`].
    ///
    /// # Errors
    /// [`ClientError::InvalidBase`] if that is no URL of a service, or needs TLS and the feature `rustls` is off.
    pub fn new(base_url: &str, id: SessionId) -> Result<Self, ClientError> {
        let url = base::parse(base_url)?;
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(5));
        Self::at(http.build().map_err(InvalidBase::client)?, &url, base_url, id)
    }

    /// The same with an HTTP client of your own: its TLS, its proxies, its default headers. Whether that client speaks TLS
    /// cannot be seen; if it does not, calls to an https URL fail as [`ClientError::Unreachable`].
    ///
    /// # Errors
    /// [`ClientError::InvalidBase`] if `base_url` is no URL of a service.
    pub fn with_http(http: reqwest::Client, base_url: &str, id: SessionId) -> Result<Self, ClientError> {
        Self::at(http, &base::parse_any(base_url)?, base_url, id)
    }

    fn at(
        http: reqwest::Client,
        url: &reqwest::Url,
        base_url: &str,
        id: SessionId,
    ) -> Result<Self, ClientError> {
        let prefix = format!("{}{DEFAULT_PREFIX}/", url.path().trim_end_matches('/'));
        let base = url.join(&prefix).map_err(|_| InvalidBase::Url { base: base_url.to_owned() })?;
        let time = Duration::from_secs(20);
        Ok(Self { http, base, id, retry: Retry::default(), time, silence: SILENCE })
    }

    /// Sets how long an event stream may be silent before it is taken for dead and opened anew. Default: 45 seconds, which
    /// is three times the silence after which a service sends a [`PING`](crate::PING).
    pub fn silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// Sets how calls are tried again.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how long one try may take. Default: 20 seconds.
    pub fn time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// The session's id.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Adds a message. Without an `id` of its own it gets a random one, by which the service finds
    /// it if it has to be sent again; a message larger than the service's
    /// [window](durable_session::Window) can be stored twice. Returns it as it is stored.
    ///
    /// # Errors
    /// [`ClientError`]; with [`ClientError::may_have_happened`] it may be stored all the same.
    /// Adding it again with the same `id` finds it while it is among the session's last messages.
    pub async fn add_message(&self, message: Message) -> Result<Posted, ClientError> {
        let message = if message.id().is_none() { message.with_id(retry::random_id()?) } else { message };
        self.read(Call::new(Method::POST, "/messages").json(message.as_json().to_owned())).await
    }

    /// Gives the message at `seq` another content; if `version` is given, only if the session still
    /// has it. The message keeps its place. Services may refuse this to clients (404).
    ///
    /// # Errors
    /// [`ClientError`]; it [was not found](ClientError::is_not_found) if there is no such message.
    pub async fn edit(&self, seq: u64, message: &Message, version: Option<&str>) -> Result<(), ClientError> {
        let call = Call::new(Method::PUT, &format!("/messages/{seq}")).json(message.as_json().to_owned());
        self.done(only_if(call, version)?).await
    }

    /// Removes the message at `seq`; if `version` is given, only if the session still has it.
    /// Services may refuse this to clients (404).
    ///
    /// # Errors
    /// [`ClientError`]; it [was not found](ClientError::is_not_found) if there is no such message.
    /// If an earlier try may have removed it, that is success.
    pub async fn remove(&self, seq: u64, version: Option<&str>) -> Result<(), ClientError> {
        let call = Call::new(Method::DELETE, &format!("/messages/{seq}")).gone_is_done();
        self.done(only_if(call, version)?).await
    }

    /// Removes all messages after the one at `seq`, or all if it is 0; if `version` is given, only
    /// if the session still has it. Services may refuse this to clients (404).
    ///
    /// # Errors
    /// [`ClientError`]; it [was not found](ClientError::is_not_found) if there is no such message.
    pub async fn rewind(&self, seq: u64, version: Option<&str>) -> Result<(), ClientError> {
        let call = Call::new(Method::POST, "/rewind").json(format!("{{\"to\":{seq}}}")).once();
        self.done(only_if(call, version)?).await
    }

    /// The whole state. Fields that an app's type does not know are dropped by it; the default type keeps all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_state(&self) -> Result<ChatSessionState, ClientError> {
        self.read(Call::new(Method::GET, "")).await
    }

    /// The whole state and its version, for [`update_if`](Self::update_if).
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_state_versioned(&self) -> Result<(ChatSessionState, Option<String>), ClientError> {
        let answer = self.send(Call::new(Method::GET, "")).await?;
        let version = answer.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Ok((answer.json()?, version))
    }

    /// All messages.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn messages(&self) -> Result<Vec<Message>, ClientError> {
        self.read(Call::new(Method::GET, "/messages")).await
    }

    /// At most `limit` messages.
    ///
    /// # Errors
    /// [`ClientError`]; it [is gone](ClientError::is_gone) if the message that the cursor names was
    /// removed: begin again without a cursor.
    pub async fn page(&self, from: &PageFrom, limit: u32) -> Result<MessagesPage, ClientError> {
        #[derive(Deserialize)]
        struct Row {
            seq: u64,
            message: Message,
        }
        #[derive(Deserialize)]
        struct Answer {
            messages: Vec<Row>,
            next: Option<String>,
        }
        let call = Call::new(Method::GET, "/messages").query("limit", &limit.to_string());
        let call = match from {
            PageFrom::End => call,
            PageFrom::Before(cursor) => call.query("before", cursor),
            PageFrom::After(cursor) => call.query("after", cursor),
        };
        let Answer { messages, next } = self.read(call).await?;
        Ok(MessagesPage { messages: messages.into_iter().map(|row| (row.seq, row.message)).collect(), next })
    }

    /// Puts the given fields in the place of those of the state, `messages` in the place of all
    /// messages: a whole [`ChatSessionState`] as well as a few fields. What is there already is not
    /// written again. Returns the state after it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn update<T: Serialize + ?Sized>(&self, fields: &T) -> Result<ChatSessionState, ClientError> {
        self.put_state(fields, None).await
    }

    /// The same, but only if the session still has `version`.
    ///
    /// # Errors
    /// [`ClientError`]; it [was overtaken](ClientError::is_overtaken) if the session has changed.
    pub async fn update_if<T: Serialize + ?Sized>(
        &self,
        version: &str,
        fields: &T,
    ) -> Result<ChatSessionState, ClientError> {
        self.put_state(fields, Some(version)).await
    }

    async fn put_state<T: Serialize + ?Sized>(
        &self,
        fields: &T,
        version: Option<&str>,
    ) -> Result<ChatSessionState, ClientError> {
        #[derive(Deserialize)]
        struct Answer {
            state: ChatSessionState,
        }
        let body = write(fields)?;
        let removes = body.parse::<JsonObject>().is_ok_and(|fields| fields.contains("messages"));
        let call = Call::new(Method::PUT, "").json(body);
        let call = only_if(if removes { call.once() } else { call }, version)?;
        self.read::<Answer>(call).await.map(|answer| answer.state)
    }

    /// The value of a field route, such as `booking-info`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn field<T: DeserializeOwned>(&self, route: &str) -> Result<T, ClientError> {
        self.read(Call::new(Method::GET, &format!("/{route}"))).await
    }

    /// Replaces the value of a field route.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_field<T: Serialize + ?Sized>(&self, route: &str, value: &T) -> Result<(), ClientError> {
        self.done(Call::new(Method::PUT, &format!("/{route}")).json(write(value)?)).await
    }

    /// Goes back to the initial state.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reset(&self) -> Result<(), ClientError> {
        self.done(Call::new(Method::POST, "/reset").once()).await
    }

    /// Deletes the session. Deleting what is not there succeeds.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete(&self) -> Result<(), ClientError> {
        self.done(Call::new(Method::DELETE, "").once()).await
    }

    /// Follows the session: from now, or from the cursor of an event that was seen. After a break it goes on where it was.
    pub fn events(&self, from: Option<String>) -> Events {
        Events::new(self.clone(), from)
    }

    async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        self.send(call).await?.json()
    }

    async fn done(&self, call: Call) -> Result<(), ClientError> {
        self.read::<JsonObject>(call).await.map(drop)
    }
}

/// The call under `If-Match`, if a version is given.
fn only_if(call: Call, version: Option<&str>) -> Result<Call, ClientError> {
    let Some(version) = version else { return Ok(call) };
    let tag = HeaderValue::from_str(version).map_err(|_| ClientError::InvalidVersion)?;
    Ok(call.header(IF_MATCH, tag).once())
}

fn write<T: Serialize + ?Sized>(value: &T) -> Result<String, ClientError> {
    serde_json::to_string(value).map_err(|e| ClientError::Unwritable(JsonError::unwritable(e)))
}
