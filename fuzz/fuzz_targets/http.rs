//! The request function: any method, path, headers and body are answered, and never with a fault of
//! ours. Input: method, path, then headers, one to a line; an empty line; the body.
#![no_main]

use bytes::Bytes;
use durable_session::{ChatSessions, Message};
use durable_session_http::{Api, FieldRoute};
use durable_session_memory::MemoryStore;
use futures_executor::block_on;
use http::Request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let split = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (head, body) = data.split_at(split);
    let mut lines = head.split(|&byte| byte == b'\n');
    let (Some(method), Some(path)) = (lines.next(), lines.next()) else { return };
    let mut request = Request::builder().method(method).uri(path);
    for line in lines {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    let body = Bytes::copy_from_slice(body.get(2..).unwrap_or_default());
    let Ok(request) = request.body(body) else { return };
    let store = MemoryStore::new();
    let sessions: ChatSessions =
        ChatSessions::builder(store).greeting(Message::assistant("Hi!")).build();
    let api = Api::builder(sessions)
        .field(FieldRoute::new("booking-info", "bookingInfo"))
        .build()
        .expect("an api");
    // Twice: the second request finds the messages of the first.
    for _ in 0..2 {
        let response = block_on(api.handle(request.clone()));
        assert!(response.status().as_u16() < 500, "{} for {request:?}", response.status());
    }
});
