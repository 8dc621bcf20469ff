//! Erasing all sessions of an owner (clause C13).

use super::call::Attempts;
use super::registry::{Registry, Session};
use crate::SessionId;
use crate::error::Error;
use crate::store::{
    DeleteOutcome, ListQuery, ListedSession, ReadQuery, StoreError, StoreErrorKind,
};
use crate::sync::Arc;
use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream;
use std::fmt;

/// How many sessions an erasure or a sweep lists at a time.
pub(super) const PAGE: usize = 256;

/// How many of these it deletes at once. They share a sync of the disk.
pub(super) const AT_ONCE: usize = 64;

/// The erasure of all sessions of an owner, to be awaited. Made by
/// [`ChatSessions::erase_owner`](crate::ChatSessions::erase_owner). It deletes up to 64 sessions at
/// once. Without being awaited it does nothing.
#[must_use]
pub struct EraseOwner<'a> {
    registry: &'a Arc<Registry>,
    owner: std::sync::Arc<str>,
    progress: Option<Progress<'a>>,
}

type Progress<'a> = Box<dyn FnMut(&EraseReport) + Send + 'a>;

/// The counts of an erasure.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct EraseReport {
    /// Sessions that the erasure deleted.
    pub erased: u64,
    /// Sessions that it could not delete, and why. They may still belong to the owner: run the
    /// erasure again.
    pub failed: Vec<(SessionId, Error)>,
}

impl<'a> EraseOwner<'a> {
    pub(super) fn new(registry: &'a Arc<Registry>, owner: &str) -> Self {
        Self { registry, owner: owner.into(), progress: None }
    }

    /// Calls `progress` after each session, with the counts so far.
    pub fn progress(self, progress: impl FnMut(&EraseReport) + Send + 'a) -> Self {
        Self { progress: Some(Box::new(progress)), ..self }
    }

    async fn run(mut self) -> Result<EraseReport, Error> {
        let list = Arc::clone(self.registry.list()?);
        let mut report = EraseReport::default();
        // A commit that is with the store may make a session one of the owner: it is listed then.
        let live = self.registry.sessions();
        for session in live.into_iter().filter(|session| session.begin_to_erase(&self.owner)) {
            session.pending_work().await;
        }
        let mut query = ListQuery::owner(std::sync::Arc::clone(&self.owner), PAGE).by_id();
        loop {
            let page = list.list(&query).await?;
            let (registry, owner) = (self.registry, &self.owner);
            let erasures = page.sessions.into_iter().map(|listed| async move {
                let erased = erase(registry, owner, &listed).await;
                (listed.id, erased)
            });
            let mut erasures = stream::iter(erasures).buffered(AT_ONCE);
            while let Some((id, erased)) = erasures.next().await {
                match erased {
                    Ok(true) => report.erased += 1,
                    Ok(false) => continue,
                    Err(e) => report.failed.push((id, e)),
                }
                if let Some(progress) = &mut self.progress {
                    progress(&report);
                }
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(report),
            }
        }
    }
}

/// Deletes a listed session if it belongs to this owner. Returns whether it did.
async fn erase(
    registry: &Arc<Registry>,
    owner: &std::sync::Arc<str>,
    listed: &ListedSession,
) -> Result<bool, Error> {
    if let Err(e) = &listed.head {
        return Err(e.clone().into());
    }
    let session = registry.session(listed.id.clone());
    session.actor.begin_to_erase();
    session.erase(owner).await
}

impl<'a> IntoFuture for EraseOwner<'a> {
    type Output = Result<EraseReport, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for EraseOwner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EraseOwner").field("owner_bytes", &self.owner.len()).finish_non_exhaustive()
    }
}

impl Session {
    /// If the session belongs to this owner as far as memory tells, the calls under way fail as
    /// erased. Returns whether it does.
    fn begin_to_erase(&self, owner: &str) -> bool {
        let is_owners = self.actor.lock().machine.may_belong_to(owner);
        if is_owners {
            self.actor.begin_to_erase();
        }
        is_owners
    }

    /// Deletes the session if it belongs to this owner at that moment. Returns whether it did.
    async fn erase(&self, owner: &std::sync::Arc<str>) -> Result<bool, Error> {
        let mut attempts = Attempts::new(self.registry.config.attempts);
        loop {
            // No message is read, so damage to one does not matter.
            let query = ReadQuery::forward(1, 0).max_messages(1);
            let salvaged = self.registry.store.salvage(&self.actor.id, query).await?;
            let Some(salvaged) = salvaged else { return Ok(false) };
            let (Some(head), Some(labels)) = (salvaged.head, salvaged.labels) else {
                let damage = salvaged.damage.into_iter().next().map(|damage| damage.error);
                return Err(damage.unwrap_or_else(|| self.unreadable()).into());
            };
            if labels.get_owner() != Some(&**owner) {
                return Ok(false);
            }
            match self.delete_of(owner, head.version).await? {
                DeleteOutcome::Deleted => return Ok(true),
                DeleteOutcome::Absent => return Ok(false),
                DeleteOutcome::Conflict { .. } => attempts.spend(&self.actor)?,
            }
        }
    }

    fn unreadable(&self) -> StoreError {
        StoreError::new(StoreErrorKind::Corrupt, "the head cannot be read")
            .in_session(&self.actor.id)
    }
}
