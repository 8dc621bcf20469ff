//! Callers that are dropped before the answer: the next read sees their change (C1, C3).

use crate::dropped::polled_once;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, Looks, id};
use crate::probe::Probe;
use crate::registry::{ManualClock, expiring_registry, get, registry_on, said, say, set};
use crate::{Failure, fixture};
use durable_session::store::Version;
use durable_session::{ChatSession, ChatSessions, Memory, MessageQuery, Watched};
use futures_util::FutureExt;
use std::fmt;
use std::time::Duration;

/// A change whose caller is dropped.
#[derive(Debug, Clone, Copy)]
enum Change {
    Create,
    Append,
    SetApp,
    Replace,
    Remove,
    Reset,
    Delete,
}

/// A way to read a session.
#[derive(Debug, Clone, Copy)]
enum Read {
    Snapshot,
    Messages,
    State,
    StateJson,
    NewHandle,
    /// A watcher made before the change.
    Watcher,
    /// A watcher made after it.
    LateWatcher,
    /// A snapshot after a touch.
    Touch,
}

const CHANGES: [Change; 7] = [
    Change::Create,
    Change::Append,
    Change::SetApp,
    Change::Replace,
    Change::Remove,
    Change::Reset,
    Change::Delete,
];

const READS: [Read; 8] = [
    Read::Snapshot,
    Read::Messages,
    Read::State,
    Read::StateJson,
    Read::NewHandle,
    Read::Watcher,
    Read::LateWatcher,
    Read::Touch,
];

impl Change {
    /// Polls the change once and drops it. It must not be answered yet.
    fn begin(self, chat: &ChatSession) -> Checked {
        let answered = match self {
            Self::Create | Self::Append => is_answered(chat.add_message(say("gone"))),
            Self::SetApp => is_answered(set(chat, "step", "1")),
            Self::Replace => is_answered(chat.replace(1, say("edited"))),
            Self::Remove => is_answered(chat.remove(1)),
            Self::Reset => is_answered(chat.reset()),
            Self::Delete => is_answered(chat.delete()),
        };
        ensure!(!answered, "{self:?} returned before the store had answered");
        Ok(())
    }
}

/// Polls a call once and drops it. Returns whether it was finished.
fn is_answered(call: impl Future) -> bool {
    polled_once(call).is_some()
}

/// Begins the change, drops its caller, and waits until the store has made the change; its answer
/// is held. Returns the stored version. Reads meanwhile do not wait.
async fn dropped(
    t: &Fixture,
    change: Change,
    chat: &ChatSession,
    probe: &Probe,
) -> Checked<Option<Version>> {
    // Loaded, so that the first poll sends the change.
    chat.snapshot().await?;
    let before = probe.answers();
    probe.hold_answers();
    change.begin(chat)?;
    let mut looks = Looks::new(100_000);
    loop {
        if probe.answers() > before {
            return Ok(t.maybe_all(chat.id()).await?.map(|loaded| loaded.head.version));
        }
        // A read also polls the change, in case the store needs another poll.
        chat.snapshot().await?;
        if !looks.next().await {
            return Err(Failure::new(
                "a change was never answered after its caller was dropped, although the session \
                 was read",
            ));
        }
    }
}

/// The version that a read of `chat` returns.
async fn shown(
    t: &Fixture,
    registry: &ChatSessions,
    chat: &ChatSession,
    read: Read,
) -> Checked<Option<Version>> {
    Ok(match read {
        Read::Snapshot => chat.snapshot().await?.version(),
        Read::Messages => chat.messages(MessageQuery::last(1)).await?.version,
        Read::StateJson => chat.get_state_json().await?.0,
        Read::NewHandle => registry.session(chat.id().clone()).snapshot().await?.version(),
        Read::Touch => {
            chat.touch().await?;
            chat.snapshot().await?.version()
        }
        Read::State => {
            let stored = t.registry().session(chat.id().clone());
            let (seen, there) = (chat.get_state().await?, stored.get_state().await?);
            ensure_eq!(seen.messages, there.messages, "the messages of the whole state");
            ensure_eq!(seen.app, there.app, "the app state of the whole state");
            stored.snapshot().await?.version()
        }
        Read::Watcher | Read::LateWatcher => None,
    })
}

async fn seen(t: &Fixture, change: Change, read: Read) -> Checked {
    let about = About(change, read);
    let (registry, probe) = t.probed_registry();
    let chat = registry.session(id(&format!("dropped-{change:?}-{read:?}"))?);
    if !matches!(change, Change::Create) {
        chat.add_messages(vec![say("one"), say("two")]).await?;
    }
    let mut watcher = matches!(read, Read::Watcher).then(|| chat.watch());
    let stored = dropped(t, change, &chat, &probe).await?;
    probe.release();
    if matches!(read, Read::LateWatcher) {
        watcher = Some(chat.watch());
    }
    match &mut watcher {
        Some(watcher) => match watcher.next().now_or_never() {
            Some(Watched::Changed(told)) => {
                ensure_eq!(told.version, stored, "the version that a watcher got {about}");
            }
            other => {
                return Err(Failure::new(format_args!("a watcher got {other:?} {about}")));
            }
        },
        None => {
            ensure_eq!(shown(t, &registry, &chat, read).await?, stored, "the version read {about}");
        }
    }
    Ok(())
}

struct About(Change, Read);

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by {:?} after a dropped {:?}", self.1, self.0)
    }
}

pub(crate) async fn a_dropped_callers_change_is_seen_by_the_next_read(t: &mut Fixture) -> Checked {
    for change in CHANGES {
        for read in READS {
            seen(t, change, read).await?;
        }
    }
    Ok(())
}

pub(crate) async fn a_session_whose_callers_were_dropped_is_evicted(t: &mut Fixture) -> Checked {
    let (clock, probe) = (ManualClock::new(), Probe::new(t.store()));
    let one_second = Memory { idle: Duration::from_secs(1), ..Memory::default() };
    let registry: ChatSessions =
        registry_on(probe.clone(), &clock, |builder| builder.memory(one_second));
    let gone = registry.session(id("gone")?);
    gone.add_message(say("one")).await?;
    dropped(t, Change::Append, &gone, &probe).await?;
    probe.release();
    ensure_eq!(registry.stats().queue_depth, 0, "the number of calls that a caller waits for");
    clock.advance(2);
    for _ in 0..4 {
        registry.session(id("another")?).add_message(say("x")).await?;
    }
    ensure_eq!(
        registry.stats().live_sessions,
        1,
        "the number of sessions in memory after one was idle"
    );
    ensure_eq!(said(&gone).await?, ["one", "gone"], "the texts in the idle session");
    Ok(())
}

pub(crate) async fn a_session_that_a_dropped_caller_created_does_not_expire_while_it_is_read(
    t: &mut Fixture,
) -> Checked {
    const TTL: u64 = 1000;
    let (clock, probe) = (ManualClock::new(), Probe::new(t.store()));
    let registry = expiring_registry(probe.clone(), &clock, TTL, TTL / 10)?;
    let chat = registry.session(fixture::session()?);
    dropped(t, Change::Create, &chat, &probe).await?;
    probe.release();
    clock.advance(TTL - 1);
    chat.snapshot().await?;
    clock.advance(2);
    ensure_eq!(
        registry.sweep(&*t.list()?).await?.deleted,
        0,
        "the number of expired sessions, although the only one was read"
    );
    set(&chat, "kept", "true").await?;
    ensure_eq!(get(&chat, "kept").await?.as_deref(), Some("true"), "the app state");
    ensure_eq!(said(&chat).await?, ["gone"], "the texts of the session");
    Ok(())
}
