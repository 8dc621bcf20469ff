//! Session registries over the store under test, with a clock that the case moves.

use crate::Failure;
use crate::fixture::{Checked, Fixture, Looks, T};
use crate::probe::Probe;
use durable_session::env::{Clock, Random, RandomError};
use durable_session::store::{Claim, Opening, SessionStore};
use durable_session::{
    AppState, ChatSession, ChatSessions, ChatSessionsBuilder, Expiry, JsonObject, Message,
};
use futures_util::FutureExt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

/// A clock that stands still until the case moves it. Clones share the time.
#[derive(Clone)]
pub(crate) struct ManualClock {
    now: Arc<AtomicU64>,
    monotonic: Arc<AtomicU64>,
}

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self { now: Arc::new(AtomicU64::new(T)), monotonic: Arc::default() }
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.now.fetch_add(seconds * 1000, Ordering::Relaxed);
        self.monotonic.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    /// Moves only the wall clock.
    pub(crate) fn jump(&self, seconds: u64) {
        self.now.fetch_add(seconds * 1000, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic.load(Ordering::Relaxed)
    }
}

/// Different bytes each time, for the claims of replies. No case makes a session id.
struct Counting;

impl Random for Counting {
    fn fill(&self, buf: &mut [u8]) -> Result<(), RandomError> {
        static DRAWN: AtomicU64 = AtomicU64::new(1);
        let drawn = DRAWN.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (at, byte) in buf.iter_mut().rev().enumerate() {
            *byte = drawn[7 - at % 8];
        }
        Ok(())
    }
}

/// An opening of the store that no other process has.
pub(crate) fn another_opening() -> Checked<Opening> {
    Opening::draw(&Counting).map_err(Failure::new)
}

/// A claim of this opening that nobody holds.
pub(crate) fn claim_of(opening: &Opening) -> Checked<Claim> {
    opening.claim(&Counting).map_err(Failure::new)
}

/// A new registry over `store`.
pub(crate) fn registry_on<A: AppState>(
    store: impl SessionStore + 'static,
    clock: &ManualClock,
    set_up: impl FnOnce(ChatSessionsBuilder<A>) -> ChatSessionsBuilder<A>,
) -> ChatSessions<A> {
    set_up(ChatSessions::builder_with(store, clock.clone(), Counting)).build()
}

/// A new registry whose sessions expire. Times are in seconds.
pub(crate) fn expiring_registry(
    store: impl SessionStore + 'static,
    clock: &ManualClock,
    time_to_live: u64,
    touch_interval: u64,
) -> Checked<ChatSessions> {
    let expiry =
        Expiry::after(Duration::from_secs(time_to_live), Duration::from_secs(touch_interval));
    let expiry = expiry.map_err(Failure::new)?;
    Ok(registry_on(store, clock, |builder| builder.expiry(expiry)))
}

impl Fixture {
    /// A new registry with default settings.
    pub(crate) fn registry(&self) -> ChatSessions {
        self.typed_registry()
    }

    /// A new registry with an app type.
    pub(crate) fn typed_registry<A: AppState>(&self) -> ChatSessions<A> {
        registry_on(self.store(), &ManualClock::new(), |builder| builder)
    }

    /// A new registry, and the probe between it and the store.
    pub(crate) fn probed_registry(&self) -> (ChatSessions, Probe) {
        let probe = Probe::new(self.store());
        (registry_on(probe.clone(), &ManualClock::new(), |builder| builder), probe)
    }
}

pub(crate) fn say(text: &str) -> Message {
    Message::user(text)
}

/// The texts of all messages of a session, in order.
pub(crate) async fn said<A: AppState>(chat: &ChatSession<A>) -> Checked<Vec<String>> {
    let state = chat.get_state().await?;
    let texts =
        state.messages.iter().map(|message| message.text().map(std::borrow::Cow::into_owned));
    Ok(texts.map(Option::unwrap_or_default).collect())
}

/// Sets a key of an untyped app state.
pub(crate) async fn set(chat: &ChatSession, key: &str, json: &str) -> Checked {
    chat.update(|app: &mut JsonObject| app.set_json(key, json)).await?.map_err(Failure::new)
}

/// A key of the untyped app state, as JSON.
pub(crate) async fn get(chat: &ChatSession, key: &str) -> Checked<Option<String>> {
    Ok(chat.snapshot().await?.app_json()?.get_json(key).map(str::to_owned))
}

/// Polls a call once, which must not return: its change cannot be durable yet.
#[track_caller]
pub(crate) fn waits(call: impl Future + Unpin) -> Checked {
    match call.now_or_never() {
        None => Ok(()),
        Some(_) => Err(Failure::new("a call returned before its change was durable")),
    }
}

/// The result of a call; a failure if it does not return.
pub(crate) async fn settled<T>(call: impl Future<Output = T>) -> Checked<T> {
    let mut call = Box::pin(call);
    let mut looks = Looks::new(1_000_000);
    // A look can take long, so the time is limited, too. On wasm there is no clock.
    let began = cfg!(not(target_family = "wasm")).then(Instant::now);
    loop {
        if let Poll::Ready(value) = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
            return Ok(value);
        }
        let is_late = began.is_some_and(|began| began.elapsed() > Duration::from_secs(25));
        if is_late || !looks.next().await {
            return Err(Failure::new("a call never returned"));
        }
    }
}
