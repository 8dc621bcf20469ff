//! Commits that are more than small appends to a known session. The session's row is locked first;
//! what is read afterwards stays as it is until the commit.

use crate::connection::first;
use crate::error::{Failure, unavailable};
use crate::found::{Found, is_large, open_reply, signed, unsigned};
use crate::known::Entry;
use crate::shared::{Shared, draw_incarnation};
use crate::transaction::{Parameters, Transaction};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows::{self, ReplyRow};
use durable_session::store::{
    Claim, Commit, CommitOutcome, Expect, Head, Incarnation, Labels, NewMessage, Op, OpenReply,
    ReplyCounts, Version,
};
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// A creation that meets the end of another session of the id begins again, so many times.
const ATTEMPTS: usize = 16;

/// A message that is not yet written, and the totals that its row carries.
struct Written<'a> {
    message: &'a NewMessage,
    messages: u64,
    bytes: u64,
}

/// The state of the session while the operations are worked out, one after the other.
struct Plan<'a> {
    number: u64,
    head: Head,
    /// The time of the last change in the head row as it is stored.
    stored_changed_at: u64,
    labels: Labels,
    app: Option<&'a Bytes>,
    /// Messages that are not yet sent to the server.
    written: BTreeMap<u64, Written<'a>>,
    /// Those of them that the server has with another content.
    replaced: BTreeSet<u64>,
    /// The lengths of stored bodies that the operations in hand replace.
    lengths: BTreeMap<u64, u64>,
    /// The open replies on these messages.
    replies: BTreeMap<u64, OpenReply>,
}

pub(crate) async fn commit(
    transaction: &mut Transaction<'_>,
    id: &SessionId,
    commit: &Commit,
) -> Result<CommitOutcome, Failure> {
    match commit.expect {
        Expect::Absent { created_at, incarnation } => {
            create(transaction, id, commit, created_at, incarnation).await
        }
        Expect::Version { version, next_seq } => {
            change(transaction, id, commit, version, next_seq).await
        }
    }
}

async fn create(
    transaction: &mut Transaction<'_>,
    id: &SessionId,
    commit: &Commit,
    created_at: u64,
    incarnation: Option<Incarnation>,
) -> Result<CommitOutcome, Failure> {
    let shared = transaction.shared;
    let incarnation = incarnation.map_or_else(|| draw_incarnation(id), Ok)?;
    let number = shared.new_number(transaction.connection).await?;
    let head = Head::created(commit, Version::new(incarnation, 1), created_at);
    let mut plan = Plan::new(number, head, head.changed_at, Labels::NONE);
    // The operations of nearly every creation need no reading, so its first head row is its last.
    let simple =
        commit.ops.iter().all(|op| matches!(op, Op::Append(_) | Op::SetApp(_) | Op::SetLabels(_)));
    if simple {
        for op in &commit.ops {
            plan.take(op);
        }
    }
    let head_row = plan.head_row(id);
    let (number_column, id_text) = (signed(number), id.as_str());
    let (app, owner) = (plan.app_row(), plan.owner());
    let (listed_at, replying) = (plan.listed_at(), plan.opens_replies());
    let insert: Parameters<'_> = vec![
        (&number_column, Type::INT8),
        (&id_text, Type::TEXT),
        (&head_row, Type::BYTEA),
        (&app, Type::BYTEA),
        (&owner, Type::BYTEA),
        (&listed_at, Type::INT8),
        (&replying, Type::BOOL),
    ];
    let mut answers = transaction.begin(&[(&shared.sql.create, insert.clone())]).await?;
    for _ in 0..ATTEMPTS {
        let created = answers.first().is_some_and(|rows| !rows.is_empty());
        if created {
            if !simple && let Some(refusal) = plan.work_out(transaction, id, commit).await? {
                return Ok(refusal);
            }
            return plan.write(transaction, id, !simple, 1).await;
        }
        if let Some(found) = find(transaction, id).await? {
            let current = found.current.version.salted(transaction.connection.salt);
            return Ok(CommitOutcome::Conflict { current: Some(current) });
        }
        // It was there and was deleted in between.
        answers = transaction.all(&[(&shared.sql.create, insert.clone())]).await?;
    }
    Err(unavailable("the session is created and deleted again and again").into())
}

async fn change(
    transaction: &mut Transaction<'_>,
    id: &SessionId,
    commit: &Commit,
    version: Version,
    next_seq: u64,
) -> Result<CommitOutcome, Failure> {
    let Some(found) = lock(transaction, id).await? else {
        transaction.shared.forget(id);
        return Ok(CommitOutcome::Conflict { current: None });
    };
    let salt = transaction.connection.salt;
    let current = found.current.version.salted(salt);
    if current != version || found.current.next_seq != next_seq {
        transaction.shared.know(id, found.entry(salt));
        return Ok(CommitOutcome::Conflict { current: Some(current) });
    }
    let due = found.entry(salt).is_due(commit);
    let head = found.current.advanced(commit);
    let mut plan = Plan::new(found.number, head, found.stored.changed_at, found.labels);
    if let Some(refusal) = plan.work_out(transaction, id, commit).await? {
        return Ok(refusal);
    }
    // Other commits leave message rows, which carry all that they change in the head.
    let writes_head = due || !is_small_append(commit);
    plan.write(transaction, id, writes_head, found.mark).await
}

/// Whether the commit only appends complete messages whose rows are read as a whole.
pub(crate) fn is_small_append(commit: &Commit) -> bool {
    commit.only_appends()
        && commit.ops.iter().filter_map(Op::message).all(|m| m.opens.is_none() && !is_large(m))
}

/// Locks the session and reads its head.
pub(crate) async fn lock(
    transaction: &mut Transaction<'_>,
    id: &SessionId,
) -> Result<Option<Found>, Failure> {
    match lock_row(transaction, id).await? {
        Some(row) => decode_locked(id, &row).map(Some),
        None => Ok(None),
    }
}

pub(crate) async fn lock_row(
    transaction: &mut Transaction<'_>,
    id: &SessionId,
) -> Result<Option<Row>, Failure> {
    let id_text = id.as_str();
    let lock = &transaction.shared.sql.lock;
    let answers = transaction.begin(&[(lock, vec![(&id_text, Type::TEXT)])]).await?;
    Ok(answers.into_iter().next().and_then(|rows| rows.into_iter().next()))
}

pub(crate) fn decode_locked(id: &SessionId, row: &Row) -> Result<Found, Failure> {
    let last: Option<i64> = row.try_get(3)?;
    let last = last.map(|seq| Ok::<_, Failure>((seq, row.try_get(4)?))).transpose()?;
    Ok(Found::decode(id, row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, last)?)
}

async fn find(transaction: &Transaction<'_>, id: &SessionId) -> Result<Option<Found>, Failure> {
    let id_text = id.as_str();
    let sql = &transaction.shared.sql.head_of;
    let rows = transaction.query(sql, vec![(&id_text, Type::TEXT)]).await?;
    rows.first().map(|row| decode_listed(id, row)).transpose()
}

/// Decodes a row of the statements that end in the last message.
pub(crate) fn decode_listed(id: &SessionId, row: &Row) -> Result<Found, Failure> {
    let last: Option<i64> = row.try_get(4)?;
    let last = last.map(|seq| Ok::<_, Failure>((seq, row.try_get(5)?))).transpose()?;
    Ok(Found::decode(id, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, last)?)
}

impl<'a> Plan<'a> {
    fn new(number: u64, head: Head, stored_changed_at: u64, labels: Labels) -> Self {
        Self {
            number,
            head,
            stored_changed_at,
            labels,
            app: None,
            written: BTreeMap::new(),
            replaced: BTreeSet::new(),
            lengths: BTreeMap::new(),
            replies: BTreeMap::new(),
        }
    }

    /// Works out all operations, or finds a reason to refuse the commit. Removals are made at once,
    /// and so is what comes before them.
    async fn work_out(
        &mut self,
        transaction: &Transaction<'_>,
        id: &SessionId,
        commit: &'a Commit,
    ) -> Result<Option<CommitOutcome>, Failure> {
        let removes = |op: &Op| matches!(op, Op::Remove { .. });
        for run in commit.ops.chunk_by(|a, b| !removes(a) && !removes(b)) {
            if let [Op::Remove { first, last }] = run {
                self.flush(transaction).await?;
                self.remove(transaction, *first, *last).await?;
                continue;
            }
            self.read_ahead(transaction, id, run).await?;
            for op in run {
                if let Some(refusal) = self.take(op) {
                    return Ok(Some(refusal));
                }
            }
        }
        Ok(None)
    }

    /// Works out one operation that is no removal.
    fn take(&mut self, op: &'a Op) -> Option<CommitOutcome> {
        match op {
            Op::Append(message) => {
                self.head.messages += 1;
                self.head.bytes += message.body.len() as u64;
                self.put(self.head.next_seq, message);
                self.head.next_seq += 1;
            }
            Op::Replace { seq, message } => {
                let Some(old) = self.length(*seq) else {
                    return Some(CommitOutcome::NoSuchSeq { seq: *seq });
                };
                self.replace(*seq, old, message);
            }
            Op::Close { seq, claim, counts, message } => {
                let seq = *seq;
                match self.open_reply(seq) {
                    Some((holder, has)) if holder == *claim => {
                        if has != *counts {
                            return Some(CommitOutcome::Grew { seq, counts: has });
                        }
                    }
                    _ => return Some(CommitOutcome::ReplyEnded { seq }),
                }
                let old = self.length(seq).unwrap_or_default();
                self.replace(seq, old, message);
            }
            Op::SetApp(app) => self.app = Some(app),
            Op::SetLabels(labels) => self.labels = labels.clone(),
            Op::Remove { .. } => {}
        }
        None
    }

    fn put(&mut self, seq: u64, message: &'a NewMessage) {
        let written = Written { message, messages: self.head.messages, bytes: self.head.bytes };
        self.written.insert(seq, written);
    }

    fn replace(&mut self, seq: u64, old: u64, message: &'a NewMessage) {
        if self.lengths.contains_key(&seq) {
            self.replaced.insert(seq);
        }
        self.head.bytes = self.head.bytes.saturating_sub(old) + message.body.len() as u64;
        self.put(seq, message);
    }

    /// The length of the body that is at `seq` at this point of the commit.
    fn length(&self, seq: u64) -> Option<u64> {
        match self.written.get(&seq) {
            Some(written) => Some(written.message.body.len() as u64),
            None => self.lengths.get(&seq).copied(),
        }
    }

    /// The claim and the counts of the reply that is open at `seq` at this point of the commit.
    fn open_reply(&self, seq: u64) -> Option<(Claim, ReplyCounts)> {
        if let Some(written) = self.written.get(&seq) {
            let opens = written.message.opens.as_ref();
            return opens.map(|opens| (opens.claim, ReplyCounts::default()));
        }
        self.replies.get(&seq).map(|reply| (reply.claim, reply.counts))
    }

    /// Reads what the operations of a run need to know of stored messages.
    async fn read_ahead(
        &mut self,
        transaction: &Transaction<'_>,
        id: &SessionId,
        run: &[Op],
    ) -> Result<(), Failure> {
        let seqs = |closes: bool| {
            let seq = move |op: &Op| match op {
                Op::Replace { seq, .. } if !closes => Some(signed(*seq)),
                Op::Close { seq, .. } => Some(signed(*seq)),
                _ => None,
            };
            run.iter().filter_map(seq).collect::<BTreeSet<i64>>().into_iter().collect::<Vec<_>>()
        };
        let (all, closed) = (seqs(false), seqs(true));
        if all.is_empty() {
            return Ok(());
        }
        let sql = &transaction.shared.sql;
        let number = signed(self.number);
        let of = |seqs| -> Parameters<'_> { vec![(&number, Type::INT8), (seqs, Type::INT8_ARRAY)] };
        let mut statements = vec![(&*sql.lengths, of(&all))];
        if !closed.is_empty() {
            statements.push((&*sql.lock_replies, of(&closed)));
            statements.push((&*sql.last_chunk_of, of(&closed)));
        }
        let mut answers = transaction.all(&statements).await?.into_iter();
        for row in answers.next().unwrap_or_default() {
            let bytes = usize::try_from(row.try_get::<_, i32>(1)?).unwrap_or_default();
            self.lengths.insert(unsigned(row.try_get(0)?), rows::body_bytes(bytes));
        }
        let replies = answers.next().unwrap_or_default();
        let chunks = answers.next().unwrap_or_default();
        for reply in &replies {
            let seq: i64 = reply.try_get(0)?;
            let mut last = None;
            for chunk in &chunks {
                if chunk.try_get::<_, i64>(0)? == seq {
                    last = Some((chunk.try_get(1)?, chunk.try_get(2)?));
                }
            }
            let seq = unsigned(seq);
            let reply = open_reply(id, self.number, seq, reply.try_get(1)?, last)?;
            self.replies.insert(seq, reply);
        }
        Ok(())
    }

    async fn remove(
        &mut self,
        transaction: &Transaction<'_>,
        first_seq: u64,
        last_seq: u64,
    ) -> Result<(), Failure> {
        if first_seq > last_seq {
            return Ok(());
        }
        let sql = &transaction.shared.sql;
        let (number, low, high) = (signed(self.number), signed(first_seq), signed(last_seq));
        let range: Parameters<'_> =
            vec![(&number, Type::INT8), (&low, Type::INT8), (&high, Type::INT8)];
        // An extension in between holds its reply's row, so the chunks come after the replies.
        let statements = [&sql.remove_replies, &sql.remove_chunks, &sql.remove]
            .map(|statement| (&**statement, range.clone()));
        let answers = transaction.all(&statements).await?;
        let gone = first(answers.last().map_or(&[], |rows| rows))?;
        let (messages, bytes) = (unsigned(gone.try_get(0)?), unsigned(gone.try_get(1)?));
        self.head.messages = self.head.messages.saturating_sub(messages);
        self.head.bytes = self.head.bytes.saturating_sub(bytes);
        Ok(())
    }

    /// Sends what was worked out so far.
    async fn flush(&mut self, transaction: &Transaction<'_>) -> Result<(), Failure> {
        let rows = self.rows();
        transaction.all(&rows.statements(transaction.shared)).await?;
        self.written.clear();
        self.replaced.clear();
        self.lengths.clear();
        self.replies.clear();
        Ok(())
    }

    /// Sends the rest and commits.
    async fn write(
        self,
        transaction: &mut Transaction<'_>,
        id: &SessionId,
        writes_head: bool,
        mark: i64,
    ) -> Result<CommitOutcome, Failure> {
        let shared = transaction.shared;
        let rows = self.rows();
        let mut statements = rows.statements(shared);
        let head_row = self.head_row(id);
        let (number, owner, listed_at) = (signed(self.number), self.owner(), self.listed_at());
        let app = self.app_row();
        if writes_head {
            let mut head: Parameters<'_> = vec![
                (&number, Type::INT8),
                (&head_row, Type::BYTEA),
                (&owner, Type::BYTEA),
                (&listed_at, Type::INT8),
            ];
            statements.push(if app.is_some() {
                head.push((&app, Type::BYTEA));
                (&shared.sql.put_head_and_app, head)
            } else {
                (&shared.sql.put_head, head)
            });
        }
        let answers = transaction.commit(&statements).await?;
        let mark = match answers.last() {
            Some(rows) if writes_head => first(rows)?.try_get(0)?,
            _ => mark,
        };
        let salt = transaction.connection.salt;
        let listed_at = if writes_head { self.head.changed_at } else { self.stored_changed_at };
        let listed_at = self.labels.get_owner().map(|_| listed_at);
        let (number, head) = (self.number, self.head);
        shared.know(id, Entry { salt, number, mark, head, listed_at });
        shared.outbox.changed(number);
        Ok(CommitOutcome::Committed(self.head.salted(salt)))
    }

    fn head_row(&self, id: &SessionId) -> Vec<u8> {
        rows::encode_head(self.number, id, &self.head, &self.labels, &[])
    }

    fn app_row(&self) -> Option<Vec<u8>> {
        self.app.map(|app| rows::encode_app(self.number, app))
    }

    fn owner(&self) -> Option<&[u8]> {
        self.labels.get_owner().map(str::as_bytes)
    }

    fn listed_at(&self) -> i64 {
        signed(self.head.changed_at)
    }

    fn opens_replies(&self) -> bool {
        self.written.values().any(|written| written.message.opens.is_some())
    }

    fn rows(&self) -> Rows {
        let mut new = Rows { number: signed(self.number), ..Rows::default() };
        new.replaced = self.replaced.iter().map(|&seq| signed(seq)).collect();
        for (&seq, Written { message, messages, bytes }) in &self.written {
            let head = Head { messages: *messages, bytes: *bytes, ..self.head };
            new.seqs.push(signed(seq));
            new.bodies.push(rows::encode_message(
                self.number,
                &head,
                seq,
                message.tag,
                &message.body,
            ));
            let tag = is_large(message).then(|| rows::encode_tag(self.number, seq, message.tag));
            new.tags.push(tag.map(|tag| tag.to_vec()));
            if let Some(opening) = &message.opens {
                let body_bytes = message.body.len() as u64;
                let row = ReplyRow { opening: (**opening).clone(), body_bytes, beats: 0 };
                new.reply_seqs.push(signed(seq));
                new.replies.push(rows::encode_reply(self.number, seq, &row));
            }
        }
        new
    }
}

/// The rows of messages and replies that a commit writes, as the server takes them.
#[derive(Default)]
struct Rows {
    number: i64,
    replaced: Vec<i64>,
    seqs: Vec<i64>,
    bodies: Vec<Vec<u8>>,
    tags: Vec<Option<Vec<u8>>>,
    reply_seqs: Vec<i64>,
    replies: Vec<Vec<u8>>,
}

impl Rows {
    fn statements<'a>(&'a self, shared: &'a Shared) -> Vec<(&'a str, Parameters<'a>)> {
        let sql = &shared.sql;
        let mut statements: Vec<(&str, Parameters<'_>)> = Vec::new();
        if !self.replaced.is_empty() {
            let of = || -> Parameters<'_> {
                vec![(&self.number, Type::INT8), (&self.replaced, Type::INT8_ARRAY)]
            };
            statements.push((&sql.end_replies, of()));
            statements.push((&sql.end_chunks, of()));
        }
        if !self.seqs.is_empty() {
            let messages: Parameters<'_> = vec![
                (&self.number, Type::INT8),
                (&self.seqs, Type::INT8_ARRAY),
                (&self.bodies, Type::BYTEA_ARRAY),
                (&self.tags, Type::BYTEA_ARRAY),
            ];
            statements.push((&sql.put_messages, messages));
        }
        if !self.reply_seqs.is_empty() {
            let replies: Parameters<'_> = vec![
                (&self.number, Type::INT8),
                (&self.reply_seqs, Type::INT8_ARRAY),
                (&self.replies, Type::BYTEA_ARRAY),
            ];
            statements.push((&sql.put_replies, replies));
        }
        statements
    }
}
