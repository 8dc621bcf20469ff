//! One request for each documented response.

use durable_session::SessionId;
use durable_session::store::StoreErrorKind;

const ROOT: &str = "/api/chat/session/{id}";
const JSON: &str = "application/json";
const OWNED: &str = r#"{"owner":"u-42"}"#;

/// A request and the status of its response.
pub(crate) struct Case {
    pub(crate) method: &'static str,
    /// The route as the description writes it.
    pub(crate) route: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// `None` is a body that never arrives.
    pub(crate) body: Option<String>,
    /// Requests to send before this one.
    pub(crate) before: Vec<(&'static str, String, &'static str)>,
    pub(crate) fault: Option<StoreErrorKind>,
}

impl Case {
    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    fn query(mut self, query: &str) -> Self {
        self.path.push_str(query);
        self
    }

    fn before(mut self, method: &'static str, rest: &str, body: &'static str) -> Self {
        let root = self.path.split('/').take(5).collect::<Vec<_>>().join("/");
        self.before.push((method, format!("{root}{rest}"), body));
        self
    }
}

/// An operation of the description.
struct Operation {
    method: &'static str,
    route: &'static str,
    rest: &'static str,
    /// A valid body.
    body: &'static str,
}

impl Operation {
    /// A valid request on a session of its own.
    fn case(&self, status: u16) -> Case {
        let id = SessionId::generate().unwrap();
        Case {
            method: self.method,
            route: format!("{ROOT}{}", self.route),
            path: format!("/api/chat/session/{}{}", id.as_str(), self.rest),
            status,
            headers: vec![("content-type", JSON.to_owned())],
            body: Some(self.body.to_owned()),
            before: Vec::new(),
            fault: None,
        }
    }

    fn fault(&self, status: u16, kind: StoreErrorKind) -> Case {
        Case { fault: Some(kind), ..self.case(status) }
    }

    fn common(&self) -> Vec<Case> {
        let mut bad_id = self.case(400);
        bad_id.path = format!("/api/chat/session/a%2Fb{}", self.rest);
        vec![
            self.case(200),
            bad_id,
            self.case(429).header("x-busy", "1"),
            self.fault(500, StoreErrorKind::Corrupt),
            self.fault(503, StoreErrorKind::Unavailable),
        ]
    }

    fn bodies(&self) -> Vec<Case> {
        let mut unread = self.case(415);
        unread.headers = vec![("content-type", "text/xml".to_owned())];
        vec![Case { body: None, ..self.case(408) }, unread]
    }
}

/// The routes of `useChat`.
fn chat() -> Vec<Case> {
    let case = |method, route: &str, path: &str, status, body: &str| Case {
        method,
        route: route.to_owned(),
        path: path.to_owned(),
        status,
        headers: vec![("content-type", JSON.to_owned())],
        body: Some(body.to_owned()),
        before: Vec::new(),
        fault: None,
    };
    let message = |id: &str, role: &str, text: &str| {
        format!(r#"{{"id":"{id}","role":"{role}","content":"{text}","parts":[]}}"#)
    };
    let ask = |chat: &str, message: &str| format!(r#"{{"id":"{chat}","messages":[{message}]}}"#);
    let submit = |status, body: &str| case("POST", "/api/chat", "/api/chat", status, body);
    let resume = |status, id: &str| {
        case("GET", "/api/chat/{id}/stream", &format!("/api/chat/{id}/stream"), status, "")
    };
    let stop = |status, id: &str| {
        case("POST", "/api/chat/{id}/stop", &format!("/api/chat/{id}/stop"), status, "")
    };
    let busy = |case: Case| case.header("x-busy", "1");
    let mut unread = submit(415, "");
    unread.headers = vec![("content-type", "text/xml".to_owned())];
    let mut unstopped = stop(415, "a");
    unstopped.headers.clone_from(&unread.headers);
    let fault = |case: Case, kind| Case { fault: Some(kind), ..case };
    let (corrupt, down) = (StoreErrorKind::Corrupt, StoreErrorKind::Unavailable);

    let asked = ask("chat-1", &message("m-1", "user", "stream"));
    let unread_chat = ask("chat-7", &message("m-1", "user", "stream"));
    let opened = r#"{"id":"chat-2","message":
        {"id":"m-1","role":"user","content":"stream","parts":[]}}"#;
    let opened_too = r#"{"id":"chat-3","message":
        {"id":"m-1","role":"user","content":"stream","parts":[]}}"#;
    let open =
        |case: Case, body| Case { before: vec![("POST", "/api/chat".to_owned(), body)], ..case };
    let mut taken = submit(409, &ask("chat-4", &message("m-1", "user", "stream")));
    taken.before.push((
        "POST",
        "/api/chat/session/chat-4/messages".to_owned(),
        r#"{"role":"assistant","id":"m-1"}"#,
    ));
    let large = message("m-1", "user", &"x".repeat(32 << 10));
    vec![
        submit(200, &asked),
        submit(400, "{}"),
        submit(403, &ask("chat-5", &message("m-1", "owner", "stream"))),
        submit(404, &ask("chat-5", &message("m-1", "assistant", "stream"))),
        Case { body: None, ..submit(408, "") },
        taken,
        submit(413, &ask("chat-5", &large)),
        unread,
        submit(422, &ask("chat-5", &message("m-1", "user", "no"))),
        busy(submit(429, &asked)),
        fault(submit(500, &unread_chat), corrupt),
        fault(submit(503, &unread_chat), down),
        open(resume(200, "chat-2"), opened),
        resume(204, "chat-6"),
        resume(400, "a%2Fb"),
        busy(resume(429, "chat-2")),
        fault(resume(500, "chat-7"), corrupt),
        fault(resume(503, "chat-7"), down),
        open(stop(200, "chat-3"), opened_too),
        stop(200, "chat-6"),
        stop(400, "a%2Fb"),
        Case { body: None, ..stop(408, "chat-6") },
        Case { body: Some("x".repeat(64 << 10 | 1)), ..stop(413, "chat-6") },
        unstopped,
        busy(stop(429, "chat-3")),
        fault(stop(500, "chat-7"), corrupt),
        fault(stop(503, "chat-7"), down),
    ]
}

pub(crate) fn all() -> Vec<Case> {
    let operation = |method, route, rest, body| Operation { method, route, rest, body };
    let get_state = operation("GET", "", "", "");
    let put_state = operation("PUT", "", "", r#"{"bookingInfo":null,"future":1}"#);
    let delete = operation("DELETE", "", "", "");
    let get_messages = operation("GET", "/messages", "/messages", "");
    let add = operation(
        "POST",
        "/messages",
        "/messages",
        r#"{"role":"user","content":"hello","id":"m-1"}"#,
    );
    let edit =
        operation("PUT", "/messages/{seq}", "/messages/1", r#"{"role":"user","content":"hello"}"#);
    let remove = operation("DELETE", "/messages/{seq}", "/messages/1", "");
    let rewind = operation("POST", "/rewind", "/rewind", r#"{"to":1}"#);
    let stop = operation("POST", "/replies/{seq}/stop", "/replies/3/stop", "");
    let reset = operation("POST", "/reset", "/reset", "");
    let events = operation("GET", "/events", "/events", "");
    let labels = operation("PUT", "/labels", "/labels", r#"{"title":"Lifetimes"}"#);
    let fork = operation("POST", "/fork", "/fork", r#"{"id":"the-fork","through":1}"#);
    let get_field = operation("GET", "/{field}", "/booking-info", "");
    let put_field = operation("PUT", "/{field}", "/search-criteria", r#"{"skill":"python"}"#);
    let delete_field = operation("DELETE", "/{field}", "/booking-info", "");

    let mut cases = chat();
    for operation in [
        &get_state,
        &put_state,
        &delete,
        &get_messages,
        &add,
        &edit,
        &remove,
        &rewind,
        &reset,
        &events,
        &get_field,
        &put_field,
        &delete_field,
        &labels,
    ] {
        cases.extend(operation.common());
    }
    cases.extend(conversations(&labels, &fork));
    // A reply that is open at message 3 after the greeting, and messages that no reply wrote.
    let stream = r#"{"role":"user","content":"stream"}"#;
    cases.extend(stop.common().into_iter().map(|case| match case.status {
        200 => case.before("POST", "/messages", stream),
        _ => case,
    }));
    cases.push(stop.case(404));
    let ended = stop.case(409).before("POST", "/messages", r#"{"role":"assistant"}"#);
    cases.push(Case { path: ended.path.replace("/replies/3/", "/replies/2/"), ..ended });
    let mut open = edit.case(409).before("POST", "/messages", stream);
    open.path = open.path.replace("/messages/1", "/messages/3");
    cases.push(open);
    cases.push(put_state.case(409).before("POST", "/messages", stream).body(r#"{"messages":[]}"#));
    for operation in [&add, &edit, &rewind, &put_field, &labels, &fork] {
        cases.extend(operation.bodies());
        cases.push(operation.case(413).body(format!("\"{}\"", "x".repeat(64 << 10))));
    }
    // A whole state may be as large as a session; a message in it may not.
    cases.extend(put_state.bodies());
    let large =
        format!(r#"{{"messages":[{{"role":"user","content":"{}"}}]}}"#, "x".repeat(32 << 10));
    cases.push(put_state.case(413).body(large));
    for operation in [&put_state, &add, &edit, &remove, &rewind, &put_field, &delete_field, &labels]
    {
        cases.push(operation.case(412).header("if-match", "\"another\""));
    }
    for operation in [&edit, &remove] {
        let mut missing = operation.case(404);
        missing.path = missing.path.replace("/messages/1", "/messages/7");
        cases.push(missing);
    }
    cases.push(rewind.case(404).body(r#"{"to":7}"#));
    for operation in [&add, &edit] {
        cases.push(operation.case(403).body(r#"{"role":"owner"}"#));
    }
    cases.push(put_state.case(403).body(r#"{"messages":[{"role":"owner"}]}"#));

    cases.push(get_state.case(304).header("if-none-match", "\"new\""));
    cases.push(put_state.case(422).body(r#"{"bookingInfo":7}"#));
    cases.push(put_field.case(422).body(r#"{"skill":7}"#));
    cases.push(add.case(422).body(r#"{"role":"user","content":"no"}"#));
    cases.push(add.case(409).before("POST", "/messages", r#"{"role":"user","id":"m-1"}"#));
    cases.push(get_messages.case(200).query("?limit=1").before(
        "POST",
        "/messages",
        r#"{"role":"user"}"#,
    ));
    let elsewhere = format!("{:032x}-0-1", 7);
    cases.push(get_messages.case(410).query(&format!("?before={elsewhere}")));
    cases.push(events.case(410).header("last-event-id", &elsewhere));
    for operation in [&get_field, &put_field, &delete_field] {
        let mut unknown = operation.case(404);
        unknown.path =
            unknown.path.replace("booking-info", "nothing").replace("search-criteria", "nothing");
        cases.push(unknown);
    }
    cases.extend([&get_field, &delete_field].map(put_only));
    cases
}

/// A method that a field does not have.
fn put_only(operation: &Operation) -> Case {
    let mut put_only = operation.case(405);
    put_only.path = put_only.path.replace("booking-info", "search-criteria");
    put_only
}

/// Labels, forks, and the operations beside the sessions.
fn conversations(labels: &Operation, fork: &Operation) -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(fork.common().into_iter().map(|case| match case.status {
        200 => case.before("PUT", "/labels", "{}"),
        _ => case,
    }));
    cases.push(fork.case(404).body(r#"{"id":"another","through":1}"#));
    cases.push(fork.case(409).before("PUT", "/labels", "{}"));
    for operation in [labels, fork] {
        cases.push(operation.case(403).before("PUT", "/labels", OWNED).header("x-user", "u-43"));
    }
    cases.extend(beside());
    cases
}

/// The operations that are about no single session.
fn beside() -> Vec<Case> {
    let mut cases = Vec::new();
    for (method, route, path, bad) in [
        (
            "GET",
            "/api/chat/sessions",
            "/api/chat/sessions?owner=u-42",
            "/api/chat/sessions?limit=0",
        ),
        ("DELETE", "/api/chat/owners/{owner}", "/api/chat/owners/u-42", "/api/chat/owners/%FF"),
    ] {
        let case = |status, path: &str| Case {
            method,
            route: route.to_owned(),
            path: path.to_owned(),
            status,
            headers: Vec::new(),
            body: Some(String::new()),
            before: Vec::new(),
            fault: None,
        };
        let mut full = case(200, path);
        full.before = vec![("PUT", "/api/chat/session/listed/labels".to_owned(), OWNED)];
        cases.extend([
            full,
            case(400, bad),
            case(403, path).header("x-user", "u-43"),
            case(429, path).header("x-busy", "1"),
            Case { fault: Some(StoreErrorKind::Internal), ..case(500, path) },
            Case { fault: Some(StoreErrorKind::Unavailable), ..case(503, path) },
        ]);
    }
    cases
}
