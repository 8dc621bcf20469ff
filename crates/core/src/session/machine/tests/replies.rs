//! Replies in the world: producers, followers, and those who end them.

use super::answers::failure;
use super::world::{Luck, Plan, World};
use crate::reply::{ReplyEnd, ReplyFormat, TextReply};
use crate::session::machine::{Answer, Change, Followed, Make, Refused};
use crate::store::Claim;
use bytes::Bytes;
use std::collections::HashSet;
use std::sync::Arc;

/// The replies of a world.
#[derive(Default)]
pub(super) struct Replies {
    /// The claims that a call or a producer holds.
    pub(super) held: HashSet<Claim>,
    /// Those that were opened, with their seqs.
    pub(super) opened: Vec<(u64, Claim)>,
    pub(super) making: Vec<Make>,
    followers: Vec<(Claim, Vec<Bytes>)>,
    /// The chunks so far.
    chunks: u64,
}

/// The claim of the call with this number.
pub(super) fn claim_of(number: usize) -> Claim {
    Claim::from_bytes([u8::try_from(number).unwrap() + 1; 32])
}

impl World {
    /// One of the replies that were opened.
    fn opened(&self, at: usize) -> Option<(u64, Claim)> {
        let opened = &self.replies.opened;
        (!opened.is_empty()).then(|| opened[at % opened.len()])
    }

    /// One of those that are written.
    fn held(&self, at: usize) -> Option<(u64, Claim)> {
        self.opened(at).filter(|(_, claim)| self.replies.held.contains(claim))
    }

    /// The producer adds one chunk, or two.
    pub(super) fn push(&mut self, at: usize, more: bool) {
        let Some((seq, claim)) = self.held(at) else { return };
        let chunks = (0..=u64::from(more)).map(|n| format!("\"{}.\"", self.replies.chunks + n));
        let chunks = chunks.map(Bytes::from).collect();
        self.replies.chunks += 2;
        match self.machine.push(seq, claim, chunks) {
            Ok(ticket) => self.extensions.push((ticket.id, claim)),
            Err(Refused::Ended(_)) => assert!(!self.store.is_open(seq, &claim), "it is open"),
            Err(Refused::TooLarge(_)) => panic!("no limit is near"),
        }
    }

    pub(super) fn beat(&mut self, at: usize) {
        if let Some((seq, claim)) = self.held(at)
            && let Ok(ticket) = self.machine.beat(seq, claim)
        {
            self.extensions.push((ticket.id, claim));
        }
    }

    pub(super) fn settle_chunks(&mut self, at: usize) {
        if let Some((seq, claim)) = self.held(at)
            && let Some(ticket) = self.machine.settle(seq, claim)
        {
            self.extensions.push((ticket.id, claim));
        }
    }

    /// A caller of an extension goes away. One that is sent still ends.
    pub(super) fn leave_extension(&mut self, at: usize) {
        if !self.extensions.is_empty() {
            let at = at % self.extensions.len();
            let (id, _) = self.extensions.remove(at);
            self.machine.leave(id);
        }
    }

    /// The producer is dropped.
    pub(super) fn abandon(&mut self, at: usize) {
        if let Some((_, claim)) = self.held(at) {
            self.replies.held.remove(&claim);
            self.leave_extensions(claim);
            self.machine.abandon(&claim);
        }
    }

    /// The calls of a producer are dropped before it is.
    fn leave_extensions(&mut self, claim: Claim) {
        for (id, _) in self.extensions.extract_if(.., |(_, of)| *of == claim) {
            self.machine.leave(id);
        }
    }

    pub(super) fn follow(&mut self, at: usize) {
        if let Some((_, claim)) = self.opened(at)
            && self.machine.attach(&claim).is_some()
        {
            self.replies.followers.push((claim, Vec::new()));
        }
    }

    /// A caller ends a reply: it waits for no extension here, but gives up if one is under way.
    pub(super) fn plan_end(&mut self, at: usize, which: usize) {
        if let Some(claim) = self.calls[at].holds.take() {
            self.machine.release_reply(&claim);
        }
        let Some((seq, claim)) = self.opened(which) else {
            self.calls[at].end = Some("nothing to end");
            return;
        };
        if self.machine.reply_end(&claim).is_some() || !self.machine.hold_reply(seq, claim) {
            self.calls[at].end = Some("it has ended");
            return;
        }
        self.calls[at].holds = Some(claim);
        let close = match self.machine.sent_extension(seq) {
            Some(sent) => {
                self.machine.leave(sent.id);
                None
            }
            None => self.machine.known_chunks(&claim).and_then(|known| {
                let format: Arc<dyn ReplyFormat> = Arc::new(TextReply);
                let how = ReplyEnd::Stopped;
                self.store.close(&Make { seq, claim, format, known, how, reason: None })
            }),
        };
        let open = self.machine.top().and_then(|top| top.reply(seq));
        match close.filter(|_| open.is_some_and(|open| open.claim == claim)) {
            Some(close) => self.stage(at, vec![Change::Close(Box::new(close))], None),
            None => self.calls[at].end = Some("not now"),
        }
        self.let_go();
    }

    /// Calls that have ended hold nothing any more; of a call that opened a reply, only one that
    /// was told so.
    pub(super) fn let_go(&mut self) {
        for call in self.calls.iter_mut().filter(|call| call.end.is_some()) {
            if let Some(claim) = call.holds.take() {
                self.machine.release_reply(&claim);
            }
            let claim = claim_of(call.number);
            let opens = matches!(call.plan, Plan::Open) && call.end != Some("durable");
            if opens && self.replies.held.remove(&claim) {
                self.machine.abandon(&claim);
            }
        }
    }

    pub(super) fn answer_make(&mut self, at: usize, luck: Luck) {
        if self.replies.making.is_empty() {
            return;
        }
        let at = at % self.replies.making.len();
        let make = self.replies.making.remove(at);
        let answer = match luck {
            Luck::FailsBefore | Luck::FailsAfter => Err(failure()),
            Luck::Works | Luck::ComesSecond => Ok(self.store.close(&make).map(Box::new)),
        };
        let effects = self.machine.complete(Answer::Made(make.seq, answer), 1);
        self.take(effects);
    }

    /// Followers see durable chunks, each once and in order.
    pub(super) fn check_replies(&mut self) {
        for written in self.store.written.values() {
            let distinct: HashSet<_> = written.chunks.iter().collect();
            assert_eq!(distinct.len(), written.chunks.len(), "no chunk is there twice");
        }
        for (claim, seen) in &mut self.replies.followers {
            let written = self.store.written.get(claim);
            while let Followed::Chunk(json) = self.machine.followed(claim, seen.len() as u64) {
                let chunk = Bytes::from(json);
                let stored = written.and_then(|written| written.chunks.get(seen.len()));
                assert_eq!(stored, Some(&chunk), "a chunk is durable before it is shown");
                seen.push(chunk);
            }
            let ended = matches!(self.machine.followed(claim, seen.len() as u64), Followed::Ended);
            let open = self.store.content.replies.iter().any(|(_, open)| open == claim);
            assert!(!(ended && open), "a follower is told of the end too early");
        }
    }

    /// Once nobody holds it, a reply does not stay open: the next load ends it.
    pub(super) fn end_replies(&mut self) {
        for _ in 0..2 {
            self.machine.evict();
            self.call(Plan::SetApp);
            self.end_all();
        }
        for (seq, claim) in &self.store.content.replies {
            assert!(self.replies.held.contains(claim), "the reply at {seq} was left open");
        }
        for (claim, seen) in &self.replies.followers {
            let written = self.store.written.get(claim);
            if let Some(closed) = written.and_then(|written| written.closed.as_ref()) {
                let shown =
                    seen.iter().map(|chunk| serde_json::from_slice::<String>(chunk).unwrap());
                assert!(closed.contains(&shown.collect::<String>()), "what was shown is kept");
            }
            self.machine.detach(claim);
        }
    }
}
