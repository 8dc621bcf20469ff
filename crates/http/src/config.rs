//! The checked settings of an [`Api`](crate::Api).

use crate::client_permissions::ClientPermissions;
use crate::conversations::{Caller, Conversations};
use crate::producing::Replies;
use crate::wire::refusal::Refusal;
use durable_session::{Added, ChatSessions, Draft, Error};
use http::{HeaderMap, Method};
use std::sync::Arc;

/// The default path in front of session ids.
pub const DEFAULT_PREFIX: &str = "/api/chat/session";

/// The app's handler of posted messages.
pub(crate) type OnMessage<A> =
    Arc<dyn Fn(&mut Draft<'_, A>, &Added) -> Result<(), Error> + Send + Sync>;

/// Settings that [`ApiBuilder::build`](crate::ApiBuilder::build) has checked.
pub(crate) struct Config<A> {
    pub(crate) sessions: ChatSessions<A>,
    pub(crate) prefix: String,
    pub(crate) fields: Vec<FieldRoute>,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_streams: usize,
    pub(crate) client_permissions: ClientPermissions,
    pub(crate) on_message: Option<OnMessage<A>>,
    pub(crate) replies: Replies<A>,
    /// The routes for the conversations of a person.
    pub(crate) conversations: Option<Conversations>,
    /// Where the routes of `useChat` are.
    #[cfg(feature = "ai-sdk")]
    pub(crate) chat_base: Option<String>,
}

impl<A> Config<A> {
    /// Who sends a request with these headers; `None` if the service does not tell.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Option<Caller>, Refusal> {
        let hook = self.conversations.as_ref().map(|conversations| &conversations.caller);
        hook.map(|caller| caller(headers)).transpose()
    }
}

/// A route to one field of the app state: `GET` reads it, `PUT` replaces it, `DELETE` stores
/// `null`.
///
/// ```
/// use durable_session_http::FieldRoute;
///
/// // GET, PUT and DELETE {prefix}/{id}/booking-info
/// let booking = FieldRoute::new("booking-info", "bookingInfo");
/// // PUT {prefix}/{id}/search-criteria
/// let criteria = FieldRoute::put_only("search-criteria", "lastSearchCriteria");
/// # let _ = (booking, criteria);
/// ```
#[derive(Debug, Clone)]
pub struct FieldRoute {
    pub(crate) route: String,
    pub(crate) field: String,
    pub(crate) methods: Vec<Method>,
}

impl FieldRoute {
    /// A route `{prefix}/{id}/{route}` to `field` of the app state, with all three methods.
    pub fn new(route: impl Into<String>, field: impl Into<String>) -> Self {
        let methods = vec![Method::GET, Method::PUT, Method::DELETE];
        Self { route: route.into(), field: field.into(), methods }
    }

    /// Like [`new`](Self::new), with `PUT` as the only method.
    pub fn put_only(route: impl Into<String>, field: impl Into<String>) -> Self {
        Self { methods: vec![Method::PUT], ..Self::new(route, field) }
    }
}
