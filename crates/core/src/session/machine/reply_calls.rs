//! The calls of producers, followers and those who end replies.

use super::replies::{End, Followed, Known};
use super::state::{Machine, Phase};
use super::ticket::{Extended, Ticket};
use crate::Message;
use crate::error::LimitKind;
use crate::session::config::{OverLimit, over};
use crate::store::{Claim, Extension, OpenReply, StoreLimits};
use bytes::Bytes;

/// Why a reply is not extended.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It has ended.
    Ended(End),
    TooLarge(OverLimit),
}

impl Machine {
    /// Adds chunks to a reply that is written here.
    pub(crate) fn push(
        &mut self,
        seq: u64,
        claim: Claim,
        chunks: Vec<Bytes>,
    ) -> Result<Ticket<Extended>, Refused> {
        self.check_open(&claim)?;
        let bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        self.check_room(&claim, bytes).map_err(Refused::TooLarge)?;
        Ok(self.extend(Extension::new(seq, claim, 0, chunks)))
    }

    /// Sends again the chunks of which it is not known whether they are stored.
    pub(crate) fn settle(&mut self, seq: u64, claim: Claim) -> Option<Ticket<Extended>> {
        if !self.replies.is_unsettled(&claim) {
            return None;
        }
        let id = self.new_id();
        Some(self.extensions.stage(id, Extension::beat(seq, claim), false))
    }

    /// A sign of life.
    pub(crate) fn beat(&mut self, seq: u64, claim: Claim) -> Result<Ticket<Extended>, Refused> {
        self.check_open(&claim)?;
        Ok(self.extend(Extension::beat(seq, claim)))
    }

    fn check_open(&self, claim: &Claim) -> Result<(), Refused> {
        match self.replies.end(claim) {
            Some(end) => Err(Refused::Ended(end.clone())),
            None => Ok(()),
        }
    }

    /// Whether the closed message keeps within the limits with so many more bytes.
    fn check_room(&self, claim: &Claim, more: u64) -> Result<(), OverLimit> {
        let (message, all) = self.replies.bytes(claim);
        let more = more + self.extensions.bytes(claim);
        let limits = &self.config.limits;
        let body = limits.message_bytes.min(self.config.store_limits.max_commit_bytes);
        let free = |limit: u64| limit.saturating_sub(StoreLimits::REPLY_RESERVE);
        over(LimitKind::MessageBytes, message + more, free(body))?;
        let stored = self.view().map_or(0, |view| view.head.bytes);
        over(LimitKind::SessionBytes, stored + all + more, free(limits.session_bytes))
    }

    /// Whether replies are being interrupted.
    pub(crate) fn is_interrupting(&self) -> bool {
        matches!(self.phase, Phase::Resident { .. }) && self.replies.is_interrupting()
    }

    /// How a reply that is known here ended, if it did.
    pub(crate) fn reply_end(&self, claim: &Claim) -> Option<End> {
        self.replies.end(claim).cloned()
    }

    /// One more caller is about to end a reply: it is not extended until that caller is done.
    /// `None` if the session is not in memory.
    pub(crate) fn hold_reply(&mut self, seq: u64, claim: Claim) -> bool {
        let Phase::Resident { view, .. } = &self.phase else { return false };
        self.replies.hold(seq, claim, view.head.version.incarnation());
        true
    }

    pub(crate) fn release_reply(&mut self, claim: &Claim) {
        self.replies.release(claim);
    }

    /// The extension of the reply at `seq` that is with the store.
    pub(crate) fn sent_extension(&mut self, seq: u64) -> Option<Ticket<Extended>> {
        self.extensions.join_sent(seq)
    }

    /// The chunks of a reply in memory, for its final message.
    pub(crate) fn known_chunks(&mut self, claim: &Claim) -> Option<Known> {
        self.replies.known(claim)
    }

    /// Whether a close of the reply met other counts since [`known_chunks`](Self::known_chunks).
    pub(crate) fn reply_has_grown(&self, claim: &Claim) -> bool {
        self.replies.has_grown(claim)
    }

    /// One more follower of a reply that is written here. Returns the message as it was opened.
    pub(crate) fn attach(&mut self, claim: &Claim) -> Option<Message> {
        self.replies.attach(claim)
    }

    pub(crate) fn detach(&mut self, claim: &Claim) {
        self.replies.detach(claim);
    }

    /// The chunk of this number for a follower that is attached.
    pub(crate) fn followed(&self, claim: &Claim, number: u64) -> Followed {
        self.replies.followed(claim, number)
    }

    /// The producer of a reply is gone. Returns whether that leaves something to do.
    pub(crate) fn abandon(&mut self, claim: &Claim) -> bool {
        self.replies.abandon(claim)
    }

    /// Nobody holds the claim of an open reply: it is to be interrupted.
    pub(crate) fn interrupt(&mut self, open: &OpenReply) {
        let Phase::Resident { view, .. } = &self.phase else { return };
        if view.reply(open.seq).is_some_and(|reply| reply.claim == open.claim) {
            self.replies.interrupt(open, view.head.version.incarnation());
        }
    }
}
