//! Reading and adding messages.

use crate::api::{OnMessage, turn};
use crate::body::Body;
use crate::client_may::ClientMay;
use crate::input::Input;
use crate::paging::PageQuery;
use crate::refusal::{Refusal, json};
use crate::{errors, etag, parts};
use durable_session::{AppState, ChatSession, ErrorChain, Message};
use http::{HeaderMap, Response, StatusCode};

/// The longest `Idempotency-Key`.
const MAX_KEY_BYTES: usize = 256;

/// `GET /messages`: all of them as a plain list, or a page.
pub(crate) async fn get<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
) -> Result<Response<Body>, Refusal> {
    let error = |e| errors::refusal(chat.id(), &e);
    let Some(query) = PageQuery::parse(input.query.as_deref())? else {
        return parts::answer(chat.message_parts().await.map_err(error)?, chat.id(), ["", ""]).await;
    };
    let page = chat.messages(query.messages()).await.map_err(error)?;
    // After the page was read: a message that is still there was there then, as no seq is used
    // again.
    for cursor in query.cursors() {
        cursor.check(chat, page.version).await?;
    }
    Ok(json(StatusCode::OK, query.answer(&page)))
}

/// `POST /messages`.
pub(crate) async fn post<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
    may: &ClientMay,
    on_message: Option<&OnMessage<A>>,
) -> Result<Response<Body>, Refusal> {
    let message = with_key(read(input)?, &input.headers)?;
    may.check(std::slice::from_ref(&message))?;
    let plain = on_message.is_none() && etag::if_match(&input.headers) == etag::Expected::Any;
    let added = if plain {
        chat.add_message(message).await.map_err(|e| errors::refusal(chat.id(), &e))?
    } else {
        turn(chat, input, |draft| {
            let added = draft.add_message(message.clone())?;
            if let Some(answer) = on_message.filter(|_| !added.replayed) {
                answer(draft, &added)?;
            }
            Ok(added)
        })
        .await?
    };
    Ok(stored(added.seq, &added.message))
}

/// The message in a request's body.
pub(crate) fn read(input: &Input) -> Result<Message, Refusal> {
    Message::from_json(input.text()?).map_err(|e| Refusal::bad_request(ErrorChain(&e).to_string()))
}

/// The answer to a request that stored a message.
pub(crate) fn stored(seq: u64, message: &Message) -> Response<Body> {
    let message = message.as_json();
    json(StatusCode::OK, format!("{{\"success\":true,\"message\":{message},\"seq\":{seq}}}"))
}

/// The message with `Idempotency-Key` as its `id`, if it has none of its own.
fn with_key(message: Message, headers: &HeaderMap) -> Result<Message, Refusal> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(message) };
    let key = key.to_str().ok().filter(|key| (1..=MAX_KEY_BYTES).contains(&key.len())).ok_or_else(|| {
        Refusal::bad_request(format!("Idempotency-Key must be 1 to {MAX_KEY_BYTES} visible ASCII characters"))
    })?;
    Ok(if message.id().is_none() { message.with_id(key) } else { message })
}
