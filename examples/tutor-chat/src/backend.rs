//! Where conversations are kept, and how that is opened and closed.

use crate::answers;
use crate::args::{Args, Clients, Store};
use anyhow::{anyhow, ensure};
use axum::Router;
use durable_session::{ChatSessions, Message};
use durable_session_http::server::{ProxyOptions, RouterOptions, Shutdown, proxy, router};
use durable_session_http::{Api, ClientMay, FieldRoute};
use durable_session_memory::MemoryStore;
use durable_session_redb::{OpenError, RedbStore};
use tutoring::Tutoring;

/// The session routes and what is behind them.
pub(crate) struct Backend {
    pub(crate) routes: Router,
    /// `None` if they are a Worker's.
    pub(crate) sessions: Option<ChatSessions<Tutoring>>,
    pub(crate) redb: Option<RedbStore>,
}

pub(crate) fn open(args: &Args, shutdown: &Shutdown) -> anyhow::Result<Backend> {
    let mut options = RouterOptions::default();
    options.shutdown = shutdown.clone();
    let (builder, redb) = match &args.store {
        Store::Memory => (ChatSessions::builder(MemoryStore::new()), None),
        Store::Redb(path) => {
            let store = RedbStore::open(path).map_err(|error| match error {
                OpenError::AlreadyOpen { .. } => {
                    anyhow!("another program has {} open; stop it, or choose another file", path.display())
                }
                other => anyhow!(other).context(format!("{} cannot be opened", path.display())),
            })?;
            (ChatSessions::builder(store.clone()), Some(store))
        }
        Store::Worker(url) => {
            ensure!(
                args.client_may.is_none(),
                "--client-may has no effect on a Worker; set its variable CLIENT_MAY instead"
            );
            // The Worker answers its users itself.
            let mut forward = ProxyOptions::default();
            forward.router = options;
            return Ok(Backend { routes: proxy(url, forward)?, sessions: None, redb: None });
        }
    };
    let sessions = builder.greeting(Message::assistant(tutoring::GREETING)).build();
    let routes = router(api(&sessions, args)?, options);
    Ok(Backend { routes, sessions: Some(sessions), redb })
}

/// The session protocol with the tutoring app's fields.
fn api(sessions: &ChatSessions<Tutoring>, args: &Args) -> anyhow::Result<Api<Tutoring>> {
    let may = match args.client_may {
        Some(Clients::Everything) => ClientMay::everything(),
        Some(Clients::Public) | None => ClientMay::public(),
    };
    let mut api = Api::builder(sessions.clone())
        .client_may(may)
        .field(FieldRoute::new("pending-match", "pendingMatch"))
        .field(FieldRoute::new("booking-info", "bookingInfo"))
        .field(FieldRoute::put_only("search-criteria", "lastSearchCriteria"))
        .field(FieldRoute::put_only("available-tutors", "availableTutorsList"));
    if !args.no_answers {
        api = api.on_message(answers::answer);
    }
    Ok(api.build()?)
}

impl Backend {
    /// Finishes everything accepted, then closes the store.
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
