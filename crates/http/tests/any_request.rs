//! Random requests: no panic, no 5xx of the server itself, and every refusal is a JSON error.

#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use durable_session::{ChatSessions, Message};
use durable_session_http::{Api, Body, FieldRoute};
use durable_session_memory::MemoryStore;
use http::{Method, Request};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use tutoring::Tutoring;

const PREFIX: &str = "/api/chat/session/";

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("s-1".to_owned()),
        2 => prop::sample::select(vec![
            "messages", "rewind", "replies", "stop", "events", "reset", "booking-info",
            "search-criteria", "state", "1", "2",
        ])
            .prop_map(str::to_owned),
        1 => "[!-~]{0,12}",
        1 => "(%[0-9A-Fa-f]{2}|[.a-z]){0,6}",
    ]
}

fn path() -> impl Strategy<Value = String> {
    let query = prop_oneof![
        Just(String::new()),
        "\\?(limit|before|after)=[0-9a-f-]{0,40}(&(limit|before|after)=[0-9a-z%-]{0,60})?",
        "\\?(before|after|edited)=(&(before|after)=)?",
        "\\?[!-~]{0,20}",
    ];
    let route = prop_oneof![
        Just("messages"),
        Just("messages/1"),
        Just("messages/2"),
        Just("rewind"),
        Just("replies/2/stop"),
        Just("events"),
        Just("reset"),
        Just("booking-info"),
        Just("search-criteria"),
        Just("")
    ];
    prop_oneof![
        3 => (route, query.clone())
            .prop_map(|(route, query)| format!("{PREFIX}s-1/{route}{query}")),
        2 => (prop::collection::vec(segment(), 0..4), query)
            .prop_map(|(s, query)| format!("{PREFIX}{}{query}", s.join("/"))),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let json = prop_oneof![
        Just(r#"{"role":"user","content":"x","id":"m"}"#.to_owned()),
        Just(r#"{"messages":[{"role":"user"}],"bookingInfo":null}"#.to_owned()),
        Just(r#"{"to":1}"#.to_owned()),
        Just(
            concat!(
                r#"{"messages":[{"role":"assistant","content":"Hi!"},"#,
                r#"{"role":"user","id":1},{"role":"user"}]}"#
            )
            .to_owned()
        ),
        Just("null".to_owned()),
        "[\\[\\]{}\",:0-9a-z\\\\ue+.-]{0,40}",
        "\\{\"(role|messages|content|createdAt)\":[\\[\\]{}\",0-9a-z]{0,10}\\}",
    ];
    prop_oneof![
        4 => json.prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

fn headers() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let names =
        vec!["content-type", "if-match", "if-none-match", "idempotency-key", "last-event-id"];
    let value = prop_oneof![
        "[ -~]{0,20}",
        Just("application/json".to_owned()),
        Just("*".to_owned()),
        Just("W/\"new\"".to_owned()),
        "[0-9a-f]{32}-[0-9a-f]{1,17}-[0-9a-f]{1,17}",
    ];
    prop::collection::vec((prop::sample::select(names), value), 0..3)
}

fn method() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![
        Method::GET,
        Method::HEAD,
        Method::PUT,
        Method::POST,
        Method::DELETE,
        Method::PATCH,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_request_has_a_response(
        requests in prop::collection::vec((method(), path(), headers(), body()), 1..6)
    ) {
        let sessions = ChatSessions::<Tutoring>::builder(MemoryStore::new())
            .greeting(Message::assistant("Hi!"))
            .build();
        let api = Api::builder(sessions)
            .field(FieldRoute::new("booking-info", "bookingInfo"))
            .field(FieldRoute::put_only("search-criteria", "lastSearchCriteria"))
            .build()
            .unwrap();
        for (method, path, headers, body) in requests {
            let mut request = Request::builder().method(&method).uri(&path);
            for (name, value) in &headers {
                request = request.header(*name, value);
            }
            // Bytes that are not HTTP do not reach the router.
            let Ok(request) = request.body(Bytes::from(body)) else { continue };
            let response = futures_executor::block_on(api.handle(request));
            let status = response.status().as_u16();
            prop_assert!(status < 500, "{method} {path}: {status}");
            prop_assert_eq!(&response.headers()["cache-control"], "no-store");
            if let Body::Full(bytes) = response.body() && status >= 400 && method != Method::HEAD {
                let refused: serde_json::Value = serde_json::from_slice(bytes).unwrap();
                prop_assert!(refused["error"].as_str().is_some_and(|reason| !reason.is_empty()));
            }
        }
    }
}
