//! The refusal for each failure of a session.

use crate::wire::etag;
use crate::wire::refusal::Refusal;
use durable_session::store::{StoreError, StoreErrorKind, Version};
use durable_session::{Error, ErrorChain, SessionId};
use http::StatusCode;

/// The refusal for a failed call on `id`. Failures on the server's side are logged here; the client
/// learns them in general words only.
pub(crate) fn refusal(id: &SessionId, error: &Error) -> Refusal {
    match error {
        Error::TooLarge { limit, is, max, .. } => {
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, limit.exceeded(*is, *max))
        }
        Error::IdReused { seq, .. } => Refusal::new(
            StatusCode::CONFLICT,
            format!("this id belongs to the message at seq {seq}, which has other content"),
        ),
        Error::PartlyKnown { seq, known, given, .. } => Refusal::new(
            StatusCode::CONFLICT,
            format!(
                "{known} of the {given} messages are stored already, the first of them at seq \
                 {seq}, and the others are not; nothing was changed"
            ),
        ),
        Error::IdGivenTwice { first, second, .. } => Refusal::new(
            StatusCode::CONFLICT,
            format!(
                "messages {first} and {second} (counted from 0) have the same id and different \
                 content; nothing was changed"
            ),
        ),
        Error::ReplyOpen { seq, .. } => Refusal::new(
            StatusCode::CONFLICT,
            format!(
                "a reply is writing the message at seq {seq}, so its content cannot be set; stop \
                 the reply first"
            ),
        ),
        Error::ReplyEnded { seq, how, .. } => {
            Refusal::new(StatusCode::CONFLICT, format!("the reply at seq {seq} was {how} before"))
        }
        Error::UnknownFormat { .. } => {
            log(id, error);
            internal("this service does not have the format of the reply")
        }
        Error::NoSuchMessage { seq, .. } => {
            Refusal::new(StatusCode::NOT_FOUND, format!("there is no message at seq {seq}"))
        }
        Error::VersionChanged { current, .. } => version_changed(*current),
        Error::Contended { .. } => {
            Refusal::unavailable("other writers kept changing the session, try again")
        }
        Error::Rejected(reason) => match reason.downcast_ref::<Refusal>() {
            Some(refusal) => refusal.clone(),
            None => Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, reason.to_string()),
        },
        Error::Closed { .. } => Refusal::unavailable("the service is shutting down, try again"),
        Error::AppState { .. } => {
            log(id, error);
            internal("this service cannot read the stored app state; messages still work")
        }
        Error::Erased { .. } => Refusal::new(
            StatusCode::CONFLICT,
            "the session was erased while the request was under way; the request changed nothing",
        ),
        Error::SessionExists { .. } => Refusal::new(
            StatusCode::CONFLICT,
            "a session with this id exists already; nothing was changed",
        ),
        Error::Store(e) => {
            log(id, error);
            store(e)
        }
        _ => {
            log(id, error);
            internal("the session failed")
        }
    }
}

/// The refusal for a failed call that is about no single session.
pub(crate) fn beside(error: &Error) -> Refusal {
    match error {
        Error::InvalidCursor => {
            Refusal::bad_request("the cursor does not belong to this list; list from the beginning")
        }
        Error::Closed { .. } => Refusal::unavailable("the service is shutting down, try again"),
        _ => {
            tracing::error!(error = %ErrorChain(error), "a request on an owner's sessions failed");
            match error {
                Error::Store(e) => store(e),
                _ => internal("the sessions cannot be listed"),
            }
        }
    }
}

fn store(e: &StoreError) -> Refusal {
    match e.kind() {
        StoreErrorKind::Unavailable => {
            Refusal::unavailable("the store is not available, nothing was changed; try again")
        }
        StoreErrorKind::OutcomeUnknown => Refusal::unavailable(
            "the change may or may not be stored; a message that is sent again with the \
                     same id is stored once while the first one is among the session's last 64",
        ),
        StoreErrorKind::Closed => Refusal::unavailable("the store is closed, try again later"),
        StoreErrorKind::TooLarge => Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the change is too large for the store; nothing was changed",
        ),
        StoreErrorKind::Corrupt => {
            internal("stored data of this session is damaged; nothing was changed")
        }
        _ => internal("the store failed"),
    }
}

/// The refusal of a change to another version than the client has.
pub(crate) fn version_changed(current: Option<Version>) -> Refusal {
    Refusal::new(
        StatusCode::PRECONDITION_FAILED,
        "the session has changed since that version was read",
    )
    .etag(&etag::of(current))
}

fn internal(reason: &str) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, reason)
}

/// Logs the error and its sources. They name the session by its fingerprint.
pub(crate) fn log(id: &SessionId, error: &Error) {
    tracing::error!(session = %id.fingerprint(), error = %ErrorChain(error), "a session failed");
}

#[cfg(test)]
mod tests {
    use super::refusal;
    use crate::wire::refusal::Refusal;
    use durable_session::store::{StoreError, StoreErrorKind};
    use durable_session::{Error, ReplyEnd, SessionId};
    use http::StatusCode;

    #[test]
    fn every_kind_of_failure_has_its_status() {
        let id = SessionId::new("session-1-secret").unwrap();
        let status = |error: &Error| refusal(&id, error).status().as_u16();
        let session = id.clone();
        assert_eq!(status(&Error::IdReused { session: session.clone(), seq: 1 }), 409);
        let partly = Error::PartlyKnown { session: session.clone(), seq: 1, known: 1, given: 2 };
        assert_eq!(status(&partly), 409);
        let twice = Error::IdGivenTwice { session: session.clone(), first: 0, second: 1 };
        assert_eq!(status(&twice), 409);
        assert_eq!(status(&Error::NoSuchMessage { session: session.clone(), seq: 1 }), 404);
        assert_eq!(status(&Error::ReplyOpen { session: session.clone(), seq: 1 }), 409);
        let how = ReplyEnd::Stopped;
        assert_eq!(status(&Error::ReplyEnded { session: session.clone(), seq: 1, how }), 409);
        let format = "parts".into();
        assert_eq!(status(&Error::UnknownFormat { session: session.clone(), format }), 500);
        assert_eq!(status(&Error::VersionChanged { session: session.clone(), current: None }), 412);
        assert_eq!(status(&Error::Contended { session: session.clone() }), 503);
        assert_eq!(status(&Error::Closed { session }), 503);
        assert_eq!(status(&Error::rejected("no")), 422);
        assert_eq!(status(&Error::rejected(Refusal::new(StatusCode::CONFLICT, "booked"))), 409);
        for (kind, expected) in [
            (StoreErrorKind::Unavailable, 503),
            (StoreErrorKind::OutcomeUnknown, 503),
            (StoreErrorKind::Closed, 503),
            (StoreErrorKind::TooLarge, 413),
            (StoreErrorKind::Corrupt, 500),
            (StoreErrorKind::Internal, 500),
        ] {
            let error =
                Error::from(StoreError::new(kind, "the disk at /var/secret").in_session(&id));
            let refusal = refusal(&id, &error);
            assert_eq!(refusal.status().as_u16(), expected, "{kind}");
            assert!(!refusal.reason().contains("secret"), "{refusal}");
        }
    }
}
