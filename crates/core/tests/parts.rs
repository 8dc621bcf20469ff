//! Whole states and lists in parts: the same text as in one piece, of one version or not at all.

#![allow(clippy::unwrap_used, clippy::panic)]

use durable_session::{
    ChatSession, ChatSessions, Error, JsonObject, JsonParts, Message, SessionId,
};
use durable_session_memory::MemoryStore;
use std::sync::Arc;

type Sessions = ChatSessions<JsonObject>;

/// Messages of `bytes` each.
async fn filled(messages: usize, bytes: usize) -> (Arc<MemoryStore>, Sessions, ChatSession) {
    let store = Arc::new(MemoryStore::new());
    let sessions: Sessions =
        ChatSessions::builder(Arc::clone(&store)).greeting(Message::assistant("Hi!")).build();
    let chat = sessions.session(SessionId::new("s").unwrap());
    let message = |n: usize| Message::user(format!("{n:06}{}", "é".repeat(bytes / 2)));
    for n in (0..messages).step_by(100) {
        chat.add_messages((n..messages.min(n + 100)).map(message).collect()).await.unwrap();
    }
    (store, sessions, chat)
}

fn cold(store: &Arc<MemoryStore>) -> ChatSession {
    let sessions: Sessions =
        ChatSessions::builder(Arc::clone(store)).greeting(Message::assistant("Hi!")).build();
    sessions.session(SessionId::new("s").unwrap())
}

/// The text, and how large its parts were.
async fn joined(mut parts: JsonParts) -> Result<(String, Vec<usize>), Error> {
    let (mut text, mut sizes) = (Vec::new(), Vec::new());
    while let Some(part) = parts.next().await? {
        assert!(!part.is_empty());
        sizes.push(part.len());
        text.extend_from_slice(&part);
    }
    assert!(parts.is_done());
    assert!(parts.next().await?.is_none());
    Ok((String::from_utf8(text).unwrap(), sizes))
}

async fn check(chat: &ChatSession, name: &str) -> usize {
    let parts = chat.state_parts().await.unwrap();
    let version = parts.version();
    let (text, sizes) = joined(parts).await.unwrap();
    let (expected_version, expected) = chat.get_state_json().await.unwrap();
    assert!(text == expected, "{name}: another text");
    assert_eq!(version, expected_version, "{name}");
    let (list, _) = joined(chat.message_parts().await.unwrap()).await.unwrap();
    let list: Vec<Message> = serde_json::from_str(&list).unwrap();
    assert!(list == chat.get_state().await.unwrap().messages, "{name}: another list");
    let largest =
        chat.get_state().await.unwrap().messages.iter().map(Message::bytes).max().unwrap_or(0);
    if sizes.len() > 1 {
        let bound = (384 << 10) + 2 * largest;
        assert!(sizes.iter().all(|size| *size <= bound), "{name}: {sizes:?}");
    }
    sizes.len()
}

#[tokio::test]
async fn the_parts_together_are_the_whole_text_whatever_its_size() {
    // In memory, beyond the window, loaded in one go, and larger than that; one message larger than
    // a part.
    for (messages, bytes, several) in [
        (0, 0, false),
        (1, 10, false),
        (63, 100, false),
        (64, 100, false),
        (65, 100, false),
        (300, 1000, false),
        (2, 1_000_000, true),
        (1023, 10, false),
        (1030, 1000, false),
        (1500, 1000, true),
        (1500, 3000, true),
        (9, 1_000_000, true),
    ] {
        let name = format!("{messages} messages of {bytes} bytes");
        let (store, _sessions, chat) = filled(messages, bytes).await;
        chat.update(|app: &mut JsonObject| app.set("step", &"ü\"").unwrap()).await.unwrap();
        for (chat, name) in [(&cold(&store), format!("{name}, cold")), (&chat, name)] {
            let parts = check(chat, &name).await;
            if several {
                assert!(parts > 1, "{name}: {parts} parts");
            }
            // Now it is in memory.
            check(chat, &format!("{name}, again")).await;
        }
    }
    let absent = cold(&Arc::new(MemoryStore::new()));
    check(&absent, "absent").await;
}

#[tokio::test]
async fn messages_added_meanwhile_do_not_change_the_text() {
    let (store, _sessions, chat) = filled(1500, 1000).await;
    let (_, expected) = chat.get_state_json().await.unwrap();
    for turn in 0..2 {
        let mut parts = chat.state_parts().await.unwrap();
        let (version, mut text) = (parts.version(), Vec::new());
        let before = chat.get_state_json().await.unwrap().1;
        let mut n = 0;
        while let Some(part) = parts.next().await.unwrap() {
            text.extend_from_slice(&part);
            n += 1;
            // A message; then one with the app's state, as an app that answers does.
            chat.add_message(Message::user("meanwhile")).await.unwrap();
            if turn == 1 {
                chat.turn(|draft| {
                    draft.add_message(Message::assistant("answer"))?;
                    draft.app_mut()?.set("n", &n).unwrap();
                    Ok(())
                })
                .await
                .unwrap();
                // And messages that are given already, or in memory: an edit, a reply that grows.
                chat.replace(2, Message::user(format!("edited {n}"))).await.unwrap();
                chat.replace(1500, Message::user(format!("grown {n}"))).await.unwrap();
            }
            assert_eq!(parts.version(), version);
        }
        assert!(n > 3, "{n} parts");
        assert!(text == before.as_bytes(), "turn {turn}: another text");
    }
    // Another registry over the same store adds.
    let mut parts = chat.message_parts().await.unwrap();
    let first = parts.next().await.unwrap().unwrap();
    cold(&store).add_message(Message::user("elsewhere")).await.unwrap();
    let (rest, _) = joined(parts).await.unwrap();
    assert!(first.len() + rest.len() > expected.len() / 2);
}

#[tokio::test]
async fn a_rewrite_of_unread_messages_ends_the_reading() {
    for rewrite in [
        "replace",
        "pop",
        "remove",
        "rewind",
        "forget",
        "reset",
        "delete",
        "again",
        "elsewhere",
        "unknown",
    ] {
        let (store, _sessions, chat) = filled(1500, 1000).await;
        for round in 0..2 {
            let mut parts = chat.state_parts().await.unwrap();
            parts.next().await.unwrap().unwrap();
            let other = cold(&store);
            match rewrite {
                "replace" => {
                    chat.replace(700, Message::user(format!("other {round}"))).await.unwrap();
                }
                "pop" => drop(chat.pop().await.unwrap()),
                "remove" => chat.remove(700).await.unwrap(),
                "rewind" => chat.rewind_to(1400).await.unwrap(),
                "forget" => chat.forget_before(5).await.unwrap(),
                "reset" => chat.reset().await.unwrap(),
                "delete" => drop(chat.delete().await.unwrap()),
                "again" => {
                    chat.delete().await.unwrap();
                    chat.add_message(Message::user("anew")).await.unwrap();
                }
                "elsewhere" => {
                    other.replace(700, Message::user(format!("other {round}"))).await.unwrap();
                }
                // It may have been anything.
                _ => other
                    .update(|app: &mut JsonObject| app.set("x", &round).unwrap())
                    .await
                    .unwrap(),
            }
            let read = joined(parts).await;
            assert!(
                matches!(read, Err(Error::VersionChanged { .. })),
                "{rewrite}: {:?}",
                read.map(|_| ())
            );
            // Asked again, it is whole.
            check(&chat, rewrite).await;
            if !matches!(rewrite, "unknown" | "elsewhere" | "replace") {
                break;
            }
        }
    }
}
