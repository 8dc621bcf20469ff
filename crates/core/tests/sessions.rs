//! App state, absence, bounds, reading, watching and expiry (C6, C8, C9, C10).
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use common::{Fault, ManualClock, Puppet, id, texts};
use durable_session::store::{
    ListQuery, LoadQuery, SessionList, SessionStore, TailBounds, Version,
};
use durable_session::{
    ChatSession, ChatSessions, Error, ErrorChain, Expiry, JsonObject, LimitKind, Limits, Memory,
    Message, MessageQuery, SessionChange, Watched, Window,
};
use futures_util::future::poll_immediate;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Tutoring {
    pending_match: Option<Match>,
    booking_step: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Match {
    tutor: String,
}

fn open(store: &Puppet) -> ChatSession {
    store.sessions().session(id("s"))
}

fn typed(store: &Puppet) -> ChatSession<Tutoring> {
    store.builder(ManualClock::at(1)).build().session(id("s"))
}

async fn app_text<A: durable_session::AppState>(chat: &ChatSession<A>) -> String {
    chat.snapshot().await.unwrap().app_json().unwrap().to_string()
}

/// Clause C6.
#[tokio::test]
async fn an_update_keeps_fields_that_the_type_does_not_know() {
    let store = Puppet::new();
    let stored = concat!(
        r#"{"newer":{"z":1,"a":12345678901234567890},"#,
        r#""pendingMatch":{"tutor":"Ada","score":0.5},"bookingStep":"x"}"#
    );
    open(&store).turn(|draft| draft.set_app_json(&stored.parse().unwrap())).await.unwrap();
    let chat = typed(&store);
    chat.update(|app| app.booking_step = "classes".into()).await.unwrap();
    let expected = stored.replace(r#""x""#, r#""classes""#);
    assert_eq!(
        app_text(&chat).await,
        expected,
        "also what is nested in fields that were not changed"
    );
    chat.update(|app| app.note = Some("n".into())).await.unwrap();
    chat.update(|app| app.note = None).await.unwrap();
    assert_eq!(app_text(&chat).await, expected, "a field that the type stops producing goes");
    let commits = store.commits().len();
    chat.update(|_| ()).await.unwrap();
    assert_eq!(store.commits().len(), commits, "an update that changes nothing writes nothing");
}

/// Clause C6.
#[tokio::test]
async fn messages_work_although_the_app_state_does_not_fit() {
    let store = Puppet::new();
    open(&store)
        .turn(|draft| draft.set_app_json(&r#"{"bookingStep":7}"#.parse().unwrap()))
        .await
        .unwrap();
    let chat = typed(&store);
    chat.add_message(Message::user("hi")).await.unwrap();
    assert_eq!(chat.messages(MessageQuery::last(9)).await.unwrap().messages.len(), 1);
    for e in
        [chat.get_state().await.map(|_| ()).unwrap_err(), chat.update(|_| ()).await.unwrap_err()]
    {
        assert!(matches!(e, Error::AppState { .. }), "{e}");
    }
    assert_eq!(app_text(&chat).await, r#"{"bookingStep":7}"#);
    assert!(chat.get_state_json().await.unwrap().1.contains(r#""bookingStep":7"#));
}

/// Clause C6.
#[tokio::test]
async fn app_state_that_is_no_object_or_uses_a_reserved_name_is_refused() {
    #[derive(Default, Serialize, Deserialize)]
    struct Reserved {
        #[serde(rename = "createdAt")]
        created_at: u64,
    }
    let store = Puppet::new();
    let numbers: ChatSessions<u32> = store.builder(ManualClock::at(1)).build();
    let reserved: ChatSessions<Reserved> = store.builder(ManualClock::at(1)).build();
    let e = numbers.session(id("s")).add_message(Message::user("x")).await.unwrap_err();
    assert!(ErrorChain(&e).to_string().contains("JSON object"), "{e:?}");
    let e = reserved.session(id("s")).add_message(Message::user("x")).await.unwrap_err();
    assert!(ErrorChain(&e).to_string().contains("createdAt"), "{e:?}");
    let chat = open(&store);
    let e = chat.update(|app| app.set("messages", &1).unwrap()).await.unwrap_err();
    assert!(ErrorChain(&e).to_string().contains("`messages`"), "{e:?}");
    assert!(!chat.snapshot().await.unwrap().exists());
}

/// Clause C7.
#[tokio::test]
async fn an_id_is_found_whether_its_message_is_in_memory_or_not() {
    let store = Puppet::new();
    let sessions: ChatSessions =
        store.builder(ManualClock::at(1)).window(Window { messages: 2, bytes: 10_000 }).build();
    let chat = sessions.session(id("s"));
    let message = |n: u8| Message::user("x").with_id(format!("{n}"));
    for n in 0..3 {
        assert!(!chat.add_message(message(n)).await.unwrap().replayed);
    }
    assert!(chat.add_message(message(1)).await.unwrap().replayed);
    let reordered = Message::from_json(r#"{ "id":"2", "content":"x", "role":"user" }"#).unwrap();
    assert_eq!(chat.add_message(reordered).await.unwrap().seq, 3, "JSON-equal is the same message");
    for (n, seq) in [("2", 3), ("0", 1)] {
        let reused = chat.add_message(Message::user("other").with_id(n)).await;
        assert!(matches!(reused, Err(Error::IdReused { seq: at, .. }) if at == seq));
    }
    assert_eq!(chat.add_message(message(0)).await.unwrap().seq, 1, "it is not in memory");
    chat.add_message(message(3)).await.unwrap();
    let tail = store
        .inner
        .load(&id("s"), LoadQuery::new(TailBounds::new(2, 10_000)))
        .await
        .unwrap()
        .loaded()
        .unwrap()
        .tail;
    let seqs: Vec<_> = chat.snapshot().await.unwrap().tail().map(|(seq, _)| seq).collect();
    assert_eq!(seqs, tail.iter().map(|row| row.seq).collect::<Vec<_>>());
}

/// Clause C8.
#[tokio::test]
async fn an_absent_session_reads_as_its_initial_state_and_is_written_by_its_first_change() {
    let store = Puppet::new();
    let sessions: ChatSessions<Tutoring> =
        store.builder(ManualClock::at(77)).greeting(Message::assistant("Hi!")).build();
    let chat = sessions.session(id("s"));
    let state = chat.get_state().await.unwrap();
    assert_eq!(
        (texts(&state.messages), state.app, state.created_at),
        (vec!["Hi!".to_owned()], Tutoring::default(), 77)
    );
    chat.reset().await.unwrap();
    assert!(store.commits().is_empty());
    assert!(store.list(&ListQuery::all(9)).await.unwrap().sessions.is_empty());
    assert_eq!(chat.add_message(Message::user("one")).await.unwrap().seq, 2);
    assert_eq!(store.commits().len(), 1);
    let (_, json) = open(&store).get_state_json().await.unwrap();
    assert_eq!(
        json,
        concat!(
            r#"{"messages":[{"role":"assistant","content":"Hi!"},"#,
            r#"{"role":"user","content":"one"}],"#,
            r#""pendingMatch":null,"bookingStep":"","createdAt":77,"lastAccessedAt":77}"#
        )
    );
    // Deleted, it is absent again, and the handle begins a new life of it.
    let version = chat.snapshot().await.unwrap().version();
    assert!(chat.delete().await.unwrap());
    assert!(!chat.delete().await.unwrap());
    assert_eq!(chat.get_state().await.unwrap().messages.len(), 1);
    chat.add_message(Message::user("again")).await.unwrap();
    let again = chat.snapshot().await.unwrap();
    assert_eq!(again.message_count(), 2);
    assert_ne!(again.version().map(Version::incarnation), version.map(Version::incarnation));
}

#[tokio::test]
async fn reset_goes_back_to_the_initial_state_and_seqs_go_on() {
    let store = Puppet::new();
    let sessions: ChatSessions =
        store.builder(ManualClock::at(1)).greeting(Message::assistant("Hi!")).build();
    let chat = sessions.session(id("s"));
    chat.update(|app| app.set("a", &1)).await.unwrap().unwrap();
    chat.add_message(Message::user("one")).await.unwrap();
    chat.reset().await.unwrap();
    let state = chat.get_state().await.unwrap();
    assert_eq!((texts(&state.messages), state.app.len()), (vec!["Hi!".to_owned()], 0));
    assert_eq!(chat.add_message(Message::user("two")).await.unwrap().seq, 4);
}

/// Clause C9.
#[tokio::test]
async fn every_limit_is_a_typed_error_that_changes_nothing() {
    let store = Puppet::new();
    let limits =
        Limits { message_bytes: 100, app_bytes: 20, session_messages: 3, session_bytes: 250 };
    let sessions: ChatSessions = store.builder(ManualClock::at(1)).limits(limits).build();
    let chat = sessions.session(id("s"));
    let limit = |e: Error| match e {
        Error::TooLarge { limit, .. } => limit,
        e => panic!("{e}"),
    };
    assert_eq!(
        limit(chat.add_message(Message::user("x".repeat(100))).await.unwrap_err()),
        LimitKind::MessageBytes
    );
    let app = chat.update(|app| app.set("a", &"y".repeat(30)).unwrap()).await;
    assert_eq!(limit(app.unwrap_err()), LimitKind::AppBytes);
    let big = || Message::user("x".repeat(60));
    chat.add_messages(vec![big(), big()]).await.unwrap();
    assert_eq!(limit(chat.add_message(big()).await.unwrap_err()), LimitKind::SessionBytes);
    chat.add_message(Message::user("")).await.unwrap();
    assert_eq!(
        limit(chat.add_message(Message::user("")).await.unwrap_err()),
        LimitKind::SessionMessages
    );
    assert_eq!(
        limit(chat.replace(3, Message::user("x".repeat(100))).await.unwrap_err()),
        LimitKind::MessageBytes
    );
    assert_eq!(limit(chat.replace(3, big()).await.unwrap_err()), LimitKind::SessionBytes);
    let messages = vec![Message::user(""); 4];
    assert_eq!(
        limit(chat.turn(|draft| draft.set_messages(&messages)).await.unwrap_err()),
        LimitKind::SessionMessages
    );
    assert_eq!(chat.get_state().await.unwrap().messages.len(), 3);
    assert_eq!(store.commits().len(), 2);
}

#[tokio::test]
async fn non_existing_seqs_are_typed_errors() {
    let store = Puppet::new();
    let chat = open(&store);
    chat.add_message(Message::user("one")).await.unwrap();
    for result in [
        chat.replace(0, Message::user("x")).await,
        chat.replace(2, Message::user("x")).await,
        chat.remove(9).await,
        chat.rewind_to(2).await,
        chat.forget_before(3).await,
    ] {
        assert!(matches!(result, Err(Error::NoSuchMessage { .. })), "{result:?}");
    }
    assert_eq!(store.commits().len(), 1);
}

/// Clause C9.
#[tokio::test]
async fn live_sessions_are_bounded_in_bytes_and_in_idle_time() {
    let store = Puppet::new();
    let clock = ManualClock::at(0);
    let memory = Memory { bytes: 50_000, idle: Duration::from_mins(1) };
    let sessions: ChatSessions = store.builder(clock.clone()).memory(memory).build();
    let handles: Vec<_> = (0..200).map(|i| sessions.session(id(&format!("s{i}")))).collect();
    for chat in &handles {
        clock.advance(1);
        chat.add_message(Message::user("x".repeat(500))).await.unwrap();
        assert!(sessions.stats().live_bytes <= 52_000, "{}", sessions.stats().live_bytes);
    }
    let live = sessions.stats().live_sessions;
    assert!((10..=50).contains(&live), "{live}");
    for chat in &handles {
        assert_eq!(
            chat.get_state().await.unwrap().messages.len(),
            1,
            "evicted, not lost, though its handle was held"
        );
    }
    clock.advance(60_000);
    sessions.sweep(&store).await.unwrap();
    assert_eq!(sessions.stats().live_sessions, 0);
    drop(handles);
    assert_eq!(sessions.stats().slots, 0);
}

/// Clause C9.
#[tokio::test]
async fn the_sessions_used_last_stay_live() {
    let store = Puppet::new();
    let clock = ManualClock::at(0);
    let memory = Memory { bytes: 20_000, ..Memory::default() };
    let sessions: ChatSessions = store.builder(clock.clone()).memory(memory).build();
    let favourite = sessions.session(id("favourite"));
    favourite.add_message(Message::user("x")).await.unwrap();
    for i in 0..100 {
        clock.advance(1);
        sessions
            .session(id(&format!("s{i}")))
            .add_message(Message::user("x".repeat(500)))
            .await
            .unwrap();
        let loads = store.loads();
        clock.advance(1);
        favourite.snapshot().await.unwrap();
        assert_eq!(store.loads(), loads);
    }
}

/// Clause C9.
#[tokio::test]
async fn a_million_handles_on_absent_ids_store_nothing_and_leave_nothing() {
    let store = Puppet::new();
    let sessions: ChatSessions = store.sessions();
    let handles: Vec<_> = (0..1_000_000).map(|i| sessions.session(id(&i.to_string()))).collect();
    assert_eq!(sessions.stats().slots, 1_000_000);
    for chat in handles.iter().step_by(1000) {
        chat.get_state().await.unwrap();
    }
    drop(handles);
    let stats = sessions.stats();
    assert_eq!((stats.slots, stats.live_sessions, stats.live_bytes), (0, 0, 0));
    assert!(store.commits().is_empty());
    assert!(store.list(&ListQuery::all(1)).await.unwrap().sessions.is_empty());
}

/// Clause C9.
#[tokio::test]
async fn a_whole_state_is_of_one_version_although_it_is_read_in_pages() {
    let store = Puppet::new();
    let chat = open(&store);
    for batch in 0..4 {
        let messages = (0..1000).map(|i| Message::user(format!("{}", batch * 1000 + i))).collect();
        chat.add_messages(messages).await.unwrap();
    }
    let reads = store.reads();
    let state = chat.get_state().await.unwrap();
    assert!(store.reads() - reads >= 4);
    let expected: Vec<_> = (0..4000).map(|i| i.to_string()).collect();
    assert_eq!(texts(&state.messages), expected);
    // Another registry rewrites messages that this one has not read yet.
    let other = open(&store);
    other.replace(5, Message::user("edited")).await.unwrap();
    other.add_message(Message::user("4000")).await.unwrap();
    let state = chat.get_state().await.unwrap();
    assert_eq!((state.messages.len(), &*state.messages[4].text().unwrap()), (4001, "edited"));
    let page = chat.messages(MessageQuery::before(11, 4)).await.unwrap();
    assert_eq!(page.messages.iter().map(|m| m.seq).collect::<Vec<_>>(), [7, 8, 9, 10]);
    assert!(page.more);
    let page = chat.messages(MessageQuery::after(0, 10).max_bytes(1)).await.unwrap();
    assert_eq!((page.messages.len(), page.more), (1, true));
}

#[tokio::test]
async fn a_watcher_is_told_every_published_change() {
    let store = Puppet::new();
    let chat = open(&store);
    let mut watcher = chat.watch();
    assert!(poll_immediate(watcher.next()).await.is_none());
    let changed = |w: Watched| match w {
        Watched::Changed(change) => change,
        other => panic!("{other:?}"),
    };
    chat.add_messages(vec![Message::user("a"), Message::user("b")]).await.unwrap();
    let SessionChange { version, appended, rewritten, .. } = changed(watcher.next().await);
    assert_eq!(
        (version, appended, rewritten),
        (chat.snapshot().await.unwrap().version(), 1..3, false)
    );
    chat.update(|app| app.set("a", &1)).await.unwrap().unwrap();
    let change = changed(watcher.next().await);
    assert_eq!(
        (change.appended.is_empty(), change.app_changed, change.rewritten),
        (true, true, false)
    );
    chat.delete().await.unwrap();
    assert_eq!(changed(watcher.next().await).version, None);
    for i in 0..100 {
        chat.add_message(Message::user(format!("{i}"))).await.unwrap();
    }
    assert_eq!(watcher.next().await, Watched::Lagged { missed: 36 });
    assert_eq!(changed(watcher.next().await).appended, 37..38);
    // A change by another registry is told once this one reads it.
    let mut watcher = chat.watch();
    open(&store).add_message(Message::user("theirs")).await.unwrap();
    chat.add_message(Message::user("ours")).await.unwrap();
    assert_eq!(changed(watcher.next().await).appended, 101..102);
    assert_eq!(changed(watcher.next().await).appended, 102..103);
}

#[tokio::test]
async fn a_watcher_waits_for_a_change_made_elsewhere() {
    let store = Puppet::new();
    let chat = open(&store);
    let waiting = tokio::spawn({
        let mut watcher = chat.watch();
        async move { watcher.next().await }
    });
    tokio::task::yield_now().await;
    chat.add_message(Message::user("a")).await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Watched::Changed(_)));
}

/// Clause C10.
#[tokio::test]
async fn reads_keep_a_session_alive_without_a_write_each() {
    let store = Puppet::new();
    let clock = ManualClock::at(0);
    let expiry = Expiry::after(Duration::from_secs(10), Duration::from_secs(2)).unwrap();
    let sessions: ChatSessions = store.builder(clock.clone()).expiry(expiry).build();
    let chat = sessions.session(id("s"));
    chat.add_message(Message::user("x")).await.unwrap();
    for _ in 0..100 {
        clock.advance(100);
        chat.snapshot().await.unwrap();
    }
    assert_eq!(store.touches(), 5, "one per touch interval in ten seconds");
    // Used 1.9 s after the last touch, known to this registry alone: the sweep writes it before it
    // deletes.
    clock.advance(1_900);
    chat.snapshot().await.unwrap();
    clock.advance(8_500);
    let report = sessions.sweep(&store).await.unwrap();
    assert_eq!((report.touched, report.deleted, report.failed.len()), (1, 0, 0));
    clock.advance(1_500);
    assert_eq!(sessions.sweep(&store).await.unwrap().deleted, 1);
    assert!(!chat.snapshot().await.unwrap().exists());
}

/// Clause C10.
#[tokio::test]
async fn expiry_keeps_a_session_that_another_registry_just_used() {
    let store = Puppet::new();
    let clock = ManualClock::at(0);
    let expiry = Expiry::after(Duration::from_secs(10), Duration::from_secs(1)).unwrap();
    let sessions: ChatSessions = store.builder(clock.clone()).expiry(expiry).build();
    for name in ["used", "idle"] {
        sessions.session(id(name)).add_message(Message::user("x")).await.unwrap();
    }
    clock.advance(10_000);
    let other: ChatSessions = store.builder(clock.clone()).expiry(expiry).build();
    other.session(id("used")).snapshot().await.unwrap();
    assert_eq!(sessions.sweep(&store).await.unwrap().deleted, 1);
    assert!(other.session(id("used")).snapshot().await.unwrap().exists());
}

/// Clause C10.
#[tokio::test]
async fn a_touch_that_fails_does_not_fail_the_read_and_is_tried_again() {
    let store = Puppet::new();
    let clock = ManualClock::at(0);
    let sessions: ChatSessions =
        store.builder(clock.clone()).expiry(Expiry::never(Duration::from_secs(1))).build();
    let chat = sessions.session(id("s"));
    chat.add_message(Message::user("x")).await.unwrap();
    clock.advance(1_000);
    store.fail_touches(&[Fault::Before]);
    chat.snapshot().await.unwrap();
    chat.snapshot().await.unwrap();
    assert_eq!(store.touches(), 2);
    assert_eq!(chat.snapshot().await.unwrap().last_accessed_at(), 1_000);
}

/// Clause C10.
#[test]
fn a_time_to_live_below_two_touch_intervals_is_refused() {
    let second = Duration::from_secs(1);
    assert!(Expiry::after(second * 2, second).is_ok());
    let e = Expiry::after(second, second).unwrap_err();
    assert!(e.to_string().contains("at least two touch intervals"));
}

#[tokio::test]
async fn an_open_object_is_an_app_state_that_loses_nothing() {
    let store = Puppet::new();
    let chat = open(&store);
    let text = r#"{"b":null,"a":1.0,"big":123456789012345678901234567890}"#;
    chat.update(|app| *app = text.parse::<JsonObject>().unwrap()).await.unwrap();
    assert_eq!(app_text(&open(&store)).await, text);
    chat.update(|app| app.remove("b")).await.unwrap();
    assert_eq!(app_text(&open(&store)).await, r#"{"a":1.0,"big":123456789012345678901234567890}"#);
}

#[tokio::test]
async fn debug_output_names_the_session_and_no_contents() {
    let store = Puppet::new();
    let sessions: ChatSessions =
        store.builder(ManualClock::at(1)).greeting(Message::user("secret")).build();
    let chat = sessions.session(id("the-session"));
    chat.update(|app| app.set("secret", &"secret")).await.unwrap().unwrap();
    let draft = chat.turn(|draft| Ok(format!("{draft:?}"))).await.unwrap();
    let snapshot = chat.snapshot().await.unwrap();
    for printed in
        [format!("{chat:?}"), draft, format!("{snapshot:?}"), format!("{:?}", chat.watch())]
    {
        assert!(printed.contains(&chat.id().fingerprint().to_string()), "{printed}");
        assert!(!printed.contains("the-session") && !printed.contains("secret"), "{printed}");
    }
    assert!(format!("{sessions:?}").contains("live_sessions: 1"));
    let builder = store.builder::<JsonObject>(ManualClock::at(1)).greeting(Message::user("secret"));
    let printed = format!("{builder:?}");
    assert!(printed.contains("touch_interval") && !printed.contains("secret"), "{printed}");
}
