//! The holder of a claim.

use crate::error::Error;
use crate::session::driver;
use crate::session::registry::Session;
use crate::store::{Claim, Opening, StoreError, StoreErrorKind};

/// Holds a claim for as long as a call opens a reply or a producer writes it. When it is dropped,
/// nobody does any more: a reply that is open then is interrupted (clause C12).
pub(super) struct Producer {
    pub(super) session: Session,
    pub(super) claim: Claim,
    opening: Opening,
}

impl Producer {
    /// Draws a claim.
    pub(super) fn new(session: &Session) -> Result<Self, Error> {
        session.check_open()?;
        let opening = session.registry.store.opening()?;
        let claim = opening.claim(&*session.registry.random).map_err(|e| {
            StoreError::new(StoreErrorKind::Unavailable, "could not draw the claim of a reply")
                .in_session(&session.actor.id)
                .with_source(e)
        })?;
        opening.hold(claim);
        Ok(Self { session: session.clone(), claim, opening })
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.opening.let_go(&self.claim);
        let open = self.session.actor.lock().machine.abandon(&self.claim);
        // After the close of the registry nothing is written. The next load interrupts the reply.
        if open && !self.session.registry.is_closed() {
            driver::drive(&self.session);
        }
    }
}
