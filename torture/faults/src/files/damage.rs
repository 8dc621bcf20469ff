//! Entry 8a: the advice of an error works when it is followed.

use crate::report::Report;
use anyhow::{Context, Result, bail};
use durable_session::store::{ListQuery, LoadQuery, SessionList, SessionStore, TailBounds};
use durable_session::{ChatSessions, JsonObject, Message, SessionId};
use durable_session_redb::{OpenCheck, OpenError, RedbStore, RedbStoreBuilder};
use std::fs;
use std::path::{Path, PathBuf};

/// One flipped bit in each of so many places of each file.
const PLACES: u64 = 48;

/// A store's file and the segments of its log, by the ends of their names.
type Files = Vec<(String, Vec<u8>)>;

pub(crate) async fn play(report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("original.redb");
    let store = RedbStore::builder().log_bytes(64 << 10).memtable_bytes(16 << 10).open(&path)?;
    let sessions = ChatSessions::<JsonObject>::builder(store.clone()).build();
    for n in 0..40 {
        let chat = sessions.session(SessionId::new(format!("s-{n}"))?);
        for text in ["hello", "and", "goodbye"] {
            chat.add_message(Message::user(text.repeat(100))).await?;
        }
    }
    // As a crash leaves it: everything is synced, nothing was closed.
    let unclean = files_of(&path)?;
    sessions.close().await?;
    store.close().await?;
    let clean = files_of(&path)?;
    for (stop, files) in [("an unclean stop", &unclean), ("a clean stop", &clean)] {
        for file in 0..files.len() {
            let (right, seen) = flipped(files, file, folder.path()).await?;
            let part = if files[file].0.is_empty() { "the file" } else { "a segment" };
            report.say("8a", format!("one flipped bit in {part} after {stop}"), right, seen);
        }
        let mut lost = files.clone();
        lost.retain(|(end, _)| end.is_empty());
        let (right, seen) = follow(&lost, folder.path()).await?;
        report.say("8a", format!("a missing log after {stop}"), right, seen);
    }
    let mut lost = unclean.clone();
    lost.retain(|(end, _)| !end.is_empty());
    let (right, seen) = follow(&lost, folder.path()).await?;
    report.say("8a", "a missing file beside a log", right, seen);
    for (name, content) in [("an empty file", vec![]), ("a foreign file", vec![b'x'; 8192])] {
        let (right, seen) = follow(&vec![(String::new(), content)], folder.path()).await?;
        report.say("8a", name, right, seen);
    }
    Ok(())
}

fn files_of(path: &Path) -> Result<Files> {
    let name = path.file_name().context("no name")?.to_string_lossy().into_owned();
    let mut files = Vec::new();
    for entry in fs::read_dir(path.parent().context("no folder")?)? {
        let entry = entry?;
        if let Some(end) = entry.file_name().to_string_lossy().strip_prefix(&name) {
            files.push((end.to_owned(), fs::read(entry.path())?));
        }
    }
    files.sort();
    Ok(files)
}

/// Writes the files where nothing else is.
fn place(files: &Files, folder: &Path) -> Result<PathBuf> {
    let folder = folder.join("copy");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder)?;
    for (end, bytes) in files {
        fs::write(folder.join(format!("copy.redb{end}")), bytes)?;
    }
    Ok(folder.join("copy.redb"))
}

/// Flips a bit in one place after the other, and follows the advice of the refusals.
async fn flipped(files: &Files, file: usize, folder: &Path) -> Result<(bool, String)> {
    let (mut opened, mut refused, mut failed) = (0, 0, Vec::new());
    let used = files[file].1.iter().rposition(|&byte| byte != 0).unwrap_or(0) as u64;
    for place_number in 0..PLACES {
        // Not one page after the other, but into their middles.
        let at = usize::try_from(used * place_number / PLACES)? + 77;
        let mut files = files.clone();
        let Some(byte) = files[file].1.get_mut(at) else { continue };
        *byte ^= 4;
        if open(&place(&files, folder)?, &first()).await.is_ok() {
            opened += 1;
            continue;
        }
        refused += 1;
        let (right, seen) = follow(&files, folder).await?;
        if !right {
            failed.push(format!("at byte {at}: {seen}"));
        }
    }
    if opened + refused == 0 {
        bail!("no bit was flipped: this shows nothing");
    }
    let first = failed.first().cloned().unwrap_or_else(|| "the advice of all worked".to_owned());
    let seen = format!(
        "{PLACES} places, {opened} open, {refused} refused, advice of {} failed; {first}",
        failed.len()
    );
    Ok((failed.is_empty(), seen))
}

fn first() -> RedbStoreBuilder {
    RedbStore::builder().check(OpenCheck::First)
}

/// Opens the files and does all that the error advises, on copies, until they open or no more is
/// advised.
async fn follow(files: &Files, folder: &Path) -> Result<(bool, String)> {
    let Err(error) = open(&place(files, folder)?, &first()).await else {
        return Ok((true, "it opens".to_owned()));
    };
    let text = error.to_string();
    let mut worked = Vec::new();
    let failed = |error: OpenError| Ok((false, format!("{text:?}; done, and then: {error}")));
    if text.contains("open_read_only") {
        let path = place(files, folder)?;
        match first().open_read_only(&path) {
            Ok(store) => read(&store).await,
            Err(error) => return failed(error),
        };
        worked.push("open_read_only");
    }
    if text.contains("accept_missing_log(true)") {
        let mut without = files.clone();
        without.retain(|(end, _)| end.is_empty());
        let accepting = first().accept_missing_log(true);
        if let Err(error) = open(&place(&without, folder)?, &accepting).await {
            return failed(error);
        }
        worked.push("accept_missing_log(true)");
    }
    if text.contains("remove it") || text.contains("move the log away to create") {
        if let Err(error) = open(&place(&Files::new(), folder)?, &first()).await {
            return failed(error);
        }
        worked.push("removing it");
    }
    if text.contains("restore a backup") {
        let (whole, backup) = (folder.join("whole"), folder.join("backup"));
        for folder in [&whole, &backup] {
            let _ = fs::remove_dir_all(folder);
            fs::create_dir(folder)?;
        }
        let store = RedbStore::open(whole.join("whole.redb"))?;
        store.backup(backup.join("backup.redb"), |_| {}).await?;
        store.close().await?;
        let opened = open(&backup.join("backup.redb"), &first()).await;
        opened.context("a backup does not open")?;
        worked.push("a backup");
    }
    if worked.is_empty() {
        worked.push("it advises nothing to do");
    }
    Ok((true, format!("{text:?}; worked: {}", worked.join(", "))))
}

/// Opens the file with these options and reads all that it lists.
async fn open(path: &Path, builder: &RedbStoreBuilder) -> Result<usize, OpenError> {
    let store = builder.open(path)?;
    Ok(read(&store).await)
}

async fn read(store: &RedbStore) -> usize {
    let mut read = 0;
    if let Ok(page) = store.list(&ListQuery::all(1000)).await {
        for session in page.sessions {
            let query = LoadQuery::new(TailBounds::new(1000, 1 << 30));
            read += usize::from(store.load(&session.id, query).await.is_ok());
        }
    }
    // Closing a damaged file may fail; that is not checked here.
    let _ = store.close().await;
    read
}
