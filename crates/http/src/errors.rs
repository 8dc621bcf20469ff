//! What each failure of a session is to a client.

use crate::etag;
use crate::refusal::Refusal;
use durable_session::store::StoreErrorKind;
use durable_session::{Error, ErrorChain, SessionId};
use http::StatusCode;

/// The answer to a failed call on `id`. What is the server's own trouble is logged here and told to the client in general
/// words only.
pub(crate) fn refusal(id: &SessionId, error: &Error) -> Refusal {
    match error {
        Error::TooLarge { limit, is, max, .. } => {
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, limit.exceeded(*is, *max))
        }
        Error::IdReused { seq, .. } => Refusal::new(
            StatusCode::CONFLICT,
            format!("this id belongs to the message at seq {seq}, which says something else"),
        ),
        Error::PartlyKnown { seq, known, given, .. } => Refusal::new(
            StatusCode::CONFLICT,
            format!(
                "{known} of the {given} messages are stored already, the first of them at seq {seq}, and the others are not; nothing was changed"
            ),
        ),
        Error::IdGivenTwice { first, second, .. } => Refusal::new(
            StatusCode::CONFLICT,
            format!(
                "messages {first} and {second} (counted from 0) have the same id and say different things; nothing was changed"
            ),
        ),
        Error::NoSuchMessage { seq, .. } => {
            Refusal::new(StatusCode::NOT_FOUND, format!("there is no message at seq {seq}"))
        }
        Error::VersionChanged { current, .. } => Refusal::new(
            StatusCode::PRECONDITION_FAILED,
            "the session has changed since that version was read",
        )
        .etag(&etag::of(*current)),
        Error::Contended { .. } => Refusal::unavailable("others kept changing the session first, try again"),
        Error::Rejected(reason) => match reason.downcast_ref::<Refusal>() {
            Some(refusal) => refusal.clone(),
            None => Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, reason.to_string()),
        },
        Error::Closed { .. } => Refusal::unavailable("the service is going down, try again"),
        Error::AppState { .. } => {
            log(id, error);
            internal("the stored app state does not fit this service; messages still work")
        }
        Error::Store(e) => {
            log(id, error);
            match e.kind() {
                StoreErrorKind::Unavailable => {
                    Refusal::unavailable("the store is not available, nothing was changed; try again")
                }
                StoreErrorKind::OutcomeUnknown => Refusal::unavailable(
                    "it may or may not be stored; a message that is sent again with the same id is stored once only if the first one is still among the session's last messages (so many, and so many bytes)",
                ),
                StoreErrorKind::Closed => Refusal::unavailable("the store is closed, try again later"),
                StoreErrorKind::TooLarge => Refusal::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "more than the store takes; nothing was changed",
                ),
                StoreErrorKind::Corrupt => {
                    internal("something stored of this session cannot be read; nothing was changed")
                }
                _ => internal("the store failed"),
            }
        }
        _ => {
            log(id, error);
            internal("the session failed")
        }
    }
}

fn internal(reason: &str) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, reason)
}

/// The error and its sources, which name the session by its fingerprint only.
pub(crate) fn log(id: &SessionId, error: &Error) {
    tracing::error!(session = %id.fingerprint(), error = %ErrorChain(error), "a session failed");
}

#[cfg(test)]
mod tests {
    use super::*;
    use durable_session::store::StoreError;

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
            let error = Error::from(StoreError::new(kind, "the disk at /var/secret").in_session(&id));
            let refusal = refusal(&id, &error);
            assert_eq!(refusal.status().as_u16(), expected, "{kind}");
            assert!(!refusal.reason().contains("secret"), "{refusal}");
        }
    }
}
