//! App state that changes its shape between releases, as `docs/operations.md` advises.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use durable_session::{AppState, ChatSession, ChatSessions, Message, MessageQuery, SessionId};
use durable_session_redb::RedbStore;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The app state that the last release stored.
const LAST_RELEASE: &str =
    r#"{"step":"email","topic":"python","bookingInfo":{"email":"a@b.c"},"searches":3}"#;

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Last {
    step: String,
    topic: String,
    booking_info: Option<serde_json::Value>,
    searches: u32,
}

/// `topic` has become a list, `searches` is gone, `language` is new.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct This {
    step: String,
    #[serde(deserialize_with = "one_or_many")]
    topic: Vec<String>,
    booking_info: Option<serde_json::Value>,
    language: Option<String>,
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Topic {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Topic::deserialize(deserializer)? {
        Topic::One(topic) => vec![topic],
        Topic::Many(topics) => topics,
    })
}

/// A release: opens the file with its own type of app state, works on the one session, and closes.
async fn release<A: AppState, T>(file: &Path, work: impl AsyncFnOnce(ChatSession<A>) -> T) -> T {
    let store = RedbStore::open(file).unwrap();
    let sessions = ChatSessions::<A>::builder(store.clone()).build();
    let done = work(sessions.session(SessionId::new("session-1").unwrap())).await;
    sessions.close().await.unwrap();
    store.close().await.unwrap();
    done
}

async fn left_by_the_last_release(file: &Path) {
    release::<Last, _>(file, async |chat| {
        chat.add_message(Message::user("hello")).await.unwrap();
        chat.update(|app| *app = serde_json::from_str(LAST_RELEASE).unwrap()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn this_release_reads_the_app_state_of_the_last_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.redb");
    left_by_the_last_release(&file).await;
    release::<This, _>(&file, async |chat| {
        let app = chat.get_state().await.unwrap().app;
        assert_eq!(
            (app.step.as_str(), app.topic, app.language),
            ("email", vec!["python".to_owned()], None)
        );
        chat.update(|app| app.language = Some("en".to_owned())).await.unwrap();
        // A key that only the last release has is kept.
        assert_eq!(
            chat.snapshot().await.unwrap().app_json().unwrap().get_json("searches"),
            Some("3")
        );
    })
    .await;
}

#[tokio::test]
async fn app_state_that_does_not_fit_is_an_error_and_messages_stay_usable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.redb");
    left_by_the_last_release(&file).await;
    release::<This, _>(&file, async |chat| {
        chat.update(|app| app.topic.push("rust".to_owned())).await.unwrap();
    })
    .await;

    // Back to the last release, which expects one topic.
    release::<Last, _>(&file, async |chat| {
        let error = chat.update(|app| app.searches += 1).await.unwrap_err();
        assert!(matches!(error, durable_session::Error::AppState { .. }), "{error}");
        chat.add_message(Message::user("still here")).await.unwrap();
        assert_eq!(chat.messages(MessageQuery::last(9)).await.unwrap().messages.len(), 2);
    })
    .await;
    release::<This, _>(&file, async |chat| {
        assert_eq!(chat.get_state().await.unwrap().app.topic, ["python", "rust"]);
    })
    .await;
}
