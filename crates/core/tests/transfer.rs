//! Export and import between stores, also while they are in use and after an interruption.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use common::ManualClock;
use common::{Fault, Puppet, id, texts};
use durable_session::env::SystemRandom;
use durable_session::store::{LoadQuery, SessionStore, StoreErrorKind, TailBounds};
use durable_session::transfer::{
    self, EARLIEST_MS, Export, FUTURE_MS, Import, ImportError, ImportOptions, ImportReport,
    LastUse, TimeUnit,
};
use durable_session::{ChatSessions, JsonObject, Message};
use durable_session_memory::MemoryStore;

fn over(store: &MemoryStore) -> ChatSessions<JsonObject> {
    ChatSessions::builder(store.clone()).build()
}

/// The time of the import.
const NOW: u64 = 1_764_000_000_000;

fn options() -> ImportOptions {
    ImportOptions::new(ManualClock::at(NOW), SystemRandom)
}

/// An imported session is the exported one.
fn copy() -> ImportOptions {
    ImportOptions::default().last_use(LastUse::Recorded)
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
async fn an_import_of_an_export_is_the_same() {
    let (from, to) = (MemoryStore::new(), MemoryStore::new());
    let sessions = over(&from);
    for i in 0..300 {
        let chat = sessions.session(id(&format!("s-{i}")));
        chat.add_messages(
            (0..i).map(|n| Message::user(format!("message {n}\n\"of\" {i} 😀"))).collect(),
        )
        .await
        .unwrap();
        chat.update(|app| app.set_json("big", "12345678901234567890123").unwrap()).await.unwrap();
    }
    let odd =
        Message::from_json("{ \"role\": \"tool\",\n \"content\": null, \"n\": 1.0 }").unwrap();
    sessions.session(id("s-\"odd\"")).add_message(odd).await.unwrap();
    let exported = lines(&from).await;
    assert_eq!(exported.len(), 301);
    assert!(exported.iter().all(|line| !line.contains('\n')));
    for line in &exported {
        transfer::import(&to, line, &copy()).await.unwrap();
        assert_eq!(
            transfer::import(&to, line, &copy()).await.unwrap().stored,
            0,
            "twice stores it once"
        );
    }
    assert_eq!(lines(&to).await, exported);
}

#[tokio::test]
async fn an_interrupted_import_goes_on_where_it_stopped() {
    let (from, to) = (MemoryStore::new(), Puppet::new());
    let chat = over(&from).session(id("s"));
    for _ in 0..3 {
        chat.add_messages((0..1000).map(|n| Message::user(format!("{n}"))).collect())
            .await
            .unwrap();
    }
    let line = transfer::export(&from, &id("s")).await.unwrap().unwrap();
    to.fail_commits(&[Fault::After]);
    assert!(matches!(transfer::import(&to, &line, &copy()).await, Err(ImportError::Store(_))));
    let imported = transfer::import(&to, &line, &copy()).await.unwrap();
    assert!(imported.found > 0 && imported.found + imported.stored == 3000, "{imported:?}");
    assert_eq!(transfer::export(&to, &id("s")).await.unwrap().unwrap(), line);
}

#[tokio::test]
async fn an_export_goes_on_after_a_session_that_cannot_be_read() {
    let store = Puppet::new();
    for name in ["a", "b", "c"] {
        over(&store.inner).session(id(name)).add_message(Message::user(name)).await.unwrap();
    }
    let mut export = Export::new(&store, &store.inner);
    let first = export.next().await.unwrap().unwrap();
    store.fail_loads(&[Fault::Before]);
    let second = export.next().await.unwrap_err();
    let third = export.next().await.unwrap().unwrap();
    assert!(
        first.contains("\"a\"") && second.session() == Some(&id("b")) && third.contains("\"c\"")
    );
    assert!(export.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_line_with_a_byte_order_mark_is_taken() {
    let to = MemoryStore::new();
    let marked = format!("\u{feff}{}\r\n", line("a", &said(&["1"]), TIME));
    assert_eq!(transfer::import(&to, &marked, &options()).await.unwrap().stored, 1);
}

#[tokio::test]
async fn an_import_never_touches_a_session_with_another_content() {
    let (from, to) = (MemoryStore::new(), MemoryStore::new());
    over(&from).session(id("s")).add_message(Message::user("theirs")).await.unwrap();
    let ours = over(&to).session(id("s"));
    ours.add_message(Message::user("ours")).await.unwrap();
    let line = transfer::export(&from, &id("s")).await.unwrap().unwrap();
    assert!(matches!(transfer::import(&to, &line, &copy()).await, Err(ImportError::Exists { .. })));
    assert_eq!(texts(&ours.get_state().await.unwrap().messages), ["ours"]);
}

/// An exported session with these messages, created and used at this JSON text of a time.
fn line(id: &str, messages: &str, time: &str) -> String {
    let times = format!(r#""createdAt":{time},"lastAccessedAt":{time}"#);
    format!(r#"{{"id":"{id}","state":{{"messages":[{messages}],"step":1,{times}}}}}"#)
}

fn said(texts: &[&str]) -> String {
    texts.iter().map(|text| Message::user(text).as_json().to_owned()).collect::<Vec<_>>().join(",")
}

/// Imports everything and tells the result for each session.
async fn import_all(to: &impl SessionStore, input: &str) -> (Vec<String>, ImportReport) {
    let mut import = Import::new(to, input.as_bytes(), options());
    let mut told = Vec::new();
    while let Some(outcome) = import.next().await {
        told.push(match outcome {
            Ok(taken) => format!("{}: taken", taken.position),
            Err(refused) => refused.to_string(),
        });
    }
    (told, import.report())
}

const TIME: &str = "1763264606917";

#[tokio::test]
async fn one_session_that_cannot_be_taken_does_not_stop_the_others_and_again_it_is_the_same() {
    let to = Puppet::new();
    let mut limits = to.inner.limits();
    limits.max_body_bytes = 1000;
    to.set_limits(limits);
    let of = |bytes: usize| said(&[&"x".repeat(bytes - Message::user("").bytes())]);
    let input = [
        line("a", &said(&["1", "2"]), TIME),
        line("large", &format!("{},{}", of(1000), of(1001)), TIME),
        line("a", &said(&["1", "other"]), TIME),
        line("a", &said(&["1", "2"]), TIME),
        line("fits", &of(1000), TIME),
        line("seconds", "", "1763264606"),
        "no json".to_owned(),
        line("last", "", TIME),
    ]
    .join("\r\n");
    let (told, report) = import_all(&to, &input).await;
    assert!(
        told[0].ends_with("taken") && told[3].ends_with("taken") && told[4].ends_with("taken"),
        "{told:?}"
    );
    assert!(
        told[1].contains("line 2: ")
            && told[1].contains("message 2 is 1001 bytes; the limit is 1000"),
        "{told:?}"
    );
    assert!(told[2].contains("line 3: ") && told[2].contains("other content"), "{told:?}");
    assert!(
        told[5].contains("line 6: `createdAt` is 1763264606, which looks like seconds"),
        "{told:?}"
    );
    assert!(told[6].contains("line 7: ") && told[6].contains("not JSON"), "{told:?}");
    assert_eq!(told[7], "line 8: taken");
    assert_eq!((report.taken, report.skipped, report.stored, report.found), (4, 4, 3, 2));
    assert!(report.ended && !report.is_complete());
    assert!(
        lines(&to.inner).await.iter().all(|line| !line.contains("large")),
        "nothing of it is stored"
    );
    let before = lines(&to.inner).await;

    let (again, report) = import_all(&to, &input).await;
    assert_eq!(again, told);
    assert_eq!((report.taken, report.skipped, report.stored, report.found), (4, 4, 0, 5));
    assert_eq!(lines(&to.inner).await, before);
}

#[tokio::test]
async fn a_longer_and_a_shorter_line_of_one_session_are_both_taken_again_and_again() {
    let to = MemoryStore::new();
    let input = [line("a", &said(&["1"]), TIME), line("a", &said(&["1", "2"]), TIME)].join("\n");
    for stored in [2, 0] {
        let (told, report) = import_all(&to, &input).await;
        assert_eq!((report.taken, report.stored), (2, stored), "{told:?}");
        assert!(report.is_complete());
    }
}

#[tokio::test]
async fn a_message_twice_in_one_session_stays_twice() {
    let to = MemoryStore::new();
    let twice = r#"{"role":"user","content":"x","id":"m"}"#;
    let input = line("a", &format!("{twice},{twice}"), TIME);
    for _ in 0..2 {
        assert!(import_all(&to, &input).await.1.is_complete());
    }
    assert_eq!(over(&to).session(id("a")).get_state().await.unwrap().messages.len(), 2);
}

#[tokio::test]
async fn an_array_is_imported_and_nothing_or_a_part_is_not_complete() {
    let session = |name: &str| line(name, &said(&["1"]), TIME);
    let array = format!("\u{feff}[\n{},\n{}]", session("a"), session("b"));
    let (told, report) = import_all(&MemoryStore::new(), &array).await;
    assert_eq!(told, ["element 1 (line 2): taken", "element 2 (line 3): taken"]);
    assert!(report.is_complete());
    for (part, taken, skipped) in [
        (String::new(), 0, 0),
        ("[]".to_owned(), 0, 0),
        (format!("[{},", session("a")), 1, 1),
        (format!("{}\n{}", session("a"), &session("b")[..30]), 1, 1),
        ("PK\u{3}\u{4}".to_owned(), 0, 1),
    ] {
        let (told, report) = import_all(&MemoryStore::new(), &part).await;
        assert_eq!((report.taken, report.skipped), (taken, skipped), "{told:?}");
        assert!(!report.is_complete(), "{part}");
    }
}

#[tokio::test]
async fn a_line_that_is_no_session_is_reported_without_its_text() {
    let messages = |list: &str| line("a", list, TIME);
    for (bad, reason) in [
        ("\"secret", "it is not JSON"),
        ("\"secret\"", "not a JSON object"),
        ("{\"secret\":1}", "not an object with `id` and `state`"),
        (r#"{"id":"secret","messages":[]}"#, "recorded conversation"),
        (r#"{"id":"secret","mapping":{}}"#, "ChatGPT"),
        (r#"{"conversations":[{"from":"human","value":"secret"}]}"#, "ShareGPT"),
        (r#"{"messages":[{"role":"user","content":"secret"}]}"#, "fine-tuning"),
        (r#"{"id":7,"state":{}}"#, "`id` is not a string"),
        (r#"{"id":"a/secret","state":{}}"#, "'/'"),
        (r#"{"id":"a","state":["secret"]}"#, "`state` is not an object"),
        (r#"{"id":"a","state":{"messages":[]}}"#, "no `createdAt`"),
        (&messages("7,\"secret\""), "message 1: "),
        (&messages(r#"{"role":"user"},{"role":"user","content":1}"#), "message 2: "),
        (&line("a", "", "\"secret\""), "`createdAt` is not a number"),
    ] {
        let error = transfer::import(&MemoryStore::new(), bad, &options()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(reason) && !text.contains("secret"), "{bad}: {text}");
        assert!(!error.is_general());
    }
}

#[tokio::test]
async fn times_are_taken_within_both_bounds_and_refused_beyond_them() {
    let with = |created: &str, used: &str| {
        let state = format!(r#"{{"messages":[],"createdAt":{created},"lastAccessedAt":{used}}}"#);
        format!(r#"{{"id":"a","state":{state}}}"#)
    };
    for good in [
        EARLIEST_MS.to_string(),
        format!("{TIME}.0"),
        NOW.to_string(),
        (NOW + FUTURE_MS).to_string(),
    ] {
        let to = MemoryStore::new();
        let recorded = options().last_use(LastUse::Recorded);
        transfer::import(&to, &with(&good, &good), &recorded).await.unwrap();
        let exported = transfer::export(&to, &id("a")).await.unwrap().unwrap();
        let whole = good.trim_end_matches(".0");
        let expected =
            with(whole, whole).replace(",\"state\"", &format!(",\"changedAt\":{whole},\"state\""));
        assert_eq!(exported, expected, "{good}");
    }
    for (bad, unit) in [
        ((EARLIEST_MS - 1).to_string(), TimeUnit::Seconds),
        ((NOW + FUTURE_MS + 1).to_string(), TimeUnit::Milliseconds),
        ("1763264606".to_owned(), TimeUnit::Seconds),
        ("1763264606.917".to_owned(), TimeUnit::Seconds),
        ("1763264606917000".to_owned(), TimeUnit::Microseconds),
        ("1763264606917000000".to_owned(), TimeUnit::Nanoseconds),
        ("18446744073709551615".to_owned(), TimeUnit::Nanoseconds),
    ] {
        for (line, field) in [(with(&bad, TIME), "createdAt"), (with(TIME, &bad), "lastAccessedAt")]
        {
            let to = MemoryStore::new();
            match transfer::import(&to, &line, &options()).await {
                Err(ImportError::Time(e)) => {
                    assert_eq!((e.field(), e.unit()), (field, Some(unit)), "{bad}");
                }
                other => unreachable!("{bad}: {other:?}"),
            }
            assert!(lines(&to).await.is_empty());
        }
    }
}

#[tokio::test]
async fn an_import_is_a_use_also_if_nothing_was_left_to_store() {
    let to = MemoryStore::new();
    let input = line("a", &said(&["1"]), TIME);
    let last_use = async || {
        let loaded = to
            .load(&id("a"), LoadQuery::new(TailBounds::new(1, 0)))
            .await
            .unwrap()
            .loaded()
            .unwrap();
        (loaded.head.created_at, loaded.head.last_accessed_at)
    };
    let recorded = options().last_use(LastUse::Recorded);
    transfer::import(&to, &input, &recorded).await.unwrap();
    assert_eq!(last_use().await, (1_763_264_606_917, 1_763_264_606_917));
    transfer::import(&to, &input, &options()).await.unwrap();
    assert_eq!(last_use().await, (1_763_264_606_917, NOW));
    transfer::import(&to, &input, &recorded).await.unwrap();
    assert_eq!(last_use().await.1, NOW, "it never goes back");
}

#[tokio::test]
async fn a_store_that_fails_ends_the_import_which_still_tells_what_was_taken() {
    let to = Puppet::new();
    let input: Vec<_> = (0..5).map(|n| line(&format!("s-{n}"), &said(&["1"]), TIME)).collect();
    let input = input.join("\n");
    let mut import = Import::new(&to, input.as_bytes(), options());
    assert!(import.next().await.unwrap().is_ok() && import.next().await.unwrap().is_ok());
    to.fail_loads(&[Fault::Before]);
    let refused = import.next().await.unwrap().unwrap_err();
    assert!(refused.error.is_general(), "{refused}");
    assert!(import.next().await.is_none());
    let report = import.report();
    assert_eq!(
        (report.taken, report.skipped, report.ended, report.is_complete()),
        (2, 1, false, false)
    );
    assert!(report.to_string().contains("the end of the input was not reached"), "{report}");

    let (_, report) = import_all(&to, &input).await;
    assert_eq!((report.stored, report.found), (3, 2));
    assert!(report.is_complete());
}

#[tokio::test]
async fn an_import_of_a_session_that_others_import_meanwhile_goes_on() {
    let to = Puppet::new();
    let many: Vec<_> = (0..3000).map(|n| n.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let input = line("a", &said(&many), TIME);
    let options = options();
    let both = tokio::join!(
        transfer::import(&to, &input, &options),
        transfer::import(&to, &input, &options)
    );
    let (a, b) = (both.0.unwrap(), both.1.unwrap());
    assert_eq!(a.stored + b.stored, 3000, "{a:?} {b:?}");
    assert_eq!(over(&to.inner).session(id("a")).get_state().await.unwrap().messages.len(), 3000);
}

#[tokio::test]
async fn damage_in_one_session_is_about_that_session_and_a_failing_store_is_not() {
    for (kind, general) in [
        (StoreErrorKind::TooLarge, false),
        (StoreErrorKind::Corrupt, false),
        (StoreErrorKind::Unavailable, true),
        (StoreErrorKind::OutcomeUnknown, true),
        (StoreErrorKind::Closed, true),
        (StoreErrorKind::Internal, true),
    ] {
        let error =
            ImportError::from(durable_session::store::StoreError::new(kind, "the test says so"));
        assert_eq!(error.is_general(), general, "{kind:?}");
    }
}
