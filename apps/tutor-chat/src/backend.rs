//! Opens the store and the routes over it, and closes them.

use crate::args::{Args, Clients, Store};
use crate::scrub::{self, Scrubber};
use anyhow::{Context as _, anyhow, ensure};
use axum::{Router, middleware};
use durable_session::store::{LoadQuery, SessionStore as _, TailBounds};
use durable_session::{ChatSessions, Message, SessionId};
use durable_session_http::server::{ProxyOptions, RouterOptions, Shutdown, proxy, router};
use durable_session_http::{Api, Caller, ClientPermissions, FieldRoute, Refusal};
use durable_session_memory::MemoryStore;
use durable_session_postgres::PostgresStore;
use durable_session_redb::{OpenError, RedbStore};
use http::{HeaderMap, HeaderName, StatusCode};
use std::path::PathBuf;
use std::time::Duration;
use tutoring::{Tutoring, write_reply};

/// The pause before each word of an answer.
const PAUSE: Duration = Duration::from_millis(30);

/// How often a shared store is asked while somebody watches.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// The header in which a browser without a login names the owner of its sessions.
pub(crate) const GUEST_HEADER: &str = "chat-owner";
/// Nobody can guess a name of 26 characters with 5 random bits each.
const MIN_GUEST_BYTES: usize = 26;

/// The session routes, and the sessions and the store behind them.
pub(crate) struct Backend {
    pub(crate) routes: Router,
    /// `None` if a Worker has them.
    pub(crate) sessions: Option<ChatSessions<Tutoring>>,
    pub(crate) stores: Stores,
}

/// The handles of the store that the sessions are in; none for a Worker and in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stores {
    /// With the path of the file.
    pub(crate) redb: Option<(RedbStore, PathBuf)>,
    pub(crate) postgres: Option<PostgresStore>,
}

pub(crate) async fn open(args: &Args, shutdown: &Shutdown) -> anyhow::Result<Backend> {
    ensure!(
        args.erase_within.is_none() || matches!(args.store, Store::Redb(_)),
        "--erase-within needs the store redb:PATH"
    );
    let mut options = RouterOptions::default();
    options.shutdown = shutdown.clone();
    let mut stores = Stores::default();
    let builder = match &args.store {
        Store::Memory => {
            let store = MemoryStore::new();
            ChatSessions::builder(store.clone()).listing(store)
        }
        Store::Redb(path) => {
            let store = RedbStore::open(path).map_err(|error| match error {
                OpenError::AlreadyOpen { .. } => {
                    anyhow!(
                        "another program has {} open; stop it, or choose another file",
                        path.display()
                    )
                }
                other => anyhow!(other).context(format!("{} cannot be opened", path.display())),
            })?;
            stores.redb = Some((store.clone(), path.clone()));
            ChatSessions::builder(store.clone()).listing(store)
        }
        Store::Postgres(url) => {
            let store = PostgresStore::builder(&url.0).open().await;
            let store = store.context("the database cannot be used")?;
            stores.postgres = Some(store.clone());
            let builder = ChatSessions::builder(store.clone()).listing(store);
            // Other processes write, too. Hints tell at once, and questions find what they did not.
            builder.watch_every(|| tokio::time::sleep(WATCH_EVERY))
        }
        Store::Worker(url) => {
            ensure!(
                args.client_may.is_none(),
                "--client-may has no effect on a Worker; set its variable CLIENT_MAY instead"
            );
            ensure!(
                args.stream_ms.is_none(),
                "--stream-ms has no effect on a Worker, which has its own app"
            );
            ensure!(
                args.owner_header.is_none(),
                "--owner-header has no effect on a Worker, which has its own app"
            );
            // The Worker has its own app, which answers its users.
            let mut forward = ProxyOptions::default();
            forward.router = options;
            let routes = proxy(url, forward)?;
            return Ok(Backend { routes, sessions: None, stores });
        }
    };
    let sessions = builder.greeting(Message::assistant(tutoring::GREETING)).build();
    if let Some(store) = &stores.postgres {
        tokio::spawn(listen(sessions.clone(), store.clone()));
    }
    let mut routes = router(api(&sessions, args)?, options);
    if let (Some(ms), Some((redb, _))) = (args.erase_within, &stores.redb) {
        let scrubber = Scrubber::start(redb.clone(), Duration::from_millis(ms));
        routes = routes.layer(middleware::from_fn_with_state(scrubber, scrub::after_deletes));
    }
    Ok(Backend { routes, sessions: Some(sessions), stores })
}

/// Hears of the changes of other processes.
async fn listen(sessions: ChatSessions<Tutoring>, store: PostgresStore) {
    loop {
        if let Err(error) = sessions.listen(&store).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "there are no hints of other processes, only questions");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The session protocol with the tutoring app's fields.
fn api(sessions: &ChatSessions<Tutoring>, args: &Args) -> anyhow::Result<Api<Tutoring>> {
    let may = match args.client_may {
        Some(Clients::Everything) => ClientPermissions::everything(),
        Some(Clients::Public) | None => ClientPermissions::public(),
    };
    let mut api = Api::builder(sessions.clone())
        .client_permissions(may)
        .field(FieldRoute::new("pending-match", "pendingMatch"))
        .field(FieldRoute::new("booking-info", "bookingInfo"))
        .field(FieldRoute::put_only("search-criteria", "lastSearchCriteria"))
        .field(FieldRoute::put_only("available-tutors", "availableTutorsList"));
    let header = args.owner_header.clone();
    api = api.conversations("/api/chat", move |headers| match &header {
        Some(header) => logged_in(headers, header),
        None => guest(headers),
    });
    api = match args.stream_ms.map_or(PAUSE, Duration::from_millis) {
        _ if args.no_answers => api,
        Duration::ZERO => api.on_message(tutoring::answer),
        pause => {
            let pause = move || tokio::time::sleep(pause);
            api.open_replies(tutoring::open_reply)
                .reply_with(move |chat, posted, reply| write_reply(chat, posted, reply, pause))
        }
    };
    Ok(api.build()?)
}

/// The owner that a proxy names.
fn logged_in(headers: &HeaderMap, header: &HeaderName) -> Result<Caller, Refusal> {
    let owner = headers.get(header).and_then(|owner| owner.to_str().ok());
    let owner = owner.filter(|owner| !owner.is_empty());
    owner.map(Caller::owner).ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, "log in first"))
}

/// A browser, which draws the name of its owner at random. Other clients need none.
fn guest(headers: &HeaderMap) -> Result<Caller, Refusal> {
    let Some(owner) = headers.get(GUEST_HEADER) else { return Ok(Caller::guest(None)) };
    let owner = owner.to_str().ok().filter(|owner| owner.len() >= MIN_GUEST_BYTES);
    let refusal = || {
        let reason = format!(
            "the header {GUEST_HEADER} must have at least {MIN_GUEST_BYTES} characters of ASCII, \
             drawn at random"
        );
        Refusal::new(StatusCode::BAD_REQUEST, reason)
    };
    owner.map(|owner| Caller::guest(Some(owner))).ok_or_else(refusal)
}

impl Stores {
    /// Looks a session up that does not exist. A store that verifies its file answers after that.
    pub(crate) async fn ask(&self) -> anyhow::Result<()> {
        let (id, nothing) = (SessionId::new("readyz")?, LoadQuery::new(TailBounds::new(0, 0)));
        if let Some((redb, _)) = &self.redb {
            redb.load(&id, nothing).await?;
        }
        if let Some(postgres) = &self.postgres {
            postgres.load(&id, nothing).await?;
        }
        Ok(())
    }
}

impl Backend {
    /// Finishes the accepted calls, then closes the store.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        if let Some(sessions) = self.sessions {
            sessions.close().await?;
        }
        if let Some((redb, _)) = self.stores.redb {
            redb.close().await?;
        }
        Ok(())
    }
}
