//! Callers that go away before they hear of their change: whoever reads next sees it (C1, C3).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, id, yield_now};
use crate::hub::{ManualClock, expiring_hub, get, hub_on, said, say, set};
use crate::probe::Probe;
use crate::{Failure, fixture};
use durable_session::store::Version;
use durable_session::{ChatSession, ChatSessions, Memory, MessageQuery, Watched};
use futures_util::FutureExt;
use std::fmt;
use std::time::Duration;

/// A change whose caller goes away.
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
    /// Begins the change, and goes away. The change must not be answered yet.
    fn begin(self, chat: &ChatSession) -> Checked {
        let answered = match self {
            Self::Create | Self::Append => polled_once(chat.add_message(say("gone"))),
            Self::SetApp => polled_once(set(chat, "step", "1")),
            Self::Replace => polled_once(chat.replace(1, say("edited"))),
            Self::Remove => polled_once(chat.remove(1)),
            Self::Reset => polled_once(chat.reset()),
            Self::Delete => polled_once(chat.delete()),
        };
        ensure!(!answered, "{self:?} returned before the store had answered");
        Ok(())
    }
}

/// Polls a call once and drops it; returns whether it was finished.
fn polled_once(call: impl Future) -> bool {
    Box::pin(call).now_or_never().is_some()
}

/// Begins the change and goes away, and waits until the store has answered; the answer is held. Returns the version
/// that is stored then. Reads meanwhile wait for nobody.
async fn dropped(t: &Fixture, change: Change, chat: &ChatSession, probe: &Probe) -> Checked<Option<Version>> {
    // Loaded, so that the first poll sends the change.
    chat.snapshot().await?;
    let before = probe.answers();
    probe.hold_answers();
    change.begin(chat)?;
    // Far more looks than any store needs.
    for _ in 0..100_000 {
        if probe.answers() > before {
            return Ok(t.maybe_all(chat.id()).await?.map(|loaded| loaded.head.version));
        }
        // Also polls the change, in case the store's answer has to be fetched.
        chat.snapshot().await?;
        yield_now().await;
    }
    Err(Failure::new("a change that was accepted was never answered, although the session was read"))
}

/// The version that a read of `chat` shows.
async fn shown(t: &Fixture, hub: &ChatSessions, chat: &ChatSession, read: Read) -> Checked<Option<Version>> {
    Ok(match read {
        Read::Snapshot => chat.snapshot().await?.version(),
        Read::Messages => chat.messages(MessageQuery::last(1)).await?.version,
        Read::StateJson => chat.get_state_json().await?.0,
        Read::NewHandle => hub.session(chat.id().clone()).snapshot().await?.version(),
        Read::Touch => {
            chat.touch().await?;
            chat.snapshot().await?.version()
        }
        Read::State => {
            let stored = t.hub().session(chat.id().clone());
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
    let (hub, probe) = t.probed_hub();
    let chat = hub.session(id(&format!("dropped-{change:?}-{read:?}"))?);
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
            Some(Watched::Changed(told)) => ensure_eq!(told.version, stored, "the version told {about}"),
            other => return Err(Failure::new(format_args!("a watcher was told {other:?} {about}"))),
        },
        None => ensure_eq!(shown(t, &hub, &chat, read).await?, stored, "the version read {about}"),
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

pub(crate) async fn a_session_whose_callers_went_away_leaves_memory(t: &mut Fixture) -> Checked {
    let (clock, probe) = (ManualClock::new(), Probe::new(t.store()));
    let one_second = Memory { idle: Duration::from_secs(1), ..Memory::default() };
    let hub: ChatSessions = hub_on(probe.clone(), &clock, |builder| builder.memory(one_second));
    let gone = hub.session(id("gone")?);
    gone.add_message(say("one")).await?;
    dropped(t, Change::Append, &gone, &probe).await?;
    probe.release();
    ensure_eq!(hub.stats().queue_depth, 0, "the calls that somebody waits for");
    clock.advance(2);
    for _ in 0..4 {
        hub.session(id("another")?).add_message(say("x")).await?;
    }
    ensure_eq!(hub.stats().live_sessions, 1, "the live sessions once one was idle");
    ensure_eq!(said(&gone).await?, ["one", "gone"], "what is said in the idle session");
    Ok(())
}

pub(crate) async fn what_a_dropped_caller_created_is_kept_while_it_is_read(t: &mut Fixture) -> Checked {
    const TTL: u64 = 1000;
    let (clock, probe) = (ManualClock::new(), Probe::new(t.store()));
    let hub = expiring_hub(probe.clone(), &clock, TTL, TTL / 10)?;
    let chat = hub.session(fixture::session()?);
    dropped(t, Change::Create, &chat, &probe).await?;
    probe.release();
    clock.advance(TTL - 1);
    chat.snapshot().await?;
    clock.advance(2);
    ensure_eq!(hub.sweep(&*t.list()?).await?.deleted, 0, "the sessions expired although they were read");
    set(&chat, "kept", "true").await?;
    ensure_eq!(get(&chat, "kept").await?.as_deref(), Some("true"), "the app state");
    ensure_eq!(said(&chat).await?, ["gone"], "what is said");
    Ok(())
}
