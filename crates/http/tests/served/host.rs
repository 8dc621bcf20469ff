//! Servers under test, on ports of their own.

use axum::Router;
use durable_session::{ChatSessions, Message, SessionId};
use durable_session_http::server::{
    ByteBudget, RouterOptions, ServeOptions, Shutdown, router, serve,
};
use durable_session_http::{Api, ApiBuilder, FieldRoute, Refusal};
use durable_session_memory::MemoryStore;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tutoring::Tutoring;

pub(crate) struct Host {
    pub(crate) addr: SocketAddr,
    pub(crate) sessions: ChatSessions<Tutoring>,
    pub(crate) shutdown: Shutdown,
    pub(crate) serving: JoinHandle<()>,
    pub(crate) budget: ByteBudget,
}

impl Host {
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// A service whose app is changed by `wrap`.
    pub(crate) async fn start_with(wrap: impl FnOnce(Router) -> Router) -> Self {
        Self::set_up(|_, _| {}, wrap).await
    }

    /// A service with other options.
    pub(crate) async fn tuned(tune: impl FnOnce(&mut RouterOptions, &mut ServeOptions)) -> Self {
        Self::set_up(tune, |app| app).await
    }

    async fn set_up(
        tune: impl FnOnce(&mut RouterOptions, &mut ServeOptions),
        wrap: impl FnOnce(Router) -> Router,
    ) -> Self {
        let sessions =
            ChatSessions::builder(MemoryStore::new()).greeting(Message::assistant("Hi!")).build();
        let shutdown = Shutdown::new();
        let (mut options, mut serving) = (RouterOptions::default(), ServeOptions::default());
        // Timeouts that tests reach are short; those that they must not reach are long.
        options.body_timeout = Duration::from_millis(300);
        options.keep_alive = Duration::from_millis(100);
        tune(&mut options, &mut serving);
        options.shutdown = shutdown.clone();
        serving.shutdown = shutdown.clone();
        let budget = options.budget.clone();
        let app = wrap(router(api(sessions.clone()), options));
        let (addr, serving) = listen_with(serving, app).await;
        Self { addr, sessions, shutdown, serving, budget }
    }

    pub(crate) async fn start() -> Self {
        Self::start_with(|app| app).await
    }
}

pub(crate) fn api(sessions: ChatSessions<Tutoring>) -> Api<Tutoring> {
    api_with(sessions, |api| api)
}

pub(crate) fn api_with(
    sessions: ChatSessions<Tutoring>,
    set: impl FnOnce(ApiBuilder<Tutoring>) -> ApiBuilder<Tutoring>,
) -> Api<Tutoring> {
    let api = Api::builder(sessions)
        .field(FieldRoute::new("pending-match", "pendingMatch"))
        .field(FieldRoute::new("booking-info", "bookingInfo"))
        .field(FieldRoute::put_only("search-criteria", "lastSearchCriteria"))
        .field(FieldRoute::put_only("available-tutors", "availableTutorsList"));
    set(api).build().unwrap()
}

/// Serves an app; unknown paths get the refusal of the protocol.
pub(crate) async fn listen(app: Router, shutdown: Shutdown) -> (SocketAddr, JoinHandle<()>) {
    listen_for(Duration::from_secs(30), app, shutdown).await
}

/// Like [`listen`], with a timeout for the head of a request.
pub(crate) async fn listen_for(
    head_timeout: Duration,
    app: Router,
    shutdown: Shutdown,
) -> (SocketAddr, JoinHandle<()>) {
    let mut options = ServeOptions::default();
    options.head_timeout = head_timeout;
    options.shutdown = shutdown;
    listen_with(options, app).await
}

async fn listen_with(options: ServeOptions, app: Router) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let app = app
        .fallback(|| async { axum::response::IntoResponse::into_response(Refusal::not_found()) });
    (addr, tokio::spawn(serve(listener, app, options)))
}

pub(crate) fn id() -> SessionId {
    SessionId::generate().unwrap()
}
