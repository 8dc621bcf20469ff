//! The layers around the routes.

use crate::args::Args;
use crate::{backend, service};
use axum::Router;
use axum::body::Body;
use clap::Parser;
use durable_session_http::server::Shutdown;
use futures_executor::block_on;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use std::io::Read;
use std::time::Duration;
use tower::ServiceExt;

/// Answers come at once, unless the arguments say otherwise.
fn try_app(arguments: &[&str]) -> anyhow::Result<Router> {
    let at_once = ["--stream-ms", "0"];
    let at_once = if arguments.contains(&"--no-answers") { &[][..] } else { &at_once };
    let args = ["tutor-chat", "--store", "memory"].iter().chain(at_once).chain(arguments);
    let args = Args::try_parse_from(args).unwrap();
    service::app(&args, &block_on(backend::open(&args, &Shutdown::new())).unwrap())
}

fn app(arguments: &[&str]) -> Router {
    try_app(arguments).unwrap()
}

async fn send(app: &Router, request: http::request::Builder, body: &'static str) -> Response<Body> {
    app.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap()
}

async fn get(app: &Router, path: &str) -> Response<Body> {
    send(app, Request::get(path), "").await
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

const SESSION: &str = "/api/chat/session/session-1-abc";

#[tokio::test]
async fn a_message_is_answered_with_a_tutor() {
    let app = app(&[]);
    let post = Request::post(format!("{SESSION}/messages"));
    let message = r#"{"role":"user","content":"I want help with python tutor","id":"m"}"#;
    let answer = text(send(&app, post, message).await).await;
    assert_eq!(answer, format!(r#"{{"success":true,"message":{message},"seq":2}}"#));
    let messages = text(get(&app, &format!("{SESSION}/messages")).await).await;
    assert!(
        messages.contains("\"id\":\"answer-to-2\"") && messages.contains("\"tutorMatch\""),
        "{messages}"
    );
    let pending = text(get(&app, &format!("{SESSION}/pending-match")).await).await;
    assert!(pending.contains("python"), "{pending}");
}

#[tokio::test]
async fn without_options_an_answer_is_a_durable_reply() {
    let args = Args::try_parse_from(["tutor-chat", "--store", "memory"]).unwrap();
    let backend = backend::open(&args, &Shutdown::new()).await.unwrap();
    let app = service::app(&args, &backend).unwrap();
    let message = r#"{"role":"user","content":"I want help with python tutor","id":"m"}"#;
    let answer =
        text(send(&app, Request::post(format!("{SESSION}/messages")), message).await).await;
    assert!(answer.contains("\"reply\""), "{answer}");
    let open = text(get(&app, &format!("{SESSION}/messages")).await).await;
    assert!(open.contains("in_progress"), "{open}");
    let finished = async {
        while text(get(&app, &format!("{SESSION}/messages")).await).await.contains("in_progress") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), finished).await.unwrap();
    let whole = text(get(&app, &format!("{SESSION}/messages")).await).await;
    assert!(whole.contains("tutorMatch"), "{whole}");
}

#[tokio::test]
async fn an_answer_is_streamed_as_a_reply_that_can_be_stopped() {
    let app = app(&["--stream-ms", "60000"]);
    let message = r#"{"role":"user","content":"I want help with python tutor","id":"m"}"#;
    let answer = text(send(&app, Request::post(format!("{SESSION}/messages")), message).await);
    let answer = answer.await;
    let expected = format!(r#"{{"success":true,"message":{message},"seq":2,"reply":3}}"#);
    assert_eq!(answer, expected);
    let stopped = send(&app, Request::post(format!("{SESSION}/replies/3/stop")), "").await;
    assert_eq!(stopped.status(), StatusCode::OK);
    let stopped = text(stopped).await;
    assert!(stopped.contains(r#""incomplete_details":{"reason":"stopped"}"#), "{stopped}");
}

#[tokio::test]
async fn clients_post_users_messages_only_unless_they_may_do_everything() {
    let public = [app(&[]), app(&["--client-may", "everything", "--client-may", "public"])];
    let requests = || {
        [
            (
                Request::post(format!("{SESSION}/messages")),
                r#"{"role":"assistant","content":"hi"}"#,
                403,
            ),
            (
                Request::put(format!("{SESSION}/messages/1")),
                r#"{"role":"user","content":"hi"}"#,
                404,
            ),
            (Request::delete(format!("{SESSION}/messages/1")), "", 404),
            (Request::post(format!("{SESSION}/rewind")), r#"{"to":0}"#, 404),
            (Request::put(SESSION), r#"{"messages":[]}"#, 403),
        ]
    };
    for app in public {
        for (request, body, status) in requests() {
            let uri = format!("{request:?}");
            assert_eq!(send(&app, request, body).await.status(), status, "{uri}");
        }
        // The page's requests.
        for (request, body) in [
            (
                Request::post(format!("{SESSION}/messages")),
                r#"{"role":"user","content":"hi","id":"m"}"#,
            ),
            (Request::put(SESSION), r#"{"pendingMatch":null,"bookingInfo":null}"#),
            (Request::put(format!("{SESSION}/booking-info")), "null"),
            (Request::delete(format!("{SESSION}/pending-match")), ""),
            (Request::get(format!("{SESSION}/messages?limit=5")), ""),
            (Request::post(format!("{SESSION}/reset")), ""),
        ] {
            let uri = format!("{request:?}");
            assert_eq!(send(&app, request, body).await.status(), 200, "{uri}");
        }
    }
    let everything = app(&["--client-may", "everything"]);
    for (request, body, _) in requests() {
        let uri = format!("{request:?}");
        assert_eq!(send(&everything, request, body).await.status(), 200, "{uri}");
    }
}

#[tokio::test]
async fn the_page_runs_nothing_but_its_own_files() {
    let app = app(&[]);
    let page = get(&app, "/").await;
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(page.headers().contains_key("x-request-id"));
    let html = text(page).await;
    for file in ["app.js", "style.css", "icon.svg"] {
        assert!(html.contains(file));
        assert_eq!(get(&app, &format!("/{file}")).await.status(), StatusCode::OK, "{file}");
    }
    for none in ["/index.htm", "/../Cargo.toml", "/%2e%2e/Cargo.toml", "/build.rs"] {
        let refused = get(&app, none).await;
        assert_eq!(refused.status(), StatusCode::NOT_FOUND, "{none}");
        assert!(text(refused).await.starts_with("{\"error\":"), "{none}");
    }
}

#[tokio::test]
async fn a_client_that_asks_too_much_is_told_when_to_come_back() {
    let app = app(&["--rate", "1", "--client-header", "x-forwarded-for"]);
    let from = |client: &str| {
        Request::get(SESSION).header("x-forwarded-for", format!("6.6.6.6, {client}"))
    };
    for _ in 0..10 {
        assert_eq!(send(&app, from("10.0.0.1"), "").await.status(), StatusCode::OK);
    }
    let refused = send(&app, from("10.0.0.1"), "").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&seconds), "{seconds}");
    assert!(text(refused).await.starts_with("{\"error\":"));
    assert_eq!(send(&app, from("10.0.0.2"), "").await.status(), StatusCode::OK);
    // The same client, written in other ways.
    for same in ["10.0.0.1:51234", "::ffff:10.0.0.1", "[::ffff:10.0.0.1]:9"] {
        assert_eq!(
            send(&app, from(same), "").await.status(),
            StatusCode::TOO_MANY_REQUESTS,
            "{same}"
        );
    }
}

#[tokio::test]
async fn an_ipv6_client_is_its_network() {
    let app = app(&["--rate", "1", "--client-header", "x-forwarded-for"]);
    let mut answers = Vec::new();
    for n in 0..12 {
        let from = Request::get(SESSION)
            .header("x-forwarded-for", format!("[2001:db8::{n}:9]:{}", 1000 + n));
        answers.push(send(&app, from, "").await.status());
    }
    assert_eq!(answers[..10], [StatusCode::OK; 10]);
    assert_eq!(answers[11], StatusCode::TOO_MANY_REQUESTS);
    let other = Request::get(SESSION).header("x-forwarded-for", "2001:db8:0:1::9");
    assert_eq!(send(&app, other, "").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn clients_without_an_address_share_one_limit() {
    // Behind a proxy that names no address, and without any address.
    for arguments in [&["--rate", "1", "--client-header", "x-forwarded-for"][..], &["--rate", "1"]]
    {
        let app = app(arguments);
        let mut answers = Vec::new();
        for unnamed in
            ["unknown", "_secret", "", "203.0.113", "none at all", "unknown, ", "x"].repeat(2)
        {
            let request = Request::get(SESSION);
            let request =
                if unnamed == "x" { request } else { request.header("x-forwarded-for", unnamed) };
            answers.push(send(&app, request, "").await.status());
        }
        assert_eq!(answers[..10], [StatusCode::OK; 10], "{arguments:?}");
        assert_eq!(answers[13], StatusCode::TOO_MANY_REQUESTS, "{arguments:?}");
    }
}

#[tokio::test]
async fn other_origins_may_use_the_routes_only_if_they_are_named() {
    let preflight = || {
        Request::options(SESSION)
            .header("origin", "https://chat.example.com")
            .header("access-control-request-method", "PUT")
    };
    let named = app(&["--cors-origin", "https://chat.example.com"]);
    let allowed = send(&named, preflight(), "").await;
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://chat.example.com");
    let refused = send(&app(&[]), preflight(), "").await;
    assert!(!refused.headers().contains_key("access-control-allow-origin"));
}

/// Keeps cookies as browsers do (RFC 6265, sections 5.1.4 and 5.4): of those without a path for the
/// folder of the address that they came from.
#[derive(Default)]
struct Jar(Vec<(String, String)>);

impl Jar {
    async fn send(&mut self, app: &Router, method: &str, path: &str) -> StatusCode {
        let within = |folder: &str| {
            path.strip_prefix(folder)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || folder == "/")
        };
        let cookies: Vec<&str> = self
            .0
            .iter()
            .filter(|(folder, _)| within(folder))
            .map(|(_, pair)| pair.as_str())
            .collect();
        let mut request = Request::builder().method(method).uri(path);
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        let body = if method == "GET" { "" } else { r#"{"role":"user","content":"mine"}"# };
        let response = send(app, request, body).await;
        for cookie in response.headers().get_all("set-cookie") {
            let mut parts = cookie.to_str().unwrap().split(';').map(str::trim);
            let pair = parts.next().unwrap().to_owned();
            let given = parts.find_map(|part| part.strip_prefix("Path=").map(str::to_owned));
            let folder = match path.rfind('/') {
                None | Some(0) => "/",
                Some(slash) => &path[..slash],
            };
            self.0.push((given.unwrap_or_else(|| folder.to_owned()), pair));
        }
        response.status()
    }
}

fn secret() -> tempfile::NamedTempFile {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), [7; 32]).unwrap();
    secret
}

#[tokio::test]
async fn with_a_secret_only_the_client_that_began_a_session_may_use_it() {
    let secret = secret();
    let service = || app(&["--access-secret", secret.path().to_str().unwrap()]);
    // By itself, and behind proxies that strip a prefix.
    for (prefix, app) in [
        ("", service()),
        ("/chat", Router::new().nest("/chat", service())),
        ("/a/b", Router::new().nest("/a/b", service())),
    ] {
        // However a client begins: with a message, or by looking first.
        for (n, (method, first)) in
            [("POST", "/messages"), ("GET", ""), ("GET", "/messages")].iter().enumerate()
        {
            let session = format!("{prefix}/api/chat/session/session-{n}-abc");
            let mut owner = Jar::default();
            assert_eq!(
                owner.send(&app, method, &format!("{session}{first}")).await,
                StatusCode::OK
            );
            for (method, route) in
                [("POST", "/messages"), ("GET", ""), ("GET", "/messages"), ("PUT", "/booking-info")]
            {
                let status = owner.send(&app, method, &format!("{session}{route}")).await;
                // 422, because the body is not a booking: the owner was let in.
                let expected =
                    if method == "PUT" { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
                assert_eq!(status, expected, "{method} {session}{route}");
            }
            assert_eq!(
                Jar::default().send(&app, "GET", &session).await,
                StatusCode::FORBIDDEN,
                "{session}"
            );
            // The owner of one session is nobody to another, and may have many.
            let other = format!("{prefix}/api/chat/session/session-{n}-other");
            assert_eq!(
                Jar::default().send(&app, "POST", &format!("{other}/messages")).await,
                StatusCode::OK
            );
            assert_eq!(owner.send(&app, "GET", &other).await, StatusCode::FORBIDDEN, "{other}");
        }
    }
}

#[tokio::test]
async fn only_the_signature_of_the_session_itself_is_taken() {
    let secret = secret();
    let app = app(&["--access-secret", secret.path().to_str().unwrap()]);
    let post = || Request::post(format!("{SESSION}/messages"));
    let first = send(&app, post(), r#"{"role":"user","content":"mine"}"#).await;
    assert_eq!(first.status(), StatusCode::OK);
    let cookie = first.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    // 180 of them, as many as browsers keep for a site, fit into 8 KiB.
    assert!(pair.len() <= 48, "{pair}");
    let (name, token) = pair.split_once('=').unwrap();
    let mine = send(&app, Request::get(SESSION).header("cookie", format!("a=b; {pair}")), "").await;
    assert_eq!(mine.status(), StatusCode::OK);
    let last = if token.ends_with('0') { '1' } else { '0' };
    let forged = format!("{name}={}{last}", &token[..token.len() - 1]);
    let short = format!("{name}={}", &token[..2]);
    let longer = format!("{pair}00");
    let empty = format!("{name}=");
    for other in ["", &empty, "chat-zz=zz", &forged, &short, &longer, &format!("x{pair}")] {
        let theirs = send(&app, Request::get(SESSION).header("cookie", other), "").await;
        assert_eq!(theirs.status(), StatusCode::FORBIDDEN, "{other}");
        assert!(!text(theirs).await.contains("mine"));
    }
}

#[test]
fn a_secret_and_pages_of_other_origins_exclude_each_other() {
    let secret = secret();
    let secret = secret.path().to_str().unwrap();
    let both = try_app(&["--access-secret", secret, "--cors-origin", "https://chat.example.com"]);
    let told = both.unwrap_err().to_string();
    assert!(told.contains("--access-secret") && told.contains("leave --cors-origin out"), "{told}");
}

#[tokio::test]
async fn metrics_count_commits_and_answers() {
    let app = app(&[]);
    send(&app, Request::post(format!("{SESSION}/messages")), r#"{"role":"user"}"#).await;
    get(&app, "/nothing").await;
    let metrics = text(get(&app, "/metrics").await).await;
    assert!(metrics.contains("durable_session_sessions_commits_total 1\n"), "{metrics}");
    for line in [
        "http_answers_total{route=\"messages\",status=\"200\"} 1\n",
        "http_answers_total{route=\"page\",status=\"404\"} 1\n",
        "http_answer_seconds_count{route=\"messages\"} 1\n",
        "# HELP durable_session_sessions_commits Commits of sessions.\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
    assert!(!metrics.contains("session-1"), "{metrics}");
}

#[tokio::test]
async fn a_file_of_the_page_that_is_known_is_not_sent_again() {
    let app = app(&[]);
    for path in ["/", "/app.js", "/style.css", "/dashboard"] {
        let whole = get(&app, path).await;
        let etag = whole.headers()["etag"].to_str().unwrap().to_owned();
        assert!(!text(whole).await.is_empty());
        for known in [etag.clone(), format!("\"other\", W/{etag}")] {
            let request = Request::get(path).header("if-none-match", known);
            let again = send(&app, request, "").await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
            assert_eq!(again.headers()["etag"].to_str().unwrap(), etag);
            assert!(text(again).await.is_empty());
        }
        let other = send(&app, Request::get(path).header("if-none-match", "\"other\""), "").await;
        assert_eq!(other.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_server_is_ready_when_its_store_answers() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("redb:{}", folder.path().join("chat.redb").display());
    let args = Args::try_parse_from(["tutor-chat", "--store", &store]).unwrap();
    let backend = backend::open(&args, &Shutdown::new()).await.unwrap();
    let app = service::app(&args, &backend).unwrap();
    let ready = get(&app, "/readyz").await;
    assert_eq!(ready.status(), StatusCode::OK);
    assert_eq!(text(ready).await, r#"{"status":"ready"}"#);
    assert_eq!(send(&app, Request::post("/readyz"), "").await.status(), 405);
    let metrics = text(get(&app, "/metrics").await).await;
    assert!(metrics.contains("durable_session_store_file_bytes "), "{metrics}");
    backend.close().await.unwrap();
    let closed = get(&app, "/readyz").await;
    assert_eq!(closed.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(closed.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn metrics_count_the_event_streams_that_are_open() {
    let app = app(&[]);
    let open = async || {
        let metrics = text(get(&app, "/metrics").await).await;
        metrics.lines().find_map(|line| line.strip_prefix("http_event_streams ")).map(str::to_owned)
    };
    assert_eq!(open().await.as_deref(), Some("0"));
    let one = get(&app, &format!("{SESSION}/events")).await;
    let two = get(&app, &format!("{SESSION}/events")).await;
    // Neither another answer nor an answer without a body counts.
    get(&app, SESSION).await;
    send(&app, Request::head(format!("{SESSION}/events")), "").await;
    assert_eq!(open().await.as_deref(), Some("2"));
    drop(one);
    assert_eq!(open().await.as_deref(), Some("1"));
    drop(two);
    assert_eq!(open().await.as_deref(), Some("0"));
}

/// A large answer comes in parts, and the layer that compresses asks for more after the last one.
#[tokio::test]
async fn a_large_answer_is_the_same_when_it_is_compressed() {
    let app = app(&["--client-may", "everything"]);
    for (session, characters) in [("s-small", 1_000), ("s-below", 200_000), ("s-large", 900_000)] {
        let path = format!("/api/chat/session/{session}");
        let body = format!("{{\"role\":\"user\",\"content\":\"{}\"}}", "x".repeat(characters));
        for _ in 0..2 {
            let post =
                Request::post(format!("{path}/messages")).body(Body::from(body.clone())).unwrap();
            assert_eq!(app.clone().oneshot(post).await.unwrap().status(), StatusCode::OK);
        }
        for path in [path.clone(), format!("{path}/messages")] {
            let plain = text(get(&app, &path).await).await;
            let request = Request::get(&path).header("accept-encoding", "gzip");
            let compressed = send(&app, request, "").await;
            assert_eq!(compressed.headers()["content-encoding"], "gzip", "{path}");
            let bytes = compressed.into_body().collect().await.unwrap().to_bytes();
            let mut unpacked = String::new();
            flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut unpacked).unwrap();
            assert!(
                plain.len() > 2 * characters && unpacked == plain,
                "{path}: {} {}",
                unpacked.len(),
                plain.len()
            );
        }
    }
}

#[test]
fn a_file_that_another_store_has_open_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    let _held = durable_session_redb::RedbStore::open(&path).unwrap();
    let args = Args::try_parse_from(["tutor-chat", "--store", &format!("redb:{}", path.display())])
        .unwrap();
    let refused = block_on(backend::open(&args, &Shutdown::new())).err().unwrap().to_string();
    assert_eq!(
        refused,
        format!("another program has {} open; stop it, or choose another file", path.display())
    );
}

#[tokio::test]
async fn a_header_names_the_owner_of_the_sessions_that_a_request_may_use() {
    let app = app(&["--owner-header", "x-user"]);
    let message = r#"{"role":"user","content":"hello"}"#;
    let post = |user| Request::post(format!("{SESSION}/messages")).header("x-user", user);
    assert_eq!(send(&app, post("u-42"), message).await.status(), 200);
    assert_eq!(send(&app, post("u-43"), message).await.status(), 403);
    let list = |user| Request::get("/api/chat/sessions").header("x-user", user);
    let own = text(send(&app, list("u-42"), "").await).await;
    assert!(own.contains("session-1-abc") && own.contains(r#""owner":"u-42""#), "{own}");
    assert_eq!(text(send(&app, list("u-43"), "").await).await, r#"{"sessions":[],"next":null}"#);
    assert_eq!(get(&app, "/api/chat/sessions?owner=u-42").await.status(), 401);
    let erase = Request::delete("/api/chat/owners/u-42").header("x-user", "u-42");
    let erased = text(send(&app, erase, "").await).await;
    assert_eq!(erased, r#"{"success":true,"sessions":1}"#);
}

#[tokio::test]
async fn an_erased_owner_is_in_no_file_within_the_given_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("redb:{}", folder.path().join("chat.redb").display());
    let arguments = ["tutor-chat", "--store", &store, "--owner-header", "x-user"];
    let arguments = arguments.into_iter().chain(["--erase-within", "10"]);
    let args = Args::try_parse_from(arguments).unwrap();
    let backend = backend::open(&args, &Shutdown::new()).await.unwrap();
    let app = service::app(&args, &backend).unwrap();
    let secret = "a secret of u-42";
    let found = || {
        let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        // A segment of the log may go away meanwhile.
        files
            .filter_map(|file| std::fs::read(file).ok())
            .any(|bytes| bytes.windows(secret.len()).any(|window| window == secret.as_bytes()))
    };
    let post = Request::post(format!("{SESSION}/messages")).header("x-user", "u-42");
    let message = r#"{"role":"user","content":"a secret of u-42"}"#;
    assert_eq!(send(&app, post, message).await.status(), 200);
    assert!(found());
    let erase = Request::delete("/api/chat/owners/u-42").header("x-user", "u-42");
    assert_eq!(send(&app, erase, "").await.status(), 200);
    for _ in 0..6_000 {
        if !found() {
            return backend.close().await.unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the text is still there");
}
