//! Plays scenarios against a function from request to response.

use crate::matching::{Captures, differences, fill, fill_text};
use bytes::Bytes;
use durable_session::SessionId;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

const PREFIX: &str = "/api/chat/session";
/// Long enough that only a stream without events reaches it.
const EVENT_TIME: Duration = Duration::from_secs(20);

type Stream<E> = Pin<Box<dyn Body<Data = Bytes, Error = E>>>;

/// Plays the scenarios for a service that answers by replies, or all others, and returns the
/// differences.
pub(crate) async fn play<F, B>(replies: bool, serve: impl Fn(Request<Bytes>) -> F) -> Vec<String>
where
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Display + 'static,
{
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/golden");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut failures, mut played) = (Vec::new(), 0);
    for file in files {
        let scenarios: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for scenario in scenarios["scenarios"].as_array().unwrap() {
            if (scenario["replies"] == true) != replies {
                continue;
            }
            played += 1;
            let wrong = play_scenario(scenario, &serve).await;
            let name =
                format!("{}: {}", file.file_stem().unwrap().to_string_lossy(), scenario["name"]);
            failures.extend(
                (!wrong.is_empty()).then(|| format!("{name}\n    {}", wrong.join("\n    "))),
            );
        }
    }
    assert!(played > if replies { 3 } else { 50 }, "only {played} scenarios were found");
    failures
}

async fn play_scenario<F, B>(scenario: &Value, serve: &impl Fn(Request<Bytes>) -> F) -> Vec<String>
where
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Display + 'static,
{
    let fresh = || Value::String(SessionId::generate().unwrap().as_str().to_owned());
    let mut captures = Captures::from([("id".to_owned(), fresh()), ("id2".to_owned(), fresh())]);
    let mut listeners: BTreeMap<String, Listener<B::Error>> = BTreeMap::new();
    for (i, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
        let expect = &step["expect"];
        let wrong = if let Some(name) = step["close"].as_str() {
            listeners.remove(name);
            Vec::new()
        } else if let Some(name) = step["event"].as_str() {
            let event =
                listeners.get_mut(name).unwrap().next(expect["event"].as_str().unwrap()).await;
            match event {
                Ok(event) => differences(expect, Some(&event), &mut captures, "event"),
                Err(e) => vec![e],
            }
        } else {
            let response = serve(request(step, &captures)).await;
            let wrong = check_head(expect, &response, &mut captures);
            if let Some(name) = step["listen"].as_str() {
                let body: Stream<B::Error> = Box::pin(response.into_body());
                listeners.insert(
                    name.to_owned(),
                    Listener { body, text: String::new(), events: VecDeque::new() },
                );
                wrong
            } else {
                check_body(expect, response, wrong, &mut captures).await
            }
        };
        if !wrong.is_empty() {
            return wrong.into_iter().map(|line| format!("step {}: {line}", i + 1)).collect();
        }
    }
    Vec::new()
}

fn request(step: &Value, captures: &Captures) -> Request<Bytes> {
    let path = step["path"].as_str().unwrap();
    let path = path
        .strip_prefix('~')
        .map_or(path.to_owned(), |rest| format!("{PREFIX}/{{{{=id}}}}{rest}"));
    let mut request = Request::builder()
        .method(step["method"].as_str().unwrap_or("GET"))
        .uri(fill_text(&path, captures))
        .header("host", "localhost");
    let body = body(step, captures);
    let headers = step["headers"].as_object();
    if body.is_some() && headers.is_none_or(|headers| !headers.contains_key("content-type")) {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers.into_iter().flatten() {
        request = request.header(name, fill_text(value.as_str().unwrap(), captures));
    }
    request.body(body.unwrap_or_default().into()).unwrap()
}

fn body(step: &Value, captures: &Captures) -> Option<Vec<u8>> {
    if let Some(json) = step.get("json") {
        return Some(fill(json, captures).to_string().into_bytes());
    }
    if let Some(text) = step["text"].as_str() {
        return Some(fill_text(text, captures).into_bytes());
    }
    if let Some(base64) = step["base64"].as_str() {
        return Some(decode_base64(base64));
    }
    let part = |part: &Value| match part.as_str() {
        Some(text) => text.to_owned(),
        None => {
            let times = usize::try_from(part["times"].as_u64().unwrap()).unwrap();
            part["repeat"].as_str().unwrap().repeat(times)
        }
    };
    step["parts"].as_array().map(|parts| parts.iter().map(part).collect::<String>().into_bytes())
}

fn decode_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut bytes) = (0u32, 0, Vec::new());
    for c in text.trim_end_matches('=').chars() {
        bits = (bits << 6) | u32::try_from(ALPHABET.find(c).unwrap()).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap());
        }
    }
    bytes
}

fn check_head<B>(expect: &Value, response: &Response<B>, captures: &mut Captures) -> Vec<String> {
    let allowed: Vec<u64> = match &expect["status"] {
        Value::Array(list) => list.iter().filter_map(Value::as_u64).collect(),
        status => vec![status.as_u64().unwrap_or(200)],
    };
    let mut wrong = Vec::new();
    if !allowed.contains(&u64::from(response.status().as_u16())) {
        wrong.push(format!("status: expected {allowed:?}, got {}", response.status()));
    }
    for (name, pattern) in expect["headers"].as_object().into_iter().flatten() {
        let value = response.headers().get(name).map(|v| Value::from(v.to_str().unwrap()));
        wrong.extend(differences(pattern, value.as_ref(), captures, &format!("header {name}")));
    }
    wrong
}

async fn check_body<B>(
    expect: &Value,
    response: Response<B>,
    mut wrong: Vec<String>,
    captures: &mut Captures,
) -> Vec<String>
where
    B: Body<Data = Bytes>,
    B::Error: Display,
{
    let (parts, body) = response.into_parts();
    let text = match body.collect().await {
        Ok(bytes) => String::from_utf8(bytes.to_bytes().to_vec()).unwrap(),
        Err(e) => return vec![format!("the body broke off: {e}")],
    };
    if wrong.iter().any(|line| line.starts_with("status")) {
        wrong.push(text.chars().take(300).collect());
        return wrong;
    }
    let pattern = match expect.get("error") {
        Some(Value::Bool(true)) => Some(json!({ "error": "{{nonempty}}" })),
        Some(error) => Some(json!({ "error": error })),
        None => expect.get("json").cloned(),
    };
    if let Some(pattern) = pattern {
        let content_type = parts.headers.get("content-type").map(|v| v.to_str().unwrap());
        if !content_type.is_some_and(|t| t.starts_with("application/json")) {
            wrong.push(format!("content-type: {content_type:?}"));
        }
        match serde_json::from_str::<Value>(&text) {
            Ok(value) => wrong.extend(differences(&pattern, Some(&value), captures, "$")),
            Err(e) => wrong.push(format!("not JSON ({e}): {text}")),
        }
    }
    let empty_wanted = expect["empty"] == true || parts.status == StatusCode::NOT_MODIFIED;
    if empty_wanted && !text.is_empty() {
        wrong.push(format!("expected no body, got {text}"));
    }
    for piece in expect["textContains"].as_array().into_iter().flatten() {
        if !text.contains(piece.as_str().unwrap()) {
            wrong.push(format!("expected {piece} in {text}"));
        }
    }
    wrong
}

/// An open event stream.
struct Listener<E> {
    body: Stream<E>,
    text: String,
    events: VecDeque<Value>,
}

impl<E: Display> Listener<E> {
    /// The next event of this type; events of other types are dropped.
    async fn next(&mut self, wanted: &str) -> Result<Value, String> {
        loop {
            while let Some(event) = self.events.pop_front() {
                if event["event"] == wanted {
                    return Ok(event);
                }
            }
            let frame = tokio::time::timeout(EVENT_TIME, self.body.frame()).await;
            let frame = frame.map_err(|_| format!("no {wanted} event within the time"))?;
            let frame = frame.ok_or_else(|| format!("the stream ended before a {wanted} event"))?;
            let bytes = frame.map_err(|e| e.to_string())?.into_data().unwrap_or_default();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                self.events.extend(parse_event(&block));
            }
        }
    }
}

fn parse_event(block: &str) -> Option<Value> {
    let mut event = json!({ "event": "message" });
    let mut data = Vec::new();
    for line in block.lines() {
        match line
            .split_once(':')
            .map(|(name, value)| (name, value.strip_prefix(' ').unwrap_or(value)))
        {
            Some(("data", value)) => data.push(value),
            Some((name @ ("event" | "id"), value)) => event[name] = Value::from(value),
            _ => {}
        }
    }
    if data.is_empty() {
        return None;
    }
    event["data"] = serde_json::from_str(&data.join("\n")).unwrap();
    Some(event)
}
