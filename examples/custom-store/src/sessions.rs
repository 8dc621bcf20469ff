//! The sessions: where their rows lie in the log, and every operation of the store contract but `commit`.

use crate::log::{Frame, Header, Log, Record, Span};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows::{self, HeadRow};
use durable_session::store::{
    Damage, DeleteIf, DeleteOutcome, Head, ListPage, ListQuery, ListedSession, Loaded, Order, Page,
    ReadQuery, Row, Salvaged, StoreError, StoreErrorKind, TailBounds,
};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

/// All sessions of one log. Only the store's thread touches it.
#[derive(Debug)]
pub(crate) struct Sessions {
    log: Log,
    pub(crate) index: BTreeMap<SessionId, Session>,
    /// The number that the next new session gets.
    pub(crate) next_number: u64,
}

/// Where one session lies in the log. Its messages and app state stay there.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: u64,
    /// The head as of the last head row, with touches since: what later message rows are counted from.
    base: Result<Head, StoreError>,
    /// The head now.
    pub(crate) head: Result<Head, StoreError>,
    head_row: Span,
    pub(crate) rows: BTreeMap<u64, Span>,
}

impl Sessions {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let mut index = BTreeMap::new();
        let mut next_number = 1;
        let log = Log::open(path, |frame| {
            if let Some(header) = &frame.header {
                next_number = next_number.max(header.number + 1);
                take_in(&mut index, header, &frame);
            }
        })?;
        Ok(Self { log, index, next_number })
    }

    /// Writes a frame, and only then believes it.
    pub(crate) fn write(
        &mut self,
        id: &SessionId,
        number: u64,
        records: Vec<Record>,
        rows: Vec<u8>,
    ) -> Result<(), StoreError> {
        let header = Header { id: id.clone(), number, records };
        let rows_at = self.log.append(Some(&header), &rows).map_err(|e| e.in_session(id))?;
        self.next_number = self.next_number.max(number + 1);
        take_in(&mut self.index, &header, &Frame { header: None, rows, rows_at });
        Ok(())
    }

    pub(crate) fn touch(&mut self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        let Some(session) = self.index.get(id) else { return Ok(()) };
        if session.head.clone()?.last_accessed_at >= at {
            return Ok(());
        }
        let number = session.number;
        self.write(id, number, vec![Record::Touch { at }], Vec::new())
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
        let number = session.number;
        self.write(id, number, vec![Record::Delete], Vec::new())?;
        Ok(DeleteOutcome::Deleted)
    }

    pub(crate) fn load(&mut self, id: &SessionId, bounds: TailBounds) -> Result<Option<Loaded>, StoreError> {
        let Some(session) = self.index.get(id) else { return Ok(None) };
        let head = session.head.clone()?;
        let number = session.number;
        let (found, _) = bounded(session.rows.iter().rev(), bounds.max_messages, bounds.max_bytes);
        let mut tail = Vec::with_capacity(found.len());
        for (seq, span) in found.into_iter().rev() {
            tail.push(self.message(id, number, seq, span)?);
        }
        Ok(Some(Loaded { head, app: self.head_row(id)?.1, tail }))
    }

    pub(crate) fn read(&mut self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        let Some(session) = self.index.get(id) else { return Ok(None) };
        let head = session.head.clone()?;
        let number = session.number;
        let (found, more) = session.find(query);
        let mut rows = Vec::with_capacity(found.len());
        for (seq, span) in found {
            rows.push(self.message(id, number, seq, span)?);
        }
        Ok(Some(Page { head, rows, more }))
    }

    pub(crate) fn salvage(
        &mut self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        let Some(session) = self.index.get(id) else { return Ok(None) };
        let (number, head) = (session.number, session.head.as_ref().ok().copied());
        let (found, more) = session.find(query);
        let mut salvaged = Salvaged { head, app: None, rows: Vec::new(), damage: Vec::new(), more };
        match self.head_row(id) {
            Ok((_, app)) => salvaged.app = Some(app),
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                salvaged.head = None;
                salvaged.damage.push(Damage { seq: None, error });
            }
            Err(error) => return Err(error),
        }
        for (seq, span) in found {
            match self.message(id, number, seq, span) {
                Ok(row) => salvaged.rows.push(row),
                Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                    salvaged.damage.push(Damage { seq: Some(seq), error });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Some(salvaged))
    }

    pub(crate) fn list(&self, query: &ListQuery) -> ListPage {
        let start = match &query.after {
            Some(after) if after.as_str() >= query.prefix.as_str() => Bound::Excluded(after.as_str()),
            _ => Bound::Included(query.prefix.as_str()),
        };
        let mut wanted = self
            .index
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(id, _)| id.as_str().starts_with(&query.prefix))
            .filter(|(_, session)| match (&session.head, query.idle_since) {
                (Ok(head), Some(time)) => head.last_accessed_at <= time,
                _ => true,
            })
            .map(|(id, session)| ListedSession { id: id.clone(), head: session.head.clone() });
        let sessions: Vec<_> = wanted.by_ref().take(query.limit.max(1)).collect();
        let next = wanted.next().and_then(|_| sessions.last().map(|last| last.id.clone()));
        ListPage { sessions, next }
    }

    fn message(&mut self, id: &SessionId, number: u64, seq: u64, span: Span) -> Result<Row, StoreError> {
        let row = self.log.row(span).map_err(|e| e.in_session(id))?;
        let body = rows::decode_message(id, number, seq, &row)?.body;
        Ok(Row { seq, body: Bytes::copy_from_slice(body) })
    }

    /// The session's last head row, checked again.
    pub(crate) fn head_row(&mut self, id: &SessionId) -> Result<(Head, Bytes), StoreError> {
        let Some(session) = self.index.get(id) else {
            return Err(StoreError::new(StoreErrorKind::Internal, "no such session").in_session(id));
        };
        let (number, span) = (session.number, session.head_row);
        let row = self.log.row(span).map_err(|e| e.in_session(id))?;
        let decoded = rows::decode_head(number, id, &row)?;
        Ok((decoded.head, Bytes::copy_from_slice(decoded.app)))
    }
}

impl Session {
    fn new(number: u64, id: &SessionId) -> Self {
        let nothing = StoreError::new(StoreErrorKind::Corrupt, "the session has no head").in_session(id);
        let head = Err(nothing);
        Self { number, base: head.clone(), head, head_row: Span { at: 0, len: 0 }, rows: BTreeMap::new() }
    }

    /// What a query asks for, and whether there is more.
    fn find(&self, query: ReadQuery) -> (Vec<(u64, Span)>, bool) {
        if query.first > query.last {
            return (Vec::new(), false);
        }
        let range = self.rows.range(query.first..=query.last);
        match query.order {
            Order::Forward => bounded(range, query.max_messages, query.max_bytes),
            Order::Backward => bounded(range.rev(), query.max_messages, query.max_bytes),
        }
    }
}

/// Takes a frame that is on the disk into the index: when it was just written, and when the log is opened.
fn take_in(index: &mut BTreeMap<SessionId, Session>, header: &Header, frame: &Frame) {
    let id = &header.id;
    let mut at = 0;
    let mut next_row = |len: u32| {
        let span = Span { at: frame.rows_at + at as u64, len };
        let row = frame.rows.get(at..at + len as usize).unwrap_or_default();
        at += len as usize;
        (span, row)
    };
    let grows = header.records.iter().all(|record| matches!(record, Record::Message { .. }));
    for record in &header.records {
        if let Record::Delete = record {
            index.remove(id);
            continue;
        }
        let session = index.entry(id.clone()).or_insert_with(|| Session::new(header.number, id));
        match record {
            Record::Message { seq, len } => {
                let (span, row) = next_row(*len);
                session.rows.insert(*seq, span);
                if grows {
                    let decoded = rows::decode_message(id, session.number, *seq, row);
                    session.head = session.base.clone().and_then(|head| {
                        let row = decoded?;
                        Ok(HeadRow { head, app: &[] }.current(Some(&row)))
                    });
                }
            }
            Record::Head { len } => {
                let (span, row) = next_row(*len);
                session.head_row = span;
                session.base = rows::decode_head(session.number, id, row).map(|decoded| decoded.head);
                session.head = session.base.clone();
            }
            Record::Remove { first, last } => {
                let gone: Vec<u64> = session.rows.range(first..=last).map(|(&seq, _)| seq).collect();
                for seq in gone {
                    session.rows.remove(&seq);
                }
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

/// The longest run from the start within both bounds, at least one row; and whether anything was left out.
fn bounded<'a>(
    rows: impl Iterator<Item = (&'a u64, &'a Span)>,
    max_messages: usize,
    max_bytes: u64,
) -> (Vec<(u64, Span)>, bool) {
    let mut taken = Vec::new();
    let mut bytes = 0_u64;
    for (&seq, &span) in rows {
        bytes = bytes.saturating_add(rows::body_bytes(span.len as usize));
        if !taken.is_empty() && (taken.len() >= max_messages || bytes > max_bytes) {
            return (taken, true);
        }
        taken.push((seq, span));
    }
    (taken, false)
}
