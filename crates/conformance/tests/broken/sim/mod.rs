//! A correct store on a simulated disk that can lose power, and the effect of each defect.

mod apply;
mod disk;
mod factory;
mod list;
mod read;
mod remove;
mod replies;
mod salvage;
mod write;

pub(crate) use factory::SimFactory;

use crate::defect::Defect;
use async_trait::async_trait;
use bytes::Bytes;
use disk::{Disk, Stored};
use durable_session::SessionId;
use durable_session::store::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability,
    ExtendOutcome, Extension, Head, IdTag, Incarnation, Labels, ListPage, ListQuery, LoadOutcome,
    LoadQuery, Loaded, Opening, Page, ReadQuery, Salvaged, SessionList, SessionStore, Sharing,
    StoreError, StoreErrorKind, StoreLimits, Version,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

/// The simulated store. A broken one has one defect.
#[derive(Debug, Clone)]
pub(crate) struct Sim {
    disk: Arc<Mutex<Disk>>,
    defect: Option<Defect>,
}

const LIMITS: StoreLimits = StoreLimits::new(20_000, 10_000, 50_000, 500);

impl Sim {
    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of the session.
    fn key(&self, id: &SessionId) -> SessionId {
        let text = id.as_str();
        let text = match self.defect {
            Some(Defect::FoldsTheCaseOfIds) => text.to_ascii_lowercase(),
            Some(Defect::CutsLongIds) => text[..text.len().min(200)].to_owned(),
            Some(Defect::CutsIdsAtADot) => text.split_once('.').map_or(text, |(a, _)| a).to_owned(),
            _ => return id.clone(),
        };
        SessionId::new(text).unwrap_or_else(|_| id.clone())
    }

    fn corrupt(&self, id: &SessionId, seq: Option<u64>) -> StoreError {
        let mut error =
            StoreError::new(StoreErrorKind::Corrupt, "the simulated disk is damaged here");
        if !self.has(Defect::HidesTheSessionOfDamage) {
            error = error.in_session(id);
        }
        match seq {
            Some(seq) if !self.has(Defect::HidesTheSeqOfDamage) => error.at_seq(seq),
            _ => error,
        }
    }

    fn corrupt_chunk(&self, id: &SessionId, seq: u64, offset: u64) -> StoreError {
        let error = self.corrupt(id, Some(seq));
        match self.defect {
            Some(Defect::HidesWhichChunkIsDamaged) => error,
            Some(Defect::NamesTheChunkAfterTheDamage) => error.at_chunk(offset + 1),
            _ => error.at_chunk(offset),
        }
    }

    fn draw_incarnation(&self, disk: &mut Disk) -> Incarnation {
        let drawn = disk.draw_incarnation();
        match self.defect {
            Some(Defect::ReusesVersionsOfDeletedSessions) => Incarnation::from_bytes([1; 16]),
            _ => drawn,
        }
    }

    /// The current head, salted.
    fn current(&self, id: &SessionId) -> Option<Head> {
        let disk = self.disk();
        disk.live.get(&self.key(id)).map(|stored| stored.head.salted(disk.salt))
    }

    /// Opens the store again. Without a defect this changes no stored session.
    fn open(&self, crashed: bool) {
        let mut disk = self.disk();
        let disk = &mut *disk;
        disk.reopened = true;
        if !self.has(Defect::KeepsTheOpening) {
            disk.opening = None;
        }
        if self.has(Defect::ReusesVersionsAfterReopen) {
            disk.incarnations = 0;
        }
        if self.has(Defect::ForgetsDeletesOnReopen) {
            disk.live.extend(std::mem::take(&mut disk.deleted));
        }
        if self.has(Defect::LosesEmptySessionsOnReopen) {
            disk.live.retain(|_, stored| !stored.rows.is_empty());
        }
        let mut live = std::mem::take(&mut disk.live);
        for stored in live.values_mut() {
            self.open_session(disk, Arc::make_mut(stored), crashed);
        }
        disk.live = live;
    }

    fn open_session(&self, disk: &mut Disk, stored: &mut Stored, crashed: bool) {
        let head = &mut stored.head;
        let last_seq = stored.rows.last_key_value().map_or(0, |(&seq, _)| seq);
        let replies = stored.replies.values_mut();
        match self.defect {
            Some(Defect::ForgetsNextSeqOnReopen) => head.next_seq = last_seq + 1,
            Some(Defect::ForgetsNextSeqInACrash) if crashed => head.next_seq = last_seq + 1,
            Some(Defect::ForgetsAppStateOnReopen) => stored.app = Bytes::new(),
            Some(Defect::ForgetsTheBaseOnReopen) => head.base = head.version,
            Some(Defect::ForgetsClosedOnReopen) => head.closed = head.version,
            Some(Defect::ForgetsTouchesOnReopen) => head.last_accessed_at = stored.committed_at,
            Some(Defect::ForgetsTheTimeOfChangesOnReopen) => head.changed_at = head.created_at,
            Some(Defect::DrawsNewVersionsOnReopen) => begin_a_new_life(disk, stored),
            Some(Defect::LosesTheLastChunkOnReopen) => {
                replies.for_each(disk::Reply::lose_the_last_chunk);
            }
            Some(Defect::LosesTheLastChunkInACrash) if crashed => {
                replies.for_each(disk::Reply::lose_the_last_chunk);
            }
            Some(Defect::ForgetsBeatsOnReopen) => replies.for_each(|reply| reply.beats = 0),
            Some(Defect::ForgetsFormatsOnReopen) => {
                replies.for_each(|reply| reply.opening.format = "".into());
            }
            Some(Defect::ForgetsRepliesOnReopen) => stored.replies.clear(),
            Some(Defect::OpensEndedRepliesOnReopen) => {
                let ended = std::mem::take(&mut stored.ended);
                stored
                    .replies
                    .extend(ended.into_iter().filter(|(seq, _)| stored.rows.contains_key(seq)));
            }
            Some(Defect::ForgetsTagsOnReopen) => {
                stored.rows.values_mut().for_each(|row| row.tag = IdTag::NONE);
            }
            Some(Defect::ForgetsLabelsOnReopen) => stored.labels = Labels::NONE,
            Some(Defect::ForgetsTitlesOnReopen) => {
                stored.labels = Labels::owner(stored.labels.get_owner().unwrap_or_default());
            }
            _ => {}
        }
    }
}

fn begin_a_new_life(disk: &mut Disk, stored: &mut Stored) {
    stored.head.version = Version::new(disk.draw_incarnation(), stored.head.version.counter());
    stored.head.base = stored.head.version;
    stored.head.closed = stored.head.version;
}

#[async_trait]
impl SessionStore for Sim {
    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        let outcome = self.load_at(id, query)?;
        match (self.defect, outcome) {
            (Some(Defect::TearsPages), LoadOutcome::Loaded(loaded)) => {
                yield_once().await;
                let head = self.current(id).unwrap_or(loaded.head);
                Ok(LoadOutcome::Loaded(Loaded { head, ..loaded }))
            }
            (Some(Defect::TearsRepliesFromRows), LoadOutcome::Loaded(loaded)) => {
                yield_once().await;
                let replies = self.replies_now(id);
                Ok(LoadOutcome::Loaded(Loaded { replies, ..loaded }))
            }
            (_, outcome) => Ok(outcome),
        }
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        let page = self.page_at(id, query)?;
        match (self.defect, page) {
            (Some(Defect::TearsPages), Some(page)) => {
                yield_once().await;
                Ok(Some(Page { head: self.current(id).unwrap_or(page.head), ..page }))
            }
            (Some(Defect::TearsRepliesFromRows), Some(page)) => {
                yield_once().await;
                Ok(Some(Page { replies: self.replies_now(id), ..page }))
            }
            (_, page) => Ok(page),
        }
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        self.chunks_at(id, query)
    }

    async fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        self.salvage_at(id, query)
    }

    /// Not an `async fn`, because one defect acts before the first poll.
    fn commit<'a, 'b, 'f>(
        &'a self,
        id: &'b SessionId,
        commit: Commit,
    ) -> Pin<Box<dyn Future<Output = Result<CommitOutcome, StoreError>> + Send + 'f>>
    where
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        if self.has(Defect::ActsBeforeThePoll) {
            let outcome = self.commit_now(id, commit);
            return Box::pin(std::future::ready(outcome));
        }
        Box::pin(self.commit_in_steps(id, commit))
    }

    /// Not an `async fn`, for the same reason.
    fn extend<'a, 'b, 'f>(
        &'a self,
        id: &'b SessionId,
        extension: Extension,
    ) -> Pin<Box<dyn Future<Output = Result<ExtendOutcome, StoreError>> + Send + 'f>>
    where
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        if self.has(Defect::ExtendsBeforeThePoll) {
            let outcome = self.extend_now(id, &extension);
            return Box::pin(std::future::ready(outcome));
        }
        Box::pin(self.extend_in_steps(id, extension))
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.touch_now(id, at);
        Ok(())
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        self.delete_now(id, condition)
    }

    fn limits(&self) -> StoreLimits {
        let mut limits = LIMITS;
        if self.has(Defect::LowersItsLimits) && self.disk().used {
            limits.max_commit_ops -= 1;
        }
        limits
    }

    fn durability(&self) -> Durability {
        Durability::Synced
    }

    fn sharing(&self) -> Sharing {
        match self.defect {
            Some(Defect::ChangesItsSharing) if self.disk().used => Sharing::Shared,
            _ => Sharing::Exclusive,
        }
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        let mut disk = self.disk();
        if self.has(Defect::DrawsAnOpeningEachTime) {
            disk.opening = None;
        }
        if self.has(Defect::ForgetsWhoHoldsAClaim)
            && let Some(opening) = disk.opening.take()
        {
            // The same id, and a list of claims of its own.
            disk.draw_opening_again(&opening);
        }
        let opening = match disk.opening.take() {
            Some(opening) => opening,
            None => disk.draw_opening().map_err(|e| {
                StoreError::new(StoreErrorKind::Unavailable, "no randomness").with_source(e)
            })?,
        };
        Ok(disk.opening.insert(opening).clone())
    }
}

#[async_trait]
impl SessionList for Sim {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        self.list_page(query)
    }
}

/// Pending once: the time between a write and its answer.
async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
