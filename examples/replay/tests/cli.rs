//! The program as a person uses it, on made-up conversations.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Made, last_line, replay, with_sessions};
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

    /// Runs the program: the verdict without its rate, whether it succeeded, and standard error.
    fn run(&self, arguments: &[&str]) -> (String, bool, String) {
        let output = replay(&self.file, &self.db).args(arguments).output().unwrap();
        let verdict = last_line(&output);
        let verdict = verdict.split(" appends_per_s").next().unwrap_or_default().to_owned();
        (verdict, output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Opens the database and changes the conversation of 40.
    async fn meddle(&self, change: impl AsyncFnOnce(ChatSession)) {
        let id = SessionId::new(self.made.ids[2].as_str()).unwrap();
        with_sessions(&self.db, async |sessions| change(sessions.session(id)).await).await;
    }
}

const FINE: &str = "verified sessions=5 messages=744 lost=0 duplicated=0 reordered=0";

#[test]
fn a_replay_is_verified_and_a_second_one_adds_nothing() {
    let case = Case::new();
    assert_eq!(case.run(&[]), (FINE.to_owned(), true, String::new()));
    assert_eq!(case.run(&[]), (FINE.to_owned(), true, String::new()));
}

#[test]
fn memory_and_a_single_call_in_flight_give_the_same() {
    let case = Case::new();
    assert_eq!(case.run(&["--store", "memory"]), (FINE.to_owned(), true, String::new()));
    assert!(!case.db.exists());
    assert_eq!(case.run(&["--in-flight", "1"]), (FINE.to_owned(), true, String::new()));
}

#[tokio::test]
async fn what_was_taken_from_the_end_is_added_again() {
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
async fn a_stranger_at_the_end_is_reported_and_fails() {
    let case = Case::new();
    case.run(&[]);
    case.meddle(async |session| {
        session.add_message(Message::user("not in the file")).await.unwrap();
    })
    .await;
    let (verdict, ok, told) = case.run(&[]);
    assert_eq!(verdict, "verified sessions=5 messages=744 lost=0 duplicated=1 reordered=0");
    assert!(!ok);
    assert!(told.contains(&case.made.ids[2]), "{told}");
}

#[tokio::test]
async fn an_altered_message_is_reported_and_fails() {
    let case = Case::new();
    case.run(&[]);
    case.meddle(async |session| {
        session.replace(5, Message::user("altered")).await.unwrap();
    })
    .await;
    let (verdict, ok, told) = case.run(&[]);
    assert_eq!(verdict, "verified sessions=5 messages=744 lost=1 duplicated=1 reordered=0", "{told}");
    assert!(!ok);
}

#[test]
fn malformed_lines_are_named_and_left_out_unless_strict() {
    let case = Case::new();
    std::fs::write(&case.file, format!("no json\n{}[]\n", case.made.lines())).unwrap();
    let (verdict, ok, told) = case.run(&["--strict"]);
    assert_eq!((verdict.as_str(), ok), ("", false));
    assert!(told.contains("nothing was added"), "{told}");
    assert!(!case.db.exists());

    let (verdict, ok, told) = case.run(&[]);
    assert_eq!((verdict.as_str(), ok), (FINE, true));
    assert!(told.contains("line 1: ") && told.contains("line 7: "), "{told}");
    assert!(told.contains("malformed lines, left out: 2"), "{told}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let case = Case::new();
    std::fs::remove_file(&case.file).unwrap();
    let (_, ok, told) = case.run(&[]);
    assert!(!ok && told.contains("made.jsonl"), "{told}");
}
