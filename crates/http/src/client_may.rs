//! What clients may change.

use crate::refusal::Refusal;
use durable_session::Message;
use http::StatusCode;

/// What clients may change of a session's messages. Reading, resetting and deleting a session and
/// setting fields of its app state is open to every client that reaches the routes.
///
/// ```
/// use durable_session_http::ClientMay;
///
/// // Clients post what a person says and what tools answered; the rest is the app's.
/// let may = ClientMay::public().roles(["user", "tool"]);
/// # let _ = may;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientMay {
    /// The roles of messages that are taken; `None` for any.
    roles: Option<Vec<String>>,
    rewrite: bool,
}

impl ClientMay {
    /// Post messages of any role, and rewrite: for clients that belong to the service, such as a
    /// back end that answers.
    pub fn everything() -> Self {
        Self { roles: None, rewrite: true }
    }

    /// Post messages with the role `user`, and rewrite nothing: for browsers.
    pub fn public() -> Self {
        Self { roles: None, rewrite: false }.roles([durable_session::role::USER])
    }

    /// Sets the roles of messages that clients may write; any other is refused (403).
    pub fn roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.roles = Some(roles.into_iter().map(Into::into).collect());
        self
    }

    /// Sets whether clients may rewrite messages. If not, `messages` in `PUT /` is refused (403),
    /// and `/messages/{seq}` and `/rewind` do not exist (404).
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
        let reason = format!("clients may write messages with these roles only: {}", roles.join(", "));
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
