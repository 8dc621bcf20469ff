//! A crowd that wants too much, and headers that make no sense.

use crate::campaign::Tally;
use anyhow::{Result, ensure};
use bytes::Bytes;
use durable_session::{ChatSessions, Limits, Memory, SessionId};
use durable_session_http::Api;
use durable_session_memory::MemoryStore;
use fastrand::Rng;
use futures_executor::block_on;
use futures_util::future::join_all;
use http::header::{HeaderName, HeaderValue};
use http::{Method, Request};
use std::time::Duration;

const CLIENTS: usize = 1_000;
const STREAMS: usize = 50;
const LIMITS: Limits =
    Limits { message_bytes: 2_000, app_bytes: 4_000, session_messages: 20, session_bytes: 10_000 };

/// A thousand clients at once, each asking for more than it may have: all are answered, and no
/// limit is passed.
pub(super) fn crowd(rng: &mut Rng, tally: &mut Tally) -> Result<()> {
    let sessions: ChatSessions = ChatSessions::builder(MemoryStore::new())
        .limits(LIMITS)
        .memory(Memory { bytes: 1 << 20, idle: Duration::from_mins(10) })
        .build();
    let api = Api::builder(sessions.clone()).max_body_bytes(20_000).max_streams(STREAMS).build()?;
    let clients = (0..CLIENTS).map(|n| {
        let (api, mut rng) = (&api, rng.fork());
        async move {
            let path = format!("/api/chat/session/crowd-{}", n % 40);
            let mut statuses = Vec::new();
            let mut streams = Vec::new();
            for _ in 0..8 {
                let response = api.handle(demand(&path, &mut rng)).await;
                statuses.push(response.status().as_u16());
                streams.push(response);
            }
            (statuses, streams)
        }
    });
    let answers = block_on(join_all(clients));
    let mut open = 0;
    for (status, response) in
        answers.iter().flat_map(|(statuses, responses)| statuses.iter().zip(responses))
    {
        tally.add("hostile_requests", 1);
        tally.checked(1);
        tally.add("refused", u64::from(*status >= 400));
        ensure!(*status < 500 || *status == 503, "a client is answered with {status}");
        open += usize::from(matches!(response.body(), durable_session_http::Body::Events(_)));
    }
    ensure!(open <= STREAMS, "{open} event streams are open");
    for n in 0..40 {
        let snapshot =
            block_on(sessions.session(SessionId::new(format!("crowd-{n}"))?).snapshot())?;
        let (messages, bytes) = (snapshot.message_count(), snapshot.message_bytes());
        ensure!(
            messages <= LIMITS.session_messages && bytes <= LIMITS.session_bytes,
            "{messages} messages, {bytes} bytes"
        );
    }
    // A session may be larger than its share; all together are not.
    ensure!(sessions.stats().live_bytes <= 4 << 20, "{} bytes live", sessions.stats().live_bytes);
    Ok(())
}

fn demand(path: &str, rng: &mut Rng) -> Request<Bytes> {
    let length = [10, 1_000, 1_900, 2_100, 30_000][rng.usize(0..5)];
    let message = format!("{{\"role\":\"user\",\"content\":\"{}\"}}", "x".repeat(length));
    let deep = format!("{{\"role\":\"user\",\"content\":{}1{}}}", "[".repeat(900), "]".repeat(900));
    let messages = vec![message.clone(); rng.usize(1..40)].join(",");
    let state = format!("{{\"messages\":[{messages}],\"createdAt\":1,\"lastAccessedAt\":2}}");
    let (method, path, body) = match rng.u8(0..7) {
        0 => (Method::GET, format!("{path}/events"), String::new()),
        1 => (Method::GET, format!("{path}/messages?limit=99999999999999999999"), String::new()),
        2 => (Method::PUT, path.to_owned(), state),
        3 => (Method::POST, format!("{path}/messages"), deep),
        4 => (Method::GET, path.to_owned(), String::new()),
        _ => (Method::POST, format!("{path}/messages"), message),
    };
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = method;
    // All paths here are paths.
    *request.uri_mut() = path.parse().unwrap_or_default();
    request
}

/// Headers of any bytes are answered, and never with a fault of ours.
pub(super) fn headers(rng: &mut Rng, tally: &mut Tally) -> Result<()> {
    const NAMES: [&str; 9] = [
        "if-match",
        "if-none-match",
        "last-event-id",
        "content-type",
        "content-length",
        "range",
        "accept",
        "origin",
        "x-forwarded-for",
    ];
    const VALUES: [&str; 8] = [
        "*",
        "\"",
        "W/\"x\"",
        "\"0\", \"1\"",
        "-1",
        "99999999999999999999",
        "text/event-stream",
        "",
    ];
    let sessions: ChatSessions = ChatSessions::builder(MemoryStore::new()).build();
    let api = Api::builder(sessions).build()?;
    for n in 0..3_000u32 {
        let path = format!(
            "/api/chat/session/h{}{}",
            n % 5,
            ["", "/messages", "/events", "/reset"][rng.usize(0..4)]
        );
        let method = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD]
            [rng.usize(0..5)]
        .clone();
        let mut request =
            Request::new(Bytes::from_static(b"{\"role\":\"user\",\"content\":\"x\"}"));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse()?;
        for _ in 0..rng.usize(0..6) {
            let random: Vec<u8> = (0..rng.usize(0..40)).map(|_| rng.u8(..)).collect();
            let value = if rng.bool() {
                random
            } else {
                VALUES[rng.usize(0..VALUES.len())].as_bytes().to_vec()
            };
            let Ok(value) = HeaderValue::from_bytes(&value) else {
                tally.skipped();
                continue;
            };
            request
                .headers_mut()
                .append(HeaderName::from_static(NAMES[rng.usize(0..NAMES.len())]), value);
        }
        let told = format!("{request:?}");
        let status = block_on(api.handle(request)).status();
        tally.add("headers", 1);
        tally.checked(1);
        ensure!(status.as_u16() < 500, "{status} for {told}");
    }
    Ok(())
}
