//! The wrapper. It follows the rules for wrappers in the documentation of
//! `durable_session::store`.

use crate::defect::Defect;
use crate::seal::{ADDED, Place, claimed_life, masked, open, seal};
use async_trait::async_trait;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::env::SystemRandom;
use durable_session::store::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, Damage, DeleteIf, DeleteOutcome, Durability,
    Expect, ExtendOutcome, Extension, Head, Incarnation, ListPage, ListQuery, ListedSession,
    LoadOutcome, LoadQuery, Loaded, NewMessage, Op, OpenReply, Opening, Order, Page, ReadQuery,
    Row, Salvaged, SessionList, SessionStore, Sharing, StoreError, StoreErrorKind, StoreLimits,
    Tagged,
};

/// Bytes kept free below the inner store's limit of a body, for the bytes that the wrapper adds to
/// the chunks of one reply.
const ROOM_FOR_CHUNKS: u64 = 256 * ADDED;

/// A wrapper that binds every text to its place.
#[derive(Debug, Clone)]
pub(crate) struct Sealed<S> {
    pub(crate) inner: S,
    pub(crate) defect: Option<Defect>,
}

impl<S: SessionStore> Sealed<S> {
    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    /// The head with the totals of the texts that the caller gave.
    fn head(&self, head: Head) -> Head {
        match self.defect {
            Some(Defect::ReportsTotalsOfTheInnerStore) => head,
            _ => Head {
                bytes: head.bytes.saturating_sub(ADDED.saturating_mul(head.messages)),
                ..head
            },
        }
    }

    fn reply(&self, reply: OpenReply) -> OpenReply {
        if self.has(Defect::ReportsBytesOfStoredChunks) {
            return reply;
        }
        let added = ADDED.saturating_mul(reply.counts.chunks);
        OpenReply { bytes: reply.bytes.saturating_sub(added), ..reply }
    }

    fn replies(&self, replies: Vec<OpenReply>) -> Vec<OpenReply> {
        replies.into_iter().map(|reply| self.reply(reply)).collect()
    }

    /// The bound of bytes for the inner store: large enough for any window within `max_bytes`.
    fn bound(&self, max_bytes: u64, texts: usize) -> u64 {
        if self.has(Defect::BoundsByStoredSizes) {
            return max_bytes;
        }
        let texts = u64::try_from(texts.max(1)).unwrap_or(u64::MAX);
        max_bytes.saturating_add(ADDED.saturating_mul(texts))
    }

    /// How many of the texts with these stored lengths fit into a window of `max_bytes`.
    fn fitting(&self, lengths: impl Iterator<Item = usize>, max_bytes: u64) -> usize {
        let mut bytes = 0_u64;
        let mut fitting = 0;
        for length in lengths {
            bytes = bytes.saturating_add((length as u64).saturating_sub(ADDED));
            if fitting > 0 && bytes > max_bytes && !self.has(Defect::BoundsByStoredSizes) {
                break;
            }
            fitting += 1;
        }
        fitting
    }

    fn more(&self, inner: bool, cut: bool) -> bool {
        inner || (cut && !self.has(Defect::HidesThatThereIsMore))
    }

    /// The tail from the inner store. Damage beyond the window that the caller asks for is not
    /// reported.
    async fn load_inner(
        &self,
        id: &SessionId,
        query: LoadQuery,
    ) -> Result<LoadOutcome, StoreError> {
        let mut inner = query;
        inner.tail.max_bytes = self.bound(query.tail.max_bytes, query.tail.max_messages);
        let error = match self.inner.load(id, inner).await {
            Err(error) if error.chunk().is_none() => error,
            outcome => return outcome,
        };
        let Some(after) = damaged_at(&error).and_then(|seq| seq.checked_add(1)) else {
            return Err(error);
        };
        let later = ReadQuery::backward(after, u64::MAX)
            .max_messages(query.tail.max_messages)
            .max_bytes(inner.tail.max_bytes);
        match self.window_before_damage(id, later, query.tail.max_bytes).await? {
            Some((_, fitting)) => {
                inner.tail.max_messages = fitting;
                self.inner.load(id, inner).await
            }
            None => Err(error),
        }
    }

    /// A page from the inner store, like [`load_inner`](Self::load_inner).
    async fn read_inner(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Page>, StoreError> {
        let mut inner = query.max_bytes(self.bound(query.max_bytes, query.max_messages));
        let error = match self.inner.read(id, inner).await {
            Err(error) => error,
            page => return page,
        };
        let Some(seq) = damaged_at(&error) else { return Err(error) };
        match query.order {
            Order::Forward => inner.last = seq.saturating_sub(1),
            Order::Backward => inner.first = seq.saturating_add(1),
        }
        match self.window_before_damage(id, inner, query.max_bytes).await? {
            Some((page, _)) => Ok(Some(Page { more: true, ..page })),
            None => Err(error),
        }
    }

    /// The messages that the query finds and how many of them fit into the caller's window, if
    /// they fill it.
    async fn window_before_damage(
        &self,
        id: &SessionId,
        query: ReadQuery,
        max_bytes: u64,
    ) -> Result<Option<(Page, usize)>, StoreError> {
        let page = self.inner.read(id, query).await?.filter(|page| !page.rows.is_empty());
        Ok(page.and_then(|page| {
            let fitting = self.fitting(page.rows.iter().map(|row| row.body.len()), max_bytes);
            let full = fitting < page.rows.len() || fitting >= query.max_messages;
            full.then_some((page, fitting))
        }))
    }

    fn open_message(&self, id: &SessionId, life: u64, row: &Row) -> Result<Row, StoreError> {
        let place = Place::Message { life, seq: row.seq };
        match open(self.defect, id, place, &row.body) {
            Some(body) => Ok(Row { seq: row.seq, body }),
            None => Err(moved(id).at_seq(row.seq)),
        }
    }

    /// The app state. The inner store has an empty one until it is set.
    fn open_app(&self, id: &SessionId, life: u64, app: &Bytes) -> Result<Bytes, StoreError> {
        if app.is_empty() {
            return Ok(Bytes::new());
        }
        open(self.defect, id, Place::App { life }, app).ok_or_else(|| moved(id))
    }

    fn seal_commit(&self, id: &SessionId, commit: Commit) -> Result<Commit, StoreError> {
        let Commit { mut expect, ops, at, .. } = commit;
        let mut next_seq = match expect {
            Expect::Absent { .. } => 1,
            Expect::Version { next_seq, .. } => next_seq,
        };
        let life = match &mut expect {
            Expect::Version { version, .. } => version.incarnation().life(),
            Expect::Absent { incarnation: Some(given), .. } => given.life(),
            Expect::Absent { .. } if self.has(Defect::LeavesTheIncarnationToTheInnerStore) => 0,
            Expect::Absent { incarnation, .. } => {
                let drawn = Incarnation::draw(&SystemRandom).map_err(|e| {
                    StoreError::new(StoreErrorKind::Unavailable, "could not draw an incarnation")
                        .in_session(id)
                        .with_source(e)
                })?;
                incarnation.insert(drawn).life()
            }
        };
        let message = |seq, NewMessage { body, tag, opens }| {
            let body = seal(self.defect, id, Place::Message { life, seq }, &body);
            NewMessage { body, tag: masked(id, seq, tag), opens }
        };
        let ops = ops.into_iter().map(|op| match op {
            Op::Append(new) => {
                let seq = next_seq;
                // The inner store refuses a seq beyond the largest one.
                next_seq = next_seq.wrapping_add(1);
                Op::Append(message(seq, new))
            }
            Op::Replace { seq, message: new } => Op::Replace { seq, message: message(seq, new) },
            Op::Close { seq, claim, counts, message: new } => {
                Op::Close { seq, claim, counts, message: message(seq, new) }
            }
            Op::SetApp(app) => Op::SetApp(seal(self.defect, id, Place::App { life }, &app)),
            op @ (Op::Remove { .. } | Op::SetLabels(_)) => op,
        });
        Ok(Commit::new(expect, ops.collect(), at))
    }

    /// Refuses an extension that makes the reply too large. The inner store cannot check this: it
    /// also counts the bytes that the wrapper adds.
    async fn check_reply(&self, id: &SessionId, extension: &Extension) -> Result<(), StoreError> {
        let seq = extension.seq;
        let Some(page) = self.inner.read(id, ReadQuery::forward(seq, seq)).await? else {
            return Ok(());
        };
        let held = page.replies.into_iter().find(|reply| reply.claim == extension.claim);
        let (Some(reply), Some(row)) = (held, page.rows.first()) else { return Ok(()) };
        let news = extension.news(reply.counts.chunks).unwrap_or_default();
        if news.is_empty() {
            return Ok(());
        }
        let body = (row.body.len() as u64).saturating_sub(ADDED);
        let added: u64 = news.iter().map(|chunk| chunk.len() as u64).sum();
        self.limits().check_reply(id, body + self.reply(reply).bytes + added)
    }
}

/// The seq of the damaged message that the error names, if it names one.
fn damaged_at(error: &StoreError) -> Option<u64> {
    error.seq().filter(|_| error.kind() == StoreErrorKind::Corrupt)
}

fn moved(id: &SessionId) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "this was written for another place").in_session(id)
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<S: SessionStore> SessionStore for Sealed<S> {
    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        let loaded = match self.load_inner(id, query).await? {
            LoadOutcome::Loaded(loaded) => loaded,
            outcome => return Ok(outcome),
        };
        let life = loaded.head.version.incarnation().life();
        let fitting =
            self.fitting(loaded.tail.iter().rev().map(|row| row.body.len()), query.tail.max_bytes);
        let tail = loaded.tail.iter().skip(loaded.tail.len() - fitting);
        let tags = loaded.tags.into_iter().map(|tagged| match self.defect {
            Some(Defect::ReturnsTagsAsStored) => tagged,
            _ => Tagged { tag: masked(id, tagged.seq, tagged.tag), ..tagged },
        });
        Ok(LoadOutcome::Loaded(Loaded {
            head: self.head(loaded.head),
            labels: loaded.labels,
            app: self.open_app(id, life, &loaded.app)?,
            tail: tail.map(|row| self.open_message(id, life, row)).collect::<Result<_, _>>()?,
            tags: tags.collect(),
            replies: self.replies(loaded.replies),
        }))
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        let Some(page) = self.read_inner(id, query).await? else { return Ok(None) };
        let life = page.head.version.incarnation().life();
        let fitting = self.fitting(page.rows.iter().map(|row| row.body.len()), query.max_bytes);
        let shown = &page.rows[..fitting];
        let mut replies = self.replies(page.replies);
        replies.retain(|reply| shown.iter().any(|row| row.seq == reply.seq));
        Ok(Some(Page {
            head: self.head(page.head),
            rows: shown
                .iter()
                .map(|row| self.open_message(id, life, row))
                .collect::<Result<_, _>>()?,
            replies,
            more: self.more(page.more, fitting < page.rows.len()),
        }))
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        let inner = query.max_bytes(self.bound(query.max_bytes, query.max_chunks));
        let Some(page) = self.inner.read_chunks(id, inner).await? else { return Ok(None) };
        let (claim, seq) = (page.reply.claim, query.seq);
        let fitting = self.fitting(page.chunks.iter().map(Bytes::len), query.max_bytes);
        let shown = (0_u64..).zip(&page.chunks[..fitting]);
        let chunks = shown.map(|(n, chunk)| {
            let offset = query.offset.wrapping_add(n);
            let text = open(self.defect, id, Place::Chunk { claim, seq, offset }, chunk);
            text.ok_or_else(|| moved(id).at_seq(seq).at_chunk(offset))
        });
        Ok(Some(ChunkPage {
            chunks: chunks.collect::<Result<_, _>>()?,
            more: self.more(page.more, fitting < page.chunks.len()),
            reply: self.reply(page.reply),
        }))
    }

    async fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        let inner = query.max_bytes(self.bound(query.max_bytes, query.max_messages));
        let Some(salvaged) = self.inner.salvage(id, inner).await? else { return Ok(None) };
        let life = salvaged.head.map(|head| head.version.incarnation().life());
        let fitting = self.fitting(salvaged.rows.iter().map(|row| row.body.len()), query.max_bytes);
        let cut = fitting < salvaged.rows.len();
        let (mut rows, mut damage) = (Vec::new(), salvaged.damage);
        let mut replies = self.replies(salvaged.replies);
        if cut {
            // Damage and replies beyond the last row shown belong to the next page.
            let seqs = |row: &Row| row.seq;
            let last = salvaged.rows.get(fitting).map_or(0, seqs);
            let first = salvaged.rows.first().map_or(0, seqs);
            let beyond = |seq: u64| if first <= last { seq >= last } else { seq <= last };
            damage.retain(|damage| damage.seq.is_none_or(|seq| !beyond(seq)));
            replies.retain(|reply| !beyond(reply.seq));
        }
        for row in &salvaged.rows[..fitting] {
            let life = life.unwrap_or_else(|| claimed_life(&row.body));
            match self.open_message(id, life, row) {
                Ok(row) => rows.push(row),
                Err(error) => damage.push(Damage { seq: Some(row.seq), error }),
            }
        }
        let mut app = None;
        if let Some(sealed) = &salvaged.app {
            match self.open_app(id, life.unwrap_or_else(|| claimed_life(sealed)), sealed) {
                Ok(opened) => app = Some(opened),
                Err(error) => damage.push(Damage { seq: None, error }),
            }
        }
        Ok(Some(Salvaged {
            head: salvaged.head.map(|head| self.head(head)),
            labels: salvaged.labels,
            app,
            rows,
            replies,
            damage,
            more: self.more(salvaged.more, cut),
        }))
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        self.limits().check(id, &commit)?;
        let commit = self.seal_commit(id, commit)?;
        Ok(match self.inner.commit(id, commit).await? {
            CommitOutcome::Committed(head) => CommitOutcome::Committed(self.head(head)),
            outcome => outcome,
        })
    }

    async fn extend(
        &self,
        id: &SessionId,
        mut extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        self.limits().check_extension(id, &extension)?;
        if !self.has(Defect::LeavesTheLimitOfRepliesToTheInnerStore) {
            self.check_reply(id, &extension).await?;
        }
        let Extension { seq, claim, offset, .. } = extension;
        for (n, chunk) in (0_u64..).zip(&mut extension.chunks) {
            let n = if self.has(Defect::BindsChunksToTheirExtension) { 0 } else { n };
            // The inner store refuses an offset beyond the largest one.
            let place = Place::Chunk { claim, seq, offset: offset.wrapping_add(n) };
            *chunk = seal(self.defect, id, place, chunk);
        }
        self.inner.extend(id, extension).await
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.inner.touch(id, at).await
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        self.inner.delete(id, condition).await
    }

    fn limits(&self) -> StoreLimits {
        let inner = self.inner.limits();
        if self.has(Defect::HasTheLimitsOfTheInnerStore) {
            return inner;
        }
        let added_to_a_commit = ADDED.saturating_mul(inner.max_commit_ops as u64);
        StoreLimits::new(
            inner.max_body_bytes.saturating_sub(ADDED + ROOM_FOR_CHUNKS),
            inner.max_app_bytes.saturating_sub(ADDED),
            inner.max_commit_bytes.saturating_sub(added_to_a_commit),
            inner.max_commit_ops,
        )
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    fn sharing(&self) -> Sharing {
        self.inner.sharing()
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        self.inner.opening()
    }
}

#[async_trait]
impl<S: SessionList> SessionList for Sealed<S> {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let mut page = self.inner.list(query).await?;
        for ListedSession { head, .. } in &mut page.sessions {
            if let Ok(head) = head {
                *head = self.head(*head);
            }
        }
        Ok(page)
    }
}
