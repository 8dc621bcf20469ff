//! The app's answer to a message, in the turn that stores the message.

use crate::reply::respond;
use crate::types::Tutoring;
use durable_session::{Added, Draft, Error, Message, role};

/// Answers a user's message in the turn that stores it, for `ApiBuilder::on_message`. Message,
/// answer and the app's new state become durable together.
///
/// The answer's id is made of the message's seq, so that retries add no second answer. If the
/// stored app state cannot be read as [`Tutoring`], the message is stored without an answer.
///
/// # Errors
/// The draft refuses the answer, for example because the session is full.
pub fn answer(draft: &mut Draft<'_, Tutoring>, added: &Added) -> Result<(), Error> {
    if added.message.role() != role::USER {
        return Ok(());
    }
    let Some(text) = added.message.text() else { return Ok(()) };
    let Ok(state) = draft.app() else {
        // A newer program may have written it. The message must not be lost for that.
        tracing::warn!("a message is not answered: the stored app state is not this app's");
        return Ok(());
    };
    let reply = respond(state, &text);
    let mut answer = Message::assistant(reply.text).with_id(format!("answer-to-{}", added.seq));
    if let Some(found) = &reply.tutor_match {
        answer = answer.with("tutorMatch", found).map_err(Error::rejected)?;
    }
    draft.add_message(answer)?;
    *draft.app_mut()? = reply.state;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::answer;
    use crate::types::Tutoring;
    use durable_session::{ChatSessions, Message, SessionId};
    use durable_session_memory::MemoryStore;

    #[tokio::test]
    async fn a_message_and_its_answer_are_one_change_and_a_retry_adds_nothing() {
        let sessions = ChatSessions::<Tutoring>::builder(MemoryStore::new()).build();
        let chat = sessions.session(SessionId::new("s-1").unwrap());
        let question = Message::user("I want help with python tutor").with_id("m-1");
        for _ in 0..2 {
            chat.turn(|draft| {
                let added = draft.add_message(question.clone())?;
                if added.replayed { Ok(()) } else { answer(draft, &added) }
            })
            .await
            .unwrap();
        }
        let state = chat.get_state().await.unwrap();
        assert_eq!(state.messages.len(), 2);
        assert_eq!(state.messages[1].id().as_deref(), Some("answer-to-1"));
        assert!(state.app.pending_match.is_some());
        assert_eq!(state.messages[1].extra("tutorMatch").unwrap(), state.app.pending_match);
        assert_eq!(sessions.stats().commits, 1);
    }
}
