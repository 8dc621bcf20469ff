//! Use and expiry (clause C10).

use super::engine::Engine;
use super::hub::Hub;
use super::view::View;
use crate::SessionId;
use crate::error::{Error, ErrorChain};
use crate::store::{DeleteIf, DeleteOutcome, ListQuery, SessionList, StoreError};
use crate::sync::Arc;

/// How many sessions a sweep lists at a time.
const PAGE: usize = 256;

/// What a sweep did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SweepReport {
    /// Touches written that had only been in memory.
    pub touched: u64,
    /// Sessions deleted because nobody used them for the time to live.
    pub deleted: u64,
    /// Sessions that were used just before they would have been deleted.
    pub kept: u64,
    /// Sessions that the sweep could not deal with, and why. They are left as they are.
    pub failed: Vec<(SessionId, Error)>,
}

impl Engine {
    /// Notes that the session was read, and writes that down if the last time is a touch interval ago.
    pub(crate) async fn accessed(&self, view: &View) {
        if !view.exists {
            return;
        }
        let now = self.hub.clock.now_ms();
        let due = {
            let mut state = self.slot.lock();
            state.used_at = now;
            state.accessed_at = state.accessed_at.max(now);
            let written = view.head.last_accessed_at.max(state.touched_at);
            let due = now.saturating_sub(written) >= self.hub.config.expiry.touch_ms();
            if due {
                // Whoever notices first writes it; others read on.
                state.touched_at = now;
            }
            due
        };
        if due && let Err(e) = self.touch(now).await {
            // The read itself has succeeded. The next read tries again.
            let session = self.slot.id.fingerprint();
            tracing::warn!(%session, error = %ErrorChain(&e), "a touch could not be written");
            self.slot.lock().touched_at = 0;
        }
    }

    pub(crate) async fn touch(&self, at: u64) -> Result<(), Error> {
        self.catch_up().await;
        self.hub.store.touch(&self.slot.id, at).await?;
        self.hub.stats.touch();
        let mut state = self.slot.lock();
        state.touched_at = state.touched_at.max(at);
        if let Some(published) = state.published.as_mut().filter(|view| view.exists) {
            let view = Arc::make_mut(published);
            view.head.last_accessed_at = view.head.last_accessed_at.max(at);
        }
        Ok(())
    }

    /// Writes down the last use of a live session, if only this hub knows of it.
    async fn flush_touch(&self) -> Result<bool, Error> {
        self.catch_up().await;
        let pending = {
            let state = self.slot.lock();
            let written = state.published.as_ref().filter(|v| v.exists).map(|v| v.head.last_accessed_at);
            written.filter(|&written| state.accessed_at > written).map(|_| state.accessed_at)
        };
        match pending {
            Some(at) => self.touch(at).await.map(|()| true),
            None => Ok(false),
        }
    }
}

/// Writes down every use that is only in memory.
pub(crate) async fn flush_touches(hub: &Arc<Hub>, report: &mut SweepReport) {
    for slot in hub.slots() {
        let engine = Engine { hub: Arc::clone(hub), slot };
        match engine.flush_touch().await {
            Ok(written) => report.touched += u64::from(written),
            Err(e) => report.failed.push((engine.slot.id.clone(), e)),
        }
    }
}

/// Flushes, then deletes what was not used for the time to live.
pub(crate) async fn sweep(hub: &Arc<Hub>, list: &dyn SessionList) -> Result<SweepReport, StoreError> {
    let mut report = SweepReport::default();
    flush_touches(hub, &mut report).await;
    hub.make_room(hub.live_sessions());
    let Some(ttl) = hub.config.expiry.ttl_ms() else { return Ok(report) };
    let Some(idle_since) = hub.clock.now_ms().checked_sub(ttl) else { return Ok(report) };
    let mut query = ListQuery { idle_since: Some(idle_since), ..ListQuery::all(PAGE) };
    loop {
        let page = list.list(&query).await?;
        for session in page.sessions {
            if let Err(e) = session.head {
                report.failed.push((session.id, e.into()));
                continue;
            }
            let engine = Engine { slot: hub.slot(session.id.clone()), hub: Arc::clone(hub) };
            match engine.delete(DeleteIf::IdleSince(idle_since)).await {
                Ok(DeleteOutcome::Deleted) => report.deleted += 1,
                Ok(DeleteOutcome::Conflict { .. }) => report.kept += 1,
                Ok(DeleteOutcome::Absent) => {}
                Err(e) => report.failed.push((session.id, e)),
            }
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(report),
        }
    }
}
