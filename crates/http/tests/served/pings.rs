//! Silent event streams: pings keep them alive, and a stream without pings is dead.

use crate::host::{Host, id, listen};
use durable_session_http::PING;
use durable_session_http::client::{ChatSessionClient, Event, Retry};
use durable_session_http::server::{ProxyOptions, Shutdown, proxy};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
                    : following\nid: c-1\n\n";

/// A service whose first event stream sends a few pings and falls silent, and whose later streams
/// send a message.
async fn falls_silent(pings: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let opened = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let first = opened.fetch_add(1, Ordering::Relaxed) == 0;
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..length]).to_lowercase();
                stream.write_all(HEAD.as_bytes()).await.unwrap();
                if first {
                    for _ in 0..pings {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        stream.write_all(PING.as_bytes()).await.unwrap();
                    }
                } else {
                    // A ping has no id, so the client resumes from the event before it.
                    assert!(request.contains("last-event-id: c-1"), "{request}");
                    let event = "event: message\nid: c-2\n\
                                 data: {\"seq\":7,\"message\":{\"role\":\"user\"}}\n\n";
                    stream.write_all(event.as_bytes()).await.unwrap();
                }
                std::future::pending::<()>().await;
            });
        }
    });
    (addr, count)
}

#[tokio::test]
async fn a_client_reopens_a_silent_stream_and_not_a_stream_with_pings() {
    let (addr, opened) = falls_silent(20).await;
    let chat = ChatSessionClient::new(&format!("http://{addr}"), id()).unwrap();
    let mut events = chat.max_silence(Duration::from_secs(1)).retry(Retry::never()).events(None);
    events.open().await.unwrap();
    let event = tokio::time::timeout(Duration::from_secs(1), events.next()).await;
    assert!(event.is_err(), "{event:?}");
    // Longer than the longest silence, but with pings.
    assert_eq!(opened.load(Ordering::Relaxed), 1);
    let event =
        tokio::time::timeout(Duration::from_secs(30), events.next()).await.unwrap().unwrap();
    assert!(matches!(event, Event::Message { seq: 7, .. }), "{event:?}");
    assert_eq!(opened.load(Ordering::Relaxed), 2);
    assert_eq!(events.cursor(), Some("c-2"));
}

async fn in_front_of(base: &str, keep_alive: Duration) -> SocketAddr {
    let mut options = ProxyOptions::default();
    options.router.keep_alive = keep_alive;
    listen(proxy(base, options).unwrap(), Shutdown::new()).await.0
}

async fn stream(base: SocketAddr) -> reqwest::Response {
    reqwest::get(format!("http://{base}/api/chat/session/{}/events", id().as_str())).await.unwrap()
}

#[tokio::test]
async fn a_ping_is_an_event_without_an_id_and_passes_the_proxy() {
    assert_eq!(PING, "event: ping\ndata: {}\n\n");
    let host = Host::start().await;
    // The proxy's interval is long, so any ping is the service's.
    let front = in_front_of(&host.base(), Duration::from_secs(20)).await;
    for base in [host.addr, front] {
        let mut answer = stream(base).await;
        let mut text = String::new();
        while text.matches(PING).count() < 4 {
            text.push_str(std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap());
        }
        let events = text.split("\n\n").filter(|block| !block.is_empty());
        let (pings, others): (Vec<_>, Vec<_>) = events.partition(|block| *block == PING.trim_end());
        assert_eq!((pings.len(), others.len()), (4, 2), "{text}");
        assert!(others[0].starts_with(": following\nid: "), "{text}");
        assert_eq!(others[1], ": every open reply is named");
    }
}

#[tokio::test]
async fn the_proxy_ends_a_dead_stream_and_adds_no_pings() {
    let (silent, _) = falls_silent(0).await;
    let front = in_front_of(&format!("http://{silent}"), Duration::from_millis(200)).await;
    let mut answer = stream(front).await;
    let mut text = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(30), async {
        while let Ok(Some(part)) = answer.chunk().await {
            text.extend_from_slice(&part);
        }
    });
    ended.await.expect("the stream does not end");
    assert_eq!(String::from_utf8(text).unwrap(), ": following\nid: c-1\n\n");
}
