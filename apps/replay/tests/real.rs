//! The real conversations, where they lie beside the checkout or where `REPLAY_DATA` says.
//! Elsewhere the test says that it did not run, and counts as ignored.

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const FILE: &str = "chitchat-2000.jsonl.gz";

fn main() -> ExitCode {
    let folder = std::env::var_os("REPLAY_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let file = folder.join(FILE);
    let missing = !file.exists();
    if missing {
        println!(
            "note: not run: the real conversations ({FILE}) are not in shared/data beside the \
             checkout; REPLAY_DATA names another folder"
        );
    }
    let trial =
        Trial::test("two_thousand_real_conversations_are_replayed_without_a_fault", move || {
            replay(&file)
        });
    libtest_mimic::run(&Arguments::from_args(), vec![trial.with_ignored_flag(missing)]).exit_code()
}

fn replay(file: &Path) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let output = Command::new(env!("CARGO_BIN_EXE_replay"))
        .arg(file)
        .arg("--db")
        .arg(folder.path().join("real.redb"))
        .output()?;
    let printed = String::from_utf8(output.stdout)?;
    let last = printed.lines().last().unwrap_or_default();
    println!("{last}");
    let verified =
        "verified sessions=2000 messages=72941 lost=0 duplicated=0 reordered=0 appends_per_s=";
    if last.starts_with(verified) && last.ends_with(" skipped=0") && output.status.code() == Some(0)
    {
        return Ok(());
    }
    Err(format!("{last}\n{}", String::from_utf8_lossy(&output.stderr)).into())
}
