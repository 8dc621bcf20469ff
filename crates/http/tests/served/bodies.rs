//! Bodies that are slow, stop, or exceed the budget.

use crate::bad_input::{assert_refused, post, raw, read_to_end};
use crate::host::Host;
use durable_session_http::server::ByteBudget;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A message whose JSON has `bytes` bytes.
fn message(bytes: usize) -> String {
    let frame = r#"{"role":"user","content":""}"#;
    format!(r#"{{"role":"user","content":"{}"}}"#, "x".repeat(bytes - frame.len()))
}

fn head(bytes: usize) -> String {
    post(&format!("content-length: {bytes}\r\n"), "")
}

/// Announces a body of `of` bytes, sends `bytes` of them, and stops.
async fn begin(host: &Host, bytes: usize, of: usize) -> TcpStream {
    let mut stream = TcpStream::connect(host.addr).await.unwrap();
    stream.write_all(head(of).as_bytes()).await.unwrap();
    stream.write_all(&message(of).as_bytes()[..bytes]).await.unwrap();
    stream
}

/// Waits until the bytes in use satisfy `used`.
async fn until(host: &Host, used: impl Fn(usize) -> bool) {
    let wait = async {
        while !used(host.budget.used()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
    waited.unwrap_or_else(|_| panic!("{} bytes are in use", host.budget.used()));
}

#[tokio::test]
async fn a_slow_body_that_keeps_arriving_is_accepted() {
    // The limits are a pause of one second and a rate of 1 KiB/s.
    let host = Host::tuned(|options, _| options.body_timeout = Duration::from_secs(1)).await;
    let body = message(12 << 10);
    let mut stream = TcpStream::connect(host.addr).await.unwrap();
    stream.write_all(head(body.len()).as_bytes()).await.unwrap();
    for part in body.as_bytes().chunks(1 << 10) {
        stream.write_all(part).await.unwrap();
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn without_a_lowest_rate_only_a_stopped_body_is_refused() {
    let host = Host::tuned(|options, _| {
        options.min_body_rate = 0;
        options.body_timeout = Duration::from_secs(1);
    })
    .await;
    let body = message(40);
    let mut stream = TcpStream::connect(host.addr).await.unwrap();
    stream.write_all(head(body.len()).as_bytes()).await.unwrap();
    for part in body.as_bytes().chunks(2) {
        stream.write_all(part).await.unwrap();
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut stopped = begin(&host, 30, 40).await;
    assert_refused(&read_to_end(&mut stopped).await, 408);
}

#[tokio::test]
async fn stopped_large_bodies_leave_memory_for_small_ones_and_return_theirs() {
    let host = Host::tuned(|options, _| {
        options.budget = ByteBudget::new(1 << 20);
        options.body_timeout = Duration::from_secs(3);
    })
    .await;
    // Large bodies may use three quarters of the budget: two of 300 KiB fit.
    let mut stopped = Vec::new();
    for n in 1..=2 {
        stopped.push(begin(&host, 300 << 10, 400 << 10).await);
        until(&host, |used| used == n * (300 << 10)).await;
    }
    let large = message(300 << 10);
    let refused =
        raw(host.addr, post(&format!("content-length: {}\r\n", large.len()), &large)).await;
    assert_refused(&refused, 503);
    assert!(refused.to_lowercase().contains("retry-after: "), "{refused}");
    for size in [40, 60 << 10] {
        let small = message(size);
        let taken = raw(host.addr, post(&format!("content-length: {size}\r\n"), &small)).await;
        assert!(taken.starts_with("HTTP/1.1 200"), "{taken}");
    }
    // A body larger than the budget for large bodies is 413.
    let never = message(800 << 10);
    assert_refused(
        &raw(host.addr, post(&format!("content-length: {}\r\n", never.len()), &never)).await,
        413,
    );
    for mut stream in stopped {
        assert_refused(&read_to_end(&mut stream).await, 408);
    }
    until(&host, |used| used == 0).await;
    let taken = raw(host.addr, post(&format!("content-length: {}\r\n", large.len()), &large)).await;
    assert!(taken.starts_with("HTTP/1.1 200"), "{taken}");
    // A client that disconnects returns its bytes, too.
    let gone = begin(&host, 300 << 10, 400 << 10).await;
    until(&host, |used| used > 0).await;
    drop(gone);
    until(&host, |used| used == 0).await;
}
