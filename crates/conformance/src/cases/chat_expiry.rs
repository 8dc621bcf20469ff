//! Idle sessions expire, used ones do not (C10).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, id};
use crate::hub::{ManualClock, expiring_hub, said, say};
use crate::probe::Probe;
use async_trait::async_trait;
use durable_session::ChatSessions;
use durable_session::env::Clock;
use durable_session::store::{ListPage, ListQuery, SessionList, SessionStore, StoreError};
use std::sync::Arc;

const TTL: u64 = 1000;
const TOUCH_INTERVAL: u64 = 100;

fn hub(store: impl SessionStore + 'static, clock: &ManualClock) -> Checked<ChatSessions> {
    expiring_hub(store, clock, TTL, TOUCH_INTERVAL)
}

async fn exists(t: &Fixture, name: &str) -> Checked<bool> {
    Ok(t.maybe_all(&id(name)?).await?.is_some())
}

pub(crate) async fn idle_sessions_expire_and_used_ones_do_not(t: &mut Fixture) -> Checked {
    let clock = ManualClock::new();
    let hub = hub(t.store(), &clock)?;
    for name in ["idle", "read", "written"] {
        hub.session(id(name)?).add_message(say("begin")).await?;
    }
    let list = t.list()?;
    clock.advance(TTL - 1);
    ensure_eq!(hub.sweep(&*list).await?.deleted, 0, "the sessions expired before their time");
    said(&hub.session(id("read")?)).await?;
    hub.session(id("written")?).add_message(say("more")).await?;
    clock.advance(1);
    let report = hub.sweep(&*list).await?;
    ensure!(report.failed.is_empty(), "a sweep failed: {:?}", report.failed);
    ensure_eq!(report.deleted, 1, "the sessions expired");
    let there = [exists(t, "idle").await?, exists(t, "read").await?, exists(t, "written").await?];
    ensure_eq!(there, [false, true, true], "whether the idle, the read and the written session are there");
    clock.advance(TTL);
    ensure_eq!(hub.sweep(&*list).await?.deleted, 2, "the sessions expired when none was used");
    Ok(())
}

pub(crate) async fn reading_writes_a_touch_at_most_once_per_interval(t: &mut Fixture) -> Checked {
    let clock = ManualClock::new();
    let probe = Probe::new(t.store());
    let chat = hub(probe.clone(), &clock)?.session(id("read")?);
    chat.add_message(say("begin")).await?;
    for interval in 0..5 {
        for _ in 0..10 {
            chat.snapshot().await?;
            said(&chat).await?;
            clock.advance(TOUCH_INTERVAL / 10);
        }
        let touches = probe.touches();
        ensure!(touches <= interval + 1, "{touches} touches in {} intervals", interval + 1);
    }
    ensure!(probe.touches() >= 4, "only {} touches in five intervals of reading", probe.touches());
    let stored = t.all(&id("read")?).await?.head.last_accessed_at;
    let last_read = crate::fixture::T + (5 * TOUCH_INTERVAL - TOUCH_INTERVAL / 10) * 1000;
    ensure!(stored + TOUCH_INTERVAL * 1000 > last_read, "the stored time is more than an interval behind");
    Ok(())
}

pub(crate) async fn a_sweep_writes_pending_touches_first(t: &mut Fixture) -> Checked {
    let clock = ManualClock::new();
    let hub = hub(t.store(), &clock)?;
    let chat = hub.session(id("read")?);
    chat.add_message(say("begin")).await?;
    clock.advance(TOUCH_INTERVAL / 2);
    chat.snapshot().await?;
    clock.advance(TTL - TOUCH_INTERVAL / 4);
    let report = hub.sweep(&*t.list()?).await?;
    ensure_eq!(report.deleted, 0, "the sessions expired although they were read");
    ensure!(exists(t, "read").await?, "a session expired although it was read");
    clock.advance(TTL);
    ensure_eq!(hub.sweep(&*t.list()?).await?.deleted, 1, "the sessions expired in the end");
    ensure_eq!(said(&chat).await?, Vec::<String>::new(), "what is said in an expired session");
    chat.add_message(say("again")).await?;
    ensure_eq!(said(&chat).await?, ["again"], "what is said in its next life");
    Ok(())
}

pub(crate) async fn what_another_hub_uses_does_not_expire(t: &mut Fixture) -> Checked {
    let clock = ManualClock::new();
    let (one, two) = (hub(t.store(), &clock)?, hub(t.store(), &clock)?);
    one.session(id("shared")?).add_message(say("begin")).await?;
    clock.advance(TTL / 2);
    two.session(id("shared")?).snapshot().await?;
    clock.advance(TTL / 2);
    ensure_eq!(
        one.sweep(&*t.list()?).await?.deleted,
        0,
        "the sessions that another hub uses and that expired"
    );
    ensure!(exists(t, "shared").await?, "a session expired although another hub used it");
    Ok(())
}

/// A listing during which somebody uses every session that it shows.
struct UsedMeanwhile {
    list: Arc<dyn SessionList>,
    store: Arc<dyn SessionStore>,
    at: u64,
}

#[async_trait]
impl SessionList for UsedMeanwhile {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let page = self.list.list(query).await?;
        for session in &page.sessions {
            self.store.touch(&session.id, self.at).await?;
        }
        Ok(page)
    }
}

pub(crate) async fn a_sweep_keeps_what_is_used_while_it_runs(t: &mut Fixture) -> Checked {
    let clock = ManualClock::new();
    let hub = hub(t.store(), &clock)?;
    hub.session(id("used")?).add_message(say("begin")).await?;
    clock.advance(2 * TTL);
    let list = UsedMeanwhile { list: t.list()?, store: t.store(), at: clock.now_ms() };
    let report = hub.sweep(&list).await?;
    ensure_eq!((report.deleted, report.kept), (0, 1), "the sessions deleted, and kept because of their use");
    ensure!(exists(t, "used").await?, "a session expired although it was just used");
    Ok(())
}
