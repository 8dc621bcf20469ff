//! Requests of broken and hostile clients, over raw sockets. Each gets a JSON error, and no
//! connection hangs.

use crate::host::{Host, id, listen_for};
use durable_session_http::server::Shutdown;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than all timeouts of the server; a connection that is open after it hangs.
const HANGS: Duration = Duration::from_secs(20);

/// Sends bytes, then reads to the end of the connection.
pub(crate) async fn raw(addr: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(request.as_ref()).await;
    read_to_end(&mut stream).await
}

pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(HANGS, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the connection hangs");
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) fn post(body_headers: &str, body: &str) -> String {
    format!(
        "POST /api/chat/session/{}/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         {body_headers}\r\n{body}",
        id().as_str()
    )
}

pub(crate) fn assert_refused(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status} expected: {answer}");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let body: serde_json::Value =
        serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"));
    assert!(body["error"].as_str().is_some_and(|reason| !reason.is_empty()), "{answer}");
    assert!(answer.to_lowercase().contains("content-type: application/json"), "{answer}");
}

#[tokio::test]
async fn half_a_body_is_refused_after_the_timeout() {
    let host = Host::start().await;
    // The client waits, so only the timeout can end this.
    let answer = raw(host.addr, post("content-length: 100\r\n", r#"{"role":"user","#)).await;
    assert_refused(&answer, 408);
    assert!(answer.contains("stopped after 15 bytes"), "{answer}");
    // The client disconnects in the middle.
    let mut stream = TcpStream::connect(host.addr).await.unwrap();
    stream
        .write_all(post("content-length: 100\r\n", r#"{"role":"user","#).as_bytes())
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    // The service still works.
    let fine = r#"{"role":"user","content":"fine"}"#;
    let answer = raw(host.addr, post(&format!("content-length: {}\r\n", fine.len()), fine)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_body_that_arrives_byte_by_byte_is_refused() {
    let host = Host::start().await;
    let mut stream = TcpStream::connect(host.addr).await.unwrap();
    stream.write_all(post("content-length: 1000\r\n", "").as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let dripping = tokio::spawn(async move {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(HANGS, reader.read_to_end(&mut answer))
        .await
        .expect("the connection hangs");
    let answer = String::from_utf8_lossy(&answer);
    assert_refused(&answer, 408);
    assert!(answer.contains("1024 bytes/s are needed"), "{answer}");
    dripping.await.unwrap();
    // The head of a request never ends.
    let app = axum::Router::new();
    let (addr, _) = listen_for(Duration::from_millis(300), app, Shutdown::new()).await;
    let answer = raw(addr, "GET /api/chat/session/a HTTP/1.1\r\nhost").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn a_wrong_content_length_is_refused() {
    let host = Host::start().await;
    let short = r#"{"role":"user","content":"x"}"#;
    assert_refused(&raw(host.addr, post("content-length: 10\r\n", short)).await, 400);
    for nonsense in [
        "content-length: -1\r\n",
        "content-length: x\r\n",
        "content-length: 1\r\ncontent-length: 2\r\n",
    ] {
        let answer = raw(host.addr, post(nonsense, short)).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{nonsense}: {answer}");
    }
    let chunked = post("transfer-encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n");
    let answer = raw(host.addr, chunked).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn bodies_that_are_not_a_message_are_refused() {
    let host = Host::start().await;
    let send = async |headers: &str, body: &[u8]| {
        let mut request =
            post(&format!("{headers}content-length: {}\r\n", body.len()), "").into_bytes();
        request.extend_from_slice(body);
        raw(host.addr, request).await
    };
    let large = format!(r#"{{"role":"user","content":"{}"}}"#, "x".repeat(10 << 20));
    assert_refused(&send("", large.as_bytes()).await, 413);
    let announced = raw(host.addr, post("content-length: 99999999999\r\n", "{")).await;
    assert_refused(&announced, 413);
    assert_refused(&send("", b"{\"role\":\"user\",\"content\":\"\xff\"}").await, 400);
    for depth in [200, 100_000] {
        let deep = format!(r#"{{"role":"user","x":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_refused(&send("", deep.as_bytes()).await, 400);
    }
    let surrogate = send("", br#"{"role":"user","content":"\ud83d"}"#).await;
    assert_refused(&surrogate, 400);
    assert!(surrogate.contains("surrogate"), "{surrogate}");
    assert_refused(&send("content-type: text/xml\r\n", b"{}").await, 415);
    for (header, named) in [
        ("content-encoding: gzip\r\n", "\\\"gzip\\\""),
        ("content-encoding: identity, br\r\n", "\\\"br\\\""),
        ("content-encoding: identity\r\ncontent-encoding: Zstd\r\n", "\\\"Zstd\\\""),
    ] {
        let refused = send(header, b"\x1f\x8b\x08\0\0\0").await;
        assert_refused(&refused, 415);
        assert!(refused.contains(named), "{named}: {refused}");
    }
    for header in [
        "content-encoding: identity\r\n",
        "content-encoding: \r\n",
        "content-encoding: Identity\r\n",
    ] {
        let taken = send(header, br#"{"role":"user"}"#).await;
        assert!(taken.starts_with("HTTP/1.1 200"), "{header}: {taken}");
    }
    assert_refused(&send("idempotency-key: \r\n", br#"{"role":"user"}"#).await, 400);
    assert_refused(&send("", b"").await, 400);
}

#[tokio::test]
async fn paths_with_an_encoded_path_inside_are_refused() {
    let host = Host::start().await;
    for path in [
        "a%2Fb",
        "..%2F..",
        "%2e%2e",
        "a%5Cb",
        "a%252Fb",
        "a%00",
        "%FF",
        "%",
        "a%20b",
        "a/no-such-field",
        "a/messages/1/x",
        "a//messages",
        "a/pendingMatch",
        "a/%6dessages",
        "",
    ] {
        let request = format!(
            "GET /api/chat/session/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        );
        let answer = raw(host.addr, request).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.1 404"),
            "{path}: {answer}"
        );
        assert!(answer.contains("{\"error\":"), "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_posts_at_once_are_all_kept_in_one_order() {
    let host = Host::start().await;
    let chat = id();
    let client = reqwest::Client::new();
    let url = format!("{}/api/chat/session/{}/messages", host.base(), chat.as_str());
    let posts: Vec<_> = (0..1000)
        .map(|n| {
            let body = format!(r#"{{"role":"user","content":"{n}"}}"#);
            let request = client.post(&url).header("content-type", "application/json").body(body);
            tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
        })
        .collect();
    for post in posts {
        assert_eq!(post.await.unwrap(), 200);
    }
    let read = async || reqwest::get(&url).await.unwrap().text().await.unwrap();
    let first = read().await;
    assert_eq!(first, read().await);
    let messages: Vec<serde_json::Value> = serde_json::from_str(&first).unwrap();
    let mut seen: Vec<u32> =
        messages.iter().skip(1).map(|m| m["content"].as_str().unwrap().parse().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..1000).collect::<Vec<_>>());
}
