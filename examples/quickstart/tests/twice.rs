//! The README's program, run as the README says.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;

fn run(folder: &Path) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_quickstart")).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_second_run_continues_the_history_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let first = "1 assistant: Hi! I can find you a tutor.\n2 user: I want help with python\n";
    assert_eq!(run(folder.path()), format!("{first}asked 1 times\n"));
    assert_eq!(
        run(folder.path()),
        format!("{first}3 user: I want help with python\nasked 2 times\n")
    );
}

#[test]
fn the_readme_shows_this_program() {
    let readme = include_str!("../../../README.md");
    let program = include_str!("../src/main.rs");
    let (_, code) = program.split_once("\n\n").unwrap();
    assert!(
        readme.contains(&format!("```rust,no_run\n{code}```")),
        "README.md and src/main.rs differ"
    );
}
