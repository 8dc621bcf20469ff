//! Commits, each one transaction.

use super::{find, reply};
use crate::schema;
use crate::sql::{MAX_INTEGER, Sql, SqlError, blob, integer, text};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::env::Random;
use durable_session::rows::{self, ChunkRow, ReplyRow};
use durable_session::store::{
    Claim, Commit, CommitOutcome, Expect, Head, Incarnation, Labels, NewMessage, Op, ReplyCounts,
    Salt, StoreError, StoreErrorKind, Version,
};
use std::collections::BTreeMap;
use worker::SqlStorageValue;

/// Why a transaction is rolled back.
enum Stop {
    /// The commit is refused: an outcome, not an error.
    Refused(Box<CommitOutcome>),
    Failed(StoreError),
}

const WRITE: &str = "could not write the commit";

impl Stop {
    fn refused(outcome: CommitOutcome) -> Self {
        Self::Refused(Box::new(outcome))
    }
}

impl From<SqlError> for Stop {
    fn from(e: SqlError) -> Self {
        Self::Failed(e.into_store(WRITE))
    }
}

impl From<StoreError> for Stop {
    fn from(e: StoreError) -> Self {
        Self::Failed(e)
    }
}

/// The object in which a commit is made.
#[derive(Clone, Copy)]
pub(crate) struct Object<'a> {
    pub(crate) sql: &'a Sql,
    pub(crate) random: &'a dyn Random,
    /// The tables' salt; `None` if there are no tables yet.
    pub(crate) salt: Option<Salt>,
}

/// Applies `commit` whole or not at all.
pub(crate) fn commit(
    object: Object<'_>,
    id: &SessionId,
    commit: Commit,
) -> Result<CommitOutcome, StoreError> {
    let Object { sql, random, salt } = object;
    let salted = |head: Head| head.salted(salt.unwrap_or_default());
    let done = sql.transaction(|| {
        let found = if salt.is_some() { find::session(sql, id)? } else { None };
        let only_appends = commit.only_appends();
        let mut work = match (commit.expect, found) {
            (Expect::Version { .. }, Some(found))
                if commit.expect == salted(found.current).expect() =>
            {
                Work {
                    sql,
                    id,
                    number: found.number,
                    first_new: found.current.next_seq,
                    head: found.current.advanced(&commit),
                    labels: found.row.labels,
                    app: found.row.app,
                    staged: BTreeMap::new(),
                }
            }
            (Expect::Absent { created_at, incarnation }, None) => {
                if salt.is_none() {
                    schema::create(sql)?;
                }
                let incarnation = match incarnation {
                    Some(incarnation) => incarnation,
                    None => draw(random)?,
                };
                Work {
                    sql,
                    id,
                    number: new_number(sql, id)?,
                    first_new: 1,
                    head: Head::created(&commit, Version::new(incarnation, 1), created_at),
                    labels: Labels::NONE,
                    app: Bytes::new(),
                    staged: BTreeMap::new(),
                }
            }
            (_, found) => {
                let current = found.map(|found| salted(found.current).version);
                return Err(Stop::refused(CommitOutcome::Conflict { current }));
            }
        };
        for op in commit.ops {
            work.apply(op)?;
        }
        work.finish(only_appends)
    });
    match done {
        Ok(head) => Ok(CommitOutcome::Committed(salted(head))),
        Err(Stop::Refused(outcome)) => Ok(*outcome),
        Err(Stop::Failed(e)) => Err(e.in_session(id)),
    }
}

fn draw(random: &dyn Random) -> Result<Incarnation, StoreError> {
    Incarnation::draw(random).map_err(|e| {
        StoreError::new(StoreErrorKind::Unavailable, "could not draw the new session's incarnation")
            .with_source(e)
    })
}

/// Gives a session that begins a number of its own.
fn new_number(sql: &Sql, id: &SessionId) -> Result<u64, Stop> {
    let number =
        schema::meta(sql, "next_number")?.filter(|number| *number < MAX_INTEGER).ok_or_else(
            || StoreError::new(StoreErrorKind::Internal, "the object has no session number left"),
        )?;
    schema::set_meta(sql, "next_number", number + 1)?;
    sql.run(
        "INSERT INTO durable_session_numbers (id, row) VALUES (?, ?)",
        vec![text(id.as_str()), blob(rows::encode_number(id, number))],
    )?;
    Ok(number)
}

/// A commit under way.
///
/// Removals are written at once. Messages are staged and written at the end, because their rows
/// carry the head.
struct Work<'a> {
    sql: &'a Sql,
    id: &'a SessionId,
    number: u64,
    /// The first seq that was free before the commit.
    first_new: u64,
    /// The running head: staged messages count as written.
    head: Head,
    labels: Labels,
    app: Bytes,
    staged: BTreeMap<u64, NewMessage>,
}

impl Work<'_> {
    fn apply(&mut self, op: Op) -> Result<(), Stop> {
        match op {
            Op::Append(message) => self.append(message)?,
            Op::Replace { seq, message } => self.replace(seq, message)?,
            Op::Remove { first, last } => self.remove(first, last)?,
            Op::SetApp(app) => self.app = app,
            Op::SetLabels(labels) => self.labels = labels,
            Op::Close { seq, claim, counts, message } => {
                match self.open_reply(seq, claim)? {
                    Some(has) if has == counts => {}
                    Some(counts) => return Err(Stop::refused(CommitOutcome::Grew { seq, counts })),
                    None => return Err(Stop::refused(CommitOutcome::ReplyEnded { seq })),
                }
                self.replace(seq, message)?;
            }
        }
        Ok(())
    }

    fn append(&mut self, message: NewMessage) -> Result<(), Stop> {
        let seq = self.head.next_seq;
        if seq >= MAX_INTEGER {
            return Err(
                StoreError::new(StoreErrorKind::Internal, "the session has no seq left").into()
            );
        }
        self.head.next_seq = seq + 1;
        self.head.messages += 1;
        self.head.bytes = self.head.bytes.saturating_add(message.body.len() as u64);
        self.staged.insert(seq, message);
        Ok(())
    }

    fn replace(&mut self, seq: u64, message: NewMessage) -> Result<(), Stop> {
        let old = match self.staged.get(&seq) {
            Some(staged) => staged.body.len() as u64,
            None => self
                .sql
                .first(
                    "SELECT MAX(length(row) - ?, 0) FROM durable_session_messages \
                     WHERE n = ? AND seq = ?",
                    vec![
                        integer(rows::MESSAGE_OVERHEAD as u64),
                        integer(self.number),
                        integer(seq),
                    ],
                )?
                .map(|row| row.integer(0))
                .transpose()?
                .ok_or_else(|| Stop::refused(CommitOutcome::NoSuchSeq { seq }))?,
        };
        self.head.bytes =
            self.head.bytes.saturating_sub(old).saturating_add(message.body.len() as u64);
        self.staged.insert(seq, message);
        Ok(())
    }

    /// The counts of the reply that is open on the message under this claim, at this point of the
    /// commit.
    fn open_reply(&self, seq: u64, claim: Claim) -> Result<Option<ReplyCounts>, StoreError> {
        if let Some(staged) = self.staged.get(&seq) {
            let opens = staged.opens.as_ref().filter(|opens| opens.claim == claim);
            return Ok(opens.map(|_| ReplyCounts::default()));
        }
        let open = reply::at(self.sql, self.id, self.number, seq)?;
        let Some(open) = open.filter(|open| open.opening.claim == claim) else { return Ok(None) };
        let last = reply::last_chunks(self.sql, self.id, self.number, seq)?;
        Ok(Some(ReplyCounts { chunks: last.as_ref().map_or(0, ChunkRow::end), beats: open.beats }))
    }

    /// Removes by key and length alone, so that a damaged row can be removed, too (S4).
    fn remove(&mut self, first: u64, last: u64) -> Result<(), Stop> {
        if first > last {
            return Ok(());
        }
        // The table still has the old row of a message that this commit replaced before; its length
        // must not be subtracted again.
        let staged: Vec<u64> = self.staged.range(first..=last).map(|(&seq, _)| seq).collect();
        for seq in staged {
            let Some(message) = self.staged.remove(&seq) else { continue };
            self.head.messages = self.head.messages.saturating_sub(1);
            self.head.bytes = self.head.bytes.saturating_sub(message.body.len() as u64);
            if seq < self.first_new {
                self.delete_messages(seq, seq)?;
            }
        }
        let removed = self.sql.first(
            "SELECT COUNT(*), COALESCE(SUM(MAX(length(row) - ?, 0)), 0) \
             FROM durable_session_messages WHERE n = ? AND seq BETWEEN ? AND ?",
            vec![
                integer(rows::MESSAGE_OVERHEAD as u64),
                integer(self.number),
                integer(first),
                integer(last),
            ],
        )?;
        if let Some(removed) = removed {
            self.head.messages = self.head.messages.saturating_sub(removed.integer(0)?);
            self.head.bytes = self.head.bytes.saturating_sub(removed.integer(1)?);
        }
        self.delete_messages(first, last)?;
        reply::remove(self.sql, self.number, first, last)?;
        reply::remove_chunks(self.sql, self.number, first, last)?;
        Ok(())
    }

    fn delete_messages(&self, first: u64, last: u64) -> Result<(), SqlError> {
        self.sql.run(
            "DELETE FROM durable_session_messages WHERE n = ? AND seq BETWEEN ? AND ?",
            vec![integer(self.number), integer(first), integer(last)],
        )
    }

    /// Writes the staged messages. A commit of appends alone does not write the head row: its last
    /// message carries the head.
    fn finish(self, only_appends: bool) -> Result<Head, Stop> {
        // The row of a new message carries the head up to that message; the row of a replaced one
        // carries the head after the commit.
        let mut running = self.head;
        for message in self.staged.range(self.first_new..).map(|(_, message)| message) {
            running.messages = running.messages.saturating_sub(1);
            running.bytes = running.bytes.saturating_sub(message.body.len() as u64);
        }
        for (&seq, message) in &self.staged {
            if seq < self.first_new {
                self.write(seq, message, &self.head)?;
                reply::remove_chunks(self.sql, self.number, seq, seq)?;
                if message.opens.is_none() {
                    reply::remove(self.sql, self.number, seq, seq)?;
                }
            } else {
                running.messages += 1;
                running.bytes = running.bytes.saturating_add(message.body.len() as u64);
                self.write(seq, message, &running)?;
            }
            if let Some(opens) = &message.opens {
                let body_bytes = message.body.len() as u64;
                let row = ReplyRow { opening: (**opens).clone(), body_bytes, beats: 0 };
                reply::write(self.sql, self.number, seq, &row)?;
            }
        }
        if !only_appends {
            write_head(self.sql, self.id, self.number, &self.head, &self.labels, &self.app)?;
        }
        Ok(self.head)
    }

    fn write(&self, seq: u64, message: &NewMessage, head: &Head) -> Result<(), SqlError> {
        let NewMessage { body, tag, .. } = message;
        let tag_row = if body.len() > rows::LARGE_BODY {
            blob(rows::encode_tag(self.number, seq, *tag))
        } else {
            SqlStorageValue::Null
        };
        self.sql.run(
            "INSERT INTO durable_session_messages (n, seq, tag, row) VALUES (?, ?, ?, ?)
             ON CONFLICT (n, seq) DO UPDATE SET tag = excluded.tag, row = excluded.row",
            vec![
                integer(self.number),
                integer(seq),
                tag_row,
                blob(rows::encode_message(self.number, head, seq, *tag, body)),
            ],
        )
    }
}

pub(super) fn write_head(
    sql: &Sql,
    id: &SessionId,
    number: u64,
    head: &Head,
    labels: &Labels,
    app: &[u8],
) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO durable_session_heads (n, row) VALUES (?, ?) \
         ON CONFLICT (n) DO UPDATE SET row = excluded.row",
        vec![integer(number), blob(rows::encode_head(number, id, head, labels, app))],
    )
}
