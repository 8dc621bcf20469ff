//! Ending a reply: whoever is first decides, the others are told (clause C11).

use crate::Message;
use crate::app::AppState;
use crate::error::Error;
use crate::reply::{EndedReply, ReplyEnd};
use crate::session::call::{Attempts, Require};
use crate::session::closing::make_close;
use crate::session::draft::Draft;
use crate::session::driver::Wait;
use crate::session::machine::{Change, Close, End, Halt, Make, Running, StoredMessage};
use crate::session::read::MessageQuery;
use crate::session::registry::Session;
use crate::store::Claim;
use std::sync::Arc;

/// An end that a caller wants.
pub(super) struct Ending {
    pub(super) seq: u64,
    /// Only the reply with this claim; otherwise the one that is open.
    pub(super) claim: Option<Claim>,
    pub(super) how: ReplyEnd,
    pub(super) reason: Option<Arc<str>>,
}

/// The outcome of an attempt to end a reply.
pub(super) enum Closed<T> {
    /// This caller was first.
    Done(T, StoredMessage),
    /// The reply had ended. Its claim, if it was seen open.
    Otherwise(Option<Claim>),
}

/// A caller that is about to end a reply. Nothing extends the reply meanwhile.
struct Hold<'a> {
    session: &'a Session,
    seq: u64,
    claim: Claim,
}

impl<'a> Hold<'a> {
    /// `None` if the session is not in memory.
    fn new(session: &'a Session, running: &Running) -> Option<Self> {
        let Running { seq, claim, .. } = *running;
        let held = session.actor.lock().machine.hold_reply(seq, claim);
        // Not made if it does not hold: its drop releases.
        held.then(|| Self { session, seq, claim })
    }

    /// Waits until none of its extensions is with the store.
    async fn quiet(&self) {
        loop {
            let sent = self.session.actor.lock().machine.sent_extension(self.seq);
            let Some(sent) = sent else { return };
            // The producer learns how it ended.
            let _ = Wait::new(self.session, sent).await;
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.session.actor.lock().machine.release_reply(&self.claim);
        // An extension may have been held back.
        self.session.actor.wake_all();
    }
}

impl Session {
    /// Ends a reply in one commit with the changes that `change` makes. `tried` is set to the
    /// message before each attempt to store it.
    pub(super) async fn close<A: AppState, T>(
        &self,
        ending: Ending,
        mut change: impl FnMut(&mut Draft<'_, A>) -> Result<T, Error>,
        tried: &mut Option<Message>,
    ) -> Result<Closed<T>, Error> {
        let mut attempts = Attempts::new(self.registry.config.attempts);
        let mut claim = ending.claim;
        let mut since = self.since();
        loop {
            let view = self.view().await?;
            let open = view.reply(ending.seq);
            let Some(running) = open.filter(|open| claim.is_none_or(|claim| open.claim == claim))
            else {
                if let Some(sent) = since.take() {
                    // The reply may be open in the stored state.
                    self.confirm(sent).await?;
                    continue;
                }
                return Ok(Closed::Otherwise(claim));
            };
            claim = Some(running.claim);
            let Some(hold) = Hold::new(self, running) else { continue };
            hold.quiet().await;
            let Some(close) = self.make(running, &ending).await? else {
                // The state in memory is not the stored one.
                attempts.spend(&self.actor)?;
                self.refresh(&view).await;
                continue;
            };
            *tried = Some(close.message.clone());
            let mut again = false;
            let closed = self.close_as(&close, &mut change, &mut again).await;
            match closed {
                Err(_) if again => attempts.spend(&self.actor)?,
                Err(e) => return Err(e),
                Ok(None) => return Ok(Closed::Otherwise(claim)),
                Ok(Some(value)) => {
                    let stored = StoredMessage { seq: close.seq, message: close.message };
                    return Ok(Closed::Done(value, stored));
                }
            }
        }
    }

    /// The change that closes the reply; `None` if the store says that it has ended.
    async fn make(&self, running: &Running, ending: &Ending) -> Result<Option<Close>, Error> {
        let Running { seq, claim, format } = running;
        let unknown =
            || Error::UnknownFormat { session: self.actor.id.clone(), format: Arc::clone(format) };
        let format = self.registry.config.replies.get(format).ok_or_else(unknown)?;
        let known = self.actor.lock().machine.known_chunks(claim);
        let Some(known) = known else { return Ok(None) };
        let (how, reason) = (ending.how, ending.reason.clone());
        let make = Make { seq: *seq, claim: *claim, format, known, how, reason };
        Ok(make_close(&*self.registry.store, &self.actor.id, &make).await?)
    }

    /// Stores a close with the changes that `change` makes; `None` if the reply has ended. `again`
    /// is set if the close has to be made again, because the reply had grown.
    async fn close_as<A: AppState, T>(
        &self,
        close: &Close,
        change: &mut impl FnMut(&mut Draft<'_, A>) -> Result<T, Error>,
        again: &mut bool,
    ) -> Result<Option<T>, Error> {
        self.apply_on_copy(Require::Nothing, |planner, view, whole| {
            if self.actor.lock().machine.reply_has_grown(&close.claim) {
                *again = true;
                return Err(Halt::Refused(Error::Contended { session: self.actor.id.clone() }));
            }
            if view.reply(close.seq).is_none_or(|reply| reply.claim != close.claim) {
                return Ok((None, Vec::new(), view));
            }
            let mut draft = Draft::new(planner, view, whole);
            draft.begin_with(Change::Close(Box::new(close.clone())));
            match change(&mut draft) {
                Ok(value) => draft.finish().map(|(changes, after)| (Some(value), changes, after)),
                Err(e) => Err(draft.failed(e)),
            }
        })
        .await
    }

    /// How the reply at `seq` ended, and its message. `claim` names the reply, if it is known.
    pub(super) async fn ended_reply(
        &self,
        seq: u64,
        claim: Option<Claim>,
    ) -> Result<EndedReply, Error> {
        let end = claim.and_then(|claim| self.actor.lock().machine.reply_end(&claim));
        if let Some(End::Here(how, message)) = end {
            return Ok(EndedReply::new(how, message.map(|message| StoredMessage { seq, message })));
        }
        let view = self.current_view().await?;
        if claim.is_some() && view.reply(seq).map(|open| open.claim) == claim {
            // The state in memory is not the stored one.
            self.refresh(&view).await;
        }
        let message = self.message_at(seq).await?;
        Ok(match message {
            None => EndedReply::new(ReplyEnd::Removed, None),
            Some(stored) => {
                let mut formats = self.registry.config.replies.formats();
                let how = formats.find_map(|format| format.ended(&stored.message));
                EndedReply::new(how.unwrap_or(ReplyEnd::Finished), Some(stored))
            }
        })
    }

    /// The message at `seq`, as it is stored.
    pub(super) async fn message_at(&self, seq: u64) -> Result<Option<StoredMessage>, Error> {
        let view = self.current_view().await?;
        Ok(self.page(view, MessageQuery::at(seq)).await?.messages.pop())
    }
}
