//! The same behind an axum handler that calls `add_message` as the README shows: under a time-out,
//! and with clients that go away.

use super::Registry;
use crate::report::Report;
use anyhow::Result;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use durable_session::{ChatSessions, Message, SessionId};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const POSTS: usize = 50;
/// When a handler gives up, or a client goes away: before a commit of 20 ms is done.
const PATIENCE: Duration = Duration::from_millis(8);

#[derive(Clone, Copy)]
enum GivesUp {
    Handler,
    Client,
}

pub(super) async fn play(report: &mut Report, registry: Registry) -> Result<()> {
    let registry = Arc::new(registry);
    let app = Router::new()
        .route("/under-timeout/{id}", post(under_timeout))
        .route("/plain/{id}", post(plain))
        .with_state(registry.sessions.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    for (gives_up, path, kind) in [
        (GivesUp::Handler, "under-timeout", "an axum handler under timeout()"),
        (GivesUp::Client, "plain", "an axum handler whose client goes away"),
    ] {
        let mut posts = Vec::new();
        for _ in 0..POSTS {
            let id = SessionId::generate()?;
            // Loaded, as in a chat that goes on.
            registry.sessions.session(id.clone()).snapshot().await?;
            let head = format!(
                "POST /{path}/{} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello",
                id.as_str()
            );
            posts.push((id, tokio::spawn(send(address, head, gives_up))));
        }
        let mut ids = Vec::new();
        for (id, post) in posts {
            post.await??;
            ids.push(id);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (mut durable, mut unseen) = (0, 0);
        for id in ids {
            let stored = registry.durable(&id).await?;
            let seen = registry.sessions.session(id).snapshot().await?.message_count();
            durable += usize::from(stored == 2);
            unseen += usize::from(stored == 2 && seen < 2);
        }
        let text =
            format!("{POSTS} broken off, {durable} durable, of these {unseen} cannot be read");
        report.say("0", format!("{kind} ({})", registry.name), unseen == 0, text);
    }
    server.abort();
    Ok(())
}

async fn send(address: std::net::SocketAddr, request: String, gives_up: GivesUp) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    match gives_up {
        GivesUp::Client => tokio::time::sleep(PATIENCE).await,
        GivesUp::Handler => {
            let mut status = [0; 12];
            stream.read_exact(&mut status).await?;
        }
    }
    Ok(())
}

async fn plain(
    State(sessions): State<ChatSessions>,
    Path(id): Path<String>,
    body: String,
) -> StatusCode {
    let Ok(id) = SessionId::new(id) else { return StatusCode::BAD_REQUEST };
    match sessions.session(id).add_message(Message::user(body)).await {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn under_timeout(state: State<ChatSessions>, id: Path<String>, body: String) -> StatusCode {
    tokio::time::timeout(PATIENCE, plain(state, id, body))
        .await
        .unwrap_or(StatusCode::GATEWAY_TIMEOUT)
}
