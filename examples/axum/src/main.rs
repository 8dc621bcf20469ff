//! Chat sessions behind axum, kept in the file `chat.redb`.
//!
//! ```sh
//! cargo run -p axum-example    # then, in another terminal:
//! S=http://127.0.0.1:3000/api/chat/session/session-1-try
//! curl -s $S/messages -H 'content-type: application/json' -d '{"role":"user","content":"hello"}'
//! curl -s $S/messages
//! curl -sN $S/events
//! ```

use axum::Router;
use durable_session::{ChatSessions, Message};
use durable_session_http::server::{RouterOptions, ServeOptions, Shutdown, router, serve};
use durable_session_http::{Api, ClientPermissions};
use durable_session_redb::RedbStore;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let store = RedbStore::open("chat.redb")?;
    let sessions: ChatSessions = ChatSessions::builder(store.clone())
        .greeting(Message::assistant("Hi! Ask me anything."))
        .build();

    let shutdown = Shutdown::new();
    let (mut routing, mut serving) = (RouterOptions::default(), ServeOptions::default());
    routing.shutdown = shutdown.clone();
    serving.shutdown = shutdown.clone();

    // Browsers may add messages with the role `user`, and no others.
    let api =
        Api::builder(sessions.clone()).client_permissions(ClientPermissions::public()).build()?;
    let app = Router::new().merge(router(api, routing)); // your own routes go here, too

    let listener = TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    let stop = shutdown.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        stop.begin();
    });

    // Finish accepted requests, then close the sessions, then the store.
    serve(listener, app, serving).await;
    shutdown.finished().await;
    sessions.close().await?;
    store.close().await?;
    Ok(())
}
