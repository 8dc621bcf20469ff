//! Setting up an [`Api`].

use crate::api::Api;
use crate::client_permissions::ClientPermissions;
use crate::config::{Config, DEFAULT_PREFIX, FieldRoute};
use crate::conversations::{Caller, Conversations};
use crate::producing::Replies;
use crate::wire::refusal::Refusal;
use durable_session::{
    Added, AppState, ChatSession, ChatSessions, Draft, Error, JsonObject, NewReply, Reply,
};
use futures_core::future::BoxFuture;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// Names of routes and fields that the protocol itself uses.
const RESERVED_ROUTES: [&str; 8] =
    ["messages", "replies", "rewind", "reset", "events", "state", "labels", "fork"];
const RESERVED_FIELDS: [&str; 3] = ["messages", "createdAt", "lastAccessedAt"];

/// [`ApiBuilder::build`] found a setting that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// The prefix does not begin with a slash, or it ends with one. So `/` alone is refused, and so
    /// is an empty prefix.
    #[error(
        "the prefix {prefix:?} must begin with a slash and not end with one, \
         such as {DEFAULT_PREFIX:?}"
    )]
    Prefix {
        /// The prefix that was given.
        prefix: String,
    },
    /// The name of a field route is empty, is reserved, is given twice, or has a character other
    /// than ASCII letters, digits, `-`, `_` and `~`.
    #[error(
        "{route:?} cannot be the name of a field route: it is empty, is reserved, is given twice, \
         or has a character other than ASCII letters, digits, - _ ~"
    )]
    Route {
        /// The name that was given.
        route: String,
    },
    /// A field route cannot serve this field: in the JSON of a state, the protocol itself writes a
    /// key of this name.
    #[error(
        "a field route cannot serve the field {field:?}: the state of every session has a key of \
         this name; rename the field"
    )]
    Field {
        /// The field that was given.
        field: String,
    },
    /// The routes of `useChat` cannot be at this path: it does not begin with a slash, ends with
    /// one, or is the prefix of the session routes.
    #[error(
        "{base:?} cannot be the path of `useChat`: it must begin with a slash, not end with one, \
         and differ from the prefix {prefix:?}"
    )]
    ChatBase {
        /// The path that was given.
        base: String,
        /// The prefix of the session routes.
        prefix: String,
    },
    /// The routes for conversations cannot be at this path: it does not begin with a slash, ends
    /// with one, or is the prefix of the session routes.
    #[error(
        "{base:?} cannot be the path of conversations: it must begin with a slash, not end with \
         one, and differ from the prefix {prefix:?}"
    )]
    ConversationsBase {
        /// The path that was given.
        base: String,
        /// The prefix of the session routes.
        prefix: String,
    },
    /// The routes for conversations are on, and the sessions cannot be listed: give their builder
    /// the store's listing (`ChatSessionsBuilder::listing`).
    #[error("the sessions of an owner cannot be listed; use `ChatSessionsBuilder::listing`")]
    NoListing,
    /// The routes of `useChat` are on, and no handler writes replies: give one to
    /// [`reply_with`](ApiBuilder::reply_with).
    #[error("nobody answers the messages of `useChat`; give a handler to `reply_with`")]
    NoHandler,
    /// There is a handler for replies, and nothing runs it: the feature `axum` is off, so give a
    /// [`spawner`](ApiBuilder::spawner).
    #[error("nothing runs the handler of replies; give a spawner, or turn on the feature `axum`")]
    NoSpawner,
}

/// Settings of an [`Api`]. [`Api::builder`] makes them. `A` is the type of the app state.
///
/// ```
/// use durable_session::{ChatSessions, Message};
/// use durable_session_http::{Api, ClientPermissions, FieldRoute};
///
/// # fn example(sessions: ChatSessions) -> Result<(), durable_session_http::InvalidConfig> {
/// let api = Api::builder(sessions)
///     .prefix("/chats")
///     .field(FieldRoute::new("booking-info", "bookingInfo"))
///     .max_body_bytes(1 << 20)
///     .max_streams(1000)
///     .client_permissions(ClientPermissions::public())
///     .on_message(|draft, posted| {
///         let text = format!("you said {:?}", posted.message.text());
///         draft.add_message(Message::assistant(text)).map(drop)
///     })
///     .build()?;
/// assert_eq!(api.prefix(), "/chats");
/// # Ok(())
/// # }
/// ```
pub struct ApiBuilder<A = JsonObject> {
    config: Config<A>,
}

impl<A> fmt::Debug for ApiBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiBuilder")
            .field("prefix", &self.config.prefix)
            .field("fields", &self.config.fields)
            .field("max_body_bytes", &self.config.max_body_bytes)
            .field("max_streams", &self.config.max_streams)
            .field("client_permissions", &self.config.client_permissions)
            .finish_non_exhaustive()
    }
}

impl<A: AppState> Api<A> {
    /// Begins to set up the protocol over `sessions`.
    ///
    /// ```
    /// # use durable_session::ChatSessions;
    /// # use durable_session_http::{Api, InvalidConfig};
    /// # fn example(sessions: ChatSessions) -> Result<(), InvalidConfig> {
    /// let api = Api::builder(sessions).build()?;
    /// assert_eq!(api.prefix(), "/api/chat/session");
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(sessions: ChatSessions<A>) -> ApiBuilder<A> {
        ApiBuilder {
            config: Config {
                sessions,
                prefix: DEFAULT_PREFIX.to_owned(),
                fields: Vec::new(),
                max_body_bytes: 4 << 20,
                max_streams: 10_000,
                client_permissions: ClientPermissions::everything(),
                on_message: None,
                replies: Replies::default(),
                conversations: None,
                #[cfg(feature = "ai-sdk")]
                chat_base: None,
            },
        }
    }
}

impl<A: AppState> ApiBuilder<A> {
    /// Sets the path in front of session ids. It begins with a slash and does not end with one, so
    /// ids cannot be at the root of the server; [`Api::handle_session`] takes requests whose path
    /// has another form. Default: [`DEFAULT_PREFIX`].
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.config.prefix = prefix.into();
        self
    }

    /// Adds a route to a field of the app state. In the example, `GET {prefix}/{id}/booking-info`
    /// reads the key `bookingInfo`.
    ///
    /// ```
    /// # use durable_session_http::{ApiBuilder, FieldRoute};
    /// # fn example(builder: ApiBuilder) {
    /// let builder = builder.field(FieldRoute::new("booking-info", "bookingInfo"));
    /// # }
    /// ```
    pub fn field(mut self, route: FieldRoute) -> Self {
        self.config.fields.push(route);
        self
    }

    /// Sets the largest body of a request, in bytes. A larger body gets status 413. Default: 4 MiB.
    ///
    /// A `PUT` of a whole state may be larger (see [`Api::body_limit`]). Each message must also
    /// keep to the [`Limits`](durable_session::Limits) of the sessions.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.config.max_body_bytes = bytes;
        self
    }

    /// Sets how many event streams may be open at a time, over all sessions. A request for one more
    /// gets status 503. Default: 10,000.
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.config.max_streams = streams;
        self
    }

    /// Sets which changes clients may make to messages. Default: [`ClientPermissions::everything`].
    /// Set [`ClientPermissions::public`] if browsers reach the service directly.
    ///
    /// ```
    /// # use durable_session_http::{ApiBuilder, ClientPermissions};
    /// # fn example(builder: ApiBuilder) {
    /// let permissions = ClientPermissions::public().roles(["user", "tool"]);
    /// let builder = builder.client_permissions(permissions);
    /// # }
    /// ```
    pub fn client_permissions(mut self, permissions: ClientPermissions) -> Self {
        self.config.client_permissions = permissions;
        self
    }

    /// Runs `handler` for each message that a client posts, in the turn that stores the message:
    /// both the message and the handler's changes become durable, or neither does.
    ///
    /// If a client posts a stored message with the same `id` again, `handler` does not run again,
    /// as long as the stored one is among the last 64 messages of the session (clause C7 of
    /// `docs/contract.md`).
    ///
    /// `handler` may run more than once for one message, each time on a fresh draft (clause C5), so
    /// it must have no effects except on the draft. It returns no value: drop the [`Added`] that
    /// [`Draft::add_message`] returns. A [`Refusal`](crate::Refusal) in [`Error::rejected`] becomes
    /// the response to the client.
    ///
    /// ```
    /// # use durable_session::{ChatSessions, Error, Message};
    /// # use durable_session_http::{Api, InvalidConfig, Refusal};
    /// # fn example(sessions: ChatSessions) -> Result<(), InvalidConfig> {
    /// let api = Api::builder(sessions)
    ///     .on_message(|draft, posted| {
    ///         if posted.message.text().is_none() {
    ///             let refusal = Refusal::new(http::StatusCode::UNPROCESSABLE_ENTITY, "no text");
    ///             return Err(Error::rejected(refusal));
    ///         }
    ///         draft.add_message(Message::assistant("Thank you")).map(drop)
    ///     })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_message(
        mut self,
        handler: impl Fn(&mut Draft<'_, A>, &Added) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Self {
        self.config.on_message = Some(Arc::new(handler));
        self
    }

    /// Answers posted messages with durable replies, which `handler` writes.
    ///
    /// A posted message of a user and the opening of its reply become durable together
    /// ([`open_replies`](Self::open_replies) changes which messages are answered). Then `handler`
    /// runs in a task of its own, with the session, the posted message and the open [`Reply`]; the
    /// response to the client does not wait for it and names the reply's `seq` as `reply`. A client
    /// that leaves does not stop it. The task shows that the producer is alive, which a handler of
    /// its own would have to do by [`Reply::beat`].
    ///
    /// A handler that returns without having ended the reply, or panics, leaves it interrupted. A
    /// handler that returns an error does, too; to mark the reply as failed, call [`Reply::fail`].
    /// If somebody stops the reply, the handler's next call on it fails, and
    /// [`Reply::ended`] resolves at once.
    ///
    /// A message that is posted again gets no second reply, as long as the first message is among
    /// the last 64 messages of the session and has an `id` (clause C7).
    ///
    /// ```
    /// # use durable_session_http::ApiBuilder;
    /// # fn words(text: &str) -> impl futures_util::Stream<Item = String> + use<> {
    /// #     let words: Vec<_> = text.split_inclusive(' ').map(str::to_owned).collect();
    /// #     futures_util::stream::iter(words)
    /// # }
    /// # fn example(builder: ApiBuilder) {
    /// let builder = builder.reply_with(|_chat, posted, mut reply| async move {
    ///     let question = posted.message.text().unwrap_or_default();
    ///     reply.pump(words(&question)).await?;
    ///     reply.finish().await?;
    ///     Ok(())
    /// });
    /// # }
    /// ```
    ///
    /// [`Reply`]: durable_session::Reply
    /// [`Reply::beat`]: durable_session::Reply::beat
    /// [`Reply::fail`]: durable_session::Reply::fail
    /// [`Reply::ended`]: durable_session::Reply::ended
    pub fn reply_with<F>(
        mut self,
        handler: impl Fn(ChatSession<A>, Added, Reply<A>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.config.replies.write =
            Some(Arc::new(move |chat, posted, reply| Box::pin(handler(chat, posted, reply))));
        self
    }

    /// Sets which posted messages [`reply_with`](Self::reply_with) answers, and the message that
    /// each reply begins with. `open` runs in the turn that stores the message, after
    /// [`on_message`](Self::on_message), and may change the draft. Default: each message with the
    /// role `user` is answered by an empty message with the role `assistant`.
    ///
    /// ```
    /// use durable_session::{Message, NewReply};
    /// # use durable_session_http::ApiBuilder;
    /// # fn example(builder: ApiBuilder) {
    /// let builder = builder.open_replies(|_draft, posted| {
    ///     let answered = posted.message.role() == "tool" || posted.message.role() == "user";
    ///     Ok(answered.then(|| NewReply::new(Message::assistant(""))))
    /// });
    /// # }
    /// ```
    pub fn open_replies(
        mut self,
        open: impl Fn(&mut Draft<'_, A>, &Added) -> Result<Option<NewReply>, Error>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.config.replies.open = Arc::new(open);
        self
    }

    /// Sets how many replies may be open in a session when [`reply_with`](Self::reply_with) opens
    /// another one. A message that would be answered beyond that gets status 429 and is not stored.
    /// Default: 16.
    pub fn max_open_replies(mut self, replies: usize) -> Self {
        self.config.replies.max_open = replies;
        self
    }

    /// Sets the function that runs the tasks of [`reply_with`](Self::reply_with). By default they
    /// run on the tokio runtime that the request runs on, if the feature `axum` is on. Set it on
    /// other hosts, such as a Worker. A task that is dropped leaves its reply interrupted.
    ///
    /// ```
    /// # use durable_session_http::ApiBuilder;
    /// # fn example(builder: ApiBuilder) {
    /// let builder = builder.spawner(|task| {
    ///     std::thread::spawn(|| futures_executor::block_on(task));
    /// });
    /// # }
    /// ```
    pub fn spawner(
        mut self,
        spawn: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static,
    ) -> Self {
        self.config.replies.spawn = Some(Arc::new(spawn));
        self
    }

    /// Serves the AI SDK's `useChat` (`ai` 7) at `base`, such as `/api/chat`, without any change to
    /// the page: `POST {base}`, `GET {base}/{id}/stream` and `POST {base}/{id}/stop`. The id of a
    /// chat is the id of its session.
    ///
    /// The handler of [`reply_with`](Self::reply_with) answers. It pushes chunks of the UI message
    /// stream, if [`UiMessageReply`](crate::UiMessageReply) is the format of the sessions'
    /// [`Replies`](durable_session::Replies). If a client gives outputs of tools or approvals, the
    /// handler goes on with the message of the assistant: it gets this message in place of the
    /// user's.
    ///
    /// On these routes clients write messages of users, edit them, and have answers written anew,
    /// whatever [`client_permissions`](Self::client_permissions) say about rewriting.
    ///
    /// ```
    /// use durable_session::{ChatSessions, Replies};
    /// use durable_session_http::{Api, UiMessageReply};
    /// use durable_session_memory::MemoryStore;
    /// use serde_json::json;
    ///
    /// let replies = Replies::default().format(UiMessageReply);
    /// let sessions: ChatSessions =
    ///     ChatSessions::builder(MemoryStore::new()).replies(replies).build();
    /// let api = Api::builder(sessions)
    ///     .use_chat("/api/chat")
    ///     .reply_with(|_chat, _posted, mut reply| async move {
    ///         reply.push(json!({"type": "text-start", "id": "0"})).await?;
    ///         reply.push(json!({"type": "text-delta", "id": "0", "delta": "Hello!"})).await?;
    ///         reply.push(json!({"type": "text-end", "id": "0"})).await?;
    ///         reply.finish().await?;
    ///         Ok(())
    ///     })
    ///     .build()?;
    /// # Ok::<(), durable_session_http::InvalidConfig>(())
    /// ```
    #[cfg(feature = "ai-sdk")]
    #[cfg_attr(docsrs, doc(cfg(feature = "ai-sdk")))]
    pub fn use_chat(mut self, base: impl Into<String>) -> Self {
        self.config.chat_base = Some(base.into());
        self
    }

    /// Serves the conversations of a person at `base`, such as `/api/chat`, which may be empty:
    /// `GET {base}/sessions?owner=` lists the sessions of an owner, newest first, and
    /// `DELETE {base}/owners/{owner}` erases them. For each session, `PUT …/labels` sets owner and
    /// title, and `POST …/fork` copies it.
    ///
    /// `caller` tells from the headers who sends a request, or refuses it. It runs for every
    /// request of the session routes, too. A [`Caller::Owner`] may ask only for itself. A session
    /// that it creates is its own. Somebody else's session reads to it exactly as one that does not
    /// exist, and it cannot change the session (403). The check is made when a request begins; an
    /// event stream that is open goes on if the session gets another owner. A [`Caller::Guest`] may
    /// use every session whose id it knows.
    ///
    /// The headers that name an owner must come from something that the client cannot influence,
    /// such as a proxy that checks logins and overwrites the header.
    ///
    /// ```
    /// use durable_session::ChatSessions;
    /// use durable_session_http::{Api, Caller, Refusal};
    /// use durable_session_memory::MemoryStore;
    /// use http::StatusCode;
    ///
    /// let store = MemoryStore::new();
    /// let sessions: ChatSessions = ChatSessions::builder(store.clone()).listing(store).build();
    /// let api = Api::builder(sessions)
    ///     .conversations("/api/chat", |headers| {
    ///         let name = headers.get("x-user").and_then(|name| name.to_str().ok());
    ///         let refusal = || Refusal::new(StatusCode::UNAUTHORIZED, "log in first");
    ///         name.map(Caller::owner).ok_or_else(refusal)
    ///     })
    ///     .build()?;
    /// # let _ = api;
    /// # Ok::<(), durable_session_http::InvalidConfig>(())
    /// ```
    pub fn conversations(
        mut self,
        base: impl Into<String>,
        caller: impl Fn(&http::HeaderMap) -> Result<Caller, Refusal> + Send + Sync + 'static,
    ) -> Self {
        let (base, caller) = (base.into(), Arc::new(caller));
        self.config.conversations = Some(Conversations { base, caller });
        self
    }

    /// Checks the settings and makes the [`Api`].
    ///
    /// # Errors
    /// [`InvalidConfig`] names the first setting that is not valid.
    pub fn build(self) -> Result<Api<A>, InvalidConfig> {
        let prefix = &self.config.prefix;
        if !prefix.starts_with('/') || prefix.ends_with('/') {
            return Err(InvalidConfig::Prefix { prefix: prefix.clone() });
        }
        for (i, FieldRoute { route, field, .. }) in self.config.fields.iter().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '~');
            let taken = RESERVED_ROUTES.contains(&&**route)
                || self.config.fields[..i].iter().any(|other| other.route == *route);
            if route.is_empty() || taken || !route.chars().all(plain) {
                return Err(InvalidConfig::Route { route: route.clone() });
            }
            if RESERVED_FIELDS.contains(&&**field) {
                return Err(InvalidConfig::Field { field: field.clone() });
            }
        }
        if let Some(Conversations { base, .. }) = &self.config.conversations {
            let is_path = base.is_empty() || (base.starts_with('/') && !base.ends_with('/'));
            if !is_path || base == prefix {
                let (base, prefix) = (base.clone(), prefix.clone());
                return Err(InvalidConfig::ConversationsBase { base, prefix });
            }
            if !self.config.sessions.can_list() {
                return Err(InvalidConfig::NoListing);
            }
        }
        #[cfg(feature = "ai-sdk")]
        if let Some(base) = &self.config.chat_base {
            if !base.starts_with('/') || base.ends_with('/') || base == prefix {
                let (base, prefix) = (base.clone(), prefix.clone());
                return Err(InvalidConfig::ChatBase { base, prefix });
            }
            if self.config.replies.write.is_none() {
                return Err(InvalidConfig::NoHandler);
            }
        }
        if self.config.replies.write.is_some() && self.config.replies.spawn.is_none() {
            return Err(InvalidConfig::NoSpawner);
        }
        Ok(Api::from(self.config))
    }
}

#[cfg(test)]
mod tests {
    use super::{Api, FieldRoute, InvalidConfig};
    use durable_session::ChatSessions;
    use durable_session_memory::MemoryStore;

    #[test]
    fn the_error_of_a_refused_setting_names_the_value_and_the_rule() {
        let builder = || {
            let sessions: ChatSessions = ChatSessions::builder(MemoryStore::new()).build();
            Api::builder(sessions)
        };
        for prefix in ["", "/", "chats", "/chats/"] {
            let error = builder().prefix(prefix).build().map(drop).unwrap_err();
            assert_eq!(error, InvalidConfig::Prefix { prefix: prefix.to_owned() });
            assert!(error.to_string().contains("must begin with a slash and not end with one"));
        }
        for (route, rule) in [
            ("", "\"\" cannot be the name of a field route: it is empty"),
            ("events", "\"events\" cannot be the name of a field route"),
            ("büro", "a character other than ASCII letters"),
        ] {
            let route = FieldRoute::new(route, "field");
            let error = builder().field(route).build().map(drop).unwrap_err();
            assert!(error.to_string().contains(rule), "{error}");
        }
        let twice = builder().field(FieldRoute::new("a", "b")).field(FieldRoute::new("a", "c"));
        assert_eq!(twice.build().map(drop), Err(InvalidConfig::Route { route: "a".to_owned() }));
        let error = builder().field(FieldRoute::new("a", "createdAt")).build().map(drop);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("the field \"createdAt\"") && error.contains("rename"), "{error}");
    }
}
