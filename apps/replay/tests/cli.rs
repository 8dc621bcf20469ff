//! The program as a person uses it, on made-up conversations.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Made, replay, verdict, with_sessions};
use durable_session::{ChatSession, Message, SessionId};
use std::path::PathBuf;
use tempfile::TempDir;

struct Case {
    made: Made,
    file: PathBuf,
    db: PathBuf,
    _folder: TempDir,
}

impl Case {
    fn new() -> Self {
        let made = Made::new(7, &[3, 0, 40, 1, 700]);
        let folder = tempfile::tempdir().unwrap();
        let (file, db) = (folder.path().join("made.jsonl"), folder.path().join("made.redb"));
        std::fs::write(&file, made.lines()).unwrap();
        Self { made, file, db, _folder: folder }
    }

    /// Runs the program: the verdict without its rate, the exit code, and standard error.
    fn run(&self, arguments: &[&str]) -> (String, i32, String) {
        let output = replay(&self.file, &self.db).args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (verdict(&output), output.status.code().unwrap(), told)
    }

    /// Opens the database and changes the conversation of 40.
    async fn meddle(&self, change: impl AsyncFnOnce(ChatSession)) {
        let id = SessionId::new(self.made.ids[2].as_str()).unwrap();
        with_sessions(&self.db, async |sessions| change(sessions.session(id)).await).await;
    }
}

const FINE: &str = "verified sessions=5 messages=744 lost=0 duplicated=0 reordered=0 skipped=0";

#[test]
fn a_replay_is_verified_and_a_second_one_adds_nothing() {
    let case = Case::new();
    assert_eq!(case.run(&[]), (FINE.to_owned(), 0, String::new()));
    assert_eq!(case.run(&[]), (FINE.to_owned(), 0, String::new()));
}

#[test]
fn memory_and_a_single_call_in_flight_give_the_same() {
    let case = Case::new();
    assert_eq!(case.run(&["--store", "memory"]), (FINE.to_owned(), 0, String::new()));
    assert!(!case.db.exists());
    assert_eq!(case.run(&["--in-flight", "1"]), (FINE.to_owned(), 0, String::new()));
}

#[tokio::test]
async fn messages_removed_from_the_end_are_added_again() {
    let case = Case::new();
    case.run(&[]);
    case.meddle(async |session| {
        session.pop().await.unwrap();
        session.pop().await.unwrap();
    })
    .await;
    assert_eq!(case.run(&[]).0, FINE);
}

#[tokio::test]
async fn a_message_that_the_file_does_not_have_is_reported_and_fails() {
    let case = Case::new();
    case.run(&[]);
    case.meddle(async |session| {
        session.add_message(Message::user("not in the file")).await.unwrap();
    })
    .await;
    let (verdict, code, told) = case.run(&[]);
    assert_eq!(
        verdict,
        "verified sessions=5 messages=744 lost=0 duplicated=1 reordered=0 skipped=0"
    );
    assert_eq!(code, 1);
    assert!(
        told.contains("line 3: lost=0 duplicated=1") && !told.contains(&case.made.ids[2]),
        "{told}"
    );
}

#[tokio::test]
async fn an_altered_message_is_reported_and_fails() {
    let case = Case::new();
    case.run(&[]);
    case.meddle(async |session| {
        session.replace(5, Message::user("altered")).await.unwrap();
    })
    .await;
    let (verdict, code, told) = case.run(&[]);
    assert_eq!(
        verdict, "verified sessions=5 messages=744 lost=1 duplicated=1 reordered=0 skipped=0",
        "{told}"
    );
    assert_eq!(code, 1);
}

#[tokio::test]
async fn a_lost_message_outweighs_a_skipped_conversation_in_the_exit_code() {
    let case = Case::new();
    case.run(&[]);
    case.meddle(async |session| {
        session.remove(5).await.unwrap();
    })
    .await;
    std::fs::write(&case.file, format!("no json\n{}", case.made.lines())).unwrap();
    for _ in 0..2 {
        let (verdict, code, told) = case.run(&[]);
        assert_eq!(
            verdict,
            "verified sessions=5 messages=744 lost=1 duplicated=0 reordered=0 skipped=1"
        );
        assert_eq!(code, 1, "{told}");
    }
}

#[tokio::test]
async fn another_conversation_in_the_store_is_left_as_it_is_and_the_others_are_stored() {
    let case = Case::new();
    let theirs = Message::user("theirs");
    case.meddle(async |session| {
        session.add_message(theirs.clone()).await.unwrap();
    })
    .await;
    for _ in 0..2 {
        let (verdict, code, told) = case.run(&[]);
        assert_eq!(
            verdict,
            "verified sessions=4 messages=704 lost=0 duplicated=0 reordered=0 skipped=1"
        );
        assert_eq!(code, 2);
        assert!(told.contains("line 3: the store has another conversation under its id"), "{told}");
    }
    case.meddle(async |session| {
        assert_eq!(session.get_state().await.unwrap().messages, std::slice::from_ref(&theirs));
    })
    .await;
}

#[test]
fn unreadable_conversations_are_named_and_skipped_and_strict_adds_nothing() {
    let case = Case::new();
    std::fs::write(&case.file, format!("no json\n{}[]\n", case.made.lines())).unwrap();
    let (verdict, code, told) = case.run(&["--strict"]);
    assert_eq!((verdict.as_str(), code), ("", 2));
    assert!(
        told.contains("2 conversations cannot be read") && told.contains("nothing was added"),
        "{told}"
    );
    assert!(!case.db.exists());

    for _ in 0..2 {
        let (verdict, code, told) = case.run(&[]);
        assert_eq!((verdict, code), (FINE.replace("skipped=0", "skipped=2"), 2));
        assert!(told.contains("line 1: ") && told.contains("line 7: "), "{told}");
    }
    std::fs::write(&case.file, case.made.lines()).unwrap();
    assert_eq!(case.run(&["--strict"]), (FINE.to_owned(), 0, String::new()));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let case = Case::new();
    std::fs::remove_file(&case.file).unwrap();
    let (_, code, told) = case.run(&[]);
    assert!(code == 2 && told.contains("made.jsonl"), "{told}");
    std::fs::create_dir(&case.file).unwrap();
    let (_, code, told) = case.run(&[]);
    assert!(code == 2 && told.contains("made.jsonl"), "{told}");
}

#[test]
fn a_database_that_another_program_has_open_is_named() {
    let case = Case::new();
    let _held = durable_session_redb::RedbStore::open(&case.db).unwrap();
    let (_, code, told) = case.run(&[]);
    assert!(
        code == 2 && told.contains("another program has") && told.contains("made.redb"),
        "{told}"
    );
    assert!(!told.contains("wait_for_lock"), "this program has no such option: {told}");
}

#[test]
fn the_help_names_the_exit_codes() {
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_replay")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("Exit codes: 0 everything was stored"), "{help}");
}
