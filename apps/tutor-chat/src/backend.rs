//! Opens the store and the routes over it, and closes them.

use crate::args::{Args, Clients, Store};
use crate::scrub::{self, Scrubber};
use anyhow::{Context as _, anyhow, ensure};
use axum::{Router, middleware};
use durable_session::{ChatSessions, Message};
use durable_session_http::server::{ProxyOptions, RouterOptions, Shutdown, proxy, router};
use durable_session_http::{Api, Caller, ClientPermissions, FieldRoute, Refusal};
use durable_session_memory::MemoryStore;
use durable_session_postgres::PostgresStore;
use durable_session_redb::{OpenError, RedbStore};
use http::StatusCode;
use std::time::Duration;
use tutoring::{Tutoring, write_reply};

/// How often a shared store is asked while somebody watches.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// The session routes, and the sessions and the store behind them.
pub(crate) struct Backend {
    pub(crate) routes: Router,
    /// `None` if a Worker has them.
    pub(crate) sessions: Option<ChatSessions<Tutoring>>,
    pub(crate) redb: Option<RedbStore>,
    pub(crate) postgres: Option<PostgresStore>,
}

pub(crate) async fn open(args: &Args, shutdown: &Shutdown) -> anyhow::Result<Backend> {
    ensure!(
        args.erase_within.is_none() || matches!(args.store, Store::Redb(_)),
        "--erase-within needs the store redb:PATH"
    );
    let mut options = RouterOptions::default();
    options.shutdown = shutdown.clone();
    let mut postgres = None;
    let (builder, redb) = match &args.store {
        Store::Memory => {
            let store = MemoryStore::new();
            (ChatSessions::builder(store.clone()).listing(store), None)
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
            (ChatSessions::builder(store.clone()).listing(store.clone()), Some(store))
        }
        Store::Postgres(url) => {
            let store = PostgresStore::builder(&url.0).open().await;
            let store = store.context("the database cannot be used")?;
            postgres = Some(store.clone());
            let builder = ChatSessions::builder(store.clone()).listing(store);
            // Other processes write, too. Hints tell at once, and questions find what they did not.
            (builder.watch_every(|| tokio::time::sleep(WATCH_EVERY)), None)
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
            return Ok(Backend { routes, sessions: None, redb: None, postgres: None });
        }
    };
    let sessions = builder.greeting(Message::assistant(tutoring::GREETING)).build();
    if let Some(store) = &postgres {
        tokio::spawn(listen(sessions.clone(), store.clone()));
    }
    let mut routes = router(api(&sessions, args)?, options);
    if let (Some(ms), Some(redb)) = (args.erase_within, &redb) {
        let scrubber = Scrubber::start(redb.clone(), Duration::from_millis(ms));
        routes = routes.layer(middleware::from_fn_with_state(scrubber, scrub::after_deletes));
    }
    Ok(Backend { routes, sessions: Some(sessions), redb, postgres })
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
    if let Some(header) = args.owner_header.clone() {
        api = api.conversations("/api/chat", move |headers| {
            let owner = headers.get(&header).and_then(|owner| owner.to_str().ok());
            let owner = owner.filter(|owner| !owner.is_empty());
            let refusal = || Refusal::new(StatusCode::UNAUTHORIZED, "log in first");
            owner.map(Caller::owner).ok_or_else(refusal)
        });
    }
    if let Some(ms) = args.stream_ms {
        let pause = move || tokio::time::sleep(Duration::from_millis(ms));
        api = api
            .open_replies(tutoring::open_reply)
            .reply_with(move |chat, posted, reply| write_reply(chat, posted, reply, pause));
    } else if !args.no_answers {
        api = api.on_message(tutoring::answer);
    }
    Ok(api.build()?)
}

impl Backend {
    /// Finishes the accepted calls, then closes the store.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        if let Some(sessions) = self.sessions {
            sessions.close().await?;
        }
        if let Some(redb) = self.redb {
            redb.close().await?;
        }
        Ok(())
    }
}
