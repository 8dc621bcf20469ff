//! The client's calls.

use super::endpoint::{Call, Endpoint};
use super::error::ClientError;
use super::events::Events;
use super::messages::{MessagesPage, PageFrom, Posted};
use super::retry::{self, Retry};
use crate::base_url::{self, InvalidBaseUrl};
use crate::config::DEFAULT_PREFIX;
use durable_session::json::JsonError;
use durable_session::{ChatSessionState, JsonObject, Message, SessionId};
use http::Method;
use http::header::ETAG;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Three times the default interval of a service's pings.
const MAX_SILENCE: Duration = Duration::from_secs(45);

/// A session at a service, over HTTP. Cheap to clone.
///
/// A call that fails temporarily (no connection, no response in time, 429, 502, 503, 504) is tried
/// again with growing, random waits. That is safe for messages, which have an `id`, and for fields,
/// edits and removals, which name the value or message they change.
///
/// A call is not tried again after its change may have been made if
/// - it removes all or many messages ([`update`](Self::update) with `messages`,
///   [`rewind`](Self::rewind), [`reset`](Self::reset), [`delete`](Self::delete)): the second try
///   would remove messages that others added meanwhile;
/// - it depends on a version, which the first try has changed.
///
/// Dropping a call's future may or may not stop its change.
#[derive(Clone)]
pub struct ChatSessionClient {
    endpoint: Endpoint,
    id: SessionId,
}

impl fmt::Debug for ChatSessionClient {
    /// Shows only the host of the service: the URL may have a password, and the HTTP client default
    /// headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatSessionClient")
            .field("host", &self.endpoint.base.host_str())
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl ChatSessionClient {
    /// The session `id` at the service `base_url`: its scheme and host, before the prefix
    /// [`DEFAULT_PREFIX`].
    ///
    /// ```
    /// use durable_session::SessionId;
    /// use durable_session_http::client::ChatSessionClient;
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let chat = ChatSessionClient::new("http://127.0.0.1:8080", SessionId::generate()?)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::InvalidBaseUrl`] if `base_url` is not a URL of a service, or needs TLS and
    /// the feature `rustls` is off.
    pub fn new(base_url: &str, id: SessionId) -> Result<Self, ClientError> {
        let url = base_url::parse(base_url)?;
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(5));
        Self::at(http.build().map_err(InvalidBaseUrl::client)?, &url, base_url, id)
    }

    /// Like [`new`](Self::new), with an HTTP client of your own: its TLS, proxies and default
    /// headers. If that client has no TLS, calls to an https URL fail as
    /// [`ClientError::Unreachable`].
    ///
    /// ```
    /// use durable_session::SessionId;
    /// use durable_session_http::client::ChatSessionClient;
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let http = reqwest::Client::builder().user_agent("back-end/1.0").build()?;
    /// let id = SessionId::generate()?;
    /// let chat = ChatSessionClient::with_http(http, "http://127.0.0.1:8080", id)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::InvalidBaseUrl`] if `base_url` is not a URL of a service.
    pub fn with_http(
        http: reqwest::Client,
        base_url: &str,
        id: SessionId,
    ) -> Result<Self, ClientError> {
        Self::at(http, &base_url::parse_any(base_url)?, base_url, id)
    }

    fn at(
        http: reqwest::Client,
        url: &reqwest::Url,
        base_url: &str,
        id: SessionId,
    ) -> Result<Self, ClientError> {
        let prefix = format!("{}{DEFAULT_PREFIX}/", url.path().trim_end_matches('/'));
        let base =
            url.join(&prefix).map_err(|_| InvalidBaseUrl::Url { base: base_url.to_owned() })?;
        let (retry, timeout) = (Retry::default(), Duration::from_secs(20));
        let max_silence = MAX_SILENCE;
        let at = Some(id.clone());
        Ok(Self { endpoint: Endpoint { http, base, id: at, retry, timeout, max_silence }, id })
    }

    /// Sets how long an event stream may be silent before it is opened again. Default: 45 seconds,
    /// three times the default interval of a service's [`PING`](crate::PING).
    ///
    /// ```
    /// # use durable_session_http::client::ChatSessionClient;
    /// # use std::time::Duration;
    /// # fn example(chat: ChatSessionClient) {
    /// let chat = chat.max_silence(Duration::from_secs(20));
    /// # }
    /// ```
    pub fn max_silence(mut self, silence: Duration) -> Self {
        self.endpoint.max_silence = silence;
        self
    }

    /// Sets the number of tries of a call and the waits between them.
    ///
    /// ```
    /// use durable_session_http::client::{ChatSessionClient, Retry};
    /// use std::time::Duration;
    ///
    /// # fn example(chat: ChatSessionClient) {
    /// let chat = chat.retry(Retry::default().tries(3)).timeout(Duration::from_secs(5));
    /// # }
    /// ```
    pub fn retry(mut self, retry: Retry) -> Self {
        self.endpoint.retry = retry;
        self
    }

    /// Sets how long one try may take. Default: 20 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.endpoint.timeout = timeout;
        self
    }

    /// The session's id.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Adds a message and returns it as it is stored. A message without an `id` gets a random one,
    /// so that the service recognizes another try.
    ///
    /// ```no_run
    /// # use durable_session::Message;
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// let added = chat.add_message(Message::user("hello")).await?;
    /// println!("{:?}", added.seq);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`]. If it [may have happened](ClientError::may_have_happened), the message may
    /// be stored; adding it again with the same `id` stores it once while the first one is among
    /// the session's last 64 messages.
    pub async fn add_message(&self, message: Message) -> Result<Posted, ClientError> {
        let message =
            if message.id().is_none() { message.with_id(retry::random_id()?) } else { message };
        self.read(Call::new(Method::POST, "/messages").json(message.as_json().to_owned())).await
    }

    /// Replaces the message `seq`, which keeps its seq. With `version`, only if the session still
    /// has that version. Services may refuse this to clients (404).
    ///
    /// ```no_run
    /// # use durable_session::Message;
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// chat.edit(3, &Message::user("hello again"), None).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`]; [`is_not_found`](ClientError::is_not_found) if there is no such message.
    pub async fn edit(
        &self,
        seq: u64,
        message: &Message,
        version: Option<&str>,
    ) -> Result<(), ClientError> {
        let call =
            Call::new(Method::PUT, &format!("/messages/{seq}")).json(message.as_json().to_owned());
        self.done(call.only_if(version)?).await
    }

    /// Removes the message `seq`. With `version`, only if the session still has that version.
    /// Services may refuse this to clients (404).
    ///
    /// ```no_run
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// chat.remove(3, None).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`]; [`is_not_found`](ClientError::is_not_found) if there is no such message. A
    /// missing message is success if an earlier try of this call may have removed it.
    pub async fn remove(&self, seq: u64, version: Option<&str>) -> Result<(), ClientError> {
        let call = Call::new(Method::DELETE, &format!("/messages/{seq}")).gone_is_done();
        self.done(call.only_if(version)?).await
    }

    /// Removes all messages after the message `seq`, or all messages if `seq` is 0. With `version`,
    /// only if the session still has that version. Services may refuse this to clients (404).
    ///
    /// ```no_run
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// chat.rewind(3, None).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`]; [`is_not_found`](ClientError::is_not_found) if there is no such message.
    pub async fn rewind(&self, seq: u64, version: Option<&str>) -> Result<(), ClientError> {
        let call = Call::new(Method::POST, "/rewind").json(format!("{{\"to\":{seq}}}")).once();
        self.done(call.only_if(version)?).await
    }

    /// Reads the whole state. If the service has a typed app state, fields that the type does not
    /// have are missing.
    ///
    /// ```no_run
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// let state = chat.get_state().await?;
    /// println!("{} messages, app state {:?}", state.messages.len(), state.app);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_state(&self) -> Result<ChatSessionState, ClientError> {
        self.read(Call::new(Method::GET, "")).await
    }

    /// Reads the whole state and its version, for [`update_if`](Self::update_if).
    ///
    /// ```no_run
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// let (state, version) = chat.get_state_versioned().await?;
    /// println!("{} messages at {version:?}", state.messages.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_state_versioned(
        &self,
    ) -> Result<(ChatSessionState, Option<String>), ClientError> {
        let response = self.endpoint.send(Call::new(Method::GET, "")).await?;
        let version = response.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
        Ok((response.json()?, version.map(str::to_owned)))
    }

    /// Reads all messages.
    ///
    /// ```no_run
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// for message in chat.messages().await? {
    ///     println!("{}: {:?}", message.role(), message.text());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn messages(&self) -> Result<Vec<Message>, ClientError> {
        self.read(Call::new(Method::GET, "/messages")).await
    }

    /// Reads a page of at most `limit` messages. Services limit a page to 1000.
    ///
    /// ```no_run
    /// # use durable_session_http::client::{ChatSessionClient, ClientError, PageFrom};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// let newest = chat.page(&PageFrom::End, 50).await?;
    /// if let Some(cursor) = newest.next {
    ///     let older = chat.page(&PageFrom::Before(cursor), 50).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`]; [`is_gone`](ClientError::is_gone) if the message of the cursor was removed:
    /// begin again without a cursor.
    pub async fn page(&self, from: &PageFrom, limit: u32) -> Result<MessagesPage, ClientError> {
        #[derive(Deserialize)]
        struct Row {
            seq: u64,
            message: Message,
        }
        #[derive(Deserialize)]
        struct Page {
            messages: Vec<Row>,
            next: Option<String>,
        }
        let call = Call::new(Method::GET, "/messages").query("limit", &limit.to_string());
        let call = match from {
            PageFrom::End => call,
            PageFrom::Before(cursor) => call.query("before", cursor),
            PageFrom::After(cursor) => call.query("after", cursor),
        };
        let Page { messages, next } = self.read(call).await?;
        Ok(MessagesPage {
            messages: messages.into_iter().map(|row| (row.seq, row.message)).collect(),
            next,
        })
    }

    /// Replaces fields of the state and returns the new state. `fields` is a JSON object of some
    /// fields, or a whole [`ChatSessionState`]. `messages` replaces all messages. The service
    /// stores only the difference.
    ///
    /// ```no_run
    /// # use durable_session::JsonObject;
    /// # use durable_session_http::client::ChatSessionClient;
    /// # async fn example(chat: ChatSessionClient) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut fields = JsonObject::new();
    /// fields.set_json("skill", "\"python\"")?;
    /// let state = chat.update(&fields).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn update<T: Serialize + ?Sized>(
        &self,
        fields: &T,
    ) -> Result<ChatSessionState, ClientError> {
        self.put_state(fields, None).await
    }

    /// Like [`update`](Self::update), but only if the session still has `version`.
    ///
    /// ```no_run
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// let (mut state, version) = chat.get_state_versioned().await?;
    /// state.messages.truncate(1);
    /// if let Some(version) = version {
    ///     chat.update_if(&version, &state).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`]; [`is_version_changed`](ClientError::is_version_changed) if the session has
    /// changed.
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
        struct Updated {
            state: ChatSessionState,
        }
        let body = write(fields)?;
        let removes = body.parse::<JsonObject>().is_ok_and(|fields| fields.contains("messages"));
        let call = Call::new(Method::PUT, "").json(body);
        let call = if removes { call.once() } else { call }.only_if(version)?;
        self.read::<Updated>(call).await.map(|updated| updated.state)
    }

    /// Reads the value of a field route, such as `booking-info`.
    ///
    /// ```no_run
    /// # use durable_session::JsonObject;
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// let booking: Option<JsonObject> = chat.field("booking-info").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn field<T: DeserializeOwned>(&self, route: &str) -> Result<T, ClientError> {
        self.read(Call::new(Method::GET, &format!("/{route}"))).await
    }

    /// Replaces the value of a field route.
    ///
    /// ```no_run
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// chat.set_field("booking-info", "tomorrow at ten").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_field<T: Serialize + ?Sized>(
        &self,
        route: &str,
        value: &T,
    ) -> Result<(), ClientError> {
        self.done(Call::new(Method::PUT, &format!("/{route}")).json(write(value)?)).await
    }

    /// Sets the owner and the title of the session; `None` removes one. A service may take the
    /// caller for the owner, and may have no such route (404).
    ///
    /// ```no_run
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// chat.set_labels(Some("u-42"), Some("Lifetimes")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_labels(
        &self,
        owner: Option<&str>,
        title: Option<&str>,
    ) -> Result<(), ClientError> {
        let labels = serde_json::json!({ "owner": owner, "title": title });
        self.done(Call::new(Method::PUT, "/labels").json(write(&labels)?)).await
    }

    /// Makes the session `id` of the messages of this one up to the seq `through`, of its app state
    /// and its labels. The same call again finds the session that the first one made.
    ///
    /// ```no_run
    /// # use durable_session::SessionId;
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient, id: SessionId) -> Result<(), ClientError> {
    /// let fork = chat.fork(id, 12).await?;
    /// # let _ = fork;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`]; with the status 409 if another session has the id.
    pub async fn fork(&self, id: SessionId, through: u64) -> Result<Self, ClientError> {
        let fork = serde_json::json!({ "id": id.as_str(), "through": through });
        self.done(Call::new(Method::POST, "/fork").json(write(&fork)?)).await?;
        let endpoint = Endpoint { id: Some(id.clone()), ..self.endpoint.clone() };
        Ok(Self { endpoint, id })
    }

    /// Resets the session to the initial state.
    ///
    /// ```no_run
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// chat.reset().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reset(&self) -> Result<(), ClientError> {
        self.done(Call::new(Method::POST, "/reset").once()).await
    }

    /// Deletes the session. Deleting a session that does not exist succeeds.
    ///
    /// ```no_run
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// chat.delete().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete(&self) -> Result<(), ClientError> {
        self.done(Call::new(Method::DELETE, "").once()).await
    }

    /// The events of the session: from now on, or after the event with the cursor `from`. See
    /// [`Events`].
    ///
    /// ```no_run
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// let mut events = chat.events(None);
    /// println!("{:?}", events.next().await?);
    /// let cursor = events.cursor().map(str::to_owned);
    /// // Later, perhaps in another process:
    /// let mut events = chat.events(cursor);
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self, from: Option<String>) -> Events {
        Events::new(self.endpoint.clone(), from)
    }

    pub(super) async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        self.endpoint.send(call).await?.json()
    }

    async fn done(&self, call: Call) -> Result<(), ClientError> {
        self.read::<JsonObject>(call).await.map(drop)
    }
}

fn write<T: Serialize + ?Sized>(value: &T) -> Result<String, ClientError> {
    serde_json::to_string(value).map_err(|e| ClientError::Unwritable(JsonError::unwritable(e)))
}
