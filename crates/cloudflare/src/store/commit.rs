//! Writing: commits and deletes, each one transaction.

use super::{bounded_seq, failed, find};
use crate::schema;
use crate::sql::{MAX_INTEGER, Sql, SqlError, integer, text};
use crate::takeover;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::env::Random;
use durable_session::rows;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Expect, Head, Incarnation, Op, StoreError,
    StoreErrorKind, Version,
};
use find::Found;
use std::collections::BTreeMap;
use worker::SqlStorageValue;

/// Why a transaction ends without a trace.
enum Stop {
    /// The commit is refused on its own grounds: an outcome, not an error.
    Refused(CommitOutcome),
    Failed(StoreError),
}

const WRITE: &str = "could not write the commit";

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

/// Applies `commit` whole or not at all. `tables` says whether the tables are there.
pub(crate) fn commit(
    sql: &Sql,
    random: &dyn Random,
    tables: bool,
    id: &SessionId,
    commit: Commit,
) -> Result<CommitOutcome, StoreError> {
    let done = sql.transaction(|| {
        let found = if tables { find::session(sql, id)? } else { None };
        let (start, appends) = match (commit.expect, found) {
            (Expect::Version(expected), Some(found)) if found.current.version == expected => {
                let appends =
                    !commit.ops.is_empty() && commit.ops.iter().all(|op| matches!(op, Op::Append(_)));
                (found, appends)
            }
            (Expect::Absent { created_at }, None) => {
                if !tables {
                    schema::create(sql)?;
                }
                (create(sql, random, id, created_at)?, false)
            }
            (_, found) => {
                let current = found.map(|found| found.current.version);
                return Err(Stop::Refused(CommitOutcome::Conflict { current }));
            }
        };
        let mut work = Work::new(sql, id, start, commit.at);
        for op in commit.ops {
            work.apply(op)?;
        }
        work.finish(appends)
    });
    match done {
        Ok(head) => Ok(CommitOutcome::Committed(head)),
        Err(Stop::Refused(outcome)) => Ok(outcome),
        Err(Stop::Failed(e)) => Err(e.in_session(id)),
    }
}

/// The session before its first commit: a number of its own, and no head row yet.
fn create(sql: &Sql, random: &dyn Random, id: &SessionId, created_at: u64) -> Result<Found, Stop> {
    let mut incarnation = [0; 16];
    random.fill(&mut incarnation).map_err(|e| {
        StoreError::new(StoreErrorKind::Unavailable, "could not draw the new session's incarnation")
            .with_source(e)
    })?;
    let number = schema::meta(sql, "next_number")?
        .filter(|number| *number < MAX_INTEGER)
        .ok_or_else(|| StoreError::new(StoreErrorKind::Internal, "the object has no next session number"))?;
    schema::set_meta(sql, "next_number", number + 1)?;
    sql.run(
        "INSERT INTO durable_session_numbers (id, row) VALUES (?, ?)",
        vec![text(id.as_str()), SqlStorageValue::Blob(rows::encode_number(id, number).to_vec())],
    )?;
    let version = Version::new(Incarnation::from_bytes(incarnation), 0);
    let head = Head::new(version, created_at);
    Ok(Found { number, stored: head, current: head, app: Bytes::new() })
}

/// A commit under way.
struct Work<'a> {
    sql: &'a Sql,
    id: &'a SessionId,
    number: u64,
    /// The running head.
    head: Head,
    app: Bytes,
    /// Replaced messages are written at the end, since their rows carry the head after the commit.
    replaced: BTreeMap<u64, Bytes>,
}

impl<'a> Work<'a> {
    fn new(sql: &'a Sql, id: &'a SessionId, start: Found, at: u64) -> Self {
        let mut head = start.current;
        head.version = head.version.next();
        head.last_accessed_at = head.last_accessed_at.max(at);
        Self { sql, id, number: start.number, head, app: start.app, replaced: BTreeMap::new() }
    }

    fn apply(&mut self, op: Op) -> Result<(), Stop> {
        match op {
            Op::Append(body) => self.append(&body),
            Op::Replace { seq, body } => self.replace(seq, body),
            Op::Remove { first, last } => self.remove(first, last),
            Op::SetApp(app) => {
                self.app = app;
                Ok(())
            }
        }
    }

    fn append(&mut self, body: &[u8]) -> Result<(), Stop> {
        let seq = self.head.next_seq;
        if seq >= MAX_INTEGER {
            return Err(StoreError::new(StoreErrorKind::Internal, "the session has no seqs left").into());
        }
        self.head.next_seq = seq + 1;
        self.head.messages += 1;
        self.head.bytes = self.head.bytes.saturating_add(body.len() as u64);
        let row = rows::encode_message(self.number, &self.head, seq, body);
        self.sql.run(
            "INSERT INTO durable_session_messages (n, seq, row) VALUES (?, ?, ?)",
            vec![integer(self.number), integer(seq), SqlStorageValue::Blob(row)],
        )?;
        Ok(())
    }

    fn replace(&mut self, seq: u64, body: Bytes) -> Result<(), Stop> {
        let old = match self.replaced.get(&seq) {
            Some(staged) => staged.len() as u64,
            None => self
                .sql
                .first(
                    "SELECT length(row) FROM durable_session_messages WHERE n = ? AND seq = ?",
                    vec![integer(self.number), integer(bounded_seq(seq))],
                )?
                .map(|row| row.integer(0))
                .transpose()?
                .map(body_bytes)
                .ok_or(Stop::Refused(CommitOutcome::NoSuchSeq { seq }))?,
        };
        self.head.bytes = self.head.bytes.saturating_sub(old).saturating_add(body.len() as u64);
        self.replaced.insert(seq, body);
        Ok(())
    }

    /// Removes by key and length alone, so that a row nobody can read goes like any other (S4).
    fn remove(&mut self, first: u64, last: u64) -> Result<(), Stop> {
        if first > last {
            return Ok(());
        }
        // What was replaced earlier in this commit has its old length in the table.
        let staged: Vec<u64> = self.replaced.range(first..=last).map(|(&seq, _)| seq).collect();
        self.write_replaced(&staged)?;
        let range = || vec![integer(self.number), integer(bounded_seq(first)), integer(bounded_seq(last))];
        let removed = self.sql.first(
            "SELECT COUNT(*), COALESCE(SUM(MAX(length(row) - ?, 0)), 0) FROM durable_session_messages
             WHERE n = ? AND seq BETWEEN ? AND ?",
            [vec![integer(rows::MESSAGE_OVERHEAD as u64)], range()].concat(),
        )?;
        if let Some(removed) = removed {
            self.head.messages = self.head.messages.saturating_sub(removed.integer(0)?);
            self.head.bytes = self.head.bytes.saturating_sub(removed.integer(1)?);
        }
        self.sql.run("DELETE FROM durable_session_messages WHERE n = ? AND seq BETWEEN ? AND ?", range())?;
        Ok(())
    }

    fn write_replaced(&mut self, seqs: &[u64]) -> Result<(), Stop> {
        for seq in seqs {
            let Some(body) = self.replaced.remove(seq) else { continue };
            let row = rows::encode_message(self.number, &self.head, *seq, &body);
            self.sql.run(
                "UPDATE durable_session_messages SET row = ? WHERE n = ? AND seq = ?",
                vec![SqlStorageValue::Blob(row), integer(self.number), integer(bounded_seq(*seq))],
            )?;
        }
        Ok(())
    }

    /// Writes what is left to write. A commit of nothing but `appends` leaves the head row alone: its last message
    /// carries the head.
    fn finish(mut self, appends: bool) -> Result<Head, Stop> {
        let staged: Vec<u64> = self.replaced.keys().copied().collect();
        self.write_replaced(&staged)?;
        if !appends {
            self.head.base = self.head.version;
            write_head(self.sql, self.id, self.number, &self.head, &self.app)?;
        }
        Ok(self.head)
    }
}

/// The body's length in a row of this length.
fn body_bytes(row: u64) -> u64 {
    row.saturating_sub(rows::MESSAGE_OVERHEAD as u64)
}

pub(super) fn write_head(
    sql: &Sql,
    id: &SessionId,
    number: u64,
    head: &Head,
    app: &[u8],
) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO durable_session_heads (n, row) VALUES (?, ?) ON CONFLICT (n) DO UPDATE SET row = excluded.row",
        vec![integer(number), SqlStorageValue::Blob(rows::encode_head(number, id, head, app))],
    )
}

const DELETE: &str = "could not delete the session";

pub(super) fn delete(sql: &Sql, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, StoreError> {
    // Nothing can come between these steps: an object runs one thing at a time, and none of them waits.
    let number = match condition {
        DeleteIf::Any => match find::number_anyway(sql, id)? {
            Some(numbered) => numbered.number,
            None => return Ok(DeleteOutcome::Absent),
        },
        DeleteIf::Version(_) | DeleteIf::IdleSince(_) => {
            let Some(found) = find::session(sql, id)? else { return Ok(DeleteOutcome::Absent) };
            let holds = match condition {
                DeleteIf::Any => true,
                DeleteIf::Version(expected) => found.current.version == expected,
                DeleteIf::IdleSince(time) => found.current.last_accessed_at <= time,
            };
            if !holds {
                return Ok(DeleteOutcome::Conflict { current: found.current.version });
            }
            Some(found.number)
        }
    };
    sql.transaction(|| {
        if let Some(number) = number {
            sql.run("DELETE FROM durable_session_messages WHERE n = ?", vec![integer(number)])?;
            sql.run("DELETE FROM durable_session_heads WHERE n = ?", vec![integer(number)])?;
        }
        // What the session was taken over from must not come back in its place.
        if let Some(taken) = schema::meta(sql, takeover::MARKER)?
            && number.is_none_or(|number| number == taken)
        {
            sql.delete_key(takeover::KEY)?;
        }
        sql.run("DELETE FROM durable_session_numbers WHERE id = ?", vec![text(id.as_str())])
    })
    .map_err(failed(id, DELETE))?;
    Ok(DeleteOutcome::Deleted)
}
