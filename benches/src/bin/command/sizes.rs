//! Each command on a small and on a large store.

use crate::program::{self, Took};
use crate::{Common, conversations};
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};

/// Commands that read a store, and then those that change it. `NEW` is a file that is not there.
const COMMANDS: [&[&str]; 11] = [
    &["list"],
    &["list", "--owner", "u-1"],
    &["show", FIRST],
    &["stats"],
    &["export", "-o", NEW],
    &["verify"],
    &["backup", NEW],
    &["salvage", NEW_STORE],
    &["sweep", "--idle", "90d"],
    &["compact"],
    &["erase", "--owner", "u-1"],
];
const FIRST: &str = "conversation-00000000";
const NEW: &str = "NEW";
const NEW_STORE: &str = "redb:NEW";

fn all(common: &Common, folder: &Path, conversations: usize) -> Result<Vec<Took>> {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder)?;
    let lines = folder.join("lines.jsonl");
    conversations::write(&lines, conversations)?;
    let (path, new) = (folder.join("chat.redb"), folder.join("new"));
    let store = format!("redb:{}", path.display());
    let mut all = vec![took(common, &store, &["import", &text(&lines), "--owner", "u-1"])?];
    let bytes = std::fs::metadata(&path)?.len();
    println!("{conversations} conversations, a file of {} MB", bytes / 1_000_000);
    for arguments in COMMANDS {
        let arguments: Vec<_> =
            arguments.iter().map(|argument| argument.replace(NEW, &text(&new))).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        all.push(took(common, &store, &arguments)?);
        remove(&new)?;
    }
    Ok(all)
}

fn took(common: &Common, store: &str, arguments: &[&str]) -> Result<Took> {
    let took = program::run(common, store, arguments)?;
    ensure!(took.code == Some(0), "{arguments:?} ended with {:?}", took.code);
    Ok(took)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Removes the file, and the log of a store.
fn remove(new: &Path) -> Result<()> {
    let Some(folder) = new.parent() else { return Ok(()) };
    for entry in std::fs::read_dir(folder)? {
        let path: PathBuf = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("new")) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "they are small numbers")]
pub(crate) fn run(common: &Common, conversations: usize) -> Result<()> {
    let small = all(common, &common.folder.join("small"), conversations)?;
    let large = all(common, &common.folder.join("large"), 10 * conversations)?;
    println!("| command | small: s | MiB | large: s | MiB | memory, large / small |");
    println!("|---|---|---|---|---|---|");
    let names = std::iter::once("import".to_owned())
        .chain(COMMANDS.iter().map(|command| command.join(" ")));
    for ((name, small), large) in names.zip(small).zip(large) {
        let mib = |took: Took| took.peak_kib as f64 / 1024.0;
        println!(
            "| {name} | {:.2} | {:.1} | {:.2} | {:.1} | {:.2} |",
            small.time.as_secs_f64(),
            mib(small),
            large.time.as_secs_f64(),
            mib(large),
            mib(large) / mib(small),
        );
    }
    Ok(())
}
