//! Clients that do not read their responses.

use crate::host::{Host, id};
use durable_session::{Message, SessionId};
use durable_session_http::server::ByteBudget;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// More bytes than a connection buffers.
const MESSAGES: usize = 12_000;

/// A service with a session of 12 MB that soon cuts off unread responses.
async fn host(budget: usize) -> (Host, SessionId) {
    let host = Host::tuned(|options, serving| {
        options.budget = ByteBudget::new(budget);
        serving.write_timeout = Duration::from_millis(500);
    })
    .await;
    let chat = host.sessions.session(id());
    for n in (0..MESSAGES).step_by(500) {
        let messages =
            (n..n + 500).map(|n| Message::user(format!("{n:05}{}", "x".repeat(960)))).collect();
        chat.add_messages(messages).await.unwrap();
    }
    (host, chat.id().clone())
}

/// Sends a request and reads no response.
async fn ask(host: &Host, id: &SessionId, rest: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut stream = socket.connect(host.addr).await.unwrap();
    let request = format!(
        "GET /api/chat/session/{}{rest} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        id.as_str()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn unread_responses_are_limited_in_memory_and_time() {
    let (host, id) = host(8 << 20).await;
    let mut silent = Vec::new();
    for n in 0..12 {
        silent.push(ask(&host, &id, if n % 2 == 0 { "" } else { "/messages" }).await);
    }
    // Each response uses a part or two, not its 12 MB.
    until("all are answered", async || host.budget.used() >= 12 * (256 << 10)).await;
    assert!(host.budget.used() <= 12 * (512 << 10), "{}", host.budget.used());
    // Other clients are served meanwhile.
    let url = format!("{}/api/chat/session/{}/messages", host.base(), crate::host::id().as_str());
    assert_eq!(reqwest::get(url).await.unwrap().status(), 200);
    until("they are cut off", async || host.budget.used() == 0).await;
    for mut stream in silent {
        let mut read = Vec::new();
        let ended = stream.read_to_end(&mut read).await;
        // A chunked response ends with an empty chunk; these were cut off before it.
        assert!(ended.is_err() || !read.ends_with(b"0\r\n\r\n"), "the answer is complete");
    }
}

#[tokio::test]
async fn a_response_beyond_the_budget_is_refused_until_memory_is_free() {
    let (host, id) = host(1 << 20).await;
    let mut silent = Vec::new();
    for n in 1..=3 {
        silent.push(ask(&host, &id, "").await);
        until("it is counted", async || host.budget.used() >= n * (256 << 10)).await;
    }
    let url = format!("{}/api/chat/session/{}", host.base(), id.as_str());
    let refused = reqwest::get(&url).await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    // Small responses and changes still work.
    let small = format!("{url}/messages?limit=20");
    assert_eq!(reqwest::get(&small).await.unwrap().status(), 200);
    let change = reqwest::Client::new().post(format!("{url}/messages")).body(r#"{"role":"user"}"#);
    assert_eq!(change.send().await.unwrap().status(), 200);
    drop(silent);
    until("there is room", async || host.budget.used() == 0).await;
    let whole = reqwest::get(&url).await.unwrap();
    assert_eq!(whole.status(), 200);
    let state: serde_json::Value = serde_json::from_str(&whole.text().await.unwrap()).unwrap();
    assert_eq!(state["messages"].as_array().unwrap().len(), MESSAGES + 2);
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_the_whole_response() {
    let (host, id) = host(8 << 20).await;
    let mut stream = ask(&host, &id, "").await;
    // First so slow that the kernel reports no room in its buffer for longer than the write
    // timeout; then faster.
    let (mut read, mut buffer) = (Vec::new(), vec![0; 24 << 10]);
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        if count == 0 {
            break;
        }
        read.extend_from_slice(&buffer[..count]);
        if read.len() < 3 << 20 {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
    assert!(read.ends_with(b"0\r\n\r\n") && read.len() > MESSAGES * 980, "{} bytes", read.len());
}

#[tokio::test]
async fn an_unread_event_stream_is_closed() {
    let (host, id) = host(8 << 20).await;
    let chat = host.sessions.session(id.clone());
    let mut stream = ask(&host, &id, "/events").await;
    let mut first = [0; 512];
    assert!(stream.read(&mut first).await.unwrap() > 0);
    // More than the connection buffers.
    for n in 0..40 {
        let message = Message::user(format!("{n}{}", "x".repeat(300_000)));
        chat.add_message(message).await.unwrap();
    }
    let mut read = Vec::new();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut read)).await;
    assert!(ended.is_ok(), "the stream is still open");
    assert!(read.len() < 40 * 300_000, "everything was read");
}
