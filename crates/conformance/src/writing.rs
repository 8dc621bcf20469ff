//! Short ways to open, write and follow replies of chat sessions (C11).

use crate::Failure;
use crate::failure::ensure;
use crate::fixture::{Checked, Looks};
use crate::registry::settled;
use durable_session::{
    ChatSession, EndedReply, Error, Follow, Followed, Message, Opened, Reply, ReplyEnd,
};

/// The question of most cases.
pub(crate) fn question() -> Message {
    Message::user("Explain lifetimes").with_id("m-7")
}

/// Sends the question and opens its reply.
pub(crate) async fn ask(chat: &ChatSession) -> Result<Opened, Error> {
    chat.reply(|draft| {
        draft.add_message(question())?;
        Ok(Message::assistant(""))
    })
    .await
}

/// Opens a reply at seq 2, which must be new.
pub(crate) async fn open(chat: &ChatSession) -> Checked<Reply> {
    match settled(ask(chat)).await?? {
        Opened::New(reply) if reply.seq() == 2 => Ok(reply),
        Opened::New(reply) => Err(Failure::new(format_args!("the reply is at {}", reply.seq()))),
        _ => Err(Failure::new("a new reply was not opened")),
    }
}

/// Opens a reply and pushes these chunks.
pub(crate) async fn open_with(chat: &ChatSession, chunks: &[&str]) -> Checked<Reply> {
    let mut reply = open(chat).await?;
    for chunk in chunks {
        settled(reply.push(*chunk)).await??;
    }
    Ok(reply)
}

/// The next chunk of a follower as a text; how the reply ended, if there is none.
pub(crate) async fn next(follow: &mut Follow) -> Checked<Result<(u64, String), EndedReply>> {
    match settled(follow.next()).await?? {
        Followed::Chunk { at, json } => {
            // The texts of the cases need no escapes.
            let text = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
            let text =
                text.ok_or_else(|| Failure::new("a chunk is not the text that was pushed"))?;
            Ok(Ok((at, text.to_owned())))
        }
        Followed::Ended(ended) => Ok(Err(ended)),
        _ => Err(Failure::new("a follower got something else")),
    }
}

/// All chunks of a follower in one text, and how the reply ended. The numbers of the chunks must go
/// on from the follower's.
pub(crate) async fn rest(follow: &mut Follow) -> Checked<(String, ReplyEnd)> {
    let (mut all, mut number) = (String::new(), follow.at());
    loop {
        match next(follow).await? {
            Ok((at, text)) => {
                ensure!(at == number, "chunk {at} follows, after {number} chunks");
                number += 1;
                all.push_str(&text);
            }
            Err(ended) => return Ok((all, ended.how)),
        }
    }
}

/// The text of the message at seq 2.
pub(crate) async fn written(chat: &ChatSession) -> Checked<String> {
    let page = settled(chat.messages(durable_session::MessageQuery::at(2))).await??;
    let stored = page.messages.first().ok_or_else(|| Failure::new("there is no message"))?;
    Ok(stored.message.text().map(std::borrow::Cow::into_owned).unwrap_or_default())
}

/// Reads until no reply is open. Returns the text of the message at seq 2.
pub(crate) async fn ended(chat: &ChatSession) -> Checked<String> {
    let mut looks = Looks::new(10_000);
    loop {
        if chat.snapshot().await?.open_replies().count() == 0 {
            return written(chat).await;
        }
        if !looks.next().await {
            return Err(Failure::new("a reply stays open although nobody writes it"));
        }
    }
}

/// How the reply had ended when this call was made.
pub(crate) fn told<T>(result: Result<T, Error>) -> Checked<ReplyEnd> {
    match result {
        Err(Error::ReplyEnded { how, .. }) => Ok(how),
        Err(e) => Err(Failure::new(e)),
        Ok(_) => Err(Failure::new("a call on a reply succeeded after its end")),
    }
}
