//! Use and expiry (clause C10).

use super::driver::{self, Listener};
use super::erasing::{AT_ONCE, PAGE};
use super::machine::{LongView, View};
use super::registry::{Registry, Session};
use crate::SessionId;
use crate::error::Error;
use crate::store::{ChunkQuery, DeleteIf, DeleteOutcome, ListQuery, SessionList, StoreError};
use crate::sync::Arc;
use futures_util::StreamExt;
use futures_util::stream;
use std::future::poll_fn;

/// The counts of one sweep.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SweepReport {
    /// Touches written that had only been in memory.
    pub touched: u64,
    /// Sessions deleted because nobody used them for the time to live.
    pub deleted: u64,
    /// Sessions that were used just before they would have been deleted.
    pub kept: u64,
    /// Replies that were ended as interrupted while the sweep ran, because their producers are
    /// gone.
    pub interrupted: u64,
    /// Sessions that the sweep could not deal with, and why. They are left as they are.
    pub failed: Vec<(SessionId, Error)>,
}

impl Session {
    /// The state that readers see. Reading it counts as a use of the session.
    pub(crate) async fn read_view(&self) -> Result<Arc<View>, Error> {
        let view = self.current_view().await?;
        self.accessed(&view);
        Ok(view)
    }

    /// Like [`read_view`](Self::read_view), with as many messages as one load brings.
    pub(crate) async fn read_long_view(&self) -> Result<LongView, Error> {
        let seen = self.current_long_view().await?;
        self.accessed(&seen.view);
        Ok(seen)
    }

    /// Like [`read_view`](Self::read_view), with all messages.
    pub(crate) async fn read_whole(&self) -> Result<LongView, Error> {
        let seen = self.read_long_view().await?;
        self.whole(seen).await
    }

    /// Notes that the session was read, and begins to write that down if the last time is a touch
    /// interval ago. The read does not wait for it.
    fn accessed(&self, view: &View) {
        if !view.exists {
            return;
        }
        let now = self.registry.clock.now_ms();
        let due = {
            let mut cell = self.actor.lock();
            cell.used_at = now;
            cell.machine.accessed(view, now)
        };
        if due {
            driver::drive(self);
        }
    }

    /// Interrupts the open replies whose producers are gone, and writes down a use of the session
    /// if there is a live producer.
    async fn look_after_replies(&self) -> Result<(), Error> {
        let view = self.current_view().await?;
        for reply in view.replies() {
            // Only the counts: there is no such chunk.
            let query = ChunkQuery::from(reply.seq, u64::MAX).max_chunks(1);
            let page = self.registry.store.read_chunks(&self.actor.id, query).await?;
            let Some(page) = page.filter(|page| page.reply.claim == reply.claim) else { continue };
            driver::interrupt_dead(&self.registry, &self.actor, &[page.reply]);
        }
        let mut listener = Listener::new(self);
        poll_fn(|cx| listener.poll(cx, |cell| (!cell.machine.is_interrupting()).then_some(())))
            .await;
        drop(listener);
        let view = self.view().await?;
        let now = self.registry.clock.now_ms();
        let unused = now.saturating_sub(view.head.last_accessed_at);
        if !view.replies().is_empty() && unused >= self.registry.config.expiry.touch_ms() {
            self.touch(now).await?;
        }
        Ok(())
    }

    pub(crate) async fn touch(&self, at: u64) -> Result<(), Error> {
        self.catch_up().await;
        self.registry.store.touch(&self.actor.id, at).await?;
        self.registry.stats.touch();
        self.actor.lock().machine.note_touch(at);
        Ok(())
    }

    /// Writes down the last use of a live session, if only this registry knows of it.
    async fn flush_touch(&self) -> Result<bool, Error> {
        self.catch_up().await;
        let unwritten = self.actor.lock().machine.unwritten_use();
        match unwritten {
            Some(at) => self.touch(at).await.map(|()| true),
            None => Ok(false),
        }
    }
}

/// Writes down every use that is only in memory.
pub(crate) async fn flush_touches(registry: &Arc<Registry>, report: &mut SweepReport) {
    let touches = registry.sessions().into_iter().map(|session| async move {
        let written = session.flush_touch().await;
        (session, written)
    });
    let mut touches = stream::iter(touches).buffered(AT_ONCE);
    while let Some((session, written)) = touches.next().await {
        match written {
            Ok(written) => report.touched += u64::from(written),
            Err(e) => report.failed.push((session.actor.id.clone(), e)),
        }
    }
}

/// Looks after the sessions with open replies.
async fn sweep_replies(
    registry: &Arc<Registry>,
    list: &dyn SessionList,
    report: &mut SweepReport,
) -> Result<(), StoreError> {
    let before = registry.stats.read().interruptions;
    let mut query = ListQuery::open_replies(PAGE);
    loop {
        let page = list.list(&query).await?;
        for listed in page.sessions {
            let session = registry.session(listed.id.clone());
            if let Err(e) = session.look_after_replies().await {
                report.failed.push((listed.id, e));
            }
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    report.interrupted = registry.stats.read().interruptions - before;
    Ok(())
}

/// Flushes, looks after open replies, then deletes the sessions that were not used for the time to
/// live.
pub(crate) async fn sweep(
    registry: &Arc<Registry>,
    list: &dyn SessionList,
) -> Result<SweepReport, StoreError> {
    let mut report = SweepReport::default();
    flush_touches(registry, &mut report).await;
    driver::make_room(registry, registry.live_sessions());
    sweep_replies(registry, list, &mut report).await?;
    let Some(ttl) = registry.config.expiry.ttl_ms() else { return Ok(report) };
    let Some(idle_since) = registry.clock.now_ms().checked_sub(ttl) else { return Ok(report) };
    let mut query = ListQuery { idle_since: Some(idle_since), ..ListQuery::all(PAGE) };
    loop {
        let page = list.list(&query).await?;
        let deletions = page.sessions.into_iter().map(|listed| async move {
            let deleted = match listed.head {
                Ok(_) => {
                    let idle = registry.session(listed.id.clone());
                    idle.delete(DeleteIf::IdleSince(idle_since)).await
                }
                Err(e) => Err(e.into()),
            };
            (listed.id, deleted)
        });
        let mut deletions = stream::iter(deletions).buffered(AT_ONCE);
        while let Some((id, deleted)) = deletions.next().await {
            match deleted {
                Ok(DeleteOutcome::Deleted) => report.deleted += 1,
                Ok(DeleteOutcome::Conflict { .. }) => report.kept += 1,
                Ok(DeleteOutcome::Absent) => {}
                Err(e) => report.failed.push((id, e)),
            }
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(report),
        }
    }
}
