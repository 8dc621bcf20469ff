//! Two `ChatSessions` over one store: each reads the state that it saw last (clause C2), and its
//! next change sees all (clause C5).
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{id, texts};
use durable_session::store::Version;
use durable_session::{ChatSession, ChatSessions, JsonObject, Memory, Message, MessageQuery};
use durable_session_memory::MemoryStore;
use std::time::Duration;

type Read = (Option<Version>, Vec<String>, String);

/// The state that every kind of read of this session shows: the same for all.
async fn read(chat: &ChatSession) -> Read {
    let snapshot = chat.snapshot().await.unwrap();
    let state = chat.get_state().await.unwrap();
    let shown = texts(&state.messages);
    let page = chat.messages(MessageQuery::last(100)).await.unwrap();
    let paged: Vec<Message> = page.messages.into_iter().map(|stored| stored.message).collect();
    let (version, json) = chat.get_state_json().await.unwrap();
    assert_eq!(texts(&paged), shown);
    assert_eq!((snapshot.version(), page.version), (version, version));
    assert!(
        json.contains(&format!("\"content\":\"{}\"", shown.last().cloned().unwrap_or_default()))
            || shown.is_empty()
    );
    (version, shown, state.app.to_string())
}

fn registry(store: &MemoryStore) -> ChatSessions {
    ChatSessions::builder(store.clone()).build()
}

/// One change of each kind.
async fn change(kind: usize, chat: &ChatSession) {
    match kind {
        0 => drop(chat.add_message(Message::user("theirs")).await.unwrap()),
        1 => chat.replace(1, Message::user("theirs")).await.unwrap(),
        2 => chat.remove(1).await.unwrap(),
        3 => chat.update(|app: &mut JsonObject| app.set("theirs", "1").unwrap()).await.unwrap(),
        4 => chat.reset().await.unwrap(),
        _ => assert!(chat.delete().await.unwrap()),
    }
}

#[tokio::test]
async fn reads_do_not_see_another_registrys_changes_until_the_next_write() {
    for kind in 0..6 {
        let store = MemoryStore::new();
        let (ours, theirs) = (registry(&store), registry(&store));
        let chat = ours.session(id("s"));
        chat.add_messages(vec![Message::user("one"), Message::user("two")]).await.unwrap();
        let before = read(&chat).await;

        change(kind, &theirs.session(id("s"))).await;
        assert_eq!(read(&chat).await, before, "kind {kind}: the docs promise no more");
        assert_eq!(
            read(&ours.session(id("s"))).await,
            before,
            "kind {kind}: nor does a new handle"
        );
        let stored = read(&registry(&store).session(id("s"))).await;
        assert_ne!(stored, before, "kind {kind}: the change is stored");

        let mut expected = stored.1;
        chat.add_message(Message::user("ours")).await.unwrap();
        expected.push("ours".to_owned());
        let after = read(&chat).await;
        assert_eq!((after.1.as_slice(), &after.2), (expected.as_slice(), &stored.2), "kind {kind}");
        assert_eq!(after, read(&registry(&store).session(id("s"))).await, "kind {kind}");
    }
}

#[tokio::test]
async fn a_session_that_is_loaded_again_shows_another_registrys_changes() {
    for kind in 0..6 {
        let store = MemoryStore::new();
        let ours: ChatSessions = ChatSessions::builder(store.clone())
            .memory(Memory { bytes: 0, idle: Duration::from_mins(10) })
            .build();
        let chat = ours.session(id("s"));
        chat.add_messages(vec![Message::user("one"), Message::user("two")]).await.unwrap();
        change(kind, &registry(&store).session(id("s"))).await;
        // Another session's change finds no room for this one.
        ours.session(id("other")).add_message(Message::user("x")).await.unwrap();
        assert!(ours.stats().evictions > 0);
        assert_eq!(
            read(&chat).await,
            read(&registry(&store).session(id("s"))).await,
            "kind {kind}"
        );
    }
}

#[tokio::test]
async fn debug_says_what_reads_see() {
    let sessions = registry(&MemoryStore::new());
    let told = format!("{sessions:?}");
    assert!(told.contains("another ChatSessions' after a change here or a load"), "{told}");
    assert!(!told.contains("make one and clone it"), "{told}");
    let replica = testkit::Database::new().replica();
    let shared: ChatSessions = ChatSessions::builder(replica).build();
    assert!(format!("{shared:?}").contains("reads: Current"), "{shared:?}");
}

#[tokio::test]
async fn several_registries_over_one_exclusive_store_are_told_to_be_one() {
    let store = MemoryStore::new();
    let first = registry(&store);
    let clone = first.clone();
    assert!(!format!("{clone:?}").contains("make one and clone it"), "a clone is the same one");
    let second = registry(&store);
    for sessions in [&first, &second] {
        let told = format!("{sessions:?}");
        assert!(told.contains("several over one exclusive store: make one and clone it"), "{told}");
    }
    drop(second);
    assert!(!format!("{first:?}").contains("make one and clone it"), "the other one is gone");
    let replica = testkit::Database::new().replica();
    let [one, _two] =
        [(); 2].map(|()| ChatSessions::<JsonObject>::builder(replica.clone()).build());
    assert!(
        !format!("{one:?}").contains("make one and clone it"),
        "a shared store may have several"
    );
}
