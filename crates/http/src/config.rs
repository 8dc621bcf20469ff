//! What can be set on an [`Api`].

use crate::api::{Api, OnMessage, Settings};
use crate::client_may::ClientMay;
use crate::fields::Field;
use durable_session::{Added, AppState, ChatSessions, Draft, Error, JsonObject};
use http::Method;
use std::fmt;
use std::sync::Arc;

/// Where sessions are served: their ids follow.
pub const DEFAULT_PREFIX: &str = "/api/chat/session";

/// The names that the protocol uses itself.
const TAKEN_ROUTES: [&str; 5] = ["messages", "rewind", "reset", "events", "state"];
const TAKEN_FIELDS: [&str; 3] = ["messages", "createdAt", "lastAccessedAt"];

/// A route to one field of the app state: `GET` reads it, `PUT` replaces it, `DELETE` stores `null`.
#[derive(Debug, Clone)]
pub struct FieldRoute {
    pub(crate) route: String,
    pub(crate) field: String,
    pub(crate) methods: Vec<Method>,
}

impl FieldRoute {
    /// The route named `route` under a session, with all three methods, for `field` of the app state.
    pub fn new(route: impl Into<String>, field: impl Into<String>) -> Self {
        let methods = vec![Method::GET, Method::PUT, Method::DELETE];
        Self { route: route.into(), field: field.into(), methods }
    }

    /// The same, but only `PUT`.
    pub fn put_only(route: impl Into<String>, field: impl Into<String>) -> Self {
        Self { methods: vec![Method::PUT], ..Self::new(route, field) }
    }
}

/// What was set on an [`Api`] cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// The prefix is not a path, or ends with a slash.
    #[error("the prefix {prefix:?} must begin with a slash and not end with one, such as {DEFAULT_PREFIX:?}")]
    Prefix {
        /// The prefix that was given.
        prefix: String,
    },
    /// A field route's name is taken, given twice, or not letters, digits, `-`, `_` and `~`.
    #[error(
        "{route:?} cannot be the name of a field route: it is taken, or has other characters than letters, digits, - _ ~"
    )]
    Route {
        /// The name that was given.
        route: String,
    },
    /// A field belongs to the session itself.
    #[error("the field {field:?} belongs to the session itself")]
    Field {
        /// The field that was given.
        field: String,
    },
}

/// Sets up an [`Api`].
pub struct ApiBuilder<A = JsonObject> {
    sessions: ChatSessions<A>,
    prefix: String,
    fields: Vec<FieldRoute>,
    max_body_bytes: usize,
    max_streams: usize,
    client_may: ClientMay,
    on_message: Option<OnMessage<A>>,
}

impl<A> fmt::Debug for ApiBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiBuilder")
            .field("prefix", &self.prefix)
            .field("fields", &self.fields)
            .field("max_body_bytes", &self.max_body_bytes)
            .field("max_streams", &self.max_streams)
            .field("client_may", &self.client_may)
            .finish_non_exhaustive()
    }
}

impl<A: AppState> ApiBuilder<A> {
    pub(crate) fn new(sessions: ChatSessions<A>) -> Self {
        Self {
            sessions,
            prefix: DEFAULT_PREFIX.to_owned(),
            fields: Vec::new(),
            max_body_bytes: 4 << 20,
            max_streams: 10_000,
            client_may: ClientMay::everything(),
            on_message: None,
        }
    }

    /// Where sessions are served; the default is [`DEFAULT_PREFIX`].
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Adds a route to a field of the app state.
    pub fn field(mut self, route: FieldRoute) -> Self {
        self.fields.push(route);
        self
    }

    /// The most bytes of a body. Default: 4 MiB. A single message has a limit of its own, see
    /// [`Limits`](durable_session::Limits), and so has a whole state in `PUT /`, see
    /// [`Api::body_limit`].
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// The most event streams open at a time; one more is 503. Default: 10,000.
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.max_streams = streams;
        self
    }

    /// What clients may change of the messages. Default: [`ClientMay::everything`]. A service that
    /// browsers reach directly sets [`ClientMay::public`].
    pub fn client_may(mut self, may: ClientMay) -> Self {
        self.client_may = may;
        self
    }

    /// Runs `answer` for each message that a client posts, in the same turn: what it adds and
    /// changes is durable together with the message, or neither is. A message posted again with its
    /// `id` is found, not answered again, as long as it is among the last ones (clause C7).
    ///
    /// It may run more than once for one message, each time on a fresh draft (clause C5), so it must have no effects but
    /// on the draft. A [`Refusal`](crate::Refusal) given to [`Error::rejected`] becomes the client's answer.
    pub fn on_message(
        mut self,
        answer: impl Fn(&mut Draft<'_, A>, &Added) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Self {
        self.on_message = Some(Arc::new(answer));
        self
    }

    /// Builds it.
    ///
    /// # Errors
    /// [`InvalidConfig`] says what cannot be.
    pub fn build(self) -> Result<Api<A>, InvalidConfig> {
        let prefix = self.prefix;
        if !prefix.starts_with('/') || prefix.ends_with('/') {
            return Err(InvalidConfig::Prefix { prefix });
        }
        let mut fields: Vec<Field> = Vec::new();
        for FieldRoute { route, field, methods } in self.fields {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '~');
            let taken = TAKEN_ROUTES.contains(&&*route) || fields.iter().any(|other| other.route == route);
            if route.is_empty() || taken || !route.chars().all(plain) {
                return Err(InvalidConfig::Route { route });
            }
            if TAKEN_FIELDS.contains(&&*field) {
                return Err(InvalidConfig::Field { field });
            }
            fields.push(Field { route, key: field, methods });
        }
        Ok(Api::assemble(Settings {
            sessions: self.sessions,
            prefix,
            fields,
            max_body_bytes: self.max_body_bytes,
            max_streams: self.max_streams,
            client_may: self.client_may,
            on_message: self.on_message,
        }))
    }
}
