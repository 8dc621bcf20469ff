//! The commit: staged beside the index, written as one frame, and only then taken in (S1).

use crate::log::Record;
use crate::sessions::Sessions;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::env::{Random, SystemRandom};
use durable_session::rows;
use durable_session::store::{
    Commit, CommitOutcome, Expect, Head, Incarnation, Op, StoreError, StoreErrorKind, Version,
};
use std::collections::BTreeMap;

/// A commit's frame as it is put together.
struct Staged {
    number: u64,
    head: Head,
    records: Vec<Record>,
    rows: Vec<u8>,
    /// The length of each changed message's row; `None` for a removed message.
    changed: BTreeMap<u64, Option<u32>>,
}

impl Sessions {
    pub(crate) fn commit(&mut self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        let current = match self.index.get(id) {
            Some(session) => Some(session.head.clone()?),
            None => None,
        };
        let (number, head) = match (commit.expect, current, self.index.get(id)) {
            (Expect::Absent { created_at }, None, _) => (self.next_number, new_head(id, created_at)?),
            (Expect::Version(expected), Some(head), Some(session)) if head.version == expected => {
                (session.number, Head { version: expected.next(), ..head })
            }
            _ => return Ok(CommitOutcome::Conflict { current: current.map(|head| head.version) }),
        };
        let creates = current.is_none();
        // An empty commit makes a new version, too: without a message row, a head row has to say so.
        let only_grows =
            !creates && !commit.ops.is_empty() && commit.ops.iter().all(|op| matches!(op, Op::Append(_)));
        let mut staged =
            Staged { number, head, records: Vec::new(), rows: Vec::new(), changed: BTreeMap::new() };
        staged.head.last_accessed_at = head.last_accessed_at.max(commit.at);

        let mut app = None;
        for op in commit.ops {
            match op {
                Op::Append(body) => staged.append(&body)?,
                Op::Replace { seq, body } => {
                    let Some(old) = self.row_length(id, &staged, seq) else {
                        return Ok(CommitOutcome::NoSuchSeq { seq });
                    };
                    staged.replace(seq, old, &body)?;
                }
                Op::Remove { first, last } if first <= last => self.remove(id, &mut staged, first, last),
                Op::Remove { .. } => {}
                Op::SetApp(bytes) => app = Some(bytes),
            }
        }
        if !only_grows {
            staged.head.base = staged.head.version;
            let app = match app {
                Some(app) => app,
                None if creates => Bytes::new(),
                None => self.head_row(id)?.1,
            };
            let row = rows::encode_head(number, id, &staged.head, &app);
            let len = staged.add_row(&row)?;
            staged.records.push(Record::Head { len });
        }
        self.write(id, number, staged.records, staged.rows)?;
        Ok(CommitOutcome::Committed(staged.head))
    }

    /// The length of a message's row at this point of the commit.
    fn row_length(&self, id: &SessionId, staged: &Staged, seq: u64) -> Option<u32> {
        match staged.changed.get(&seq) {
            Some(&changed) => changed,
            None => self.index.get(id)?.rows.get(&seq).map(|span| span.len),
        }
    }

    fn remove(&self, id: &SessionId, staged: &mut Staged, first: u64, last: u64) {
        let stored = self.index.get(id).into_iter().flat_map(|session| session.rows.range(first..=last));
        let mut gone: BTreeMap<u64, Option<u32>> = stored.map(|(&seq, span)| (seq, Some(span.len))).collect();
        gone.extend(staged.changed.range(first..=last));
        for (seq, len) in gone {
            // The row's length tells the body's: a damaged message can be removed, too (S4).
            if let Some(len) = len {
                staged.head.messages -= 1;
                staged.head.bytes -= rows::body_bytes(len as usize);
            }
            staged.changed.insert(seq, None);
        }
        staged.records.push(Record::Remove { first, last });
    }
}

impl Staged {
    fn append(&mut self, body: &[u8]) -> Result<(), StoreError> {
        let seq = self.head.next_seq;
        self.head.next_seq += 1;
        self.head.messages += 1;
        self.head.bytes += body.len() as u64;
        self.message(seq, body)
    }

    fn replace(&mut self, seq: u64, old: u32, body: &[u8]) -> Result<(), StoreError> {
        self.head.bytes = self.head.bytes - rows::body_bytes(old as usize) + body.len() as u64;
        self.message(seq, body)
    }

    fn message(&mut self, seq: u64, body: &[u8]) -> Result<(), StoreError> {
        let len = self.add_row(&rows::encode_message(self.number, &self.head, seq, body))?;
        self.changed.insert(seq, Some(len));
        self.records.push(Record::Message { seq, len });
        Ok(())
    }

    fn add_row(&mut self, row: &[u8]) -> Result<u32, StoreError> {
        self.rows.extend_from_slice(row);
        u32::try_from(row.len())
            .map_err(|_| StoreError::new(StoreErrorKind::TooLarge, "a row has at most 4 GiB"))
    }
}

fn new_head(id: &SessionId, created_at: u64) -> Result<Head, StoreError> {
    let mut incarnation = [0; 16];
    SystemRandom.fill(&mut incarnation).map_err(|e| {
        StoreError::new(StoreErrorKind::Unavailable, "could not draw the new session's incarnation")
            .in_session(id)
            .with_source(e)
    })?;
    Ok(Head::new(Version::new(Incarnation::from_bytes(incarnation), 1), created_at))
}
