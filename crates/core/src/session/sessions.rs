//! The namespace of chat sessions, and how it is built.

use super::call::Require;
use super::chat::ChatSession;
use super::config::{Config, Expiry, Gathering, Limits, Memory, Reads, Replies, Watching, Window};
use super::erasing::EraseOwner;
use super::expiry::{self, SweepReport};
use super::listing::OwnerSessions;
use super::registry::Registry;
use super::stats::Stats;
use crate::app::{self, AppState};
use crate::env::{Clock, Random, RandomError};
use crate::error::Error;
use crate::store::{Hints, Labels, SessionList, SessionStore, Sharing, StoreError};
use crate::sync::Arc;
use crate::{JsonObject, Message, SessionId};
use std::fmt;
use std::marker::PhantomData;

/// The words of `Debug` about the reads of an exclusive store.
const EXCLUSIVE: &str = "own changes at once; another ChatSessions' after a change here or a load";

/// The words of `Debug` if an exclusive store has several `ChatSessions`.
const SEVERAL: &str = "several over one exclusive store: make one and clone it";

/// All chat sessions of one store: one live instance per id (like `idFromName` on Cloudflare).
///
/// `A` is the app's own state; by default any JSON object. Cheap to clone.
///
/// # One per store
/// In one process, make one of these per store and clone it. Two over one store lose nothing: each
/// change is made on the stored state (clause C5).
///
/// - On an **exclusive** store (redb, memory) two in one process each **read only the state that
///   they saw last**. A session that is in memory shows a change made through another one only
///   after its own next change of that session, after [`ChatSession::refresh`], or once the session
///   was dropped from memory and is loaded again. Until then `snapshot`, `messages`, `get_state`,
///   new handles and watchers show the state before it, for any length of time, and `turn_if` takes
///   that state's version for the current one and is refused. `Debug` says so, and a warning is
///   logged when the second one is built.
/// - On a **shared** store ([`Sharing::Shared`](crate::store::Sharing)) each process has one. Reads
///   ask the store for the version, so they are current (clause C1, [`Reads`]). Watchers and
///   followers hear of the changes of others at intervals
///   ([`watch_every`](ChatSessionsBuilder::watch_every)) and by hints ([`listen`](Self::listen)).
pub struct ChatSessions<A = JsonObject> {
    registry: Arc<Registry>,
    app: PhantomData<fn() -> A>,
}

impl<A> Clone for ChatSessions<A> {
    fn clone(&self) -> Self {
        Self { registry: Arc::clone(&self.registry), app: PhantomData }
    }
}

impl<A> fmt::Debug for ChatSessions<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ChatSessions");
        match self.registry.config.reads {
            None => shown.field("reads", &EXCLUSIVE),
            Some(reads) => shown.field("reads", &reads),
        };
        if self.registry.config.reads.is_none() && self.registry.registries() > 1 {
            shown.field("registries", &SEVERAL);
        }
        shown.field("stats", &self.registry.stats()).finish_non_exhaustive()
    }
}

impl<A: AppState> ChatSessions<A> {
    /// Begins to set up the sessions of `store`, with the system's clock and randomness. Build one
    /// per store and clone it: another one over the same exclusive store is not seen by reads (see
    /// [`ChatSessions`]).
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    pub fn builder(store: impl SessionStore + 'static) -> ChatSessionsBuilder<A> {
        Self::builder_with(store, crate::env::SystemClock, crate::env::SystemRandom)
    }

    /// Begins to set up the sessions of `store`, with this clock and randomness.
    pub fn builder_with(
        store: impl SessionStore + 'static,
        clock: impl Clock + 'static,
        random: impl Random + 'static,
    ) -> ChatSessionsBuilder<A> {
        ChatSessionsBuilder {
            store: Arc::new(store),
            list: None,
            clock: Arc::new(clock),
            random: Arc::new(random),
            greeting: Vec::new(),
            limits: Limits::default(),
            window: Window::default(),
            memory: Memory::default(),
            expiry: Expiry::default(),
            replies: Replies::default(),
            gathering: None,
            reads: Reads::default(),
            watching: None,
            attempts: 32,
            app: PhantomData,
        }
    }

    /// A handle to the session `id`. Costs nothing and stores nothing: a session is loaded on first
    /// use and written with its first change (clause C8).
    ///
    /// ```
    /// # use durable_session::{ChatSessions, Error};
    /// # async fn example(sessions: ChatSessions) -> Result<(), Error> {
    /// let id = sessions.generate_id().map_err(Error::rejected)?;
    /// let chat = sessions.session(id);
    /// # let _ = chat;
    /// # Ok(())
    /// # }
    /// ```
    pub fn session(&self, id: SessionId) -> ChatSession<A> {
        ChatSession::new(self.registry.session(id))
    }

    /// Creates the session `id` with these labels and its initial state: the greeting and the
    /// default app state. Returns a handle to it.
    ///
    /// ```
    /// use durable_session::store::Labels;
    /// # use durable_session::{ChatSessions, Error};
    /// # async fn example(sessions: ChatSessions) -> Result<(), Error> {
    /// let id = sessions.generate_id().map_err(Error::rejected)?;
    /// let chat = sessions.create(id, Labels::owner("u-42").title("Lifetimes")).await?;
    /// assert_eq!(chat.snapshot().await?.labels().get_owner(), Some("u-42"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::SessionExists`]; [`Error::TooLarge`] if the owner or the title is too long;
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn create(&self, id: SessionId, labels: Labels) -> Result<ChatSession<A>, Error> {
        let session = self.registry.session(id);
        session
            .apply_on_copy(Require::Settled, |planner, mut view, _| {
                if view.exists {
                    return Err(Error::SessionExists { session: planner.id.clone() }.into());
                }
                let ((), changes) = planner.set_labels(&view, &labels)?;
                Arc::make_mut(&mut view).apply_all(&changes);
                Ok(((), changes, view))
            })
            .await?;
        Ok(ChatSession::new(session))
    }

    /// The sessions of an owner, to be listed page by page (clause C13). See
    /// [`OwnerSessions::page`].
    pub fn of(&self, owner: &str) -> OwnerSessions {
        OwnerSessions::new(Arc::clone(&self.registry), owner)
    }

    /// A handle that reads as if there were no session `id`, whatever the store has. Changes
    /// through it fail.
    ///
    /// For a service that must not tell a caller whether somebody else's session exists: the reads
    /// of this handle and those of a session that does not exist are the same.
    ///
    /// ```
    /// # use durable_session::{ChatSessions, Error, SessionId};
    /// # async fn example(sessions: ChatSessions, id: SessionId) -> Result<(), Error> {
    /// let chat = sessions.session(id.clone());
    /// let may_see = chat.labels().await?.get_owner() == Some("u-42");
    /// let shown = if may_see { chat } else { sessions.unseen(id) };
    /// # let _ = shown;
    /// # Ok(())
    /// # }
    /// ```
    pub fn unseen(&self, id: SessionId) -> ChatSession<A> {
        ChatSession::new(self.registry.unseen().session(id))
    }

    /// Whether the builder was given a [listing](ChatSessionsBuilder::listing).
    pub fn can_list(&self) -> bool {
        self.registry.list().is_ok()
    }

    /// Deletes all sessions of an owner, one after another, and says how many it deleted (clause
    /// C13).
    ///
    /// Each session is deleted whole, and only if it belongs to the owner at that moment. A call of
    /// this `ChatSessions` that is under way on a session when the erasure comes to it fails as
    /// [`Error::Erased`] and changes nothing, unless its commit is with the store: then it is
    /// deleted with the session. A later call begins a new session, without labels (clause C8). A
    /// session that another process creates meanwhile may stay.
    ///
    /// If the erasure breaks off (the process ends, the store fails, or the future is dropped), the
    /// sessions deleted so far are gone. Run it again: it goes on with those that are left. A store
    /// may keep the bytes in unused parts of its files, see `docs/operations.md`.
    ///
    /// ```
    /// # use durable_session::{ChatSessions, Error};
    /// # async fn example(sessions: ChatSessions) -> Result<(), Error> {
    /// let report = sessions
    ///     .erase_owner("u-42")
    ///     .progress(|so_far| println!("{} sessions erased", so_far.erased))
    ///     .await?;
    /// assert!(report.failed.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Store`] if the listing fails; [`Error::NoListing`] if the builder was given no
    /// [listing](ChatSessionsBuilder::listing). The report has the failures of single sessions.
    pub fn erase_owner(&self, owner: &str) -> EraseOwner<'_> {
        EraseOwner::new(&self.registry, owner)
    }

    /// A fresh session id, from this registry's clock and randomness.
    ///
    /// # Errors
    /// [`RandomError`] when there is no randomness to be had.
    pub fn generate_id(&self) -> Result<SessionId, RandomError> {
        SessionId::generate_with(&*self.registry.clock, &*self.registry.random)
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn SessionStore> {
        &self.registry.store
    }

    /// The largest sessions that are served: the configured limits, narrowed by those of the store.
    pub fn limits(&self) -> Limits {
        self.registry.config.limits
    }

    /// The time on this registry's clock, Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.registry.clock.now_ms()
    }

    /// Writes down the uses that are only in memory, drops idle sessions from memory, ends the
    /// replies whose producers are gone (clause C12), then deletes every session of `list` that was
    /// not used for the time to live (clause C10). A session that is used meanwhile stays, and so
    /// does one with a live producer.
    ///
    /// `list` is the store itself, if it can list. Call this every now and then; there is no timer.
    ///
    /// # Errors
    /// [`StoreError`] if the listing fails. The report has the failures of single sessions.
    pub async fn sweep(&self, list: &dyn SessionList) -> Result<SweepReport, StoreError> {
        expiry::sweep(&self.registry, list).await
    }

    /// Reads the hints of a shared store, so that watchers and followers hear of the changes that
    /// others made without waiting for the next question ([`ChatSessionsBuilder::watch_every`]).
    ///
    /// `hints` is the store itself, if it gives hints. The call returns when the stream of hints
    /// ends, or at the first hint after [`close`](Self::close). There is no task: spawn the call,
    /// and call again after a pause when it has returned.
    ///
    /// ```
    /// # use durable_session::ChatSessions;
    /// # use durable_session::store::Hints;
    /// # async fn example(sessions: ChatSessions, store: impl Hints) {
    /// loop {
    ///     if let Err(error) = sessions.listen(&store).await {
    ///         eprintln!("no hints: {error}");
    ///     }
    ///     tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreError`] if the stream cannot be opened.
    pub async fn listen(&self, hints: &dyn Hints) -> Result<(), StoreError> {
        self.registry.listen(hints).await
    }

    /// Counts of the work so far, and of live sessions.
    ///
    /// ```
    /// # use durable_session::{ChatSessions, Error};
    /// # async fn example(sessions: ChatSessions) -> Result<(), Error> {
    /// let stats = sessions.stats();
    /// println!("{} commits of {} calls", stats.commits, stats.calls);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stats(&self) -> Stats {
        self.registry.stats()
    }

    /// Finishes everything accepted, writes down uses that are only in memory, and refuses calls
    /// from then on with [`Error::Closed`]. Closing the store is its owner's business, after this.
    ///
    /// ```
    /// # use durable_session::{ChatSessions, Error};
    /// # async fn example(sessions: ChatSessions) -> Result<(), Error> {
    /// sessions.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The first touch that could not be written. All accepted changes were finished all the same.
    pub async fn close(&self) -> Result<(), Error> {
        self.registry.close();
        for session in self.registry.sessions() {
            session.drain().await;
        }
        let mut report = SweepReport::default();
        expiry::flush_touches(&self.registry, &mut report).await;
        match report.failed.into_iter().next() {
            Some((_, e)) => Err(e),
            None => Ok(()),
        }
    }
}

/// Sets up a [`ChatSessions`].
pub struct ChatSessionsBuilder<A = JsonObject> {
    store: Arc<dyn SessionStore>,
    list: Option<Arc<dyn SessionList>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    greeting: Vec<Message>,
    limits: Limits,
    window: Window,
    memory: Memory,
    expiry: Expiry,
    replies: Replies,
    gathering: Option<Gathering>,
    reads: Reads,
    watching: Option<Watching>,
    attempts: u32,
    app: PhantomData<fn() -> A>,
}

impl<A> fmt::Debug for ChatSessionsBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatSessionsBuilder")
            .field("limits", &self.limits)
            .field("window", &self.window)
            .field("memory", &self.memory)
            .field("expiry", &self.expiry)
            .field("replies", &self.replies)
            .field("reads", &self.reads)
            .finish_non_exhaustive()
    }
}

impl<A: AppState> ChatSessionsBuilder<A> {
    /// The listing of the store, for [`ChatSessions::of`] and [`ChatSessions::erase_owner`]: the
    /// store itself, if it can list its sessions.
    ///
    /// ```
    /// use durable_session::{ChatSessions, JsonObject};
    /// use durable_session_memory::MemoryStore;
    ///
    /// let store = MemoryStore::new();
    /// let sessions =
    ///     ChatSessions::<JsonObject>::builder(store.clone()).listing(store).build();
    /// # let _ = sessions;
    /// ```
    pub fn listing(mut self, list: impl SessionList + 'static) -> Self {
        self.list = Some(Arc::new(list));
        self
    }

    /// Adds a message that new sessions begin with.
    pub fn greeting(mut self, message: Message) -> Self {
        self.greeting.push(message);
        self
    }

    /// The largest sessions to serve.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The tail of each session that stays in memory.
    pub fn window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }

    /// How much stays in memory.
    pub fn memory(mut self, memory: Memory) -> Self {
        self.memory = memory;
        self
    }

    /// When sessions expire.
    pub fn expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = expiry;
        self
    }

    /// How replies are made, and when the producer of one counts as gone.
    pub fn replies(mut self, replies: Replies) -> Self {
        self.replies = replies;
        self
    }

    /// Has [`Reply::pump`](crate::Reply::pump) gather chunks, for a store whose writes cost money.
    ///
    /// The first chunks are written at once. Then `pause` is called after each write, and the next
    /// chunks are written together when its future is over, or when they have `bytes`, or when the
    /// stream has ended. By default, `pump` writes what there is as soon as the write before has
    /// ended. [`Reply::push`](crate::Reply::push) always writes its chunk at once.
    ///
    /// ```
    /// use durable_session::{ChatSessions, JsonObject};
    /// use durable_session_memory::MemoryStore;
    /// use std::time::Duration;
    ///
    /// let pause = || tokio::time::sleep(Duration::from_millis(250));
    /// let sessions = ChatSessions::<JsonObject>::builder(MemoryStore::new())
    ///     .gather(16 << 10, pause)
    ///     .build();
    /// # let _ = sessions;
    /// ```
    pub fn gather<F>(mut self, bytes: u64, pause: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.gathering = Some(Gathering { bytes, pause: Box::new(move || Box::pin(pause())) });
        self
    }

    /// How current the reads of a shared store are. Default: [`Reads::Current`].
    pub fn reads(mut self, reads: Reads) -> Self {
        self.reads = reads;
        self
    }

    /// Has watchers and followers ask a shared store at intervals for the changes that others made.
    /// `pause` is called before each question, and the question follows when its future is over.
    /// The questions of one session are shared: while others ask, a watcher does not.
    ///
    /// Without it they hear of such changes only by hints ([`ChatSessions::listen`]), and when the
    /// session is read or changed here. With hints, the pause can be long: a missed hint delays
    /// news until the next question. On an exclusive store it changes nothing.
    ///
    /// ```
    /// use durable_session::{ChatSessions, JsonObject};
    /// use durable_session_memory::MemoryStore;
    /// use std::time::Duration;
    ///
    /// let sessions = ChatSessions::<JsonObject>::builder(MemoryStore::new())
    ///     .watch_every(|| tokio::time::sleep(Duration::from_millis(500)))
    ///     .build();
    /// # let _ = sessions;
    /// ```
    pub fn watch_every<F>(mut self, pause: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.watching = Some(Watching(Box::new(move || Box::pin(pause()))));
        self
    }

    /// How often a call is tried while other writers come first, before it is [`Error::Contended`].
    /// Default: 32.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Builds it. Nothing is read or written yet.
    ///
    /// A default app state that is not a JSON object, or has a reserved field, is refused by every
    /// change of a session.
    pub fn build(self) -> ChatSessions<A> {
        let store_limits = self.store.limits();
        let limits = Limits {
            message_bytes: self.limits.message_bytes.min(store_limits.max_body_bytes),
            app_bytes: self.limits.app_bytes.min(store_limits.max_app_bytes),
            ..self.limits
        };
        let initial_app =
            app::encode(&A::default()).map(|app| app.to_string().into()).map_err(Arc::new);
        let reads = match self.store.sharing() {
            Sharing::Exclusive => None,
            Sharing::Shared => Some(self.reads),
        };
        let config = Config {
            greeting: self.greeting,
            initial_app,
            limits,
            store_limits,
            window: self.window.into(),
            memory: self.memory,
            expiry: self.expiry,
            replies: self.replies,
            gathering: self.gathering,
            reads,
            watching: self.watching,
            attempts: self.attempts,
        };
        let registry = Registry::new(self.store, self.list, config, self.clock, self.random);
        let registries = registry.registries();
        if reads.is_none() && registries > 1 {
            tracing::warn!(
                registries,
                "several ChatSessions over one exclusive store do not see each other's changes: \
                 make one and clone it"
            );
        }
        ChatSessions { registry: Arc::new(registry), app: PhantomData }
    }
}
