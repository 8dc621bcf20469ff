//! Loads, pages, chunks and listings. All but listings cost as much as they return (S8).

use crate::log::Span;
use crate::sessions::{Message, Reply, Session, Sessions};
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{
    ChunkPage, ChunkQuery, Damage, Labels, ListOrder, ListPage, ListPlace, ListQuery, ListScope,
    ListedSession, LoadOutcome, LoadQuery, Loaded, OpenReply, Order, Page, ReadQuery, Salvaged,
    StoreError, StoreErrorKind, TAGGED_MESSAGES, Tagged,
};
use std::cmp::Reverse;
use std::ops::Bound;

impl Sessions {
    pub(crate) fn load(
        &mut self,
        id: &SessionId,
        query: LoadQuery,
    ) -> Result<LoadOutcome, StoreError> {
        let Some(session) = self.index.get(id) else { return Ok(LoadOutcome::Absent) };
        let head = session.head.clone()?;
        if query.known == Some(head.version) {
            return Ok(LoadOutcome::Unchanged);
        }
        let newest_first = session.messages.iter().rev();
        let mut tags: Vec<_> = newest_first
            .clone()
            .take(TAGGED_MESSAGES)
            .map(|(&seq, message)| Tagged { seq, tag: message.tag })
            .collect();
        tags.reverse();
        let replies = session.replies.values().map(Reply::now).collect::<Result<_, _>>()?;
        let (found, _) = bounded(newest_first, query.tail.max_messages, query.tail.max_bytes);
        let number = session.number;
        let mut tail = Vec::with_capacity(found.len());
        for (seq, span) in found.into_iter().rev() {
            tail.push(self.message(id, number, seq, span)?);
        }
        let (labels, app) = self.labels_and_app(id)?;
        Ok(LoadOutcome::Loaded(Loaded { head, labels, app, tail, tags, replies }))
    }

    pub(crate) fn read(
        &mut self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Page>, StoreError> {
        let Some(session) = self.index.get(id) else { return Ok(None) };
        let head = session.head.clone()?;
        let number = session.number;
        let (found, more) = session.find(query);
        let replies =
            session.replies_on(&found).into_iter().map(|(_, now)| now).collect::<Result<_, _>>()?;
        let mut rows = Vec::with_capacity(found.len());
        for (seq, span) in found {
            rows.push(self.message(id, number, seq, span)?);
        }
        Ok(Some(Page { head, rows, replies, more }))
    }

    pub(crate) fn salvage(
        &mut self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        let Some(session) = self.index.get(id) else { return Ok(None) };
        let number = session.number;
        let (found, more) = session.find(query);
        let replies = session.replies_on(&found);
        let mut salvaged = Salvaged {
            head: session.head.as_ref().ok().copied(),
            labels: None,
            app: None,
            rows: Vec::new(),
            replies: Vec::new(),
            damage: Vec::new(),
            more,
        };
        // Damage is reported beside the rest; any other error fails the call.
        let mut past_damage = |seq, error: StoreError| match error.kind() {
            StoreErrorKind::Corrupt => {
                salvaged.damage.push(Damage { seq, error });
                Ok(())
            }
            _ => Err(error),
        };
        match self.labels_and_app(id) {
            Ok((labels, app)) => (salvaged.labels, salvaged.app) = (Some(labels), Some(app)),
            Err(e) => {
                salvaged.head = None;
                past_damage(None, e)?;
            }
        }
        for (seq, span) in found {
            match self.message(id, number, seq, span) {
                Ok(row) => salvaged.rows.push(row),
                Err(e) => past_damage(Some(seq), e)?,
            }
        }
        for (seq, now) in replies {
            match now {
                Ok(now) => salvaged.replies.push(now),
                Err(e) => past_damage(Some(seq), e)?,
            }
        }
        Ok(Some(salvaged))
    }

    pub(crate) fn read_chunks(
        &mut self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        let Self { index, log, .. } = self;
        let Some(session) = index.get(id) else { return Ok(None) };
        let Some(reply) = session.replies.get(&query.seq) else { return Ok(None) };
        let mut page = ChunkPage { reply: reply.known.clone()?, chunks: Vec::new(), more: false };
        if query.offset >= page.reply.counts.chunks {
            return Ok(Some(page));
        }
        // The row that holds the first chunk may begin before it.
        let first =
            reply.chunks.range(..=query.offset).next_back().map_or(0, |(&offset, _)| offset);
        let mut bytes = 0_u64;
        for (&offset, &span) in reply.chunks.range(first..) {
            let row = log.row(span).map_err(|e| e.in_session(id))?;
            let full = page.chunks.len() >= query.max_chunks || bytes >= query.max_bytes;
            let row = match rows::decode_chunks(id, session.number, query.seq, offset, &row) {
                Ok(row) => row,
                // The page is full without the damaged chunks.
                Err(_) if full && !page.chunks.is_empty() => {
                    page.more = true;
                    break;
                }
                Err(e) => return Err(e),
            };
            let skip = usize::try_from(query.offset.saturating_sub(offset)).unwrap_or(usize::MAX);
            for chunk in row.chunks.into_iter().skip(skip) {
                bytes = bytes.saturating_add(chunk.len() as u64);
                let full = page.chunks.len() >= query.max_chunks || bytes > query.max_bytes;
                page.more = !page.chunks.is_empty() && full;
                if page.more {
                    return Ok(Some(page));
                }
                page.chunks.push(chunk);
            }
        }
        Ok(Some(page))
    }

    /// By id a listing costs as much as it returns. For an owner, and for open replies, it looks at
    /// all sessions; a store for many sessions keeps an ordered index of each.
    pub(crate) fn list(&self, query: &ListQuery) -> ListPage {
        let prefix = match &query.scope {
            ListScope::Prefix(prefix) => &**prefix,
            _ => "",
        };
        let start = match &query.after {
            Some(place) if query.order == ListOrder::ById && place.id.as_str() >= prefix => {
                Bound::Excluded(place.id.as_str())
            }
            _ => Bound::Included(prefix),
        };
        let by_id = self
            .index
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(id, _)| id.as_str().starts_with(prefix))
            .filter(|(id, session)| {
                session.belongs(&query.scope)
                    && session.head.as_ref().map_or(true, |head| query.takes(head))
                    && query.is_after(id, session.changed_at())
            });
        match query.order {
            ListOrder::ById => page(by_id, query.limit),
            ListOrder::NewestFirst => {
                let mut newest_first: Vec<_> = by_id.collect();
                // The sort is stable: sessions with equal times stay ordered by id.
                newest_first.sort_by_key(|(_, session)| Reverse(session.changed_at()));
                page(newest_first.into_iter(), query.limit)
            }
        }
    }
}

fn page<'a>(
    mut found: impl Iterator<Item = (&'a SessionId, &'a Session)>,
    limit: usize,
) -> ListPage {
    let taken: Vec<_> = found.by_ref().take(limit.max(1)).collect();
    let next = found
        .next()
        .and_then(|_| taken.last())
        .map(|(id, session)| ListPlace { changed_at: session.changed_at(), id: (*id).clone() });
    let listed = |(id, session): (&SessionId, &Session)| ListedSession {
        id: id.clone(),
        head: session.head.clone(),
        labels: session.head.as_ref().map_or(Labels::NONE, |_| session.labels.clone()),
    };
    ListPage { sessions: taken.into_iter().map(listed).collect(), next }
}

impl Session {
    /// The messages that the query asks for, and whether there are more.
    fn find(&self, query: ReadQuery) -> (Vec<(u64, Span)>, bool) {
        if query.first > query.last {
            return (Vec::new(), false);
        }
        let range = self.messages.range(query.first..=query.last);
        match query.order {
            Order::Forward => bounded(range, query.max_messages, query.max_bytes),
            Order::Backward => bounded(range.rev(), query.max_messages, query.max_bytes),
        }
    }

    /// The time of its last change; 0 if its head is damaged, so that it is listed last.
    fn changed_at(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.changed_at)
    }

    fn belongs(&self, scope: &ListScope) -> bool {
        match scope {
            ListScope::Owner(owner) => self.labels.get_owner() == Some(&**owner),
            ListScope::OpenReplies => !self.replies.is_empty(),
            _ => true,
        }
    }

    /// The open replies on the messages of a page.
    fn replies_on(&self, page: &[(u64, Span)]) -> Vec<(u64, Result<OpenReply, StoreError>)> {
        let (Some((a, _)), Some((b, _))) = (page.first(), page.last()) else { return Vec::new() };
        let range = self.replies.range(*a.min(b)..=*a.max(b));
        range.map(|(&seq, reply)| (seq, reply.now())).collect()
    }
}

/// The longest run from the start within both bounds, at least one row, and whether there are more
/// messages.
fn bounded<'a>(
    messages: impl Iterator<Item = (&'a u64, &'a Message)>,
    max_messages: usize,
    max_bytes: u64,
) -> (Vec<(u64, Span)>, bool) {
    let mut taken = Vec::new();
    let mut bytes = 0_u64;
    for (&seq, message) in messages {
        bytes = bytes.saturating_add(rows::body_bytes(message.row.len as usize));
        if !taken.is_empty() && (taken.len() >= max_messages || bytes > max_bytes) {
            return (taken, true);
        }
        taken.push((seq, message.row));
    }
    (taken, false)
}
