//! Idle sessions expire, used ones do not (C10).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, Looks, id};
use crate::probe::Probe;
use crate::registry::{ManualClock, expiring_registry, said, say};
use durable_session::ChatSessions;
use durable_session::env::Clock;
use durable_session::store::SessionStore;

const TTL: u64 = 1000;
const TOUCH_INTERVAL: u64 = 100;

fn registry(store: impl SessionStore + 'static, clock: &ManualClock) -> Checked<ChatSessions> {
    expiring_registry(store, clock, TTL, TOUCH_INTERVAL)
}

async fn exists(t: &Fixture, name: &str) -> Checked<bool> {
    Ok(t.maybe_all(&id(name)?).await?.is_some())
}

pub(crate) async fn idle_sessions_expire_and_used_ones_do_not(t: &mut Fixture) -> Checked {
    let clock = ManualClock::new();
    let registry = registry(t.store(), &clock)?;
    for name in ["idle", "read", "written"] {
        registry.session(id(name)?).add_message(say("begin")).await?;
    }
    let list = t.list()?;
    clock.advance(TTL - 1);
    ensure_eq!(
        registry.sweep(&*list).await?.deleted,
        0,
        "the number of sessions that expired before their time"
    );
    said(&registry.session(id("read")?)).await?;
    registry.session(id("written")?).add_message(say("more")).await?;
    clock.advance(1);
    let report = registry.sweep(&*list).await?;
    ensure!(report.failed.is_empty(), "a sweep failed: {:?}", report.failed);
    ensure_eq!(report.deleted, 1, "the number of expired sessions");
    let there = [exists(t, "idle").await?, exists(t, "read").await?, exists(t, "written").await?];
    ensure_eq!(
        there,
        [false, true, true],
        "whether the idle, the read and the written session exist"
    );
    clock.advance(TTL);
    ensure_eq!(
        registry.sweep(&*list).await?.deleted,
        2,
        "the number of expired sessions when none was used"
    );
    Ok(())
}

pub(crate) async fn reading_writes_a_touch_at_most_once_per_interval(t: &mut Fixture) -> Checked {
    let clock = ManualClock::new();
    let probe = Probe::new(t.store());
    let chat = registry(probe.clone(), &clock)?.session(id("read")?);
    chat.add_message(say("begin")).await?;
    for interval in 0..5 {
        // Reads do not wait for a touch: it takes some to find the answer and to send the next.
        let mut looks = Looks::new(10_000);
        loop {
            said(&chat).await?;
            if probe.touches() >= interval || !looks.next().await {
                break;
            }
        }
        for _ in 0..10 {
            chat.snapshot().await?;
            said(&chat).await?;
            clock.advance(TOUCH_INTERVAL / 10);
        }
        let touches = probe.touches();
        ensure!(touches <= interval + 1, "{touches} touches in {} intervals", interval + 1);
    }
    ensure!(probe.touches() >= 4, "only {} touches in five intervals of reading", probe.touches());
    let last_read = crate::fixture::T + (5 * TOUCH_INTERVAL - TOUCH_INTERVAL / 10) * 1000;
    let mut stored;
    let mut looks = Looks::new(10_000);
    loop {
        stored = t.all(&id("read")?).await?.head.last_accessed_at;
        if stored + TOUCH_INTERVAL * 1000 > last_read || !looks.next().await {
            break;
        }
    }
    ensure!(
        stored + TOUCH_INTERVAL * 1000 > last_read,
        "the stored time is more than an interval behind"
    );
    Ok(())
}

pub(crate) async fn a_sweep_writes_pending_touches_first(t: &mut Fixture) -> Checked {
    let clock = ManualClock::new();
    let registry = registry(t.store(), &clock)?;
    let chat = registry.session(id("read")?);
    chat.add_message(say("begin")).await?;
    clock.advance(TOUCH_INTERVAL / 2);
    chat.snapshot().await?;
    clock.advance(TTL - TOUCH_INTERVAL / 4);
    let report = registry.sweep(&*t.list()?).await?;
    ensure_eq!(report.deleted, 0, "the number of expired sessions, although the only one was read");
    ensure!(exists(t, "read").await?, "a session expired although it was read");
    clock.advance(TTL);
    ensure_eq!(
        registry.sweep(&*t.list()?).await?.deleted,
        1,
        "the number of expired sessions in the end"
    );
    ensure_eq!(said(&chat).await?, Vec::<String>::new(), "the texts in an expired session");
    chat.add_message(say("again")).await?;
    ensure_eq!(said(&chat).await?, ["again"], "the texts after it was created again");
    Ok(())
}

pub(crate) async fn a_session_that_another_registry_uses_does_not_expire(
    t: &mut Fixture,
) -> Checked {
    let clock = ManualClock::new();
    let (one, two) = (registry(t.store(), &clock)?, registry(t.store(), &clock)?);
    one.session(id("shared")?).add_message(say("begin")).await?;
    clock.advance(TTL / 2);
    let before = t.all(&id("shared")?).await?.head.last_accessed_at;
    two.session(id("shared")?).snapshot().await?;
    // The read does not wait for its touch.
    let mut looks = Looks::new(10_000);
    while t.all(&id("shared")?).await?.head.last_accessed_at == before && looks.next().await {}
    clock.advance(TTL / 2);
    ensure_eq!(
        one.sweep(&*t.list()?).await?.deleted,
        0,
        "the number of expired sessions that another registry uses"
    );
    ensure!(exists(t, "shared").await?, "a session expired although another registry used it");
    Ok(())
}

pub(crate) async fn a_sweep_keeps_sessions_that_are_used_while_it_runs(t: &mut Fixture) -> Checked {
    let clock = ManualClock::new();
    let registry = registry(t.store(), &clock)?;
    registry.session(id("used")?).add_message(say("begin")).await?;
    clock.advance(2 * TTL);
    let list = Probe::listing(t.list()?);
    list.touch_listed_sessions(clock.now_ms());
    let report = registry.sweep(&list).await?;
    ensure_eq!(
        (report.deleted, report.kept),
        (0, 1),
        "the numbers of sessions deleted, and kept because they were used"
    );
    ensure!(exists(t, "used").await?, "a session expired although it was just used");
    Ok(())
}
