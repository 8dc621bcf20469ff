//! Extensions of open replies, in a lane beside the commits.
//!
//! One extension of each reply is with the store at a time, also while a commit is. Only a commit
//! that ends a reply and the extensions of that reply wait for each other.

use super::replies::Replies;
use super::ticket::{Extended, Settled, Ticket};
use super::work::StoreCall;
use crate::store::{Claim, ExtendOutcome, Extension, StoreError};
use bytes::Bytes;

/// The extensions that have not ended, in the order in which they came.
#[derive(Default)]
pub(super) struct Extensions(Vec<Pending>);

struct Pending {
    ticket: Ticket<Extended>,
    callers: usize,
    /// The message that the reply writes.
    seq: u64,
    claim: Claim,
    /// A sign of life, without chunks.
    is_beat: bool,
    state: State,
}

enum State {
    Waiting(Extension),
    /// It is with the store, with these chunks.
    Sent(Vec<Bytes>),
}

impl Pending {
    fn is_sent(&self) -> bool {
        matches!(self.state, State::Sent(_))
    }

    fn bytes(&self) -> u64 {
        match &self.state {
            State::Waiting(extension) => extension.bytes(),
            State::Sent(chunks) => chunks.iter().map(|chunk| chunk.len() as u64).sum(),
        }
    }
}

/// An extension that has ended.
pub(super) struct Ended {
    pub(super) settled: Settled<Extended>,
    pub(super) claim: Claim,
    /// The chunks that were sent.
    pub(super) sent: Vec<Bytes>,
}

impl Extensions {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Stages an extension. One without chunks is a beat if `is_beat`; otherwise it only sends
    /// again the chunks whose outcome is not known.
    pub(super) fn stage(
        &mut self,
        id: u64,
        extension: Extension,
        is_beat: bool,
    ) -> Ticket<Extended> {
        let ticket = Ticket::new(id);
        let Extension { seq, claim, .. } = extension;
        let state = State::Waiting(extension);
        self.0.push(Pending { ticket, callers: 1, seq, claim, is_beat, state });
        ticket
    }

    /// Whether an extension is with the store whose reply `ends` names.
    pub(super) fn any_sent(&self, ends: impl Fn(u64) -> bool) -> bool {
        self.0.iter().any(|pending| pending.is_sent() && ends(pending.seq))
    }

    /// The extension of the reply at `seq` that is with the store, with one more caller.
    pub(super) fn join_sent(&mut self, seq: u64) -> Option<Ticket<Extended>> {
        let mut sent = self.0.iter_mut().filter(|pending| pending.is_sent());
        let pending = sent.find(|pending| pending.seq == seq)?;
        pending.callers += 1;
        Some(pending.ticket)
    }

    /// The bytes of the chunks that have not ended, of the reply with this claim.
    pub(super) fn bytes(&self, claim: &Claim) -> u64 {
        self.0.iter().filter(|pending| pending.claim == *claim).map(Pending::bytes).sum()
    }

    /// The next extension to send: of a reply that has none with the store and is not `held`.
    /// `replies` tells its place.
    pub(super) fn send(
        &mut self,
        replies: &Replies,
        held: impl Fn(u64) -> bool,
    ) -> Option<StoreCall> {
        let at = (0..self.0.len()).find(|&at| {
            let seq = self.0[at].seq;
            // The first one of its reply.
            self.0[..at].iter().all(|before| before.seq != seq)
                && !self.0[at].is_sent()
                && !held(seq)
        })?;
        let pending = &mut self.0[at];
        let State::Waiting(extension) = &mut pending.state else { return None };
        replies.place(extension, pending.is_beat);
        let sent = State::Sent(extension.chunks.clone());
        match std::mem::replace(&mut pending.state, sent) {
            State::Waiting(extension) => Some(StoreCall::Extend(extension)),
            State::Sent(_) => None,
        }
    }

    /// The extension of the reply at `seq` that was with the store has ended.
    pub(super) fn complete(
        &mut self,
        seq: u64,
        outcome: Result<ExtendOutcome, StoreError>,
    ) -> Option<Ended> {
        let at = self.0.iter().position(|pending| pending.seq == seq && pending.is_sent())?;
        let Pending { ticket, callers, claim, state, .. } = self.0.remove(at);
        let sent = match state {
            State::Sent(sent) => sent,
            State::Waiting(_) => Vec::new(),
        };
        Some(Ended { settled: Settled { ticket, callers, outcome }, claim, sent })
    }

    /// A caller no longer waits for the extension with this id. It does not happen if it was not
    /// sent. Returns whether there is such an extension.
    pub(super) fn leave(&mut self, id: u64) -> bool {
        let Some(at) = self.0.iter().position(|pending| pending.ticket.id == id) else {
            return false;
        };
        self.0[at].callers -= 1;
        if self.0[at].callers == 0 && !self.0[at].is_sent() {
            self.0.remove(at);
        }
        true
    }
}
