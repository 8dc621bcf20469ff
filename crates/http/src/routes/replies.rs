//! Replies: posting a message that one answers, and stopping one.

use crate::config::OnMessage;
use crate::producing::{Replies, produce};
use crate::routes::preconditions::{refuse_if_match, reply};
use crate::wire::body::Body;
use crate::wire::errors;
use crate::wire::input::Input;
use crate::wire::refusal::Refusal;
use crate::wire::response::json;
use durable_session::{
    Added, AppState, ChatSession, Draft, Error, Message, MessageQuery, NewReply, Opened, ReplyEnd,
};
use http::{Response, StatusCode};

/// The most messages after a posted one among which its reply is looked for.
const RECENT: usize = 64;

/// A posted message, and the seq of the reply that answers it.
pub(crate) struct Answered {
    pub(crate) posted: Added,
    pub(crate) reply: Option<u64>,
}

/// The app wants no reply to this message, or the message was stored before.
#[derive(Debug, thiserror::Error)]
#[error("no reply is opened")]
pub(crate) struct Unanswered;

/// Stores a posted message together with the opening of its reply, and has the handler write the
/// reply. `None` if the message is to be stored without a reply. A message that is known gets no
/// second reply, whatever became of the first one.
pub(crate) async fn post<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
    message: &Message,
    on_message: Option<&OnMessage<A>>,
    replies: &Replies<A>,
) -> Result<Option<Answered>, Refusal> {
    let (Some(write), Some(spawn)) = (&replies.write, &replies.spawn) else { return Ok(None) };
    let mut added = None;
    let opened = reply(chat, input, |draft| {
        let posted = draft.add_message(message.clone())?;
        added = Some(posted.clone());
        if posted.replayed {
            return Err(Error::rejected(Unanswered));
        }
        if let Some(handler) = on_message {
            handler(draft, &posted)?;
        }
        let new = opening(draft, &posted, replies)?;
        Ok(match posted.message.id() {
            Some(id) => new.to(id),
            None => new,
        })
    })
    .await;
    let opened = match (opened, &added) {
        (Err(Error::Rejected(reason)), Some(posted)) if reason.is::<Unanswered>() => {
            if !posted.replayed {
                return Ok(None);
            }
            let (reply, posted) = (reply_to(chat, posted).await?, posted.clone());
            return Ok(Some(Answered { posted, reply }));
        }
        (opened, _) => opened.map_err(|e| errors::refusal(chat.id(), &e))?,
    };
    // A reply was opened or found, so the message was added to a draft before.
    let Some(posted) = added else { return Ok(None) };
    let seq = match opened {
        Opened::New(reply) => {
            let seq = reply.seq();
            let task = produce(write.clone(), chat.clone(), posted.clone(), reply);
            spawn(Box::pin(task));
            Some(seq)
        }
        Opened::Running(follow) => Some(follow.seq()),
        Opened::Ended(stored) => Some(stored.seq),
        _ => None,
    };
    Ok(Some(Answered { posted, reply: seq }))
}

/// The reply that the app opens to a message; [`Unanswered`] if it opens none.
pub(crate) fn opening<A: AppState>(
    draft: &mut Draft<'_, A>,
    posted: &Added,
    replies: &Replies<A>,
) -> Result<NewReply, Error> {
    let new = (replies.open)(draft, posted)?.ok_or_else(|| Error::rejected(Unanswered))?;
    if draft.open_replies().count() >= replies.max_open {
        return Err(Error::rejected(too_many(replies.max_open)));
    }
    Ok(new)
}

fn too_many(max: usize) -> Refusal {
    let reason =
        format!("{max} replies are being written in this session; wait for one, or stop one");
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, reason).retry_after(1)
}

/// The seq of the reply that an earlier request opened for this message: the `id` of its message
/// says so.
async fn reply_to<A: AppState>(
    chat: &ChatSession<A>,
    posted: &Added,
) -> Result<Option<u64>, Refusal> {
    let Some(id) = posted.message.id() else { return Ok(None) };
    let page = chat.messages(MessageQuery::after(posted.seq, RECENT)).await;
    let page = page.map_err(|e| errors::refusal(chat.id(), &e))?;
    let answers = |message: &Message| {
        let reply = message.id()?;
        let (attempt, to) = reply.strip_prefix("reply-")?.split_once("-to-")?;
        Some(attempt.parse::<u64>().is_ok() && to == id)
    };
    let reply = page.messages.iter().rfind(|stored| answers(&stored.message) == Some(true));
    Ok(reply.map(|stored| stored.seq))
}

/// `POST /replies/{seq}/stop`: 200 with the message if the reply was stopped, by this request or an
/// earlier one; 409 with the message if it had ended in another way.
pub(crate) async fn stop<A: AppState>(
    chat: &ChatSession<A>,
    seq: u64,
    input: &Input,
) -> Result<Response<Body>, Refusal> {
    refuse_if_match(&input.headers)?;
    let ended = chat.stop(seq).await.map_err(|e| errors::refusal(chat.id(), &e))?;
    let Some(stored) = ended.message else {
        let gone = Error::NoSuchMessage { session: chat.id().clone(), seq };
        return Err(errors::refusal(chat.id(), &gone));
    };
    let message = stored.message.as_json();
    Ok(if ended.how == ReplyEnd::Stopped {
        json(StatusCode::OK, format!("{{\"success\":true,\"message\":{message}}}"))
    } else {
        let how = ended.how;
        let text = format!("{{\"error\":\"the reply was {how} before\",\"message\":{message}}}");
        json(StatusCode::CONFLICT, text)
    })
}
