//! Stores an imported session in steps, and continues an interrupted import.

use super::line::{Line, LineReply};
use crate::env::Random;
use crate::json;
use crate::pages::{self, PAGE_BYTES, PAGE_MESSAGES};
use crate::store::{
    ChunkQuery, Claim, Commit, CommitOutcome, Expect, ExtendOutcome, Extension, LoadQuery,
    NewMessage, Op, OpenReply, ReplyOpening, SessionStore, StoreError, StoreErrorKind, StoreLimits,
    TailBounds,
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// How often an import starts again because another writer changed the session.
pub(super) const ATTEMPTS: u32 = 32;

/// The limits of one commit or extension of an import, if the store's limits are not lower.
const COMMIT_OPS: usize = 1024;
const COMMIT_BYTES: u64 = 1 << 20;

/// The import of one line.
pub(super) struct Steps<'a> {
    store: &'a dyn SessionStore,
    limits: StoreLimits,
    line: &'a Line,
    random: &'a dyn Random,
    /// The `last_accessed_at` to store, Unix milliseconds.
    used_at: u64,
    /// The `changed_at` to store, Unix milliseconds.
    changed_at: u64,
    /// Messages stored so far.
    pub(super) stored: u64,
    /// Chunks stored so far.
    pub(super) chunks: u64,
}

/// The stored session compared with the line.
pub(super) enum Stored {
    /// The stored session is the beginning of the imported session, perhaps empty.
    Part(StoredPart),
    /// The stored session has other content.
    Other,
}

/// The stored part of the session.
pub(super) struct StoredPart {
    expect: Expect,
    /// Whether the app state is stored.
    app: bool,
    /// The number of stored messages, in order. After the last message of the line the stored
    /// session may have more.
    messages: u64,
    /// The open replies on these messages, by seq: the claim and the number of stored chunks.
    replies: BTreeMap<u64, (Claim, usize)>,
}

impl StoredPart {
    fn nothing(created_at: u64) -> Self {
        let replies = BTreeMap::new();
        Self { expect: Expect::absent(created_at), app: false, messages: 0, replies }
    }

    fn is_absent(&self) -> bool {
        matches!(self.expect, Expect::Absent { .. })
    }
}

impl<'a> Steps<'a> {
    pub(super) fn new(
        store: &'a dyn SessionStore,
        line: &'a Line,
        random: &'a dyn Random,
        used_at: u64,
    ) -> Self {
        let changed_at = line.changed_at.unwrap_or(used_at);
        Self {
            store,
            limits: store.limits(),
            line,
            random,
            used_at,
            changed_at,
            stored: 0,
            chunks: 0,
        }
    }

    /// Compares the stored session with the line. If the stored session is its beginning, the
    /// session is touched.
    pub(super) async fn compare(&self) -> Result<Stored, StoreError> {
        let line = self.line;
        for _ in 0..ATTEMPTS {
            let query = LoadQuery::new(TailBounds::new(1, 0));
            let Some(loaded) = self.store.load(&line.id, query).await?.loaded() else {
                return Ok(Stored::Part(StoredPart::nothing(line.created_at)));
            };
            let head = loaded.head;
            // An import that was interrupted after it created the session leaves this.
            let empty = loaded.app.is_empty() && head.next_seq == 1;
            let app = String::from_utf8_lossy(&loaded.app);
            if head.created_at != line.created_at
                || loaded.labels != line.labels
                || !(empty || json::equal(&app, &line.app))
            {
                return Ok(Stored::Other);
            }
            // A stored session that is longer is compared up to the length of the line.
            let last = (head.next_seq - 1).min(line.messages.len() as u64);
            let Some(rows) = pages::rows(self.store, &line.id, &head, 1, last).await? else {
                continue;
            };
            let same = rows.len() as u64 == last
                && rows
                    .iter()
                    .zip(&line.messages)
                    .all(|(row, message)| is_equal(&row.body, message.as_json()));
            let open = loaded.replies.iter().filter(|open| open.seq <= last);
            let expected = line.replies.range(..=last);
            if !same || !open.clone().map(|open| open.seq).eq(expected.clone().map(|(seq, _)| *seq))
            {
                return Ok(Stored::Other);
            }
            let mut replies = BTreeMap::new();
            let mut ended = false;
            for (open, (_, reply)) in open.zip(expected) {
                match self.compare_chunks(open, reply).await? {
                    StoredChunks::Same(chunks) => replies.insert(open.seq, (open.claim, chunks)),
                    StoredChunks::Other => return Ok(Stored::Other),
                    StoredChunks::Ended => {
                        ended = true;
                        break;
                    }
                };
            }
            if ended {
                continue;
            }
            if self.used_at > head.last_accessed_at {
                self.store.touch(&line.id, self.used_at).await?;
            }
            return Ok(Stored::Part(StoredPart {
                expect: head.expect(),
                app: !empty,
                messages: last,
                replies,
            }));
        }
        let context = "the session was rewritten faster than it could be read";
        Err(StoreError::new(StoreErrorKind::Unavailable, context).in_session(&line.id))
    }

    /// Compares the chunks of an open reply with the line. After the last chunk of the line the
    /// stored reply may have more.
    async fn compare_chunks(
        &self,
        open: &OpenReply,
        reply: &LineReply,
    ) -> Result<StoredChunks, StoreError> {
        if open.format != reply.format {
            return Ok(StoredChunks::Other);
        }
        let mut same = 0;
        while (same as u64) < open.counts.chunks && same < reply.chunks.len() {
            let query = ChunkQuery::from(open.seq, same as u64);
            let query = query.max_chunks(PAGE_MESSAGES).max_bytes(PAGE_BYTES);
            let page = self.store.read_chunks(&self.line.id, query).await?;
            let Some(page) =
                page.filter(|page| page.reply.claim == open.claim && !page.chunks.is_empty())
            else {
                return Ok(StoredChunks::Ended);
            };
            for (stored, given) in page.chunks.iter().zip(&reply.chunks[same..]) {
                if !std::str::from_utf8(given).is_ok_and(|given| is_equal(stored, given)) {
                    return Ok(StoredChunks::Other);
                }
                same += 1;
            }
        }
        Ok(StoredChunks::Same(same))
    }

    /// Stores the missing labels, app state and messages; `false` if another writer changed the
    /// session meanwhile.
    pub(super) async fn store_messages(
        &mut self,
        part: &mut StoredPart,
    ) -> Result<bool, StoreError> {
        let all = self.line.messages.len() as u64;
        while part.is_absent() || !part.app || part.messages < all {
            let mut opened = Vec::new();
            let (mut app, mut messages) = (part.app, part.messages);
            let (ops, at) = if part.is_absent() && self.changed_at < self.used_at {
                // The session is created at the time of use, so that no sweep deletes it before its
                // older messages are stored. A commit of labels alone, or without operations,
                // counts as a use and not as a change.
                (self.labels(part).collect(), self.used_at)
            } else {
                (self.next_ops(part, &mut app, &mut messages, &mut opened)?, self.changed_at)
            };
            match self.store.commit(&self.line.id, Commit::new(part.expect, ops, at)).await? {
                CommitOutcome::Committed(head) => part.expect = head.expect(),
                CommitOutcome::Conflict { .. }
                | CommitOutcome::NoSuchSeq { .. }
                | CommitOutcome::ReplyEnded { .. }
                | CommitOutcome::Grew { .. } => return Ok(false),
            }
            self.stored += messages - part.messages;
            (part.app, part.messages) = (app, messages);
            part.replies.extend(opened.into_iter().map(|(seq, claim)| (seq, (claim, 0))));
        }
        Ok(true)
    }

    /// The labels, for the commit that creates the session.
    fn labels(&self, part: &StoredPart) -> impl Iterator<Item = Op> + use<> {
        let set = part.is_absent() && !self.line.labels.is_empty();
        set.then(|| Op::SetLabels(self.line.labels.clone())).into_iter()
    }

    /// The operations of the next commit. Updates `app`, `messages` and `opened` to the state after
    /// it.
    fn next_ops(
        &self,
        part: &StoredPart,
        app: &mut bool,
        messages: &mut u64,
        opened: &mut Vec<(u64, Claim)>,
    ) -> Result<Vec<Op>, StoreError> {
        let max_ops = COMMIT_OPS.min(self.limits.max_commit_ops).max(1);
        let max_bytes = COMMIT_BYTES.min(self.limits.max_commit_bytes);
        let mut ops: Vec<Op> = self.labels(part).collect();
        let mut bytes = 0;
        if !*app {
            if ops.len() == max_ops {
                return Ok(ops);
            }
            let state = Bytes::copy_from_slice(self.line.app.as_bytes());
            bytes += state.len() as u64;
            ops.push(Op::SetApp(state));
            *app = true;
        }
        while let Some(message) = self.line.message(*messages + 1) {
            bytes += message.bytes() as u64;
            if !ops.is_empty() && (ops.len() >= max_ops || bytes > max_bytes) {
                break;
            }
            *messages += 1;
            let seq = *messages;
            let mut new = NewMessage::from(message);
            if let Some(reply) = self.line.replies.get(&seq) {
                let claim = self.claim()?;
                new = new.opening(ReplyOpening::new(claim, reply.format.clone()));
                opened.push((seq, claim));
            }
            ops.push(Op::Append(new));
        }
        Ok(ops)
    }

    fn claim(&self) -> Result<Claim, StoreError> {
        self.store.opening()?.claim(self.random).map_err(|e| {
            StoreError::new(StoreErrorKind::Unavailable, "could not draw the claim of a reply")
                .in_session(&self.line.id)
                .with_source(e)
        })
    }

    /// Stores the missing chunks of the open replies; `false` if another writer ended a reply
    /// meanwhile.
    pub(super) async fn store_chunks(&mut self, part: &StoredPart) -> Result<bool, StoreError> {
        let max_chunks = COMMIT_OPS.min(self.limits.max_commit_ops).max(1);
        let max_bytes = COMMIT_BYTES.min(self.limits.max_commit_bytes);
        for (&seq, reply) in &self.line.replies {
            let Some(&(claim, mut next)) = part.replies.get(&seq) else { continue };
            while next < reply.chunks.len() {
                let rest = reply.chunks[next..].iter().take(max_chunks);
                let mut bytes = 0;
                let fits = rest.take_while(|chunk| {
                    bytes += chunk.len() as u64;
                    bytes <= max_bytes
                });
                // A single longer chunk was checked against the store's limit before.
                let end = next + fits.count().max(1);
                let chunks = reply.chunks[next..end].to_vec();
                let extension = Extension::new(seq, claim, next as u64, chunks);
                match self.store.extend(&self.line.id, extension).await? {
                    ExtendOutcome::Extended(_) => {}
                    ExtendOutcome::Ended | ExtendOutcome::Gap(_) => return Ok(false),
                }
                self.chunks += (end - next) as u64;
                next = end;
            }
        }
        Ok(true)
    }
}

/// The stored chunks of a reply compared with the line.
enum StoredChunks {
    /// This number of chunks is stored, in order.
    Same(usize),
    /// Other chunks.
    Other,
    /// The reply ended while it was read.
    Ended,
}

fn is_equal(stored: &[u8], given: &str) -> bool {
    std::str::from_utf8(stored).is_ok_and(|stored| json::equal(stored, given))
}
