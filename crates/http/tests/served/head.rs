//! `HEAD` over raw sockets: the head of `GET` without a body.

use crate::bad_input::raw;
use crate::host::{Host, id};

#[tokio::test]
async fn head_has_the_length_of_a_body_and_none_for_a_stream() {
    let host = Host::start().await;
    let head = async |rest: &str| {
        let request = format!(
            "HEAD /api/chat/session/{}{rest} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            id().as_str()
        );
        let answer = raw(host.addr, request).await.to_lowercase();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("http/1.1 200 ") && body.is_empty(), "{rest}: {answer}");
        head.to_owned()
    };
    let events = head("/events").await;
    assert!(events.contains("content-type: text/event-stream"), "{events}");
    assert!(!events.contains("content-length"), "{events}");
    let list = r#"[{"role":"assistant","content":"Hi!"}]"#;
    let messages = head("/messages").await;
    assert!(messages.contains(&format!("content-length: {}\r\n", list.len())), "{messages}");
    assert!(head("").await.contains("content-length: "));
}
