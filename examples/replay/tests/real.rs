//! The real conversations, where they lie beside the checkout.

use std::path::Path;
use std::process::Command;

#[test]
fn two_thousand_real_conversations_are_replayed_without_a_fault() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/chitchat-2000.jsonl.gz");
    if !file.exists() {
        println!(
            "note: not run: the real conversations (shared/data/chitchat-2000.jsonl.gz) are not beside the checkout"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_replay"))
        .arg(file)
        .arg("--db")
        .arg(folder.path().join("real.redb"))
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let last = printed.lines().last().unwrap_or_default();
    println!("{last}");
    assert!(
        last.starts_with(
            "verified sessions=2000 messages=72941 lost=0 duplicated=0 reordered=0 appends_per_s="
        ),
        "{last}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success());
}
