//! The routes through the proxy.

use crate::host::{Host, id, listen};
use axum::Router;
use axum::routing::any;
use durable_session::Message;
use durable_session_http::client::{ChatSessionClient, ClientError, Event, Retry};
use durable_session_http::server::{InvalidBaseUrl, ProxyOptions, Shutdown, proxy};
use http::StatusCode;
use std::net::SocketAddr;
use std::time::Duration;

async fn in_front_of(base: &str) -> SocketAddr {
    let mut options = ProxyOptions::default();
    options.router.request_timeout = Duration::from_secs(2);
    // The proxy ends a stream that is silent for three times this; the service pings every 100 ms.
    options.router.keep_alive = Duration::from_secs(5);
    listen(proxy(base, options).unwrap(), Shutdown::new()).await.0
}

#[tokio::test]
async fn the_routes_work_through_the_proxy() {
    let host = Host::start().await;
    let front = in_front_of(&host.base()).await;
    let chat =
        ChatSessionClient::new(&format!("http://{front}"), id()).unwrap().retry(Retry::never());
    let mut events = chat.events(None);
    events.open().await.unwrap();
    // Longer than the request timeout, which does not apply to event streams.
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    chat.add_message(Message::user("hello").with_id("m-1")).await.unwrap();
    assert!(matches!(events.next().await.unwrap(), Event::Message { seq: 2, .. }));
    assert!(
        chat.add_message(Message::user("other").with_id("m-1")).await.unwrap_err().is_id_reused()
    );
    let (state, version) = chat.get_state_versioned().await.unwrap();
    assert_eq!(state.messages.len(), 2);
    let overtaken = chat.update_if("\"new\"", &state).await.unwrap_err();
    assert!(overtaken.is_version_changed());
    assert_eq!(chat.update_if(&version.unwrap(), &state).await.unwrap().messages, state.messages);
}

#[tokio::test]
async fn hop_by_hop_headers_and_credentials_are_not_forwarded() {
    let echo = any(|headers: http::HeaderMap| async move {
        let names = headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>().join(",");
        let answered = [("connection", "x-mine"), ("x-mine", "1"), ("x-yours", names.as_str())]
            .map(|(k, v)| (k, v.to_owned()));
        (axum::response::AppendHeaders(answered), "{}")
    });
    let (addr, _) =
        listen(Router::new().route("/api/chat/session/{id}", echo), Shutdown::new()).await;
    let front = in_front_of(&format!("http://{addr}")).await;
    let request = reqwest::Client::new().get(format!("http://{front}/api/chat/session/a"));
    let answer = request
        .header("cookie", "secret=1")
        .header("authorization", "Bearer secret")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("if-none-match", "\"new\"")
        .send()
        .await
        .unwrap();
    let seen = answer.headers()["x-yours"].to_str().unwrap().to_owned();
    assert!(seen.contains("if-none-match"), "{seen}");
    for name in ["cookie", "authorization", "x-hop"] {
        assert!(!seen.contains(name), "{seen}");
    }
    assert!(!answer.headers().contains_key("x-mine"));
}

#[tokio::test]
async fn a_service_that_fails_is_a_json_error() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = nobody.local_addr().unwrap();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    drop(nobody);
    let status = async |base: SocketAddr| {
        let front = in_front_of(&format!("http://{base}")).await;
        let answer =
            reqwest::get(format!("http://{front}/api/chat/session/a/messages")).await.unwrap();
        let status = answer.status();
        let body: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert!(body["error"].is_string(), "{body}");
        status
    };
    assert_eq!(status(gone).await, StatusCode::BAD_GATEWAY);
    assert_eq!(status(silent.local_addr().unwrap()).await, StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn no_path_leads_outside_the_prefix() {
    let trap = Router::new().route("/admin", any(async || "the admin page"));
    let (addr, _) = listen(trap, Shutdown::new()).await;
    let front = in_front_of(&format!("http://{addr}")).await;
    for path in [
        "..%2f..%2f..%2f..%2fadmin",
        "a/..%2f..%2fadmin",
        "%2e%2e/%2e%2e/%2e%2e/%2e%2e/admin",
        "a/%2e%2e/admin",
        "a/%2E%2E",
    ] {
        let answer = crate::bad_input::raw(
            front,
            &format!(
                "GET /api/chat/session/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            ),
        )
        .await;
        assert!(
            answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.1 404"),
            "{path}: {answer}"
        );
        assert!(answer.contains("{\"error\":"), "{path}: {answer}");
    }
}

#[test]
fn a_base_url_that_is_not_a_service_is_refused() {
    for base in ["", "example.com", "ftp://example.com", "http://example.com/?x=1"] {
        assert!(
            matches!(proxy(base, ProxyOptions::default()), Err(InvalidBaseUrl::Url { .. })),
            "{base}"
        );
        let client = ChatSessionClient::new(base, id());
        assert!(
            matches!(client, Err(ClientError::InvalidBaseUrl(InvalidBaseUrl::Url { .. }))),
            "{base}"
        );
    }
    let https = "https://example.com";
    let (forward, call) =
        (proxy(https, ProxyOptions::default()), ChatSessionClient::new(https, id()));
    if cfg!(feature = "rustls") {
        assert!(forward.is_ok() && call.is_ok());
    } else {
        assert!(matches!(forward, Err(InvalidBaseUrl::Tls { .. })));
        let error = call.unwrap_err();
        assert!(
            matches!(error, ClientError::InvalidBaseUrl(InvalidBaseUrl::Tls { .. })),
            "{error:?}"
        );
        assert!(error.to_string().contains("rustls") && !error.is_transient(), "{error}");
    }
}
