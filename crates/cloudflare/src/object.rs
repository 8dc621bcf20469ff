//! What a Durable Object class needs to be a home of chat sessions.

use crate::{DurableObjectStore, WorkerClock, WorkerRandom, convert, live};
use bytes::Bytes;
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
use worker::{ScheduledTime, State, console_error};

/// An object has 128 MB for everything.
const MEMORY: u64 = 32 << 20;
/// How often at most the use of a session by reading is written down.
const TOUCH: Duration = Duration::from_mins(5);

/// A Durable Object that keeps chat sessions and serves the protocol of `durable-session-http`: usually the one session that
/// the object is named after. A class is a struct around it:
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
///         Self(ChatObject::builder(state).sessions(|s| s.greeting(Message::assistant("Hi!"))).build())
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
/// Requests come with the full path, as [`ChatWorker`](crate::ChatWorker) sends them, or with the rest of it after the id
/// (`/state` for the session itself), as the Worker in front of a whole-state object sends them. Such an object's state is taken
/// over: see [`DurableObjectStore::succeeding`].
///
/// When the last session of the object is deleted, or expires, everything in its storage is deleted.
pub struct ChatObject<A: AppState = JsonObject> {
    // Between requests an object is what is stored and caches of it; an unwinding panic leaves both whole.
    inner: AssertUnwindSafe<Inner<A>>,
}

struct Inner<A> {
    store: Arc<DurableObjectStore>,
    api: Result<Api<A>, InvalidConfig>,
    /// The session that the object is named after.
    own: Option<SessionId>,
    state: State,
    ttl: Option<Duration>,
    /// An alarm is known to be set.
    armed: Cell<bool>,
}

impl<A: AppState> ChatObject<A> {
    /// Begins to set up the object; `state` is what the class's constructor is given.
    pub fn builder(state: State) -> ChatObjectBuilder<A> {
        let own = state.id().name().and_then(|name| SessionId::new(name).ok());
        let store = DurableObjectStore::new(state.storage());
        let store = Arc::new(match &own {
            Some(id) => store.succeeding(id.clone()),
            None => store,
        });
        let memory = Memory { bytes: MEMORY, ..Memory::default() };
        let sessions =
            ChatSessions::builder_with(Arc::clone(&store), WorkerClock, WorkerRandom).memory(memory);
        ChatObjectBuilder { state, own, store, sessions, api: Box::new(|api| api), ttl: None }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// What went wrong while the platform's response was made.
    pub async fn fetch(&self, request: worker::Request) -> worker::Result<worker::Response> {
        let response = match &self.inner.api {
            Ok(api) => match convert::request(request, |method, path| api.body_limit(method, path)).await {
                Ok(request) => self.serve(api, request).await,
                Err(refusal) => refusal.answer(),
            },
            Err(e) => {
                console_error!("the object is set up wrongly: {e}");
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the service is set up wrongly").answer()
            }
        };
        let store = Arc::clone(&self.inner.store);
        convert::response(response, |events| live::confirmed(events, store))
    }

    /// Deletes sessions that expired, and sets the next alarm if sessions are left. For the class's alarm handler.
    ///
    /// # Errors
    /// What failed; the platform then calls again.
    pub async fn alarm(&self) -> worker::Result<worker::Response> {
        self.inner.armed.set(false);
        self.expire().await.map_err(|e| worker::Error::RustError(ErrorChain(&e).to_string()))?;
        worker::Response::empty()
    }

    /// The sessions, for what the class does beside the protocol. `None` if the object is set up wrongly.
    pub fn sessions(&self) -> Option<&ChatSessions<A>> {
        self.inner.api.as_ref().ok().map(Api::sessions)
    }

    async fn serve(&self, api: &Api<A>, request: Request<Bytes>) -> Response<Body> {
        let deletes = request.method() == Method::DELETE;
        let path = request.uri().path();
        let full = path.strip_prefix(api.prefix()).is_some_and(|rest| rest.starts_with('/'));
        let response = match &self.inner.own {
            _ if full => api.handle(request).await,
            Some(own) => api.handle_session(own.clone(), request).await,
            None => Refusal::not_found().answer(),
        };
        // The answer stands, whatever becomes of this: it is tried again with the next request.
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

    /// Sets the alarm if none is set and sessions expire. Later requests leave it alone: when it rings it finds out.
    async fn arm(&self) -> Result<(), StoreError> {
        let Some(ttl) = self.inner.ttl else { return Ok(()) };
        if self.inner.armed.get() || self.inner.store.is_empty()? {
            return Ok(());
        }
        let storage = self.inner.state.storage();
        if storage.get_alarm().await.map_err(alarm_failed)?.is_none() {
            storage.set_alarm(ttl).await.map_err(alarm_failed)?;
        }
        self.inner.armed.set(true);
        Ok(())
    }

    async fn expire(&self) -> Result<(), StoreError> {
        let (Some(ttl), Ok(api)) = (self.inner.ttl, &self.inner.api) else { return Ok(()) };
        let store = &self.inner.store;
        let report = api.sessions().sweep(store).await?;
        for (id, e) in report.failed {
            console_error!("session {} could not be expired: {}", id.fingerprint(), ErrorChain(&e));
        }
        if self.purge().await? {
            return Ok(());
        }
        let Some(oldest) = oldest_use(store).await? else { return Ok(()) };
        let now = api.sessions().now_ms();
        let due =
            Duration::from_millis(oldest).saturating_add(ttl).saturating_sub(Duration::from_millis(now));
        // What could not be expired now is not tried again at once.
        let due = due.max(Duration::from_secs(1)).min(ttl);
        self.inner.state.storage().set_alarm(ScheduledTime::from(due)).await.map_err(alarm_failed)?;
        self.inner.armed.set(true);
        Ok(())
    }

    async fn purge(&self) -> Result<bool, StoreError> {
        let purged = self.inner.store.purge_if_empty().await?;
        if purged {
            self.inner.armed.set(false);
        }
        Ok(purged)
    }
}

/// When the least recently used session was used.
async fn oldest_use(list: &DurableObjectStore) -> Result<Option<u64>, StoreError> {
    let mut oldest: Option<u64> = None;
    let mut query = ListQuery::all(256);
    loop {
        let page = list.list(&query).await?;
        for session in page.sessions {
            // One that cannot be read is an operator's business; it does not keep the others' alarm waiting.
            if let Ok(head) = session.head {
                oldest = Some(oldest.map_or(head.last_accessed_at, |time| time.min(head.last_accessed_at)));
            }
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(oldest),
        }
    }
}

fn alarm_failed(e: worker::Error) -> StoreError {
    crate::sql::SqlError::from(e).into_store("could not set the object's alarm")
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
    state: State,
    own: Option<SessionId>,
    store: Arc<DurableObjectStore>,
    sessions: ChatSessionsBuilder<A>,
    api: Box<dyn FnOnce(ApiBuilder<A>) -> ApiBuilder<A>>,
    ttl: Option<Duration>,
}

impl<A: AppState> ChatObjectBuilder<A> {
    /// Sets up the sessions: greeting, limits, window.
    pub fn sessions(mut self, set: impl FnOnce(ChatSessionsBuilder<A>) -> ChatSessionsBuilder<A>) -> Self {
        self.sessions = set(self.sessions);
        self
    }

    /// Sets up the protocol: field routes, the app's answers.
    pub fn api(mut self, set: impl FnOnce(ApiBuilder<A>) -> ApiBuilder<A> + 'static) -> Self {
        let before = self.api;
        self.api = Box::new(|api| set(before(api)));
        self
    }

    /// Deletes sessions that were not used for so long (clause C10), by an alarm that rings about once in that time.
    pub fn expire_after(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Builds it. Nothing is read or written yet; what is set up wrongly is said in the log, and answered with 500.
    pub fn build(self) -> ChatObject<A> {
        let sessions = match self.ttl.map(|ttl| Expiry::after(ttl, TOUCH.min(ttl / 2))) {
            Some(Ok(expiry)) => self.sessions.expiry(expiry),
            // Two touches fit into every time to live, by the minimum above.
            Some(Err(_)) | None => self.sessions,
        };
        let api = (self.api)(Api::builder(sessions.build())).build();
        let inner = Inner {
            store: self.store,
            api,
            own: self.own,
            state: self.state,
            ttl: self.ttl,
            armed: Cell::new(false),
        };
        ChatObject { inner: AssertUnwindSafe(inner) }
    }
}

impl<A: AppState> fmt::Debug for ChatObjectBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatObjectBuilder").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}
