//! The replies that this registry works on: their chunks in memory, their ends and their
//! interruptions.
//!
//! A record is made when a reply is opened here, and when an open reply of others is to be ended.
//! It is dropped once nobody needs it any more.

use super::change::Close;
use super::log::ChunkLog;
use crate::Message;
use crate::reply::ReplyEnd;
use crate::store::{Claim, ExtendOutcome, Extension, Incarnation, ReplyCounts, StoreError};
use crate::store::{OpenReply, StoreErrorKind};
use crate::sync::Arc;
use bytes::Bytes;

/// The most bytes of chunks that are kept after the end of a reply, for its followers.
const KEPT_BYTES: u64 = 256 << 10;

/// How a reply ended, as far as the machine knows.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// A change of this registry ended it. The message is the final one.
    Here(ReplyEnd, Option<Message>),
    /// Another writer ended it: the stored message tells how.
    Elsewhere,
}

/// The chunks of a reply that are in memory, to make its final message from.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// The message as it was opened, if it is known.
    pub(crate) opened: Option<Message>,
    pub(crate) log: Arc<ChunkLog>,
    /// The counts of the reply, if the log has all its chunks.
    pub(crate) counts: Option<ReplyCounts>,
}

/// The next chunk of a reply for a follower.
#[derive(Debug)]
pub(crate) enum Followed {
    Chunk(String),
    /// All chunks so far were taken.
    Wait,
    /// There are no more in memory, and the reply has ended.
    Ended,
}

/// The interruption of a reply whose producer is gone.
#[derive(Default)]
enum Interrupt {
    #[default]
    No,
    Wanted,
    /// The final message is being made.
    Making,
    /// It is made and waits to be staged.
    Ready(Box<Close>),
    Staged,
    /// It was tried. The next load tries again.
    Failed,
}

pub(super) struct Record {
    pub(super) seq: u64,
    pub(super) claim: Claim,
    /// The creation of the session in which it was opened.
    life: Incarnation,
    opened: Option<Message>,
    log: Arc<ChunkLog>,
    counts: ReplyCounts,
    /// Whether `log` and `counts` are those of the store.
    sure: bool,
    /// Chunks after those in `log` that the store may or may not have.
    unsettled: Vec<Bytes>,
    /// Whether a producer of this registry writes it.
    producer: bool,
    followers: usize,
    /// How many callers are about to end it. Nothing is extended meanwhile.
    holds: usize,
    /// A close met other counts than the known ones.
    grew: bool,
    interrupt: Interrupt,
    end: Option<End>,
}

impl Record {
    fn foreign(seq: u64, claim: Claim, life: Incarnation) -> Self {
        Self {
            seq,
            claim,
            life,
            opened: None,
            log: Arc::default(),
            counts: ReplyCounts::default(),
            sure: false,
            unsettled: Vec::new(),
            producer: false,
            followers: 0,
            holds: 0,
            grew: false,
            interrupt: Interrupt::No,
            end: None,
        }
    }

    /// Whether it was opened here. Then its log has all chunks that were acknowledged.
    fn is_own(&self) -> bool {
        self.opened.is_some()
    }

    /// The bytes of the message with all chunks that it has or may have.
    fn bytes(&self) -> u64 {
        let opened = self.opened.as_ref().map_or(0, Message::bytes) as u64;
        let unsettled = self.unsettled.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        opened + self.log.bytes() + unsettled
    }

    fn finish(&mut self, end: End) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(end);
        self.interrupt = Interrupt::No;
        self.unsettled = Vec::new();
        if self.log.bytes() > KEPT_BYTES {
            self.log = Arc::default();
        }
    }

    fn is_needed(&self) -> bool {
        let idle = matches!(self.interrupt, Interrupt::No | Interrupt::Failed);
        self.producer || self.followers > 0 || self.holds > 0 || !idle
    }
}

/// The records, in no order: there are few.
#[derive(Default)]
pub(super) struct Replies(Vec<Record>);

impl Replies {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether work on an interruption is under way.
    pub(super) fn is_working(&self) -> bool {
        let works =
            |record: &Record| matches!(record.interrupt, Interrupt::Making | Interrupt::Ready(_));
        self.0.iter().any(works)
    }

    /// Whether replies are to be interrupted, once the session is in memory.
    pub(super) fn is_interrupting(&self) -> bool {
        let idle = |record: &Record| matches!(record.interrupt, Interrupt::No | Interrupt::Failed);
        !self.0.iter().all(idle)
    }

    /// The bytes of chunks in memory.
    pub(super) fn weight(&self) -> u64 {
        self.0.iter().map(|record| record.log.bytes() + 8 * record.log.len() + 256).sum()
    }

    pub(super) fn get(&self, claim: &Claim) -> Option<&Record> {
        self.0.iter().find(|record| record.claim == *claim)
    }

    fn get_mut(&mut self, claim: &Claim) -> Option<&mut Record> {
        self.0.iter_mut().find(|record| record.claim == *claim)
    }

    /// Drops the records that nobody needs.
    fn tidy(&mut self) {
        self.0.retain(Record::is_needed);
    }

    /// A reply was opened by a call of this registry.
    pub(super) fn opened(&mut self, seq: u64, claim: Claim, message: Message, life: Incarnation) {
        let foreign = Record::foreign(seq, claim, life);
        self.0.push(Record { opened: Some(message), sure: true, producer: true, ..foreign });
    }

    /// The reply with this claim was closed by a commit of this registry.
    pub(super) fn closed(&mut self, close: &Close) {
        if let Some(record) = self.get_mut(&close.claim) {
            record.finish(End::Here(close.how, Some(close.message.clone())));
        }
        self.tidy();
    }

    /// The messages from `first` to `last` were removed, or got other content.
    pub(super) fn removed(&mut self, first: u64, last: u64) {
        for record in self.0.iter_mut().filter(|record| (first..=last).contains(&record.seq)) {
            record.finish(End::Here(ReplyEnd::Removed, None));
        }
        self.tidy();
    }

    /// The session was loaded. `open` tells whether a reply is still open; `gone`, whether its
    /// message is not there any more.
    pub(super) fn loaded(
        &mut self,
        life: Option<Incarnation>,
        open: impl Fn(u64, &Claim) -> bool,
        gone: impl Fn(u64) -> bool,
    ) {
        for record in self.0.iter_mut().filter(|record| record.end.is_none()) {
            if Some(record.life) != life || gone(record.seq) {
                record.finish(End::Here(ReplyEnd::Removed, None));
            } else if !open(record.seq, &record.claim) {
                record.finish(End::Elsewhere);
            }
        }
        self.tidy();
    }

    /// The bytes of the message that the reply writes, with all its chunks, and those of the chunks
    /// of all replies.
    pub(super) fn bytes(&self, claim: &Claim) -> (u64, u64) {
        let message = self.get(claim).map_or(0, Record::bytes);
        (message, self.0.iter().filter(|r| r.end.is_none()).map(|r| r.log.bytes()).sum())
    }

    /// How the reply ended, if it did. `None` also if there is no record of it.
    pub(super) fn end(&self, claim: &Claim) -> Option<&End> {
        self.get(claim)?.end.as_ref()
    }

    /// Whether the store may have chunks that are not known here.
    pub(super) fn is_unsettled(&self, claim: &Claim) -> bool {
        self.get(claim).is_some_and(|record| !record.unsettled.is_empty())
    }

    /// Whether nothing of the reply at `seq` may be extended now.
    pub(super) fn holds_back(&self, seq: u64) -> bool {
        let held = |record: &Record| {
            record.holds > 0 || !matches!(record.interrupt, Interrupt::No | Interrupt::Failed)
        };
        self.0.iter().any(|record| record.seq == seq && record.end.is_none() && held(record))
    }

    /// Gives an extension that is about to be sent its place: after the known chunks, and with
    /// those in front that the store may have already.
    pub(super) fn place(&self, extension: &mut Extension, is_beat: bool) {
        let Some(record) = self.get(&extension.claim).filter(|record| record.is_own()) else {
            return;
        };
        if is_beat {
            return;
        }
        extension.offset = record.log.len();
        if !record.unsettled.is_empty() {
            let news = std::mem::take(&mut extension.chunks);
            extension.chunks = record.unsettled.iter().cloned().chain(news).collect();
        }
    }

    /// An extension by these chunks has ended.
    pub(super) fn extended(
        &mut self,
        claim: &Claim,
        sent: Vec<Bytes>,
        outcome: &Result<ExtendOutcome, StoreError>,
    ) {
        let Some(record) = self.get_mut(claim).filter(|record| record.end.is_none()) else {
            return;
        };
        match outcome {
            Ok(ExtendOutcome::Extended(counts)) => {
                if !sent.is_empty() {
                    let log = Arc::make_mut(&mut record.log);
                    // They came in as text.
                    sent.iter()
                        .filter_map(|chunk| std::str::from_utf8(chunk).ok())
                        .for_each(|chunk| log.push(chunk));
                    record.unsettled = Vec::new();
                }
                record.counts = *counts;
                record.sure = record.unsettled.is_empty() && record.log.len() == counts.chunks;
            }
            Ok(ExtendOutcome::Ended) => record.finish(End::Elsewhere),
            Ok(ExtendOutcome::Gap(_)) => record.sure = false,
            Err(e) => {
                record.sure = false;
                // A beat brought none, and left the ones from before as they were.
                if may_be_stored(e) && !sent.is_empty() {
                    record.unsettled = sent;
                }
            }
        }
        self.tidy();
    }

    /// One more caller is about to end the reply.
    pub(super) fn hold(&mut self, seq: u64, claim: Claim, life: Incarnation) {
        if self.get(&claim).is_none() {
            self.0.push(Record::foreign(seq, claim, life));
        }
        if let Some(record) = self.get_mut(&claim) {
            record.holds += 1;
        }
    }

    pub(super) fn release(&mut self, claim: &Claim) {
        if let Some(record) = self.get_mut(claim) {
            record.holds -= 1;
        }
        self.tidy();
    }

    /// The chunks in memory, for a final message that is made now.
    pub(super) fn known(&mut self, claim: &Claim) -> Option<Known> {
        let record = self.get_mut(claim)?;
        record.grew = false;
        Some(Known {
            opened: record.opened.clone(),
            log: Arc::clone(&record.log),
            counts: record.sure.then_some(record.counts),
        })
    }

    /// A close of the reply at `seq` met other counts.
    pub(super) fn grew(&mut self, seq: u64) {
        for record in self.0.iter_mut().filter(|record| record.seq == seq && record.end.is_none()) {
            record.sure = false;
            record.grew = true;
        }
    }

    pub(super) fn has_grown(&self, claim: &Claim) -> bool {
        self.get(claim).is_some_and(|record| record.grew)
    }

    /// One more follower of a reply that is written here; returns its claim and the message as it
    /// was opened.
    pub(super) fn attach(&mut self, claim: &Claim) -> Option<Message> {
        let record = self.get_mut(claim).filter(|record| record.is_own())?;
        record.followers += 1;
        record.opened.clone()
    }

    pub(super) fn detach(&mut self, claim: &Claim) {
        if let Some(record) = self.get_mut(claim) {
            record.followers -= 1;
        }
        self.tidy();
    }

    pub(super) fn followed(&self, claim: &Claim, number: u64) -> Followed {
        let Some(record) = self.get(claim) else { return Followed::Ended };
        match (record.log.get(number), &record.end) {
            (Some(chunk), _) => Followed::Chunk(chunk.to_owned()),
            (None, Some(_)) => Followed::Ended,
            (None, None) => Followed::Wait,
        }
    }

    /// The producer of a reply is gone. Returns whether that leaves something to do.
    pub(super) fn abandon(&mut self, claim: &Claim) -> bool {
        let Some(record) = self.get_mut(claim) else { return false };
        record.producer = false;
        let open = record.end.is_none();
        if open {
            record.interrupt = Interrupt::Wanted;
        }
        self.tidy();
        open
    }

    /// Nobody holds the claim of an open reply.
    pub(super) fn interrupt(&mut self, open: &OpenReply, life: Incarnation) {
        if self.get(&open.claim).is_none() {
            self.0.push(Record::foreign(open.seq, open.claim, life));
        }
        if let Some(record) = self.get_mut(&open.claim)
            && let Interrupt::No | Interrupt::Failed = record.interrupt
        {
            record.interrupt = Interrupt::Wanted;
        }
    }

    /// The reply whose interruption is to be made next, of those that `can` be made.
    pub(super) fn take_wanted(
        &mut self,
        can: impl Fn(u64, &Claim) -> bool,
    ) -> Option<(u64, Claim)> {
        let wanted = |record: &&mut Record| {
            matches!(record.interrupt, Interrupt::Wanted) && can(record.seq, &record.claim)
        };
        let record = self.0.iter_mut().find(wanted)?;
        record.interrupt = Interrupt::Making;
        Some((record.seq, record.claim))
    }

    /// The final message of an interrupted reply is made; `None` if it cannot be. It is made again
    /// once the session is in memory, if it is not.
    pub(super) fn made(&mut self, seq: u64, close: Option<Box<Close>>, in_memory: bool) {
        let making = |record: &&mut Record| {
            record.seq == seq && matches!(record.interrupt, Interrupt::Making)
        };
        if let Some(record) = self.0.iter_mut().find(making) {
            record.interrupt = match close {
                Some(close) if in_memory => Interrupt::Ready(close),
                Some(_) => Interrupt::Wanted,
                None => Interrupt::Failed,
            };
        }
        self.tidy();
    }

    /// Takes the interruption that is to be staged next. It counts as staged.
    pub(super) fn take_ready(&mut self) -> Option<Box<Close>> {
        let ready = |record: &&mut Record| matches!(record.interrupt, Interrupt::Ready(_));
        let record = self.0.iter_mut().find(ready)?;
        match std::mem::replace(&mut record.interrupt, Interrupt::Staged) {
            Interrupt::Ready(close) => Some(close),
            _ => None,
        }
    }

    /// The commits did not happen that interruptions were staged in. After a failure, only the next
    /// load tries again.
    pub(super) fn unstage(&mut self, failed: bool) {
        for record in &mut self.0 {
            if let Interrupt::Staged | Interrupt::Ready(_) = record.interrupt {
                record.interrupt = if failed { Interrupt::Failed } else { Interrupt::Wanted };
            }
        }
        self.tidy();
    }
}

/// Whether the extension may have become durable in spite of the error.
fn may_be_stored(e: &StoreError) -> bool {
    matches!(e.kind(), StoreErrorKind::OutcomeUnknown | StoreErrorKind::Internal)
}
