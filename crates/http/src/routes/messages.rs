//! Reading and adding messages.

use crate::client_permissions::ClientPermissions;
use crate::config::OnMessage;
use crate::producing::Replies;
use crate::routes::preconditions::{is_conditional, turn};
use crate::routes::replies::{self, Answered};
use crate::wire::body::Body;
use crate::wire::cursor::Cursor;
use crate::wire::input::Input;
use crate::wire::paging::PageQuery;
use crate::wire::refusal::Refusal;
use crate::wire::response::json;
use crate::wire::{errors, parts};
use durable_session::store::Version;
use durable_session::{AppState, ChatSession, ErrorChain, Message, MessageQuery};
use http::{HeaderMap, Response, StatusCode};

/// The longest `Idempotency-Key`.
const MAX_KEY_BYTES: usize = 256;

/// `GET /messages`: all messages as a list, or a page of them.
pub(crate) async fn get<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
) -> Result<Response<Body>, Refusal> {
    let error = |e| errors::refusal(chat.id(), &e);
    let Some(query) = PageQuery::parse(input.query.as_deref())? else {
        return parts::response(chat.message_parts().await.map_err(error)?, chat.id(), ["", ""])
            .await;
    };
    let page = chat.messages(query.messages()).await.map_err(error)?;
    // Checked after the page was read: no seq is used again, so a message that is there now was
    // there when the page was read.
    for cursor in query.cursors() {
        check_cursor(chat, cursor, page.version).await?;
    }
    Ok(json(StatusCode::OK, query.page_json(&page)))
}

/// Refuses a cursor for a page of the session at `version`, unless the cursor's message is still
/// there. The position before the first message is valid as long as the incarnation exists.
async fn check_cursor<A: AppState>(
    chat: &ChatSession<A>,
    cursor: Cursor,
    version: Option<Version>,
) -> Result<(), Refusal> {
    if !cursor.belongs_to(version) {
        return Err(cursor.gone());
    }
    if cursor.seq == 0 {
        return Ok(());
    }
    // Read alone: the page may be as large as a page can be without it.
    let at = chat.messages(MessageQuery::at(cursor.seq)).await;
    let at = at.map_err(|e| errors::refusal(chat.id(), &e))?;
    if !cursor.belongs_to(at.version) {
        return Err(cursor.gone());
    }
    if at.messages.is_empty() {
        let reason = "the message that this cursor names was removed; begin again without it";
        return Err(Refusal::new(StatusCode::GONE, reason));
    }
    Ok(())
}

/// `POST /messages`.
pub(crate) async fn post<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
    may: &ClientPermissions,
    on_message: Option<&OnMessage<A>>,
    replies: &Replies<A>,
) -> Result<Response<Body>, Refusal> {
    let message = with_key(read(input)?, &input.headers)?;
    may.check(std::slice::from_ref(&message))?;
    if let Some(Answered { posted, reply }) =
        replies::post(chat, input, &message, on_message, replies).await?
    {
        return Ok(stored(posted.seq, &posted.message, reply));
    }
    let added = if on_message.is_none() && !is_conditional(&input.headers) {
        chat.add_message(message).await.map_err(|e| errors::refusal(chat.id(), &e))?
    } else {
        turn(chat, input, |draft| {
            let added = draft.add_message(message.clone())?;
            if let Some(handler) = on_message.filter(|_| !added.replayed) {
                handler(draft, &added)?;
            }
            Ok(added)
        })
        .await?
    };
    Ok(stored(added.seq, &added.message, None))
}

/// Parses the message in a request's body.
pub(crate) fn read(input: &Input) -> Result<Message, Refusal> {
    Message::from_json(input.text()?).map_err(|e| Refusal::bad_request(ErrorChain(&e).to_string()))
}

/// The response to a request that stored a message, which perhaps a reply answers.
pub(crate) fn stored(seq: u64, message: &Message, reply: Option<u64>) -> Response<Body> {
    let message = message.as_json();
    let reply = reply.map(|seq| format!(",\"reply\":{seq}")).unwrap_or_default();
    json(StatusCode::OK, format!("{{\"success\":true,\"message\":{message},\"seq\":{seq}{reply}}}"))
}

/// Takes `Idempotency-Key` as the `id` of a message that has none.
fn with_key(message: Message, headers: &HeaderMap) -> Result<Message, Refusal> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(message) };
    let key = key.to_str().ok().filter(|key| (1..=MAX_KEY_BYTES).contains(&key.len())).ok_or_else(
        || {
            Refusal::bad_request(format!(
                "Idempotency-Key must be 1 to {MAX_KEY_BYTES} visible ASCII characters"
            ))
        },
    )?;
    Ok(if message.id().is_none() { message.with_id(key) } else { message })
}
