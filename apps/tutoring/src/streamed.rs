//! The app's answers as durable replies, word by word.

use crate::reply::respond;
use crate::types::Tutoring;
use durable_session::{Added, ChatSession, Draft, Error, Message, NewReply, Reply, role};
use futures_util::stream::{self, StreamExt};

/// Opens the reply to a user's message, for `ApiBuilder::open_replies`. The offer that the answer
/// makes is in the opened message, because a reply only adds to the text.
///
/// # Errors
/// The offer cannot be written.
pub fn open_reply(
    draft: &mut Draft<'_, Tutoring>,
    posted: &Added,
) -> Result<Option<NewReply>, Error> {
    let Some(text) = posted.message.text().filter(|_| posted.message.role() == role::USER) else {
        return Ok(None);
    };
    let Ok(state) = draft.app() else {
        // A newer program may have written it. The message must not be lost for that.
        tracing::warn!("a message is not answered: the stored app state is not this app's");
        return Ok(None);
    };
    let opened = Message::assistant("");
    Ok(Some(NewReply::new(match &respond(state, &text).tutor_match {
        Some(found) => opened.with("tutorMatch", found).map_err(Error::rejected)?,
        None => opened,
    })))
}

/// Writes a reply word by word, for `ApiBuilder::reply_with`, and sets the app's new state when it
/// finishes. `pause` is awaited before each word.
///
/// # Errors
/// The reply was ended by others, or the store failed.
pub async fn write_reply<P: Future<Output = ()>>(
    chat: ChatSession<Tutoring>,
    posted: Added,
    mut reply: Reply<Tutoring>,
    pause: impl Fn() -> P,
) -> Result<(), Error> {
    let question = posted.message.text().unwrap_or_default().into_owned();
    let answer = respond(&chat.snapshot().await?.app()?, &question);
    let words = stream::iter(answer.text.split_inclusive(' '));
    reply
        .pump(words.then(|word| {
            let pause = pause();
            async move {
                pause.await;
                word
            }
        }))
        .await?;
    let finished = reply.finish_with(|draft| {
        // The state may have changed meanwhile.
        let state = respond(draft.app()?, &question).state;
        *draft.app_mut()? = state;
        Ok(())
    });
    finished.await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::{open_reply, write_reply};
    use crate::types::Tutoring;
    use durable_session::{ChatSessions, Message, Opened, SessionId};
    use durable_session_memory::MemoryStore;

    #[tokio::test]
    async fn a_streamed_answer_is_the_answer() {
        let sessions = ChatSessions::<Tutoring>::builder(MemoryStore::new()).build();
        let chat = sessions.session(SessionId::new("s-1").unwrap());
        let question = Message::user("I want help with python tutor").with_id("m-1");
        let mut posted = None;
        let opened = chat.reply(|draft| {
            let added = draft.add_message(question.clone())?;
            let new = open_reply(draft, &added)?;
            posted = Some(added);
            Ok(new.unwrap())
        });
        let Opened::New(reply) = opened.await.unwrap() else { panic!("a new reply") };
        write_reply(chat.clone(), posted.unwrap(), reply, async || ()).await.unwrap();
        let state = chat.get_state().await.unwrap();
        let answer = crate::respond(&Tutoring::default(), "I want help with python tutor");
        assert_eq!(state.messages[1].text().as_deref(), Some(&*answer.text));
        assert_eq!(state.messages[1].extra("tutorMatch").unwrap(), answer.tutor_match);
        assert_eq!(state.app, answer.state);
    }
}
