//! Where conversations are kept, and how that is opened and closed.

use crate::answers;
use crate::args::{Args, Store};
use anyhow::Context;
use axum::Router;
use durable_session::{ChatSessions, Message};
use durable_session_http::server::{RouterOptions, Shutdown, router};
use durable_session_http::{Api, FieldRoute};
use durable_session_memory::MemoryStore;
use durable_session_redb::RedbStore;
use tutoring::Tutoring;

/// The session routes and what is behind them.
pub(crate) struct Backend {
    pub(crate) routes: Router,
    pub(crate) sessions: ChatSessions<Tutoring>,
    pub(crate) redb: Option<RedbStore>,
}

pub(crate) fn open(args: &Args, shutdown: &Shutdown) -> anyhow::Result<Backend> {
    let (builder, redb) = match &args.store {
        Store::Memory => (ChatSessions::builder(MemoryStore::new()), None),
        Store::Redb(path) => {
            let store =
                RedbStore::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
            (ChatSessions::builder(store.clone()), Some(store))
        }
        Store::Worker(_) => anyhow::bail!("worker:URL is not there yet"),
    };
    let sessions = builder.greeting(Message::assistant(tutoring::GREETING)).build();
    let routes = router(api(&sessions, !args.no_answers)?, {
        let mut options = RouterOptions::default();
        options.shutdown = shutdown.clone();
        options
    });
    Ok(Backend { routes, sessions, redb })
}

/// The session protocol with the tutoring app's fields.
fn api(sessions: &ChatSessions<Tutoring>, answers: bool) -> anyhow::Result<Api<Tutoring>> {
    let mut api = Api::builder(sessions.clone())
        .field(FieldRoute::new("pending-match", "pendingMatch"))
        .field(FieldRoute::new("booking-info", "bookingInfo"))
        .field(FieldRoute::put_only("search-criteria", "lastSearchCriteria"))
        .field(FieldRoute::put_only("available-tutors", "availableTutorsList"));
    if answers {
        api = api.on_message(answers::answer);
    }
    Ok(api.build()?)
}

impl Backend {
    /// Finishes everything accepted, then closes the store.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.sessions.close().await?;
        if let Some(redb) = self.redb {
            redb.close().await?;
        }
        Ok(())
    }
}
