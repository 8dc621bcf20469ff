//! The `OpenAPI` description is complete and true: each documented response of each route is
//! provoked once and compared, and no other response occurs.

#![allow(clippy::unwrap_used, clippy::panic)]

mod cases;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use cases::Case;
use durable_session::{ChatSessions, Error, Limits, Message, NewReply};
use durable_session_http::server::{RouterOptions, router};
use durable_session_http::{Api, Caller, ClientPermissions, FieldRoute, OPENAPI, Refusal};
use durable_session_memory::MemoryStore;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use testkit::Faulty;
use tower::ServiceExt;
use tutoring::Tutoring;

/// The routes over a store with injected faults, with refusals of the app and a limit on requests.
fn app() -> (Router, Faulty<MemoryStore>) {
    let store = Faulty::over(MemoryStore::new());
    let sessions = ChatSessions::<Tutoring>::builder(store.clone())
        .listing(store.clone())
        .greeting(Message::assistant("Hi!"));
    let sessions = sessions.limits(Limits { message_bytes: 32 << 10, ..Limits::default() }).build();
    let api = Api::builder(sessions)
        .field(FieldRoute::new("booking-info", "bookingInfo"))
        .field(FieldRoute::put_only("search-criteria", "lastSearchCriteria"))
        .conversations("/api/chat", |headers| {
            let user = headers.get("x-user").and_then(|user| user.to_str().ok());
            Ok(user.map_or(Caller::Service, Caller::owner))
        })
        .max_body_bytes(64 << 10)
        .client_permissions(ClientPermissions::everything().roles(["user", "assistant"]))
        .on_message(|_, added| match added.message.text().as_deref() {
            Some("no") => Err(Error::rejected("not like that")),
            _ => Ok(()),
        })
        .open_replies(|_, posted| {
            let streamed = posted.message.text().as_deref() == Some("stream");
            Ok(streamed.then(|| NewReply::new(Message::assistant(""))))
        })
        .use_chat("/api/chat")
        .reply_with(|_, _, reply| async move { reply.ended().await.map(drop) })
        .build()
        .unwrap();
    let mut options = RouterOptions::default();
    options.body_timeout = Duration::from_millis(200);
    let busy = |request: Request, next: Next| async move {
        if request.headers().contains_key("x-busy") {
            return Refusal::too_many_requests(3).into_response();
        }
        next.run(request).await
    };
    (router(api, options).layer(middleware::from_fn(busy)), store)
}

#[tokio::test]
async fn every_documented_response_is_given_and_no_other() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let (app, store) = app();
    let mut given = BTreeSet::new();
    for case in cases::all() {
        let name = format!("{} {} {}", case.method, case.route, case.status);
        let response = provoke(&app, &store, &case).await;
        assert_eq!(response.status().as_u16(), case.status, "{name}: {}", text(response).await);
        check(&document, &case, response).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        given.insert(name);
    }
    assert_eq!(given, documented(&document));
}

async fn provoke(app: &Router, store: &Faulty<MemoryStore>, case: &Case) -> Response {
    for (method, path, body) in &case.before {
        let request = Request::builder().method(*method).uri(path).body(Body::from(*body)).unwrap();
        assert_eq!(app.clone().oneshot(request).await.unwrap().status(), 200, "{path}");
    }
    store.fail(case.fault);
    let mut request = Request::builder().method(case.method).uri(&case.path);
    for (name, value) in &case.headers {
        request = request.header(*name, value);
    }
    let body = match &case.body {
        Some(body) => Body::from(body.clone()),
        None => Body::from_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>()),
    };
    let response = app.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    store.fail(None);
    response
}

async fn text(response: Response) -> String {
    if response.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream") {
        return "a stream, which may never end".to_owned();
    }
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Compares a response with its description.
async fn check(document: &Value, case: &Case, response: Response) -> Result<(), String> {
    let operation = &document["paths"][&case.route][case.method.to_lowercase()];
    let documented = resolve(document, &operation["responses"][case.status.to_string()]);
    if documented.is_null() {
        return Err("this answer is not documented".to_owned());
    }
    for (name, header) in documented["headers"].as_object().into_iter().flatten() {
        let value = response
            .headers()
            .get(name)
            .ok_or_else(|| format!("{name} is missing"))?
            .to_str()
            .unwrap();
        if header["schema"]["type"] == "integer" {
            value.parse::<u64>().map_err(|e| format!("{name}: {value}: {e}"))?;
        }
        if header["schema"]["const"].as_str().is_some_and(|only| only != value) {
            return Err(format!("{name}: {value}"));
        }
    }
    if documented["headers"]["Cache-Control"].is_null()
        && response.headers().get("cache-control").is_none_or(|v| v != "no-store")
    {
        return Err("Cache-Control is not no-store".to_owned());
    }
    let content_type =
        response.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
    let Some(content) = documented["content"].as_object() else {
        let body = text(response).await;
        return if body.is_empty() && content_type.is_none() {
            Ok(())
        } else {
            Err(format!("a body: {body}"))
        };
    };
    let content_type = content_type.ok_or("there is no content type")?;
    let schema =
        content.get(&content_type).ok_or_else(|| format!("{content_type} is not documented"))?;
    if content_type == "text/event-stream" {
        return Ok(());
    }
    let body: Value = serde_json::from_str(&text(response).await).map_err(|e| e.to_string())?;
    // The schemas of the description, where references find them.
    let schema = json!({ "allOf": [schema["schema"]], "components": document["components"] });
    let validator = jsonschema::validator_for(&schema).map_err(|e| e.to_string())?;
    validator.validate(&body).map_err(|e| format!("{e}: {body}"))
}

fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// Every documented response as `METHOD route status`.
fn documented(document: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (route, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in
            operations.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters")
        {
            for status in operation["responses"].as_object().unwrap().keys() {
                all.insert(format!("{} {route} {status}", method.to_uppercase()));
            }
        }
    }
    all
}
