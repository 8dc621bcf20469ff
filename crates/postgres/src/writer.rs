//! The tasks that make changes, each with a connection of its own.

use crate::change::{delete, extend, touch};
use crate::commit::{commit, is_small_append};
use crate::connection::{Connection, first};
use crate::error::Failure;
use crate::found::{signed, unsigned};
use crate::known::Entry;
use crate::queue::{Answer, Change, Request, Taken};
use crate::shared::Shared;
use crate::stats;
use crate::transaction::{Ended, Parameters, transact};
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{Commit, CommitOutcome, Head, Op};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use tokio_postgres::types::Type;

/// Makes changes until the store is closed and nothing waits any more.
pub(crate) async fn run(shared: Arc<Shared>, mut connection: Option<Connection>) {
    while let Some(Taken { requests: mut todo, appends }) = shared.queue.next().await {
        stats::add(&shared.counters.changes, todo.len());
        while !todo.is_empty() {
            let usable = connection.take().filter(|connection| !connection.is_closed());
            let current = match usable {
                Some(current) => current,
                None => match shared.connect().await {
                    Ok(current) => current,
                    Err(error) => {
                        for request in todo.drain(..) {
                            request.fail(error.clone());
                        }
                        break;
                    }
                },
            };
            if make(&current, &shared, &mut todo).await {
                connection = Some(current);
            }
        }
        shared.queue.made(appends);
    }
}

/// Makes requests and removes them; `false` if the connection is of no use any more. What is left
/// was not begun.
async fn make(connection: &Connection, shared: &Shared, todo: &mut VecDeque<Request>) -> bool {
    if !append_known(connection, shared, todo).await {
        return false;
    }
    while let Some(request) = todo.pop_front() {
        if !make_one(connection, shared, request).await {
            return false;
        }
    }
    true
}

async fn make_one(connection: &Connection, shared: &Shared, request: Request) -> bool {
    let Request { id, change } = request;
    shared.counters.batch(1);
    match change {
        Change::Commit(what, answer) => {
            let ended =
                transact(connection, shared, &id, |t| Box::pin(commit(t, &id, &what))).await;
            if matches!(ended.answer, Ok(CommitOutcome::Committed(_))) {
                stats::add(&shared.counters.commits, 1);
            }
            give(answer, ended)
        }
        Change::Extend(what, answer) => {
            let ended =
                transact(connection, shared, &id, |t| Box::pin(extend(t, &id, &what))).await;
            give(answer, ended)
        }
        Change::Touch(at, answer) => {
            let ended = transact(connection, shared, &id, |t| Box::pin(touch(t, &id, at))).await;
            give(answer, ended)
        }
        Change::Delete(condition, answer) => {
            let ended =
                transact(connection, shared, &id, |t| Box::pin(delete(t, &id, condition))).await;
            give(answer, ended)
        }
    }
}

fn give<T>(answer: Answer<T>, ended: Ended<T>) -> bool {
    // Nobody may wait for it any more.
    drop(answer.send(ended.answer));
    ended.usable
}

/// An append whose rows are ready, since the session is known.
struct Append {
    id: SessionId,
    commit: Commit,
    answer: Answer<CommitOutcome>,
    /// As it was before the append.
    entry: Entry,
    /// As it is after it.
    head: Head,
    rows: Vec<Vec<u8>>,
}

impl Append {
    fn prepare(
        connection: &Connection,
        shared: &Shared,
        request: Request,
    ) -> Result<Self, Request> {
        let Request { id, change: Change::Commit(commit, answer) } = request else {
            return Err(request);
        };
        let known = shared.known(&id, connection.salt).filter(|entry| {
            let head = entry.head.salted(connection.salt);
            is_small_append(&commit)
                && commit.expect == head.expect()
                && !entry.is_due(&commit)
                && shared.doubt_of(&id).is_none()
        });
        let Some(entry) = known else {
            return Err(Request { id, change: Change::Commit(commit, answer) });
        };
        let mut head = entry.head.advanced(&commit);
        let mut rows = Vec::with_capacity(commit.ops.len());
        for message in commit.ops.iter().filter_map(Op::message) {
            let seq = head.next_seq;
            head.next_seq += 1;
            head.messages += 1;
            head.bytes += message.body.len() as u64;
            rows.push(rows::encode_message(entry.number, &head, seq, message.tag, &message.body));
        }
        Ok(Self { id, commit, answer, entry, head, rows })
    }

    fn unprepare(self) -> Request {
        Request { id: self.id, change: Change::Commit(self.commit, self.answer) }
    }

    fn first_seq(&self) -> i64 {
        signed(self.entry.head.next_seq)
    }
}

/// Makes the appends to known sessions by one statement. Those that lose stay in `todo`: a look at
/// the session tells whether they conflict.
async fn append_known(
    connection: &Connection,
    shared: &Shared,
    todo: &mut VecDeque<Request>,
) -> bool {
    let mut appends = Vec::new();
    let mut rest = VecDeque::new();
    for request in todo.drain(..) {
        match Append::prepare(connection, shared, request) {
            Ok(append) => appends.push(append),
            Err(request) => rest.push_back(request),
        }
    }
    *todo = rest;
    if appends.is_empty() {
        return true;
    }
    shared.counters.batch(appends.len());
    let made = match appends.as_slice() {
        [append] if append.rows.len() == 1 => append_one(connection, shared, append).await,
        appends => append_all(connection, shared, appends).await,
    };
    match made {
        Ok(won) => {
            stats::add(&shared.counters.commits, won.len());
            for (at, append) in appends.into_iter().enumerate() {
                if won.contains(&at) {
                    shared.know(&append.id, Entry { head: append.head, ..append.entry });
                    shared.outbox.changed(append.entry.number);
                    let head = append.head.salted(connection.salt);
                    drop(append.answer.send(Ok(CommitOutcome::Committed(head))));
                } else {
                    shared.forget(&append.id);
                    todo.push_back(append.unprepare());
                }
            }
            true
        }
        // Nothing was changed. Each alone meets only its own reason.
        Err(Failure::Refused(_) | Failure::Request(_)) => {
            for append in appends {
                shared.forget(&append.id);
                todo.push_back(append.unprepare());
            }
            true
        }
        Err(failure @ Failure::Broken(_)) => {
            shared.doubt(appends.iter().map(|append| &append.id));
            let error = failure.perhaps_changed();
            for append in appends {
                append.unprepare().fail(error.clone());
            }
            false
        }
    }
}

async fn append_one(
    connection: &Connection,
    shared: &Shared,
    append: &Append,
) -> Result<HashSet<usize>, Failure> {
    let (number, seq) = (signed(append.entry.number), append.first_seq());
    let Some(row) = append.rows.first() else { return Ok(HashSet::new()) };
    let parameters: Parameters<'_> = vec![
        (&number, Type::INT8),
        (&append.entry.mark, Type::INT8),
        (&seq, Type::INT8),
        (row, Type::BYTEA),
    ];
    let rows = connection.query(&shared.sql.append_one, &parameters).await?;
    let won: Option<i64> = first(&rows)?.try_get(0)?;
    Ok(won.map(|_| 0).into_iter().collect())
}

async fn append_all(
    connection: &Connection,
    shared: &Shared,
    appends: &[Append],
) -> Result<HashSet<usize>, Failure> {
    let (mut numbers, mut marks, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut places, mut seqs, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
    for (place, append) in (1_i32..).zip(appends) {
        numbers.push(signed(append.entry.number));
        marks.push(append.entry.mark);
        firsts.push(append.first_seq());
        for (seq, row) in (append.first_seq()..).zip(&append.rows) {
            places.push(place);
            seqs.push(seq);
            bodies.push(row.as_slice());
        }
    }
    let parameters: Parameters<'_> = vec![
        (&numbers, Type::INT8_ARRAY),
        (&marks, Type::INT8_ARRAY),
        (&firsts, Type::INT8_ARRAY),
        (&places, Type::INT4_ARRAY),
        (&seqs, Type::INT8_ARRAY),
        (&bodies, Type::BYTEA_ARRAY),
    ];
    let rows = connection.query(&shared.sql.append, &parameters).await?;
    let mut won = HashSet::with_capacity(rows.len());
    for row in &rows {
        let place = unsigned(i64::from(row.try_get::<_, i32>(0)?));
        won.extend(usize::try_from(place).ok().and_then(|place| place.checked_sub(1)));
    }
    Ok(won)
}
