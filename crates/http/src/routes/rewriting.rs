//! Changing stored messages: `PUT` and `DELETE` of one message, and `POST /rewind`.

use crate::client_permissions::ClientPermissions;
use crate::routes::messages;
use crate::routes::preconditions::turn;
use crate::wire::body::Body;
use crate::wire::errors;
use crate::wire::input::Input;
use crate::wire::refusal::Refusal;
use crate::wire::response::success;
use durable_session::store::StoreErrorKind;
use durable_session::{AppState, ChatSession, Error, JsonObject, MessageQuery};
use http::Response;

/// `PUT /messages/{seq}`: replaces the message, which keeps its seq.
pub(crate) async fn put<A: AppState>(
    chat: &ChatSession<A>,
    seq: u64,
    input: &Input,
    may: &ClientPermissions,
) -> Result<Response<Body>, Refusal> {
    let message = messages::read(input)?;
    may.check(std::slice::from_ref(&message))?;
    turn(chat, input, |draft| draft.replace(seq, &message)).await?;
    Ok(messages::stored(seq, &message, None))
}

/// `DELETE /messages/{seq}`.
pub(crate) async fn delete<A: AppState>(
    chat: &ChatSession<A>,
    seq: u64,
    input: &Input,
) -> Result<Response<Body>, Refusal> {
    must_exist(chat, seq).await?;
    turn(chat, input, |draft| draft.remove(seq)).await?;
    Ok(success())
}

/// `POST /rewind`: removes all messages after the seq `to`; 0 removes all. The app state stays.
pub(crate) async fn rewind<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
) -> Result<Response<Body>, Refusal> {
    let to = read_to(input.text()?)?;
    if to > 0 {
        must_exist(chat, to).await?;
    }
    turn(chat, input, |draft| draft.rewind_to(to)).await?;
    Ok(success())
}

fn read_to(body: &str) -> Result<u64, Refusal> {
    let given: JsonObject = body
        .parse()
        .map_err(|e| Refusal::bad_request(format!("the body must be a JSON object: {e}")))?;
    given.get_json("to").and_then(|to| to.parse().ok()).ok_or_else(|| {
        Refusal::bad_request(
            "`to` must be a whole number: the seq of the last message to keep, 0 for none",
        )
    })
}

/// Refuses if there is no message at `seq`. A damaged message exists and can be removed.
async fn must_exist<A: AppState>(chat: &ChatSession<A>, seq: u64) -> Result<(), Refusal> {
    let refusal = |e| errors::refusal(chat.id(), &e);
    match chat.messages(MessageQuery::at(seq)).await {
        Ok(page) if page.messages.is_empty() => {
            Err(refusal(Error::NoSuchMessage { session: chat.id().clone(), seq }))
        }
        Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt && e.seq() == Some(seq) => {
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(e) => Err(refusal(e)),
    }
}
