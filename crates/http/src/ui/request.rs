//! What a client of `useChat` asks for, and the plan that follows from what is stored.

use super::UiMessageReply;
use super::parts::{Parts, array, has_parts, is_call, objects, text_of};
use crate::wire::errors;
use crate::wire::refusal::Refusal;
use durable_session::json::JsonObject;
use durable_session::store::Version;
use durable_session::{
    AppState, ChatSession, ErrorChain, Message, MessageQuery, ReplyFormat, SessionId,
    StoredMessage, role,
};
use http::StatusCode;
use serde_json::value::RawValue;

/// A message without `messageId` that is sent again is looked for among so many (clause C7).
const RECENT: usize = 64;
/// Older messages are looked through in pages of so many.
const PAGE: usize = 200;

/// A request to `POST {base}`.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) id: SessionId,
    regenerate: bool,
    message_id: Option<String>,
    /// The last message that the client has, or the one that `messageId` names.
    given: Option<Message>,
}

/// What to do for it.
#[derive(Debug)]
pub(super) enum Plan {
    /// Store a new message and answer it.
    Add(Message),
    /// Give the message this content, remove what follows, and answer it.
    Answer { asked: StoredMessage, replace: bool, attempt: u64 },
    /// Go on with a message. The client has these parts of it.
    Continue { seq: u64, message: Message, client: Parts },
    /// Somebody writes it, or it is whole.
    Follow { seq: u64, client: Parts },
    /// The app wants no reply to the message.
    Nothing,
}

/// The id of the chat that a request to `POST {base}` is about.
pub(super) fn asked_chat(body: &str) -> Result<SessionId, Refusal> {
    chat_id(&object(body)?)
}

fn object(body: &str) -> Result<JsonObject, Refusal> {
    let malformed = |e| Refusal::bad_request(format!("the body must be a JSON object: {e}"));
    body.parse().map_err(malformed)
}

fn chat_id(body: &JsonObject) -> Result<SessionId, Refusal> {
    let missing = || Refusal::bad_request("`id` of the chat is missing");
    let id = text(body, "id")?.ok_or_else(missing)?;
    SessionId::new(id).map_err(|e| Refusal::bad_request(e.to_string()))
}

/// A field that is a string, if it is there.
fn text(body: &JsonObject, field: &str) -> Result<Option<String>, Refusal> {
    match body.get_json(field) {
        None | Some("null") => Ok(None),
        Some(_) => body
            .get::<String>(field)
            .map_err(|_| Refusal::bad_request(format!("`{field}` must be a string"))),
    }
}

impl Ask {
    pub(super) fn parse(body: &str) -> Result<Self, Refusal> {
        let body = object(body)?;
        let id = chat_id(&body)?;
        let regenerate = match text(&body, "trigger")?.as_deref() {
            None | Some("submit-message") => false,
            Some("regenerate-message") => true,
            Some(_) => {
                let reason = "`trigger` must be `submit-message` or `regenerate-message`";
                return Err(Refusal::bad_request(reason));
            }
        };
        let message_id = text(&body, "messageId")?;
        let given = given(&body, message_id.as_deref())?;
        Ok(Self { id, regenerate, message_id, given })
    }

    /// The plan for a session, and the version that it is made on.
    pub(super) async fn plan<A: AppState>(
        &self,
        chat: &ChatSession<A>,
    ) -> Result<(Plan, Option<Version>), Refusal> {
        let mut stored = Stored::read(chat, RECENT).await?;
        if let Some(id) = &self.message_id {
            stored.read_to(chat, id).await?;
        }
        let plan = if self.regenerate { self.again(&stored)? } else { self.submitted(&stored)? };
        Ok((plan, stored.version))
    }

    fn submitted(&self, stored: &Stored) -> Result<Plan, Refusal> {
        let given = self
            .given
            .as_ref()
            .ok_or_else(|| Refusal::bad_request("`messages` and `message` are missing"))?;
        let id = self.message_id.clone().or_else(|| given.id().map(Into::into));
        let id = id.ok_or_else(|| Refusal::bad_request("the message has no `id`"))?;
        let known = stored.position(&id);
        if given.role() == role::ASSISTANT {
            let Some(at) =
                known.filter(|at| stored.messages[*at].message.role() == role::ASSISTANT)
            else {
                return Err(no_such());
            };
            return Ok(go_on(stored, at, given));
        }
        if given.role() != role::USER || !has_parts(given) {
            let reason = "clients send messages with the role `user` and with `parts`";
            return Err(Refusal::new(StatusCode::FORBIDDEN, reason));
        }
        let Some(at) = known else { return Ok(Plan::Add(given.clone())) };
        let asked = &stored.messages[at];
        if asked.message.role() != role::USER {
            return Err(Refusal::new(StatusCode::CONFLICT, "this id belongs to another message"));
        }
        let same = asked.message == *given;
        match stored.reply_to(at) {
            // The request is sent again.
            Some(reply) if same => {
                Ok(Plan::Follow { seq: stored.messages[reply].seq, client: Parts::default() })
            }
            None if same && self.message_id.is_none() && at + 1 < stored.messages.len() => {
                Ok(Plan::Nothing)
            }
            _ if same || self.message_id.is_some() => {
                let attempt = stored.next_attempt(at);
                let asked = stored.with(at, given.clone());
                Ok(Plan::Answer { asked, replace: !same, attempt })
            }
            _ => Err(Refusal::new(
                StatusCode::CONFLICT,
                "this id belongs to a message with other content; name it in `messageId` to edit",
            )),
        }
    }

    fn again(&self, stored: &Stored) -> Result<Plan, Refusal> {
        let at = match &self.message_id {
            None => stored.messages.len().checked_sub(1).ok_or_else(no_such)?,
            Some(id) => {
                let Some(at) = stored.position(id) else {
                    // It was written anew before, and the request is sent again.
                    let newer = stored.newer_than(id).ok_or_else(no_such)?;
                    let seq = stored.messages[newer].seq;
                    return Ok(Plan::Follow { seq, client: Parts::default() });
                };
                at
            }
        };
        let asked = if stored.messages[at].message.role() == role::ASSISTANT {
            at.checked_sub(1)
        } else {
            Some(at)
        };
        let asked = asked.ok_or_else(|| {
            let reason = "this message answers no other, so it cannot be written anew";
            Refusal::new(StatusCode::CONFLICT, reason)
        })?;
        let attempt = stored.next_attempt(asked);
        Ok(Plan::Answer { asked: stored.messages[asked].clone(), replace: false, attempt })
    }
}

/// The message that the request is about.
fn given(body: &JsonObject, id: Option<&str>) -> Result<Option<Message>, Refusal> {
    let message = |raw: &str| {
        Message::from_json(raw)
            .map_err(|e| Refusal::bad_request(format!("the message: {}", ErrorChain(&e))))
    };
    if let Some(raw) = body.get_json("message").filter(|raw| *raw != "null") {
        return message(raw).map(Some);
    }
    let Some(list) = body.get_json("messages") else { return Ok(None) };
    let list: Vec<&RawValue> = serde_json::from_str(list)
        .map_err(|_| Refusal::bad_request("`messages` must be a list of messages"))?;
    let named = |raw: &&&RawValue| {
        let object: Option<JsonObject> = raw.get().parse().ok();
        object.is_some_and(|object| Some(&*text_of(&object, "id")) == id)
    };
    let of_id = list.iter().rev().find(named).filter(|_| id.is_some());
    of_id.or(list.last()).map(|raw| message(raw.get())).transpose()
}

fn no_such() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no message with this id")
}

/// Takes outputs and approvals into the message of an assistant, and goes on with it.
fn go_on(stored: &Stored, at: usize, given: &Message) -> Plan {
    let StoredMessage { seq, message, .. } = &stored.messages[at];
    let client = Parts::of(given);
    match with_answers(message, given) {
        Some(message) => Plan::Continue { seq: *seq, message, client },
        // Nothing is new. A message that is not whole is gone on with, any other is not.
        None if stored.open.contains(seq) || UiMessageReply.ended(message).is_none() => {
            Plan::Follow { seq: *seq, client }
        }
        None => Plan::Continue { seq: *seq, message: message.clone(), client },
    }
}

/// The stored message with the outputs and approvals that its calls wait for; `None` if the client
/// gave none. Nothing else is taken from the client.
fn with_answers(stored: &Message, given: &Message) -> Option<Message> {
    let mut object: JsonObject = stored.as_json().parse().ok()?;
    let mut parts = objects(object.get_json("parts")?);
    let given: JsonObject = given.as_json().parse().ok()?;
    let given = objects(given.get_json("parts")?);
    let mut news = false;
    for part in parts.iter_mut().filter(|part| is_call(part)) {
        let id = text_of(part, "toolCallId");
        let same = |given: &&JsonObject| is_call(given) && text_of(given, "toolCallId") == id;
        if let Some(given) = given.iter().find(same) {
            news |= answer(part, given)?;
        }
    }
    if !news {
        return None;
    }
    object.set_json("parts", &array(&parts)).ok()?;
    Message::from_object(&object).ok()
}

/// Takes the answer to one call; whether there was one.
fn answer(part: &mut JsonObject, given: &JsonObject) -> Option<bool> {
    let (is, becomes) = (text_of(part, "state"), text_of(given, "state"));
    let approval = |part: &JsonObject| part.get::<JsonObject>("approval").ok().flatten();
    if is == "approval-requested" {
        let (mut asked, answered) = (approval(part)?, approval(given).unwrap_or_default());
        let approved =
            answered.get_json("approved").filter(|json| ["true", "false"].contains(json));
        let Some(approved) = approved.filter(|_| text_of(&answered, "id") == text_of(&asked, "id"))
        else {
            return Some(false);
        };
        asked.set_json("approved", approved).ok()?;
        if let Some(reason) = answered.get::<String>("reason").ok().flatten() {
            asked.set("reason", &reason).ok()?;
        }
        part.set("state", "approval-responded").ok()?;
        part.set("approval", &asked).ok()?;
        return Some(true);
    }
    let approved =
        approval(part).is_some_and(|approval| approval.get_json("approved") == Some("true"));
    let waits = is == "input-available" || (is == "approval-responded" && approved);
    if !waits || part.get_json("providerExecuted") == Some("true") {
        return Some(false);
    }
    let field = match &*becomes {
        "output-available" if given.get_json("preliminary") != Some("true") => "output",
        "output-error" => "errorText",
        _ => return Some(false),
    };
    part.set("state", &becomes).ok()?;
    part.set_json(field, given.get_json(field).unwrap_or("null")).ok()?;
    Some(true)
}

/// The last messages of a session.
struct Stored {
    version: Option<Version>,
    messages: Vec<StoredMessage>,
    more: bool,
    open: Vec<u64>,
}

impl Stored {
    async fn read<A: AppState>(chat: &ChatSession<A>, count: usize) -> Result<Self, Refusal> {
        let refusal = |e| errors::refusal(chat.id(), &e);
        let page = chat.messages(MessageQuery::last(count)).await.map_err(refusal)?;
        let open = chat.snapshot().await.map_err(refusal)?.open_replies().collect();
        Ok(Self { version: page.version, messages: page.messages, more: page.more, open })
    }

    /// Reads older messages up to the one before that with this id.
    async fn read_to<A: AppState>(
        &mut self,
        chat: &ChatSession<A>,
        id: &str,
    ) -> Result<(), Refusal> {
        while self.more && self.position(id).is_none_or(|at| at == 0) {
            let first = self.messages.first().map_or(u64::MAX, |stored| stored.seq);
            let page = chat.messages(MessageQuery::before(first, PAGE)).await;
            let page = page.map_err(|e| errors::refusal(chat.id(), &e))?;
            self.more = page.more;
            self.messages.splice(..0, page.messages);
        }
        Ok(())
    }

    fn position(&self, id: &str) -> Option<usize> {
        self.messages.iter().rposition(|stored| stored.message.id().as_deref() == Some(id))
    }

    /// The message with other content.
    fn with(&self, at: usize, message: Message) -> StoredMessage {
        let mut stored = self.messages[at].clone();
        stored.message = message;
        stored
    }

    /// The try that a message is for this message, by its id.
    fn attempt(&self, at: usize, reply: &Message) -> Option<u64> {
        let to = answered_id(&self.messages[at]);
        let id = reply.id()?;
        let (attempt, of) = id.strip_prefix("reply-")?.split_once("-to-")?;
        attempt.parse().ok().filter(|_| of == to)
    }

    /// The last reply to a message.
    fn reply_to(&self, at: usize) -> Option<usize> {
        let after = self.messages.iter().enumerate().skip(at + 1);
        after
            .filter(|(_, stored)| self.attempt(at, &stored.message).is_some())
            .last()
            .map(|(n, _)| n)
    }

    /// The number of the next try to answer a message.
    fn next_attempt(&self, at: usize) -> u64 {
        let after = self.messages.iter().skip(at + 1);
        let tries = after.filter_map(|stored| self.attempt(at, &stored.message));
        tries.max().map_or(0, |last| last.saturating_add(1))
    }

    /// The reply that has taken the place of the one with this id.
    fn newer_than(&self, id: &str) -> Option<usize> {
        let (attempt, to) = id.strip_prefix("reply-")?.split_once("-to-")?;
        let attempt: u64 = attempt.parse().ok()?;
        let at = self.messages.iter().position(|stored| answered_id(stored) == to)?;
        let reply = self.reply_to(at)?;
        (self.attempt(at, &self.messages[reply].message)? > attempt).then_some(reply)
    }
}

/// The id by which the reply to a message names it.
pub(super) fn answered_id(asked: &StoredMessage) -> String {
    asked.message.id().map_or_else(|| format!("seq-{}", asked.seq), Into::into)
}
