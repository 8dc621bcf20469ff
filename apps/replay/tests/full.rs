//! A store that fails in the middle of a run: the file may not grow beyond a limit.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Made, last_line, replay, verdict};
use std::process::Command;

#[test]
fn a_run_that_fails_in_the_middle_counts_its_messages_and_the_next_run_goes_on() {
    let made = Made::new(11, &[400; 12]);
    let folder = tempfile::tempdir().unwrap();
    let (file, db) = (folder.path().join("made.jsonl"), folder.path().join("made.redb"));
    std::fs::write(&file, made.lines()).unwrap();
    // The shell ignores the signal, so that writing beyond the limit is an error.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"", "sh", "3000"])
        .arg(env!("CARGO_BIN_EXE_replay"))
        .arg(&file)
        .arg("--db")
        .arg(&db)
        .args(["--in-flight", "3"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    let last = last_line(&output);
    let counts =
        last.strip_prefix("stopped sessions=").unwrap_or_else(|| unreachable!("{last}: {told}"));
    let messages = counts.split(' ').find_map(|word| word.strip_prefix("messages=")).unwrap();
    let messages: u64 = messages.parse().unwrap();
    assert!(messages > 0 && messages < made.messages() as u64, "{last}");
    assert!(last.ends_with(" skipped=0") && told.contains("replay: line "), "{last}: {told}");

    let output = replay(&file, &db).output().unwrap();
    assert_eq!(
        verdict(&output),
        format!(
            "verified sessions=12 messages={} lost=0 duplicated=0 reordered=0 skipped=0",
            made.messages()
        )
    );
    assert_eq!(output.status.code(), Some(0));
}
