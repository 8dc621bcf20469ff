//! A service for pages that use the AI SDK's `useChat`, with such a page.
//!
//! ```sh
//! npm --prefix examples/ai-chat/page run build  # without it, a plain page is served
//! cargo run -p ai-chat -- --tools               # http://127.0.0.1:3001
//! ```

mod args;
mod fake;
mod page;
mod prompt;
mod remote;

use anyhow::{Context as _, Result};
use args::{Args, Store};
use axum::Router;
use axum::http::Method;
use axum::routing::get;
use clap::Parser;
use durable_session::context::Context;
use durable_session::{Added, ChatSession, ChatSessions, Error, MessageQuery, Replies, Reply};
use durable_session_http::server::{RouterOptions, ServeOptions, Shutdown, router, serve};
use durable_session_http::{Api, ClientPermissions, UiMessageReply, health};
use durable_session_memory::MemoryStore;
use durable_session_postgres::PostgresStore;
use durable_session_redb::RedbStore;
use fake::Fake;
use remote::Remote;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{sleep, sleep as pause};

/// The most tokens of a prompt.
const BUDGET: usize = 8_000;

/// Who answers.
#[derive(Clone)]
enum Model {
    Fake(Fake),
    Remote(Remote),
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let model = match (&args.model_url, args.model) {
        (Some(url), Some(name)) => Model::Remote(Remote::new(url, name)?),
        _ => Model::Fake(Fake {
            tokens: args.tokens,
            delay: Duration::from_millis(args.delay_ms),
            tools: args.tools,
        }),
    };
    let page = page::routes(args.page)?;
    // Before the store: opening it may take a while and creates a file.
    let listener = TcpListener::bind(args.addr)
        .await
        .with_context(|| format!("cannot listen on {}; choose another --addr", args.addr))?;

    let replies = Replies::default().format(UiMessageReply);
    let (sessions, store): (ChatSessions, _) = match args.store {
        Store::Redb(path) => {
            let store = RedbStore::open(&path)
                .with_context(|| format!("{} cannot be opened", path.display()))?;
            (ChatSessions::builder(store.clone()).replies(replies).build(), Some(store))
        }
        Store::Memory => (ChatSessions::builder(MemoryStore::new()).replies(replies).build(), None),
        Store::Postgres(url) => {
            let store = PostgresStore::builder(url).open().await;
            let store = store.context("the database cannot be used")?;
            // Other processes write, too. Hints tell at once, and questions find what they did not.
            let builder = ChatSessions::builder(store.clone()).replies(replies);
            let sessions = builder.watch_every(|| sleep(Duration::from_millis(500))).build();
            tokio::spawn(listen(sessions.clone(), store));
            (sessions, None)
        }
    };
    let api = Api::builder(sessions.clone())
        .client_permissions(ClientPermissions::public())
        .use_chat("/api/chat")
        .reply_with(move |chat, posted, reply| answer(model.clone(), chat, posted, reply))
        .build()?;

    let shutdown = Shutdown::new();
    let (mut routing, mut serving) = (RouterOptions::default(), ServeOptions::default());
    routing.shutdown = shutdown.clone();
    serving.shutdown = shutdown.clone();
    let health = || async { health(&Method::GET, "ai-chat").map(axum::body::Body::new) };
    let app = Router::new().route("/health", get(health)).merge(page).merge(router(api, routing));

    println!("http://{}", listener.local_addr()?);
    let stop = shutdown.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        stop.begin();
    });
    serve(listener, app, serving).await;
    shutdown.finished().await;
    sessions.close().await?;
    if let Some(store) = store {
        store.close().await?;
    }
    Ok(())
}

/// Hears of the changes of other processes.
async fn listen(sessions: ChatSessions, store: PostgresStore) {
    loop {
        if let Err(error) = sessions.listen(&store).await {
            eprintln!("there are no hints of other processes, only questions: {error}");
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Answers a message of a user, or goes on with a message after a tool was approved or denied.
async fn answer(
    model: Model,
    chat: ChatSession,
    posted: Added,
    mut reply: Reply,
) -> Result<(), Error> {
    match model {
        Model::Fake(model) => model.answer(&posted, &mut reply).await,
        Model::Remote(model) => {
            let page = chat.messages(MessageQuery::before(posted.seq + 1, 500)).await?;
            let history = page.messages.iter().map(|stored| &stored.message);
            let prompt = Context::budget(BUDGET).view(history).messages;
            model.answer(&prompt, &mut reply).await
        }
    }
}
