//! A service for pages that use the AI SDK's `useChat`, with a model that is made up.
//!
//! ```sh
//! cargo run -p ai-chat -- --tools    # the routes of `useChat` at http://127.0.0.1:3001/api/chat
//! ```

mod model;

use anyhow::Context as _;
use axum::Router;
use axum::http::Method;
use axum::routing::get;
use clap::Parser;
use durable_session::context::Context;
use durable_session::{Added, ChatSession, ChatSessions, Error, MessageQuery, Replies, Reply};
use durable_session_http::server::{RouterOptions, ServeOptions, Shutdown, router, serve};
use durable_session_http::{Api, ClientPermissions, UiMessageReply, health};
use durable_session_memory::MemoryStore;
use durable_session_redb::RedbStore;
use model::Model;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

#[derive(Debug, Parser)]
struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3001")]
    addr: SocketAddr,
    /// `memory`, or `redb:PATH`.
    #[arg(long, default_value = "memory")]
    store: String,
    /// The model answers with so many words, `w0` to `wN`.
    #[arg(long, default_value_t = 20)]
    tokens: usize,
    /// The pause before each word, in milliseconds.
    #[arg(long, default_value_t = 50)]
    delay_ms: u64,
    /// The model writes markdown, and calls a tool that needs approval.
    #[arg(long)]
    tools: bool,
}

/// The most tokens of a prompt.
const BUDGET: usize = 8_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let replies = Replies::default().format(UiMessageReply);
    let (sessions, store): (ChatSessions, _) = match args.store.strip_prefix("redb:") {
        Some(path) => {
            let store = RedbStore::open(path).with_context(|| format!("cannot open {path}"))?;
            (ChatSessions::builder(store.clone()).replies(replies).build(), Some(store))
        }
        None if args.store == "memory" => {
            (ChatSessions::builder(MemoryStore::new()).replies(replies).build(), None)
        }
        None => anyhow::bail!("--store is `memory` or `redb:PATH`"),
    };

    let model = Model {
        tokens: args.tokens,
        delay: Duration::from_millis(args.delay_ms),
        tools: args.tools,
    };
    let api = Api::builder(sessions.clone())
        .client_permissions(ClientPermissions::public())
        .use_chat("/api/chat")
        .reply_with(move |chat, posted, reply| answer(model, chat, posted, reply))
        .build()?;

    let shutdown = Shutdown::new();
    let (mut routing, mut serving) = (RouterOptions::default(), ServeOptions::default());
    routing.shutdown = shutdown.clone();
    serving.shutdown = shutdown.clone();
    let health = || async { health(&Method::GET, "ai-chat").map(axum::body::Body::new) };
    let app = Router::new().route("/health", get(health)).merge(router(api, routing));

    let listener = TcpListener::bind(args.addr).await.context("choose another --addr")?;
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

/// Answers a message of a user, or goes on with a message after a tool was approved or denied.
async fn answer(
    model: Model,
    chat: ChatSession,
    posted: Added,
    mut reply: Reply,
) -> Result<(), Error> {
    let page = chat.messages(MessageQuery::before(posted.seq + 1, 500)).await?;
    let history = page.messages.iter().map(|stored| &stored.message);
    let prompt = Context::budget(BUDGET).view(history).messages;
    model.answer(&prompt, &posted.message, &mut reply).await?;
    reply.finish().await.map(drop)
}
