//! A Durable Object that keeps chat sessions and serves them.

use crate::env::{WorkerClock, WorkerRandom};
use crate::producers::Producers;
use crate::sql::SqlError;
use crate::store::DurableObjectStore;
use crate::{convert, live, producers};
use bytes::Bytes;
use durable_session::env::Clock;
use durable_session::store::{ListQuery, SessionList, StoreError};
use durable_session::{
    AppState, ChatSessions, ChatSessionsBuilder, ErrorChain, Expiry, JsonObject, Memory, SessionId,
};
use durable_session_http::{Api, ApiBuilder, Body, InvalidConfig, Refusal};
use http::{Method, Request, Response, StatusCode};
use std::cell::Cell;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use worker::{State, console_error};

/// The sessions' share of an object's 128 MB of memory, in bytes.
const MEMORY: u64 = 32 << 20;
/// Reads of a session write its time of last use at most this often.
const TOUCH: Duration = Duration::from_mins(5);
/// While a reply is written, an alarm is never further away. After an eviction it ends the reply.
/// It comes more often than the 70 seconds without an event after which the platform evicts an
/// object that no pending work keeps.
const WATCH: Duration = Duration::from_mins(1);

/// A Durable Object that keeps chat sessions and serves the protocol of `durable-session-http`.
///
/// Usually an object keeps one session, and its name is the session's id. Your class is a struct
/// around a `ChatObject`:
///
/// ```no_run
/// use durable_session::Message;
/// use durable_session_cloudflare::ChatObject;
/// use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};
///
/// #[durable_object]
/// pub struct ChatSession(ChatObject);
///
/// impl DurableObject for ChatSession {
///     fn new(state: State, _env: Env) -> Self {
///         let object = ChatObject::builder(state);
///         Self(object.sessions(|s| s.greeting(Message::assistant("Hi!"))).build())
///     }
///
///     async fn fetch(&self, request: Request) -> Result<Response> {
///         self.0.fetch(request).await
///     }
///
///     async fn alarm(&self) -> Result<Response> {
///         self.0.alarm().await
///     }
/// }
/// ```
///
/// The path of a request is the full path, as [`ChatWorker`](crate::ChatWorker) sends it, or its
/// part after the id (`/state` for the session itself), as the Worker in front of a whole-state
/// object sends it. The state of a whole-state object is taken over: see
/// [`DurableObjectStore::succeeding`].
///
/// When the last session of the object is deleted or expires, the object deletes everything in its
/// storage.
pub struct ChatObject<A: AppState = JsonObject> {
    // Between requests an object has its storage and caches of it; a panic leaves both whole.
    inner: AssertUnwindSafe<Inner<A>>,
}

struct Inner<A> {
    store: Arc<DurableObjectStore>,
    api: Result<Api<A>, InvalidConfig>,
    /// The session that the object is named after.
    own: Option<SessionId>,
    state: Arc<State>,
    ttl: Option<Duration>,
    producers: Producers,
    /// When the alarm goes off that is known to be set, in Unix milliseconds.
    alarm: Cell<Option<u64>>,
    alarms_set: Cell<u64>,
}

impl<A: AppState> ChatObject<A> {
    /// Begins to set up the object. `state` is the argument of the class's constructor.
    pub fn builder(state: State) -> ChatObjectBuilder<A> {
        let own = state.id().name().and_then(|name| SessionId::new(name).ok());
        let store = DurableObjectStore::new(state.storage());
        let store = Arc::new(match &own {
            Some(id) => store.succeeding(id.clone()),
            None => store,
        });
        let memory = Memory { bytes: MEMORY, ..Memory::default() };
        let sessions = ChatSessions::builder_with(Arc::clone(&store), WorkerClock, WorkerRandom)
            .memory(memory)
            .gather(producers::GATHER_BYTES, producers::pause);
        let state = Arc::new(state);
        ChatObjectBuilder { state, own, store, sessions, api: Box::new(|api| api), ttl: None }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// The platform could not make the response.
    pub async fn fetch(&self, request: worker::Request) -> worker::Result<worker::Response> {
        let response = match &self.inner.api {
            Ok(api) => {
                match convert::request(request, |method, path| api.body_limit(method, path)).await {
                    Ok(request) => self.serve(api, request).await,
                    Err(refusal) => refusal.response(),
                }
            }
            Err(e) => {
                console_error!("the configuration of the object is not valid: {e}");
                Refusal::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the configuration of the service is not valid",
                )
                .response()
            }
        };
        let store = Arc::clone(&self.inner.store);
        if matches!(response.body(), Body::Events(_)) {
            // A stream begins after the change that it tells of is durable.
            store.confirmed().await?;
        }
        convert::response(response, |events| live::confirmed(events, store))
    }

    /// Deletes expired sessions, ends replies that an evicted object left open, and sets the next
    /// alarm if there is a reason for one. Call it in the class's alarm handler.
    ///
    /// # Errors
    /// A store or platform call failed; the platform runs the alarm again.
    pub async fn alarm(&self) -> worker::Result<worker::Response> {
        self.inner.alarm.set(None);
        self.sweep().await.map_err(|e| worker::Error::RustError(ErrorChain(&e).to_string()))?;
        worker::Response::empty()
    }

    /// The sessions, for the class's own work beside the protocol. `None` if the configuration is
    /// not valid.
    pub fn sessions(&self) -> Option<&ChatSessions<A>> {
        self.inner.api.as_ref().ok().map(Api::sessions)
    }

    /// Rows that the platform bills, written since the object was made: those of the store, and one
    /// for each alarm that was set.
    pub fn rows_written(&self) -> u64 {
        self.inner.store.rows_written() + self.inner.alarms_set.get()
    }

    /// Call it once after the object's storage was put back to an earlier point in time, before
    /// anything is served: see [`DurableObjectStore::restored`].
    ///
    /// # Errors
    /// As [`DurableObjectStore::restored`]; do not serve then.
    pub fn restored(&self) -> Result<(), StoreError> {
        self.inner.store.restored()
    }

    async fn serve(&self, api: &Api<A>, request: Request<Bytes>) -> Response<Body> {
        let deletes = request.method() == Method::DELETE;
        let path = request.uri().path();
        let full = below(path, api.prefix())
            || api.chat_base().is_some_and(|base| path == base || below(path, base));
        let response = match &self.inner.own {
            _ if full => api.handle(request).await,
            Some(own) => api.handle_session(own.clone(), request).await,
            None => Refusal::not_found().response(),
        };
        // A failure here does not change the answer: the next request tries again.
        let kept = if deletes && response.status().is_success() {
            self.purge().await.map(|_| ())
        } else {
            self.arm().await
        };
        if let Err(e) = kept {
            console_error!("{}", ErrorChain(&e));
        }
        response
    }

    /// Sets an alarm if sessions expire and none is set, or if a reply is written and none is near.
    /// Later requests do not move it: the alarm handler computes the next time.
    async fn arm(&self) -> Result<(), StoreError> {
        let Inner { store, producers, ttl, alarm, .. } = &*self.inner;
        let latest = match (producers.any(), ttl) {
            (true, _) => from_now(WATCH),
            (false, Some(_)) => u64::MAX,
            (false, None) => return Ok(()),
        };
        let soon = |alarm: Option<u64>| alarm.is_some_and(|at| at <= latest);
        if soon(alarm.get()) || store.is_empty()? {
            return Ok(());
        }
        let set = self.inner.state.storage().get_alarm().await.map_err(alarm_failed)?;
        alarm.set(set.and_then(|at| u64::try_from(at).ok()));
        if soon(alarm.get()) { Ok(()) } else { self.set_alarm(self.inner.ttl).await }
    }

    /// Sets the alarm so much later than now, and sooner while a reply is written.
    async fn set_alarm(&self, after: Option<Duration>) -> Result<(), StoreError> {
        let watch = self.inner.producers.any().then_some(WATCH);
        let Some(due) = after.into_iter().chain(watch).min() else { return Ok(()) };
        let at = from_now(due);
        self.inner.state.storage().set_alarm(due).await.map_err(alarm_failed)?;
        self.inner.alarms_set.update(|set| set + 1);
        self.inner.alarm.set(Some(at));
        Ok(())
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let Ok(api) = &self.inner.api else { return Ok(()) };
        let store = &self.inner.store;
        let report = api.sessions().sweep(store).await?;
        for (id, e) in report.failed {
            let session = id.fingerprint();
            console_error!("session {session} could not be looked after: {}", ErrorChain(&e));
        }
        if self.purge().await? {
            return Ok(());
        }
        let mut due = None;
        if let (Some(ttl), Some(oldest)) = (self.inner.ttl, oldest_use(store).await?) {
            let expires = Duration::from_millis(oldest).saturating_add(ttl);
            let left = expires.saturating_sub(Duration::from_millis(api.sessions().now_ms()));
            // Not at once, because a session that could not be expired would be tried again and
            // again.
            due = Some(left.max(Duration::from_secs(1)).min(ttl));
        }
        self.set_alarm(due).await
    }

    async fn purge(&self) -> Result<bool, StoreError> {
        let purged = self.inner.store.purge_if_empty().await?;
        if purged {
            self.inner.alarm.set(None);
        }
        Ok(purged)
    }
}

/// Whether a path goes on after another one.
fn below(path: &str, base: &str) -> bool {
    path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'))
}

/// The time so much later than now, in Unix milliseconds.
fn from_now(time: Duration) -> u64 {
    WorkerClock.now_ms().saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// When the least recently used session was used.
async fn oldest_use(list: &DurableObjectStore) -> Result<Option<u64>, StoreError> {
    let mut oldest: Option<u64> = None;
    let mut query = ListQuery::all(256);
    loop {
        let page = list.list(&query).await?;
        for session in page.sessions {
            // A damaged session waits for an operator; it must not delay the others' alarm.
            if let Ok(head) = session.head {
                oldest = Some(
                    oldest.map_or(head.last_accessed_at, |time| time.min(head.last_accessed_at)),
                );
            }
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(oldest),
        }
    }
}

fn alarm_failed(e: worker::Error) -> StoreError {
    SqlError::from(e).into_store("could not set the object's alarm")
}

impl<A: AppState> fmt::Debug for ChatObject<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatObject")
            .field("api", &self.inner.api)
            .field("ttl", &self.inner.ttl)
            .finish_non_exhaustive()
    }
}

/// Sets up a [`ChatObject`].
pub struct ChatObjectBuilder<A: AppState = JsonObject> {
    state: Arc<State>,
    own: Option<SessionId>,
    store: Arc<DurableObjectStore>,
    sessions: ChatSessionsBuilder<A>,
    api: Box<dyn FnOnce(ApiBuilder<A>) -> ApiBuilder<A>>,
    ttl: Option<Duration>,
}

impl<A: AppState> ChatObjectBuilder<A> {
    /// Sets up the sessions, such as their greeting and limits.
    ///
    /// ```no_run
    /// # use durable_session::Message;
    /// # fn object(state: worker::State) -> durable_session_cloudflare::ChatObject {
    /// durable_session_cloudflare::ChatObject::builder(state)
    ///     .sessions(|sessions| sessions.greeting(Message::assistant("Hi!")))
    ///     .build()
    /// # }
    /// ```
    pub fn sessions(
        mut self,
        set: impl FnOnce(ChatSessionsBuilder<A>) -> ChatSessionsBuilder<A>,
    ) -> Self {
        self.sessions = set(self.sessions);
        self
    }

    /// Sets up the protocol, such as field routes and the app's answers.
    ///
    /// The handler of [`ApiBuilder::reply_with`] runs under the platform's `waitUntil`, so it goes
    /// on after the response. While it runs, an alarm is set that ends the reply after an eviction.
    /// `Reply::pump` writes chunks that are gathered for 250 ms or up to 16 KB, `Reply::push`
    /// writes each chunk as a row.
    ///
    /// ```no_run
    /// # use durable_session_http::FieldRoute;
    /// # fn object(state: worker::State) -> durable_session_cloudflare::ChatObject {
    /// durable_session_cloudflare::ChatObject::builder(state)
    ///     .api(|api| api.field(FieldRoute::new("booking-info", "bookingInfo")))
    ///     .build()
    /// # }
    /// ```
    pub fn api(mut self, set: impl FnOnce(ApiBuilder<A>) -> ApiBuilder<A> + 'static) -> Self {
        let before = self.api;
        self.api = Box::new(|api| set(before(api)));
        self
    }

    /// Deletes sessions that were not used for `ttl` (clause C10). An alarm does it, about once per
    /// `ttl`.
    ///
    /// ```no_run
    /// # fn object(state: worker::State) -> durable_session_cloudflare::ChatObject {
    /// durable_session_cloudflare::ChatObject::builder(state)
    ///     .expire_after(std::time::Duration::from_hours(90 * 24))
    ///     .build()
    /// # }
    /// ```
    pub fn expire_after(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Builds the object. Nothing is read or written yet. If the configuration is not valid, the
    /// object logs why and answers every request with 500.
    pub fn build(self) -> ChatObject<A> {
        let sessions = match self.ttl.map(|ttl| Expiry::after(ttl, TOUCH.min(ttl / 2))) {
            Some(Ok(expiry)) => self.sessions.expiry(expiry),
            // Two touches fit into every time to live, by the minimum above.
            Some(Err(_)) | None => self.sessions,
        };
        let producers = Producers::default();
        let (state, tasks) = (Arc::clone(&self.state), producers.clone());
        let api = Api::builder(sessions.build()).spawner(move |task| tasks.run(&state, task));
        let api = (self.api)(api).build();
        let inner = Inner {
            store: self.store,
            api,
            own: self.own,
            state: self.state,
            ttl: self.ttl,
            producers,
            alarm: Cell::new(None),
            alarms_set: Cell::new(0),
        };
        ChatObject { inner: AssertUnwindSafe(inner) }
    }
}

impl<A: AppState> fmt::Debug for ChatObjectBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatObjectBuilder").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}
