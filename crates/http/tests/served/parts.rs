//! Responses that are read from the store while they are sent.

use crate::host::{Host, id, listen};
use durable_session::{ChatSession, Message};
use durable_session_http::server::{ProxyOptions, Shutdown, proxy};
use http::Method;
use tutoring::Tutoring;

/// A session of several megabytes.
async fn filled(host: &Host, messages: usize) -> ChatSession<Tutoring> {
    let chat = host.sessions.session(id());
    for n in (0..messages).step_by(500) {
        let count = messages.min(n + 500);
        let messages =
            (n..count).map(|n| Message::user(format!("{n:05}{}", "x".repeat(990)))).collect();
        chat.add_messages(messages).await.unwrap();
    }
    chat
}

async fn proxied(host: &Host) -> String {
    let front = proxy(&host.base(), ProxyOptions::default()).unwrap();
    format!("http://{}", listen(front, Shutdown::new()).await.0)
}

#[tokio::test]
async fn a_large_state_sent_in_parts_equals_the_whole_state() {
    let host = Host::start().await;
    let client = reqwest::Client::new();
    for (messages, parts) in [(0, false), (20, false), (500, true), (6000, true)] {
        let chat = filled(&host, messages).await;
        let (version, state) = chat.get_state_json().await.unwrap();
        for base in [host.base(), proxied(&host).await] {
            let url = format!("{base}/api/chat/session/{}", chat.id().as_str());
            let get =
                async |method: Method, url: &str| client.request(method, url).send().await.unwrap();
            let whole = get(Method::GET, &url).await;
            let headers = whole.headers().clone();
            assert!(whole.text().await.unwrap() == state, "{messages}: another state");
            let tag =
                version.map_or_else(|| "\"new\"".to_owned(), |version| format!("\"{version}\""));
            assert_eq!(headers["etag"], *tag);
            assert_eq!(headers.contains_key("content-length"), !parts, "{messages}: {headers:?}");
            // HEAD has the same headers.
            let head = get(Method::HEAD, &url).await;
            for name in ["etag", "content-type", "content-length", "cache-control"] {
                assert_eq!(head.headers().get(name), headers.get(name), "{messages}: {name}");
            }
            assert_eq!(head.text().await.unwrap(), "");
            let list = get(Method::GET, &format!("{url}/messages")).await.text().await.unwrap();
            let list: Vec<Message> = serde_json::from_str(&list).unwrap();
            assert!(list == chat.get_state().await.unwrap().messages, "{messages}: another list");
            let unchanged = client.get(&url).header("if-none-match", &tag).send().await.unwrap();
            assert_eq!(unchanged.status(), 304);
        }
        // The response to PUT is in parts, too.
        let url = format!("{}/api/chat/session/{}", host.base(), chat.id().as_str());
        let put = client.put(&url).body(r#"{"bookingInfo":null}"#).send().await.unwrap();
        let (put, now) = (put.text().await.unwrap(), chat.get_state_json().await.unwrap().1);
        assert!(
            put == format!("{{\"success\":true,\"state\":{now}}}"),
            "{messages}: another answer"
        );
    }
}

#[tokio::test]
async fn a_response_breaks_off_when_the_session_is_rewritten() {
    const MESSAGES: u64 = 36_000;
    let host = Host::start().await;
    // Far more than two connections buffer, so that the end is not read from the store when the
    // first bytes arrive.
    let chat = filled(&host, 36_000).await;
    for base in [host.base(), proxied(&host).await] {
        for route in ["", "/messages"] {
            let url = format!("{base}/api/chat/session/{}{route}", chat.id().as_str());
            let mut answer = reqwest::get(&url).await.unwrap();
            assert_eq!(answer.status(), 200);
            let mut read = answer.chunk().await.unwrap().unwrap().len();
            // Messages may be added meanwhile, but not replaced.
            chat.add_message(Message::user("more")).await.unwrap();
            chat.replace(MESSAGES - 1000, Message::user(format!("other {read} {base}{route}")))
                .await
                .unwrap();
            let broken = loop {
                match answer.chunk().await {
                    Ok(Some(part)) => read += part.len(),
                    Ok(None) => break false,
                    Err(_) => break true,
                }
            };
            assert!(broken, "{base}{route}: {read} bytes as if they were all");
            let again = reqwest::get(&url).await.unwrap().text().await.unwrap();
            assert!(serde_json::from_str::<serde_json::Value>(&again).is_ok());
        }
    }
}
