//! The conversations of a person: `GET {base}/sessions`, `DELETE {base}/owners/{owner}`,
//! `PUT /labels` and `POST /fork`.

use crate::conversations::{Caller, Conversations};
use crate::routes::preconditions::{refuse_if_match, turn};
use crate::wire::body::Body;
use crate::wire::errors;
use crate::wire::input::Input;
use crate::wire::paging::{once, parse_limit, push_row};
use crate::wire::refusal::Refusal;
use crate::wire::response::{json, push_json_string, success};
use durable_session::store::Labels;
use durable_session::{
    AppState, ChatSession, ChatSessions, Fork, JsonObject, ListCursor, SessionId, SessionPage,
};
use http::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;

/// Sessions in a page if the client does not set `limit`.
const DEFAULT_LIMIT: usize = 30;

/// A route beside the sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside<'p> {
    /// `{base}/sessions`
    Sessions,
    /// `{base}/owners/{owner}`, with the owner as it is in the path.
    Owner(&'p str),
}

impl<'p> Beside<'p> {
    /// The route at this path.
    pub(crate) fn find(base: &str, path: &'p str) -> Option<Self> {
        let name = path.strip_prefix(base)?.strip_prefix('/')?;
        if name == "sessions" {
            return Some(Self::Sessions);
        }
        let owner = name.strip_prefix("owners/")?;
        (!owner.is_empty() && !owner.contains('/')).then_some(Self::Owner(owner))
    }
}

/// Answers a request beside the sessions.
pub(crate) async fn respond_to<A: AppState>(
    route: Beside<'_>,
    method: &Method,
    sessions: &ChatSessions<A>,
    conversations: &Conversations,
    input: &Input,
) -> Result<Response<Body>, Refusal> {
    let reads = *method == Method::GET || *method == Method::HEAD;
    match route {
        Beside::Sessions if !reads => Err(Refusal::method_not_allowed("GET, HEAD")),
        Beside::Owner(_) if *method != Method::DELETE => Err(Refusal::method_not_allowed("DELETE")),
        Beside::Sessions => {
            refuse_if_match(&input.headers)?;
            list(sessions, &(conversations.caller)(&input.headers)?, input).await
        }
        Beside::Owner(owner) => {
            refuse_if_match(&input.headers)?;
            let owner = percent_decode_str(owner)
                .decode_utf8()
                .map_err(|_| Refusal::bad_request("the owner is not UTF-8"))?;
            (conversations.caller)(&input.headers)?.check(&owner)?;
            erase(sessions, &owner).await
        }
    }
}

/// `GET {base}/sessions?owner=&limit=&cursor=`
async fn list<A: AppState>(
    sessions: &ChatSessions<A>,
    caller: &Caller,
    input: &Input,
) -> Result<Response<Body>, Refusal> {
    let (mut owner, mut limit, mut cursor) = (None, None, None);
    let query = input.query.as_deref().unwrap_or_default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "owner" => once(&mut owner, "owner", value.into_owned())?,
            "limit" => once(&mut limit, "limit", parse_limit(&value)?)?,
            "cursor" => once(&mut cursor, "cursor", value.into_owned())?,
            _ => {}
        }
    }
    let owner = owner.or_else(|| caller.name().map(str::to_owned));
    let owner = owner.filter(|owner| !owner.is_empty());
    let owner = owner.ok_or_else(|| Refusal::bad_request("`owner` is missing"))?;
    caller.check(&owner)?;
    // An empty cursor is the beginning, as for pages of messages.
    let cursor = cursor.filter(|cursor| !cursor.is_empty()).map(|text| ListCursor::from(&*text));
    let listing = sessions.of(&owner).newest_first().with_last_message();
    let page = listing.limit(limit.unwrap_or(DEFAULT_LIMIT)).page(cursor.as_ref()).await;
    Ok(json(StatusCode::OK, page_json(&page.map_err(|e| errors::beside(&e))?)))
}

fn page_json(page: &SessionPage) -> String {
    let mut json = String::from("{\"sessions\":[");
    for (i, session) in page.sessions.iter().enumerate() {
        json.push_str(if i > 0 { ",{\"id\":" } else { "{\"id\":" });
        push_json_string(&mut json, session.id.as_str());
        json.push_str(",\"owner\":");
        push_text(&mut json, session.labels.get_owner());
        json.push_str(",\"title\":");
        push_text(&mut json, session.labels.get_title());
        let number = |number: Option<u64>| number.map_or("null".to_owned(), |n| n.to_string());
        json.push_str(",\"messages\":");
        json.push_str(&number(session.head.map(|head| head.messages)));
        json.push_str(",\"changedAt\":");
        json.push_str(&number(session.head.map(|head| head.changed_at)));
        json.push_str(",\"last\":");
        match &session.last {
            Some(last) => push_row(&mut json, last.seq, last.message.as_json()),
            None => json.push_str("null"),
        }
        json.push('}');
    }
    json.push_str("],\"next\":");
    push_text(&mut json, page.next.as_ref().map(ListCursor::as_str));
    json.push('}');
    json
}

fn push_text(json: &mut String, text: Option<&str>) {
    match text {
        Some(text) => push_json_string(json, text),
        None => json.push_str("null"),
    }
}

/// `DELETE {base}/owners/{owner}`
async fn erase<A: AppState>(
    sessions: &ChatSessions<A>,
    owner: &str,
) -> Result<Response<Body>, Refusal> {
    let report = sessions.erase_owner(owner).await.map_err(|e| errors::beside(&e))?;
    for (id, error) in &report.failed {
        errors::log(id, error);
    }
    if report.failed.is_empty() {
        let body = format!("{{\"success\":true,\"sessions\":{}}}", report.erased);
        return Ok(json(StatusCode::OK, body));
    }
    Err(Refusal::unavailable(format!(
        "{} sessions are erased, and {} could not be; send the request again",
        report.erased,
        report.failed.len()
    )))
}

/// `PUT /labels`: sets both labels; one that is not given or `null` is removed.
pub(crate) async fn label<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
    caller: &Caller,
) -> Result<Response<Body>, Refusal> {
    let given = object(input)?;
    let owner = text(&given, "owner")?;
    let title = text(&given, "title")?.unwrap_or_default();
    // An owner cannot give a session away.
    let owner = owner.filter(|owner| !owner.is_empty());
    let owner = owner.or_else(|| caller.name().map(str::to_owned)).unwrap_or_default();
    if !owner.is_empty() {
        caller.check(&owner)?;
    }
    if let Caller::Guest(_) = caller {
        // It may use the session of somebody else, but cannot take it away.
        let labels = chat.labels().await.map_err(|e| errors::refusal(chat.id(), &e))?;
        labels.get_owner().map_or(Ok(()), |owner| caller.check(owner))?;
    }
    let labels = Labels::owner(owner).title(title);
    turn(chat, input, |draft| draft.set_labels(&labels)).await?;
    Ok(success())
}

/// `POST /fork`: makes the session `id` of the messages up to the seq `through`.
pub(crate) async fn fork<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
) -> Result<Response<Body>, Refusal> {
    refuse_if_match(&input.headers)?;
    let given = object(input)?;
    let id = text(&given, "id")?.ok_or_else(|| Refusal::bad_request("`id` is missing"))?;
    let id = SessionId::new(id).map_err(|e| Refusal::bad_request(e.to_string()))?;
    let through = given.get_json("through").and_then(|through| through.parse().ok());
    let through = through.ok_or_else(|| {
        Refusal::bad_request(
            "`through` must be a whole number: the seq of the last message to copy, 0 for none",
        )
    })?;
    let fork = chat.fork(id, Fork::through(through)).await;
    let fork = fork.map_err(|e| errors::refusal(chat.id(), &e))?;
    let mut body = String::from("{\"success\":true,\"id\":");
    push_json_string(&mut body, fork.id().as_str());
    body.push('}');
    Ok(json(StatusCode::OK, body))
}

fn object(input: &Input) -> Result<JsonObject, Refusal> {
    let parsed = input.text()?.parse();
    parsed.map_err(|e| Refusal::bad_request(format!("the body must be a JSON object: {e}")))
}

/// The string at `key`; `None` if it is missing or `null`.
fn text(given: &JsonObject, key: &str) -> Result<Option<String>, Refusal> {
    let Some(json) = given.get_json(key) else { return Ok(None) };
    serde_json::from_str(json)
        .map_err(|_| Refusal::bad_request(format!("`{key}` must be a string or null")))
}

#[cfg(test)]
mod tests {
    use super::Beside;

    #[test]
    fn the_routes_beside_the_sessions_have_their_own_paths() {
        let find = |path| Beside::find("/api/chat", path);
        assert_eq!(find("/api/chat/sessions"), Some(Beside::Sessions));
        assert_eq!(find("/api/chat/owners/u-42"), Some(Beside::Owner("u-42")));
        assert_eq!(find("/api/chat/owners/a%2Fb"), Some(Beside::Owner("a%2Fb")));
        for other in [
            "/api/chat",
            "/api/chat/",
            "/api/chat/session",
            "/api/chat/session/sessions",
            "/api/chat/sessions/",
            "/api/chatsessions",
            "/api/chat/owners",
            "/api/chat/owners/",
            "/api/chat/owners/a/b",
        ] {
            assert_eq!(find(other), None, "{other}");
        }
        assert_eq!(Beside::find("", "/sessions"), Some(Beside::Sessions));
    }
}
