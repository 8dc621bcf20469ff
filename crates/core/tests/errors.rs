//! What errors tell: never an id, a message, app state or an unknown key, and each sentence of a
//! chain once.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Fault, Puppet, id};
use durable_session::env::RandomError;
use durable_session::json::JsonError;
use durable_session::store::{
    Commit, Expect, ListQuery, Op, SessionList, SessionStore, StoreError, StoreErrorKind,
    StoreLimits, Version,
};
use durable_session::{
    AppState, AppStateError, ChatSession, ChatSessions, Error, Expiry, InvalidMessage, JsonObject,
    Limits, Message, MessageQuery, SessionId, transfer,
};
use durable_session_memory::MemoryStore;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::Debug;
use std::time::Duration;

/// The capability to the session.
const ID: &str = "session-1-capability";
/// Texts that must not be told. All begin alike, so that one search finds them.
const TEXT: &str = "secret-diagnosis";
const KEY: &str = "secret-key";
const IDEMPOTENCY: &str = "secret-idempotency-key";
const NUMBER: &str = "9876543210";

fn assert_hidden(told: &str) {
    for hidden in [ID, "capability", "secret", "diagnosis", NUMBER] {
        assert!(!told.contains(hidden), "{hidden} is told: {told}");
    }
}

/// Every way in which an error is printed is free of these texts, and no error repeats its
/// source.
fn check<E: std::error::Error + Send + Sync + 'static>(error: E) -> String {
    assert_hidden(&format!("{error} {error:?} {error:#?}"));
    let error = anyhow::Error::new(error);
    let told = format!("{error:#}");
    assert_hidden(&format!("{told} {error:?} {error:#?}"));
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    for (i, text) in chain.iter().enumerate() {
        assert!(!text.is_empty(), "an empty text in {told}");
        for source in &chain[i + 1..] {
            assert!(!text.contains(source.as_str()), "a text repeats its source: {told}");
        }
    }
    for error in error.chain() {
        assert_hidden(&format!("{error:?}"));
    }
    told
}

fn show(value: &impl Debug) {
    assert_hidden(&format!("{value:?} {value:#?}"));
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Strict {
    count: u32,
    step: Step,
    list: Vec<u8>,
    day: Day,
}

#[derive(Debug, Default, Serialize, Deserialize)]
enum Step {
    #[default]
    First,
}

/// An app's own type with its own words.
#[derive(Debug, Default)]
struct Day;

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("monday")
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "monday" => Ok(Self),
            other => Err(D::Error::custom(format_args!(
                "invalid value: string {other}, expected {other}"
            ))),
        }
    }
}

/// States that are JSON and do not fit [`Strict`].
fn unfit_states() -> Vec<String> {
    vec![
        format!(r#"{{"count":"{TEXT}"}}"#),
        format!(r#"{{"count":{NUMBER}}}"#),
        format!(r#"{{"count":{NUMBER}.5}}"#),
        format!(r#"{{"count":-{NUMBER}}}"#),
        format!(r#"{{"count":{{"{KEY}":"{TEXT}"}}}}"#),
        format!(r#"{{"{KEY}":1}}"#),
        format!(r#"{{"step":"{TEXT}"}}"#),
        format!(r#"{{"step":{{"{KEY}":null}}}}"#),
        format!(r#"{{"list":[1,"{TEXT}"]}}"#),
        format!(r#"{{"day":"{TEXT}"}}"#),
        format!(r#"{{"day":"{TEXT}, expected u32 at line 1 column 2"}}"#),
        format!(r#"{{"count":1,"{KEY}":1,"{KEY}":2}}"#),
    ]
}

fn sessions<A: AppState>(store: &MemoryStore) -> ChatSessions<A> {
    ChatSessions::builder(store.clone()).build()
}

/// A session whose app state is `app`, as another version of the service left it.
async fn stored(app: &str) -> MemoryStore {
    let store = MemoryStore::new();
    let ops = vec![Op::SetApp(app.to_owned().into())];
    store.commit(&id(ID), Commit::new(Expect::absent(1), ops, 1)).await.unwrap();
    store
}

#[tokio::test]
async fn stored_app_state_that_does_not_fit_is_not_told() {
    for app in unfit_states() {
        let store = stored(&app).await;
        let chat: ChatSession<Strict> = sessions(&store).session(id(ID));
        check(chat.get_state().await.unwrap_err());
        check(chat.update(|_| ()).await.unwrap_err());
        check(chat.turn(|draft| draft.app().map(drop)).await.unwrap_err());
        check(chat.snapshot().await.unwrap().app().unwrap_err());
        let given: JsonObject = app.parse().unwrap();
        let fresh: ChatSession<Strict> = sessions(&MemoryStore::new()).session(id(ID));
        check(fresh.turn(|draft| draft.set_app_json(&given)).await.unwrap_err());
    }
    for app in [format!("{{\"{KEY}\":\"{TEXT}\""), TEXT.to_owned(), format!("[\"{TEXT}\"]")] {
        let chat: ChatSession = sessions(&stored(&app).await).session(id(ID));
        check(chat.turn(|draft| draft.app_json().map(drop)).await.unwrap_err());
        check(chat.snapshot().await.unwrap().app_json().unwrap_err());
    }
}

#[tokio::test]
async fn a_field_of_the_type_that_does_not_fit_is_named() {
    let store = stored(&format!(r#"{{"{KEY}":1}}"#)).await;
    let chat: ChatSession<Strict> = sessions(&store).session(id(ID));
    let told = check(chat.get_state().await.unwrap_err());
    assert!(
        told.ends_with("app state does not fit the app's type: unknown field at line 1 column 13"),
        "{told}"
    );
    let store = stored(&format!(r#"{{"count":"{TEXT}"}}"#)).await;
    let chat: ChatSession<Strict> = sessions(&store).session(id(ID));
    let told = check(chat.get_state().await.unwrap_err());
    let expected = "type at its field `count`: found a string, expected u32 at line 1 column 27";
    assert!(told.ends_with(expected), "{told}");
}

#[test]
fn json_that_is_wrong_is_not_told() {
    let array = format!(r#"["{TEXT}",{NUMBER},true,null,"\ud83d\ude00"]"#);
    let whole =
        format!(r#"{{"role":"user","content":"{TEXT}","id":"{IDEMPOTENCY}","{KEY}":{array}}}"#);
    assert!(Message::from_json(whole.as_str()).is_ok());
    let mut wrong = 0;
    let mut both = |text: &str| {
        if let Err(e) = text.parse::<JsonObject>() {
            check(e);
            wrong += 1;
        }
        if let Err(e) = Message::from_json(text) {
            check(e);
        }
        if let Err(e) = JsonObject::new().set_json("a", text) {
            check(e);
        }
        if let Err(e) = serde_json::from_str::<durable_session::ChatSessionState>(text) {
            check(JsonError::from(e));
        }
    };
    for at in 0..whole.len() {
        both(&whole[..at]);
        for byte in ["\"", "\\", "{", "]", ",", "\u{1}", "x", "1", "é"] {
            both(&format!("{}{byte}{}", &whole[..at], &whole[at..]));
            both(&format!("{}{byte}{}", &whole[..at], &whole[at + 1..]));
        }
    }
    both(&format!("[\"{TEXT}\"]"));
    both(&format!("\"{TEXT}\""));
    both(&format!("{{\"role\":{{\"{KEY}\":\"{TEXT}\"}}}}"));
    both(&format!("{{\"role\":\"user\",\"content\":{NUMBER},\"{KEY}\":1}}"));
    both(&format!("{{\"{KEY}\":\"{TEXT}\\ud83d\"}}"));
    both(&format!("{}\"{TEXT}\"{}", "[".repeat(200), "]".repeat(200)));
    assert!(wrong > 500, "{wrong} texts were wrong");
}

#[test]
fn a_value_of_another_type_is_not_told() {
    let nested = format!(r#""o":{{"{KEY}":"{TEXT}"}},"a":["{TEXT}"],"b":true"#);
    let text = format!(r#"{{"role":"user","s":"{TEXT}","n":{NUMBER},"f":{NUMBER}.5,{nested}}}"#);
    let object: JsonObject = text.parse().unwrap();
    let message = Message::from_json(text).unwrap();
    let mut refused = 0;
    macro_rules! each {
        ($($wanted:ty),*) => {$(
            for key in ["s", "n", "f", "o", "a", "b"] {
                let errors =
                    [object.get::<$wanted>(key).err(), message.extra::<$wanted>(key).err()];
                for e in errors.into_iter().flatten() {
                    check(e);
                    refused += 1;
                }
            }
        )*};
    }
    each!(u8, i64, char, (), bool, Step, Strict, Day, Vec<u8>, [String; 2], SessionId, Message);
    assert!(refused >= 100, "{refused} were refused");
}

#[tokio::test]
async fn app_state_that_cannot_be_written_is_not_printed() {
    #[derive(Default, Deserialize)]
    struct Unwritable;
    impl Serialize for Unwritable {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom(format_args!("{TEXT} is no day")))
        }
    }
    #[derive(Default, Serialize, Deserialize)]
    struct Reserved {
        messages: u8,
    }
    check(JsonObject::new().set("a", &Unwritable).unwrap_err());
    check(Message::user(TEXT).with("a", &Unwritable).unwrap_err());
    let told = check(Message::user(TEXT).with("role", &1).unwrap_err());
    assert_eq!(told, "message has no `role` that is a string");
    let chat: ChatSession<Unwritable> = sessions(&MemoryStore::new()).session(id(ID));
    check(chat.add_message(Message::user(TEXT)).await.unwrap_err());
    let chat: ChatSession<Reserved> = sessions(&MemoryStore::new()).session(id(ID));
    let told = check(chat.add_message(Message::user(TEXT)).await.unwrap_err());
    assert!(told.contains("`messages`"), "{told}");
    let numbers: ChatSession<u8> = sessions(&MemoryStore::new()).session(id(ID));
    check(numbers.add_message(Message::user(TEXT)).await.unwrap_err());
}

#[tokio::test]
async fn refused_calls_name_their_session_by_its_fingerprint() {
    let limits =
        Limits { message_bytes: 400, app_bytes: 40, session_messages: 3, session_bytes: 600 };
    let StoreLimits { max_body_bytes, max_app_bytes, .. } = MemoryStore::DEFAULT_LIMITS;
    let store_limits = StoreLimits::new(max_body_bytes, max_app_bytes, 900, 6);
    let store = MemoryStore::with(durable_session::env::SystemRandom, store_limits);
    let sessions: ChatSessions = ChatSessions::builder(store).limits(limits).build();
    let chat = sessions.session(id(ID));
    let message = |text: &str| Message::user(format!("{TEXT}{text}"));
    let first = message("").with_id(IDEMPOTENCY);
    chat.add_message(first.clone()).await.unwrap();
    let version = chat.snapshot().await.unwrap().version();
    let filler = "x".repeat(300);
    let errors = [
        chat.add_message(message("other").with_id(IDEMPOTENCY)).await.unwrap_err(),
        chat.add_message(message(&filler).with("more", &filler).unwrap()).await.unwrap_err(),
        chat.add_messages(vec![message(&filler), message(&filler)]).await.unwrap_err(),
        chat.add_messages(vec![message("1"), message("2"), message("3")]).await.unwrap_err(),
        chat.update(|app| app.set(KEY, &filler).unwrap()).await.unwrap_err(),
        chat.replace(9, message("")).await.unwrap_err(),
        chat.remove(9).await.unwrap_err(),
        chat.rewind_to(9).await.unwrap_err(),
        chat.turn_if(None, |_| Ok(())).await.unwrap_err(),
        Error::Contended { session: id(ID) },
        {
            sessions.close().await.unwrap();
            chat.add_message(first).await.unwrap_err()
        },
    ];
    assert!(version.is_some());
    let fingerprint = id(ID).fingerprint().to_string();
    for error in errors {
        let told = check(error);
        assert!(told.contains(&fingerprint), "{told}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_app_is_told_once() {
    let chat: ChatSession = sessions(&MemoryStore::new()).session(id(ID));
    let refused =
        chat.turn(|_| Err::<(), _>(Error::rejected("the tutor is away"))).await.unwrap_err();
    assert_eq!(check(refused), "the change was refused; nothing was changed: the tutor is away");
}

#[tokio::test]
async fn failures_of_the_store_name_the_session_by_its_fingerprint() {
    for kind in [
        StoreErrorKind::Unavailable,
        StoreErrorKind::OutcomeUnknown,
        StoreErrorKind::TooLarge,
        StoreErrorKind::Corrupt,
        StoreErrorKind::Closed,
        StoreErrorKind::Internal,
    ] {
        let below = StoreError::new(kind, "the row does not match").in_session(&id(ID)).at_seq(7);
        let error = StoreError::new(kind, "reading").in_session(&id(ID)).with_source(below);
        check(error.clone());
        let told = check(Error::from(error));
        assert_eq!(told.matches(&id(ID).fingerprint().to_string()).count(), 2, "{told}");
    }
    let store = Puppet::new();
    let chat = store.sessions().session(id(ID));
    store.fail_commits(&[Fault::Before]);
    check(chat.add_message(Message::user(TEXT).with_id(IDEMPOTENCY)).await.unwrap_err());
}

#[tokio::test]
async fn a_line_that_is_not_imported_is_not_told() {
    let store = MemoryStore::new();
    let options = transfer::ImportOptions::default();
    let state = |more: &str| {
        let message = format!(r#"{{"role":"user","content":"{TEXT}"{more}}}"#);
        let times = r#""createdAt":1763264606917,"lastAccessedAt":1763264606918"#;
        format!(r#"{{"messages":[{message}],"{KEY}":"{TEXT}",{times}}}"#)
    };
    let line = |state: &str| format!(r#"{{"id":"{ID}","state":{state}}}"#);
    transfer::import(&store, &line(&state("")), &options).await.unwrap();
    for wrong in [
        line(&state(",\"x\":1")),
        line(&state("").replace("\"role\":\"user\"", &format!("\"role\":{NUMBER}"))),
        line(
            &state("").replace("\"createdAt\":1763264606917", &format!("\"createdAt\":\"{TEXT}\"")),
        ),
        line(&state("").replace("\"createdAt\":1763264606917", "\"createdAt\":98765.0")),
        line(&format!("\"{TEXT}\"")),
        line(&state("")).replace(ID, &format!("{ID}/{TEXT}")),
        line(&state("")).replace("\"id\"", &format!("\"{KEY}\"")),
        format!("{} {TEXT}", line(&state(""))),
        TEXT.to_owned(),
    ] {
        check(transfer::import(&store, &wrong, &options).await.unwrap_err());
    }
    let ruled = line(&state("").replace("\"role\"", "\"rule\""));
    let told = check(transfer::import(&store, &ruled, &options).await.unwrap_err());
    assert!(told.contains("message has no `role` that is a string"), "{told}");
}

#[test]
fn an_id_that_is_none_is_not_told() {
    for bad in [
        format!("{ID}/{TEXT}"),
        format!("{ID} {TEXT}"),
        format!("{ID}\u{0}"),
        format!("{ID}é"),
        ID.repeat(30),
        String::new(),
        ".".to_owned(),
    ] {
        check(SessionId::new(&bad).unwrap_err());
        check(JsonError::from(serde_json::from_str::<SessionId>(&format!("{bad:?}")).unwrap_err()));
    }
    check(format!("{ID}{}", "0".repeat(20)).parse::<Version>().unwrap_err());
    check(Expiry::after(Duration::from_secs(1), Duration::from_secs(1)).unwrap_err());
    check(RandomError::new("the device is gone"));
}

#[tokio::test]
async fn debug_shows_no_id_and_no_contents() {
    let store = MemoryStore::new();
    let sessions: ChatSessions = sessions(&store);
    let chat = sessions.session(id(ID));
    chat.turn(|draft| {
        draft.app_mut()?.set(KEY, TEXT).map_err(Error::rejected)?;
        draft.add_message(Message::user(TEXT).with_id(IDEMPOTENCY))?;
        show(draft);
        Ok(())
    })
    .await
    .unwrap();
    show(&id(ID));
    show(&chat);
    show(&chat.watch());
    show(&chat.snapshot().await.unwrap());
    show(&chat.get_state().await.unwrap());
    show(&chat.messages(MessageQuery::last(9)).await.unwrap());
    show(&chat.add_message(Message::new(TEXT, TEXT)).await.unwrap());
    show(&sessions);
    show(&store);
    show(&store.list(&ListQuery::all(9)).await.unwrap());
    show(&ListQuery::prefix(ID, 9));
    let mut export = transfer::Export::new(&store, &store);
    show(&export);
    assert!(export.next().await.unwrap().unwrap().contains(ID), "an export is data");
    show(&export);
    assert_eq!(format!("{chat:?}"), format!("ChatSession({})", id(ID).fingerprint()));
}

#[test]
fn the_source_of_an_error_can_be_found_by_its_type() {
    let error = Message::from_json("{").unwrap_err();
    assert!(matches!(error, InvalidMessage::Json(_)));
    assert!(std::error::Error::source(&error).unwrap().is::<JsonError>());
    assert!(matches!(
        AppStateError::from("x".parse::<JsonObject>().unwrap_err()),
        AppStateError::Unreadable(_)
    ));
}
