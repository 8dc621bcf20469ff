//! Chat sessions over the store under test, with a clock that the case moves.

use crate::Failure;
use crate::fixture::{Checked, Fixture, T, yield_now};
use crate::probe::Probe;
use durable_session::env::{Clock, Random, RandomError};
use durable_session::store::SessionStore;
use durable_session::{
    AppState, ChatSession, ChatSessions, ChatSessionsBuilder, Expiry, JsonObject, Message,
};
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

/// A clock that stands still until it is moved. A clone is the same clock.
#[derive(Clone)]
pub(crate) struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(T)))
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1000, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Hubs draw randomness for new ids only, and no case makes any.
struct NoRandom;

impl Random for NoRandom {
    fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
        Err(RandomError::new("the suite draws no ids"))
    }
}

/// A hub of its own over `store`.
pub(crate) fn hub_on<A: AppState>(
    store: impl SessionStore + 'static,
    clock: &ManualClock,
    set_up: impl FnOnce(ChatSessionsBuilder<A>) -> ChatSessionsBuilder<A>,
) -> ChatSessions<A> {
    set_up(ChatSessions::builder_with(store, clock.clone(), NoRandom)).build()
}

/// A hub of its own whose sessions expire. Times are seconds.
pub(crate) fn expiring_hub(
    store: impl SessionStore + 'static,
    clock: &ManualClock,
    time_to_live: u64,
    touch_interval: u64,
) -> Checked<ChatSessions> {
    let expiry = Expiry::after(Duration::from_secs(time_to_live), Duration::from_secs(touch_interval));
    let expiry = expiry.map_err(Failure::new)?;
    Ok(hub_on(store, clock, |builder| builder.expiry(expiry)))
}

impl Fixture {
    /// A hub of its own with the usual settings.
    pub(crate) fn hub(&self) -> ChatSessions {
        self.typed_hub()
    }

    /// The same with an app type.
    pub(crate) fn typed_hub<A: AppState>(&self) -> ChatSessions<A> {
        hub_on(self.store(), &ManualClock::new(), |builder| builder)
    }

    /// A hub of its own, and the probe between it and the store.
    pub(crate) fn probed_hub(&self) -> (ChatSessions, Probe) {
        let probe = Probe::new(self.store());
        (hub_on(probe.clone(), &ManualClock::new(), |builder| builder), probe)
    }
}

pub(crate) fn say(text: &str) -> Message {
    Message::user(text)
}

/// What is said in a session, in order.
pub(crate) async fn said<A: AppState>(chat: &ChatSession<A>) -> Checked<Vec<String>> {
    let state = chat.get_state().await?;
    let texts = state.messages.iter().map(|message| message.text().map(std::borrow::Cow::into_owned));
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

/// What a call comes to; a failure if it never comes to anything.
pub(crate) async fn settled<T>(call: impl Future<Output = T>) -> Checked<T> {
    // Far more polls than any store needs.
    const POLLS: usize = 1_000_000;
    let mut call = Box::pin(call);
    for _ in 0..POLLS {
        if let Poll::Ready(value) = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
            return Ok(value);
        }
        yield_now().await;
    }
    Err(Failure::new("a call never returned"))
}
