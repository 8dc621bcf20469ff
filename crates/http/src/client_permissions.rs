//! The changes that clients are permitted to make.

use crate::wire::refusal::Refusal;
use durable_session::Message;
use http::StatusCode;

/// The changes that clients may make to a session's messages. Reading, resetting and deleting a
/// session, and setting fields of its app state, is open to every client that reaches the routes.
///
/// ```
/// use durable_session_http::ClientPermissions;
///
/// // Clients post messages of people and results of tools; only the app writes other messages.
/// let may = ClientPermissions::public().roles(["user", "tool"]);
/// # let _ = may;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientPermissions {
    /// The roles that clients may write; `None` for any.
    roles: Option<Vec<String>>,
    rewrite: bool,
}

impl ClientPermissions {
    /// Clients may post messages of any role and rewrite messages: for clients that belong to the
    /// service, such as its back end.
    pub fn everything() -> Self {
        Self { roles: None, rewrite: true }
    }

    /// Clients may post messages with the role `user` and rewrite none: for browsers.
    pub fn public() -> Self {
        Self { roles: None, rewrite: false }.roles([durable_session::role::USER])
    }

    /// Sets the roles of messages that clients may write; any other role is 403.
    ///
    /// ```
    /// use durable_session_http::ClientPermissions;
    ///
    /// let permissions = ClientPermissions::everything().roles(["user", "assistant"]);
    /// # let _ = permissions;
    /// ```
    pub fn roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.roles = Some(roles.into_iter().map(Into::into).collect());
        self
    }

    /// Sets whether clients may replace and remove messages. If not, `messages` in `PUT /` is 403,
    /// and `/messages/{seq}` and `/rewind` are 404.
    ///
    /// ```
    /// use durable_session_http::ClientPermissions;
    ///
    /// assert_eq!(ClientPermissions::public().rewrite(false), ClientPermissions::public());
    /// ```
    pub fn rewrite(mut self, rewrite: bool) -> Self {
        self.rewrite = rewrite;
        self
    }

    pub(crate) fn may_rewrite(&self) -> bool {
        self.rewrite
    }

    /// Refuses messages that clients may not write.
    pub(crate) fn check(&self, messages: &[Message]) -> Result<(), Refusal> {
        let Some(roles) = &self.roles else { return Ok(()) };
        if messages.iter().all(|message| roles.iter().any(|role| *role == message.role())) {
            return Ok(());
        }
        let reason =
            format!("clients may write messages only with these roles: {}", roles.join(", "));
        Err(Refusal::new(StatusCode::FORBIDDEN, reason))
    }

    /// Refuses a list of messages if clients may not rewrite.
    pub(crate) fn check_list(&self) -> Result<(), Refusal> {
        if self.rewrite {
            return Ok(());
        }
        let reason = "clients may not set `messages`; post each new one to /messages";
        Err(Refusal::new(StatusCode::FORBIDDEN, reason))
    }
}
