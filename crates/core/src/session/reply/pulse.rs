//! Signs of life of a producer that is busy elsewhere.

use crate::error::Error;
use crate::session::driver::Wait;
use crate::session::registry::Session;
use crate::store::{Claim, ExtendOutcome};
use std::fmt;
use std::time::Duration;

/// Shows that the producer of a reply is alive, beside its [`Reply`](crate::Reply), which somebody
/// else writes: for code that runs producers. [`Reply::pulse`](crate::Reply::pulse) makes it.
///
/// It does not keep the reply open: dropping the [`Reply`](crate::Reply) ends it as before.
pub struct Pulse {
    session: Session,
    seq: u64,
    claim: Claim,
    every: Duration,
}

impl Pulse {
    pub(super) fn new(session: Session, seq: u64, claim: Claim, every: Duration) -> Self {
        Self { session, seq, claim, every }
    }

    /// How often to call [`beat`](Self::beat).
    pub fn every(&self) -> Duration {
        self.every
    }

    /// One sign of life. Returns whether the reply is still open.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Closed`]. The next beat may succeed.
    pub async fn beat(&self) -> Result<bool, Error> {
        self.session.check_open()?;
        let beat = self.session.actor.lock().machine.beat(self.seq, self.claim);
        match beat {
            Ok(ticket) => Ok(Wait::new(&self.session, ticket).await? != ExtendOutcome::Ended),
            Err(_) => Ok(false),
        }
    }
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulse").field("seq", &self.seq).finish_non_exhaustive()
    }
}
