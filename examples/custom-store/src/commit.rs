//! Commits and extensions. Each is staged beside the index, written as one frame, and only then
//! added to the index (S1).

use crate::LIMITS;
use crate::log::Record;
use crate::sessions::Sessions;
use durable_session::SessionId;
use durable_session::env::SystemRandom;
use durable_session::rows::{self, ReplyRow};
use durable_session::store::{
    Claim, Commit, CommitOutcome, Expect, ExtendOutcome, Extension, Head, Incarnation, NewMessage,
    Op, ReplyCounts, StoreError, StoreErrorKind, Version,
};
use std::collections::BTreeMap;

/// The frame of a commit that is being put together.
struct Staged {
    number: u64,
    head: Head,
    records: Vec<Record>,
    rows: Vec<u8>,
    /// The changed messages; `None` for a removed one.
    changed: BTreeMap<u64, Option<Changed>>,
}

/// A message that the commit has written.
#[derive(Clone, Copy)]
struct Changed {
    /// The length of its row.
    len: u32,
    /// The claim of the reply that it opens.
    claim: Option<Claim>,
}

impl Sessions {
    pub(crate) fn commit(
        &mut self,
        id: &SessionId,
        commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        let current = match self.index.get(id) {
            Some(session) => Some((session.number, session.head.clone()?)),
            None => None,
        };
        let (number, head) = match (commit.expect, current) {
            (Expect::Absent { created_at, incarnation }, None) => {
                let incarnation = incarnation.map_or_else(|| draw_incarnation(id), Ok)?;
                let first = Version::new(incarnation, 1).salted(self.salt);
                (self.next_number, Head::created(&commit, first, created_at))
            }
            (Expect::Version { .. }, Some((number, head))) if commit.expect == head.expect() => {
                (number, head.advanced(&commit))
            }
            _ => {
                return Ok(CommitOutcome::Conflict {
                    current: current.map(|(_, head)| head.version),
                });
            }
        };
        let only_appends = commit.only_appends();
        let mut staged = Staged {
            number,
            head,
            records: Vec::new(),
            rows: Vec::new(),
            changed: BTreeMap::new(),
        };

        let (mut labels, mut app) = (None, None);
        for op in commit.ops {
            match op {
                Op::Append(message) => staged.append(message)?,
                Op::Replace { seq, message } => {
                    let Some(old) = self.row_length(id, &staged, seq) else {
                        return Ok(CommitOutcome::NoSuchSeq { seq });
                    };
                    staged.replace(seq, old, message)?;
                }
                Op::Close { seq, claim, counts, message } => {
                    let has = match self.open_reply(id, &staged, seq)? {
                        Some((holder, has)) if holder == claim => has,
                        _ => return Ok(CommitOutcome::ReplyEnded { seq }),
                    };
                    if has != counts {
                        return Ok(CommitOutcome::Grew { seq, counts: has });
                    }
                    let old = self.row_length(id, &staged, seq).unwrap_or_default();
                    staged.replace(seq, old, message)?;
                }
                Op::Remove { first, last } if first <= last => {
                    self.remove(id, &mut staged, first, last);
                }
                Op::Remove { .. } => {}
                Op::SetApp(bytes) => app = Some(bytes),
                Op::SetLabels(new) => labels = Some(new),
            }
        }
        // The message rows of a commit that only appends have its head; other commits need a head
        // row.
        if !only_appends {
            let (old_labels, old_app) = match current {
                Some(_) => self.labels_and_app(id)?,
                None => Default::default(),
            };
            let (labels, app) = (labels.unwrap_or(old_labels), app.unwrap_or(old_app));
            let row = rows::encode_head(number, id, &staged.head.salted(self.salt), &labels, &app);
            let len = staged.add_row(&row)?;
            staged.records.push(Record::Head { len });
        }
        self.write(id, number, staged.records, &staged.rows)?;
        Ok(CommitOutcome::Committed(staged.head))
    }

    pub(crate) fn extend(
        &mut self,
        id: &SessionId,
        extension: &Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        let seq = extension.seq;
        let Some(session) = self.index.get(id) else { return Ok(ExtendOutcome::Ended) };
        let (Some(reply), Some(message)) = (session.replies.get(&seq), session.messages.get(&seq))
        else {
            return Ok(ExtendOutcome::Ended);
        };
        let mut now = reply.now()?;
        if now.claim != extension.claim {
            return Ok(ExtendOutcome::Ended);
        }
        let number = session.number;
        if extension.chunks.is_empty() {
            now.counts.beats += 1;
            self.write(id, number, vec![Record::Beat { seq }], &[])?;
            return Ok(ExtendOutcome::Extended(now.counts));
        }
        let offset = now.counts.chunks;
        let news = match extension.news(offset) {
            None => return Ok(ExtendOutcome::Gap(now.counts)),
            Some([]) => return Ok(ExtendOutcome::Extended(now.counts)),
            Some(news) => news,
        };
        now.counts.chunks += news.len() as u64;
        now.bytes += news.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        LIMITS.check_reply(id, rows::body_bytes(message.row.len as usize) + now.bytes)?;
        let row = rows::encode_chunks(number, seq, offset, now.bytes, news);
        let (chunks, bytes, len) = (now.counts.chunks, now.bytes, length(&row)?);
        self.write(id, number, vec![Record::Chunks { seq, offset, chunks, bytes, len }], &row)?;
        Ok(ExtendOutcome::Extended(now.counts))
    }

    /// The length of a message's row at this point of the commit.
    fn row_length(&self, id: &SessionId, staged: &Staged, seq: u64) -> Option<u32> {
        match staged.changed.get(&seq) {
            Some(changed) => Some(changed.as_ref()?.len),
            None => Some(self.index.get(id)?.messages.get(&seq)?.row.len),
        }
    }

    /// The claim and the counts of the open reply at `seq` at this point of the commit.
    fn open_reply(
        &self,
        id: &SessionId,
        staged: &Staged,
        seq: u64,
    ) -> Result<Option<(Claim, ReplyCounts)>, StoreError> {
        if let Some(changed) = staged.changed.get(&seq) {
            let claim = changed.and_then(|changed| changed.claim);
            return Ok(claim.map(|claim| (claim, ReplyCounts::default())));
        }
        match self.index.get(id).and_then(|session| session.replies.get(&seq)) {
            Some(reply) => reply.now().map(|now| Some((now.claim, now.counts))),
            None => Ok(None),
        }
    }

    fn remove(&self, id: &SessionId, staged: &mut Staged, first: u64, last: u64) {
        let stored =
            self.index.get(id).into_iter().flat_map(|session| session.messages.range(first..=last));
        let mut gone: BTreeMap<u64, Option<u32>> =
            stored.map(|(&seq, message)| (seq, Some(message.row.len))).collect();
        let changed = staged.changed.range(first..=last);
        gone.extend(changed.map(|(&seq, changed)| (seq, changed.map(|changed| changed.len))));
        for (seq, len) in gone {
            if let Some(len) = len {
                staged.head.messages = staged.head.messages.saturating_sub(1);
                staged.subtract(len);
            }
            staged.changed.insert(seq, None);
        }
        staged.records.push(Record::Remove { first, last });
    }
}

impl Staged {
    fn append(&mut self, message: NewMessage) -> Result<(), StoreError> {
        let seq = self.head.next_seq;
        self.head.next_seq += 1;
        self.head.messages += 1;
        self.head.bytes += message.body.len() as u64;
        self.write(seq, message)
    }

    fn replace(&mut self, seq: u64, old: u32, message: NewMessage) -> Result<(), StoreError> {
        self.subtract(old);
        self.head.bytes += message.body.len() as u64;
        self.write(seq, message)
    }

    /// Subtracts the length of a body, which follows from the length of its row: so a damaged
    /// message can be removed, too (S4). A row of another session may be longer than all of this
    /// one.
    fn subtract(&mut self, len: u32) {
        self.head.bytes = self.head.bytes.saturating_sub(rows::body_bytes(len as usize));
    }

    fn write(
        &mut self,
        seq: u64,
        NewMessage { body, tag, opens }: NewMessage,
    ) -> Result<(), StoreError> {
        let len = self.add_row(&rows::encode_message(self.number, &self.head, seq, tag, &body))?;
        let claim = opens.as_ref().map(|opening| opening.claim);
        self.changed.insert(seq, Some(Changed { len, claim }));
        self.records.push(Record::Message { seq, tag: tag.to_bits(), len });
        if let Some(opening) = opens {
            let reply = ReplyRow { opening: *opening, body_bytes: body.len() as u64, beats: 0 };
            let len = self.add_row(&rows::encode_reply(self.number, seq, &reply))?;
            self.records.push(Record::Reply { seq, len });
        }
        Ok(())
    }

    fn add_row(&mut self, row: &[u8]) -> Result<u32, StoreError> {
        self.rows.extend_from_slice(row);
        length(row)
    }
}

fn length(row: &[u8]) -> Result<u32, StoreError> {
    u32::try_from(row.len())
        .map_err(|_| StoreError::new(StoreErrorKind::TooLarge, "the row is larger than 4 GiB"))
}

fn draw_incarnation(id: &SessionId) -> Result<Incarnation, StoreError> {
    Incarnation::draw(&SystemRandom).map_err(|e| {
        StoreError::new(StoreErrorKind::Unavailable, "could not draw the new session's incarnation")
            .in_session(id)
            .with_source(e)
    })
}
