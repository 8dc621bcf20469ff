//! Reading messages from before the window, to compare them with the ones that a call adds (clause
//! C7).

use super::call::Attempts;
use super::machine::Fetched;
use super::registry::Session;
use crate::error::Error;
use crate::store::ReadQuery;

impl Session {
    /// Reads messages of the newest durable state and adds them to `fetched`; reads none if the
    /// state has to be loaded again first.
    pub(crate) async fn fetch(
        &self,
        seqs: &[u64],
        fetched: &mut Fetched,
        attempts: &mut Attempts,
    ) -> Result<(), Error> {
        // The changes that are pending on top of it replace and remove none of these messages: a
        // plan would have found that.
        let view = self.actor.lock().machine.view().cloned();
        let Some(view) = view else { return Ok(()) };
        if fetched.mark() != Some(view.mark()) {
            if fetched.mark().is_some() {
                // Others rewrite the session again and again.
                attempts.spend(&self.actor)?;
            }
            *fetched = Fetched::at(view.mark());
        }
        for &seq in seqs {
            let Some((mut messages, _)) = self.read(&view, ReadQuery::forward(seq, seq)).await?
            else {
                attempts.spend(&self.actor)?;
                self.refresh(&view).await;
                return Ok(());
            };
            fetched.add(seq, messages.pop().map(|stored| stored.message));
        }
        Ok(())
    }
}
