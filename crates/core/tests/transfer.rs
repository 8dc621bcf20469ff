//! Export and import between stores, also while they are in use and after an interruption.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use common::{Fault, Puppet, id, texts};
use durable_session::transfer::{self, Export, ImportError};
use durable_session::{ChatSessions, JsonObject, Message};
use durable_session_memory::MemoryStore;

fn over(store: &MemoryStore) -> ChatSessions<JsonObject> {
    ChatSessions::builder(store.clone()).build()
}

async fn lines(store: &MemoryStore) -> Vec<String> {
    let mut export = Export::new(store, store);
    let mut lines = Vec::new();
    while let Some(line) = export.next().await.unwrap() {
        lines.push(line);
    }
    lines
}

#[tokio::test]
async fn what_is_exported_and_imported_is_the_same() {
    let (from, to) = (MemoryStore::new(), MemoryStore::new());
    let sessions = over(&from);
    for i in 0..300 {
        let chat = sessions.session(id(&format!("s-{i}")));
        chat.add_messages((0..i).map(|n| Message::user(format!("message {n}\n\"of\" {i} 😀"))).collect())
            .await
            .unwrap();
        chat.update(|app| app.set_json("big", "12345678901234567890123").unwrap()).await.unwrap();
    }
    let odd = Message::from_json("{ \"role\": \"tool\",\n \"content\": null, \"n\": 1.0 }").unwrap();
    sessions.session(id("s-\"odd\"")).add_message(odd).await.unwrap();
    let exported = lines(&from).await;
    assert_eq!(exported.len(), 301);
    assert!(exported.iter().all(|line| !line.contains('\n')));
    for line in &exported {
        transfer::import(&to, line).await.unwrap();
        assert_eq!(transfer::import(&to, line).await.unwrap().stored, 0, "twice stores it once");
    }
    assert_eq!(lines(&to).await, exported);
}

#[tokio::test]
async fn an_interrupted_import_goes_on_where_it_stopped() {
    let (from, to) = (MemoryStore::new(), Puppet::new());
    let chat = over(&from).session(id("s"));
    for _ in 0..3 {
        chat.add_messages((0..1000).map(|n| Message::user(format!("{n}"))).collect()).await.unwrap();
    }
    let line = transfer::export(&from, &id("s")).await.unwrap().unwrap();
    to.fail_commits(&[Fault::After]);
    assert!(matches!(transfer::import(&to, &line).await, Err(ImportError::Store(_))));
    let imported = transfer::import(&to, &line).await.unwrap();
    assert!(imported.found > 0 && imported.found + imported.stored == 3000, "{imported:?}");
    assert_eq!(transfer::export(&to, &id("s")).await.unwrap().unwrap(), line);
}

#[tokio::test]
async fn an_import_never_touches_a_session_with_another_content() {
    let (from, to) = (MemoryStore::new(), MemoryStore::new());
    over(&from).session(id("s")).add_message(Message::user("theirs")).await.unwrap();
    let ours = over(&to).session(id("s"));
    ours.add_message(Message::user("ours")).await.unwrap();
    let line = transfer::export(&from, &id("s")).await.unwrap().unwrap();
    assert!(matches!(transfer::import(&to, &line).await, Err(ImportError::Exists { .. })));
    assert_eq!(texts(&ours.get_state().await.unwrap().messages), ["ours"]);
    for bad in ["", "{}", "[]", r#"{"id":"a/b","state":{"messages":[],"createdAt":1,"lastAccessedAt":1}}"#] {
        assert!(matches!(transfer::import(&to, bad).await, Err(ImportError::NotASession(_))), "{bad}");
    }
}
