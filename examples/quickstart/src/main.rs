//! The README's code. Its second run continues the conversation of the first.

use durable_session::{ChatSessions, Message, MessageQuery, SessionId};
use durable_session_redb::RedbStore;
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Tutoring {
    questions_asked: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = ChatSessions::<Tutoring>::builder(RedbStore::open("chat.redb")?)
        .greeting(Message::assistant("Hi! I can find you a tutor."))
        .build();

    let chat = sessions.session(SessionId::new("session-1763264606917-w2j2kfd45")?);
    chat.add_message(Message::user("I want help with python")).await?; // now it is on the disk
    chat.update(|app| app.questions_asked += 1).await?;

    for stored in chat.messages(MessageQuery::last(50)).await?.messages {
        println!(
            "{} {}: {}",
            stored.seq,
            stored.message.role(),
            stored.message.text().unwrap_or_default()
        );
    }
    println!("asked {} times", chat.get_state().await?.app.questions_asked);
    sessions.close().await?;
    Ok(())
}
