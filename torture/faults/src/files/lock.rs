//! Entry 8e: opening a file again right after its store was dropped, and a backup over a file.

use crate::report::Report;
use anyhow::Result;
use durable_session::{ChatSessions, JsonObject, Message, SessionId};
use durable_session_redb::{OpenError, RedbStore, RedbStoreBuilder};
use std::path::Path;
use std::time::Duration;

const TIMES: usize = 50;

/// Stands in for `wait_for_lock` where the builder has no such option: an own method is preferred
/// to a trait's, so this method is called only on crates from before it.
#[allow(dead_code)]
trait Before: Sized {
    fn wait_for_lock(self, _: Duration) -> Lacking {
        Lacking
    }
}

impl Before for RedbStoreBuilder {}

struct Lacking;

trait Opens {
    fn at(self, path: &Path) -> Result<RedbStore, String>;
}

impl Opens for RedbStoreBuilder {
    fn at(self, path: &Path) -> Result<RedbStore, String> {
        self.open(path).map_err(|e| e.to_string())
    }
}

impl Opens for Lacking {
    fn at(self, _: &Path) -> Result<RedbStore, String> {
        Err("the builder has no wait_for_lock".to_owned())
    }
}

pub(crate) async fn play(report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    at_once(report, &folder.path().join("at-once.redb")).await?;
    waiting(report, &folder.path().join("waiting.redb")).await?;
    backup(report, folder.path()).await?;
    Ok(())
}

async fn used(store: &RedbStore) -> Result<()> {
    let sessions = ChatSessions::<JsonObject>::builder(store.clone()).build();
    sessions.session(SessionId::generate()?).add_message(Message::user("hello")).await?;
    Ok(())
}

async fn at_once(report: &mut Report, path: &Path) -> Result<()> {
    let mut refusals = Vec::new();
    for _ in 0..TIMES {
        match RedbStore::open(path) {
            Ok(store) => used(&store).await?,
            Err(error) => {
                refusals.push(error.to_string());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    let Some(text) = refusals.first() else {
        report.say(
            "8e",
            "opening right after a drop",
            true,
            format!("opened {TIMES} times of {TIMES}"),
        );
        return Ok(());
    };
    let names = text.contains(&*path.to_string_lossy());
    let explains = text.contains("background") || text.contains("wait_for_lock");
    let shown = text.replace(&*path.to_string_lossy(), "PATH");
    let seen = format!("refused {} times of {TIMES}: {shown}", refusals.len());
    report.say("8e", "the refusal names the path", names, &seen);
    report.say("8e", "the refusal says that dropping closes in the background", explains, &seen);
    Ok(())
}

async fn waiting(report: &mut Report, path: &Path) -> Result<()> {
    let mut refused = Vec::new();
    for _ in 0..TIMES {
        match RedbStore::builder().wait_for_lock(Duration::from_secs(10)).at(path) {
            Ok(store) => used(&store).await?,
            Err(error) => refused.push(error),
        }
    }
    let first = refused.first().cloned().unwrap_or_default();
    let seen = format!("refused {} times of {TIMES} {first}", refused.len());
    report.say("8e", "wait_for_lock, right after a drop", refused.is_empty(), seen);

    let held = RedbStore::open(folder_file(path, "held.redb"))?;
    let began = std::time::Instant::now();
    let time = Duration::from_millis(300);
    let second = RedbStore::builder().wait_for_lock(time).at(&folder_file(path, "held.redb"));
    let took = began.elapsed();
    let right = second.is_err() && took >= time && took < time * 10;
    let text = second.err().unwrap_or_else(|| "it opened".to_owned());
    let text = text.replace(&*path.with_file_name("").to_string_lossy(), "");
    report.say(
        "8e",
        "wait_for_lock of a file that stays open ends",
        right,
        format!("after {took:.1?}: {text}"),
    );
    held.close().await?;
    Ok(())
}

fn folder_file(path: &Path, name: &str) -> std::path::PathBuf {
    path.with_file_name(name)
}

async fn backup(report: &mut Report, folder: &Path) -> Result<()> {
    let store = RedbStore::open(folder.join("original.redb"))?;
    let existing = folder.join("backup.redb");
    std::fs::write(&existing, "mine")?;
    let (right, seen) = match store.backup(&existing, |_| {}).await {
        Ok(()) => (false, "it overwrote the file".to_owned()),
        Err(error) => {
            let text = error.to_string();
            let later = text.contains("try again later") || text.contains("unavailable");
            let says = text.contains("exists");
            (says && !later, text.replace(&*folder.to_string_lossy(), "FOLDER"))
        }
    };
    report.say("8e", "a backup over an existing file", right, seen);
    store.close().await?;
    match RedbStore::open(folder) {
        Err(error @ OpenError::IsDirectory { .. }) => {
            let text = error.to_string();
            let names = text.contains(&*folder.to_string_lossy());
            report.say(
                "8e",
                "opening a folder",
                names,
                text.replace(&*folder.to_string_lossy(), "FOLDER"),
            );
        }
        other => report.say("8e", "opening a folder", false, format!("{other:?}")),
    }
    Ok(())
}
