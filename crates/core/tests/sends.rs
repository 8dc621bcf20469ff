//! The futures of the public API can be spawned on any executor.

use durable_session::{ChatSession, ChatSessions, JsonObject, Message, MessageQuery};
use durable_session_memory::MemoryStore;

fn spawnable<T: Send + 'static>(_: T) {}

#[test]
fn every_future_is_send() {
    let sessions = ChatSessions::<JsonObject>::builder(MemoryStore::new()).build();
    let chat: ChatSession = sessions.session("s".parse().unwrap());
    let c = chat.clone();
    spawnable(async move {
        c.add_message(Message::user("a")).await?;
        c.add_messages(vec![]).await?;
        c.update(|app| app.set("a", &1)).await?.unwrap();
        c.turn(|draft| draft.add_message(Message::user("b"))).await?;
        c.get_state().await?;
        c.get_state_json().await?;
        c.messages(MessageQuery::last(1)).await?;
        c.pop().await?;
        c.replace(1, Message::user("c")).await?;
        c.rewind_to(0).await?;
        c.forget_before(1).await?;
        c.snapshot().await?;
        c.touch().await?;
        c.reset().await?;
        c.watch().next().await;
        c.delete().await
    });
    spawnable(async move { sessions.close().await });
}
