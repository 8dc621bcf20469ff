//! The index of all sessions: the places of their rows in the log, and the effect of a frame.

use crate::log::{Change, Header, Log, Record, Span};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows::{self, HeadRow};
use durable_session::store::{
    DeleteIf, DeleteOutcome, Head, IdTag, Labels, OpenReply, Row, Salt, StoreError, StoreErrorKind,
};
use std::collections::BTreeMap;
use std::path::Path;

/// All sessions of one log. Only the thread of the store uses it.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) log: Log,
    pub(crate) index: BTreeMap<SessionId, Session>,
    /// The number of the next new session.
    pub(crate) next_number: u64,
    /// The salt of the heads in the index (S12). The heads in rows are unsalted.
    pub(crate) salt: Salt,
}

/// One session. Its bodies, chunks and app state stay in the log.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: u64,
    /// The head of the last head row, with later touches. The heads of later message rows build on
    /// it.
    base: Result<Head, StoreError>,
    /// The current head.
    pub(crate) head: Result<Head, StoreError>,
    /// The labels of the last head row, if it is undamaged.
    pub(crate) labels: Labels,
    head_row: Span,
    pub(crate) messages: BTreeMap<u64, Message>,
    pub(crate) replies: BTreeMap<u64, Reply>,
}

/// The place of a message in the log, and its tag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    pub(crate) row: Span,
    pub(crate) tag: IdTag,
}

/// An open reply.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Its state by its row and the headers of frames.
    pub(crate) known: Result<OpenReply, StoreError>,
    /// The damage of its last chunks, if there is any: the reply cannot go on then (S4).
    last: Result<(), StoreError>,
    /// The places of its rows of chunks, by the offset of the first chunk in each.
    pub(crate) chunks: BTreeMap<u64, Span>,
}

impl Sessions {
    /// Opens the log and reads it. A `salt` replaces that of the log (S12).
    pub(crate) fn open(path: &Path, salt: Option<Salt>) -> Result<Self, StoreError> {
        let mut index = BTreeMap::new();
        let mut next_number = 1;
        let (log, salt) = Log::open(path, salt, |frame| {
            if let Header::Change(change) = &frame.header {
                next_number = next_number.max(change.number + 1);
                take_in(&mut index, Salt::NONE, change, frame.rows_at, &frame.rows);
            }
        })?;
        for session in index.values_mut() {
            for head in [&mut session.base, &mut session.head].into_iter().flatten() {
                *head = head.salted(salt);
            }
        }
        Ok(Self { log, index, next_number, salt })
    }

    /// Writes a frame, and then adds it to the index.
    pub(crate) fn write(
        &mut self,
        id: &SessionId,
        number: u64,
        records: Vec<Record>,
        rows: &[u8],
    ) -> Result<(), StoreError> {
        let header = Header::Change(Change { id: id.clone(), number, records });
        let rows_at = self.log.append(&header, rows).map_err(|e| e.in_session(id))?;
        self.next_number = self.next_number.max(number + 1);
        if let Header::Change(change) = &header {
            take_in(&mut self.index, self.salt, change, rows_at, rows);
        }
        Ok(())
    }

    pub(crate) fn touch(&mut self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        let Some(session) = self.index.get(id) else { return Ok(()) };
        if session.head.clone()?.last_accessed_at >= at {
            return Ok(());
        }
        self.write(id, session.number, vec![Record::Touch { at }], &[])
    }

    pub(crate) fn delete(
        &mut self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        let Some(session) = self.index.get(id) else { return Ok(DeleteOutcome::Absent) };
        let holds = |head: &Head| match condition {
            DeleteIf::Any => true,
            DeleteIf::Version(version) => head.version == version,
            DeleteIf::IdleSince(time) => head.last_accessed_at <= time,
        };
        match &session.head {
            _ if condition == DeleteIf::Any => {}
            Ok(head) if holds(head) => {}
            Ok(head) => return Ok(DeleteOutcome::Conflict { current: head.version }),
            Err(e) => return Err(e.clone()),
        }
        self.write(id, session.number, vec![Record::Delete], &[])?;
        Ok(DeleteOutcome::Deleted)
    }

    pub(crate) fn message(
        &mut self,
        id: &SessionId,
        number: u64,
        seq: u64,
        span: Span,
    ) -> Result<Row, StoreError> {
        let row = self.log.row(span).map_err(|e| e.in_session(id))?;
        let body = rows::decode_message(id, number, seq, &row)?.body;
        Ok(Row { seq, body: row.slice_ref(body) })
    }

    /// The labels and the app state, read from the last head row, whose checksum is checked again.
    pub(crate) fn labels_and_app(&mut self, id: &SessionId) -> Result<(Labels, Bytes), StoreError> {
        let Some(session) = self.index.get(id) else {
            return Err(StoreError::new(StoreErrorKind::Internal, "no such session").in_session(id));
        };
        let (number, span) = (session.number, session.head_row);
        let row = self.log.row(span).map_err(|e| e.in_session(id))?;
        let decoded = rows::decode_head(number, id, &row)?;
        Ok((decoded.labels(), row.slice_ref(decoded.app)))
    }
}

impl Session {
    fn new(number: u64, id: &SessionId) -> Self {
        let nothing =
            StoreError::new(StoreErrorKind::Corrupt, "the session has no head").in_session(id);
        Self {
            number,
            base: Err(nothing.clone()),
            head: Err(nothing),
            labels: Labels::NONE,
            head_row: Span { at: 0, len: 0 },
            messages: BTreeMap::new(),
            replies: BTreeMap::new(),
        }
    }
}

impl Reply {
    pub(crate) fn now(&self) -> Result<OpenReply, StoreError> {
        self.last.clone().and_then(|()| self.known.clone())
    }
}

/// Adds a frame that is on the disk to the index, after it was written and when the log is
/// opened.
fn take_in(
    index: &mut BTreeMap<SessionId, Session>,
    salt: Salt,
    change: &Change,
    rows_at: u64,
    rows: &[u8],
) {
    let Change { id, number, records } = change;
    let mut at = 0;
    let mut next_row = |len: u32| {
        let row = rows.get(at..at + len as usize).unwrap_or_default();
        let span = Span { at: rows_at + at as u64, len };
        at += len as usize;
        (span, row)
    };
    for record in records {
        if let Record::Delete = record {
            index.remove(id);
            continue;
        }
        let session = index.entry(id.clone()).or_insert_with(|| Session::new(*number, id));
        match record {
            Record::Message { seq, tag, len } => {
                let (span, row) = next_row(*len);
                // Every write to a message ends its open reply (S10).
                session.replies.remove(seq);
                let message = Message { row: span, tag: IdTag::from_bits(*tag) };
                if session.messages.insert(*seq, message).is_none() {
                    let decoded = rows::decode_message(id, *number, *seq, row);
                    session.head = session.base.clone().and_then(|head| {
                        let row = decoded?;
                        Ok(HeadRow { head, owner: "", title: "", app: &[] }.current(Some(&row)))
                    });
                }
            }
            Record::Head { len } => {
                let (span, row) = next_row(*len);
                session.head_row = span;
                let decoded = rows::decode_head(*number, id, row);
                session.labels = decoded.as_ref().map_or(Labels::NONE, HeadRow::labels);
                session.base = decoded.map(|row| row.head.salted(salt));
                session.head = session.base.clone();
            }
            Record::Reply { seq, len } => {
                let decoded = rows::decode_reply(id, *number, *seq, next_row(*len).1);
                let known = decoded.map(|row| row.open_reply(*seq, None));
                session
                    .replies
                    .insert(*seq, Reply { known, last: Ok(()), chunks: BTreeMap::new() });
            }
            Record::Chunks { seq, offset, chunks, bytes, len } => {
                let (span, row) = next_row(*len);
                if let Some(reply) = session.replies.get_mut(seq) {
                    reply.chunks.insert(*offset, span);
                    let row = Bytes::copy_from_slice(row);
                    reply.last = rows::decode_chunks(id, *number, *seq, *offset, &row).map(drop);
                    if let Ok(known) = &mut reply.known {
                        known.counts.chunks = *chunks;
                        known.bytes = *bytes;
                    }
                }
            }
            Record::Beat { seq } => {
                if let Some(Reply { known: Ok(known), .. }) = session.replies.get_mut(seq) {
                    known.counts.beats += 1;
                }
            }
            Record::Remove { first, last } => {
                remove(&mut session.messages, *first, *last);
                remove(&mut session.replies, *first, *last);
            }
            Record::Touch { at } => {
                for head in [&mut session.base, &mut session.head].into_iter().flatten() {
                    head.last_accessed_at = head.last_accessed_at.max(*at);
                }
            }
            Record::Delete => {}
        }
    }
}

fn remove<T>(from: &mut BTreeMap<u64, T>, first: u64, last: u64) {
    let gone: Vec<u64> = from.range(first..=last).map(|(&seq, _)| seq).collect();
    for seq in gone {
        from.remove(&seq);
    }
}
