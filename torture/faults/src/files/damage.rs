//! Entry 8a: whatever an error advises works when it is followed.

use crate::report::Report;
use anyhow::{Context, Result, bail};
use durable_session::store::{ListQuery, SessionList, SessionStore, TailBounds};
use durable_session::{ChatSessions, JsonObject, Message, SessionId};
use durable_session_redb::{OpenError, RedbDurability, RedbStore};
use std::fs;
use std::path::{Path, PathBuf};

/// One flipped bit in each of so many places.
const PLACES: u64 = 48;

pub(crate) async fn play(report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (name, durability) in
        [("Immediate", RedbDurability::Immediate), ("QuickRecovery", RedbDurability::QuickRecovery)]
    {
        let path = folder.path().join(format!("{name}.redb"));
        let store = RedbStore::builder().durability(durability).open(&path)?;
        let sessions = ChatSessions::<JsonObject>::builder(store.clone()).build();
        for n in 0..40 {
            let chat = sessions.session(SessionId::new(format!("s-{n}"))?);
            for text in ["hello", "and", "goodbye"] {
                chat.add_message(Message::user(text.repeat(100))).await?;
            }
        }
        // As a crash leaves it: everything is synced, nothing was closed.
        let unclean = folder.path().join(format!("{name}-unclean.redb"));
        fs::copy(&path, &unclean)?;
        sessions.close().await?;
        store.close().await?;
        for (stop, file) in [("an unclean stop", &unclean), ("a clean stop", &path)] {
            let (right, seen) = flipped(file, folder.path()).await?;
            report.say("8a", format!("one flipped bit after {stop}, {name}"), right, seen);
        }
    }
    for (name, spoil) in spoilt() {
        let path = folder.path().join("spoilt.redb");
        let _ = fs::remove_file(&path);
        spoil(&path)?;
        let (right, seen) = follow(&path, folder.path()).await?;
        report.say("8a", name, right, seen);
    }
    Ok(())
}

type Spoil = fn(&Path) -> Result<()>;

fn spoilt() -> [(&'static str, Spoil); 2] {
    [
        ("an empty file", |path| Ok(fs::write(path, "")?)),
        ("a foreign file", |path| Ok(fs::write(path, [b'x'; 8192])?)),
    ]
}

/// Flips a bit in one place after the other, and follows what the refusals advise.
async fn flipped(file: &Path, folder: &Path) -> Result<(bool, String)> {
    let bytes = fs::read(file)?;
    let (mut opened, mut refused, mut failed) = (0, 0, Vec::new());
    for place in 0..PLACES {
        // Not one page after the other, but into their middles.
        let at = usize::try_from(bytes.len() as u64 * place / PLACES)? + 777;
        let mut bytes = bytes.clone();
        let Some(byte) = bytes.get_mut(at) else { continue };
        *byte ^= 4;
        let damaged = folder.join("damaged.redb");
        fs::write(&damaged, bytes)?;
        if open(&damaged, None, None).await.is_ok() {
            opened += 1;
            continue;
        }
        refused += 1;
        let (right, seen) = follow(&damaged, folder).await?;
        if !right {
            failed.push(format!("at byte {at}: {seen}"));
        }
    }
    if refused == 0 {
        bail!("no flipped bit of {PLACES} was refused: this shows nothing");
    }
    let first = failed.first().cloned().unwrap_or_else(|| "the advice of all worked".to_owned());
    let seen = format!(
        "{PLACES} places, {opened} open, {refused} refused, advice of {} failed; {first}",
        failed.len()
    );
    Ok((failed.is_empty(), seen))
}

/// Opens the file and does all that the error advises, on copies, until it opens or no more is advised.
async fn follow(path: &Path, folder: &Path) -> Result<(bool, String)> {
    let Err(error) = open(path, None, None).await else { return Ok((true, "it opens".to_owned())) };
    let text = error.to_string();
    let mut worked = Vec::new();
    let copy = || -> Result<PathBuf> {
        let copy = folder.join("copy.redb");
        fs::copy(path, &copy)?;
        Ok(copy)
    };
    if text.contains("verify_on_open(false)") {
        if let Err(error) = open(&copy()?, Some(false), None).await {
            return Ok((false, format!("{text:?}; done, and then: {error}")));
        }
        worked.push("verify_on_open(false)");
    }
    if text.contains("QuickRecovery") {
        let quick = Some(RedbDurability::QuickRecovery);
        if let Err(error) = open(&copy()?, Some(false), quick).await {
            return Ok((false, format!("{text:?}; done, and then: {error}")));
        }
        worked.push("QuickRecovery");
    }
    if text.contains("remove it") {
        let copy = copy()?;
        fs::remove_file(&copy)?;
        if let Err(error) = open(&copy, None, None).await {
            return Ok((false, format!("{text:?}; done, and then: {error}")));
        }
        worked.push("removing it");
    }
    if text.contains("restore a backup") {
        let (whole, backup) = (folder.join("whole.redb"), folder.join("backup.redb"));
        let _ = (fs::remove_file(&whole), fs::remove_file(&backup));
        let store = RedbStore::open(&whole)?;
        store.backup(&backup, |_| {}).await?;
        store.close().await?;
        open(&backup, None, None).await.context("a backup does not open")?;
        worked.push("a backup");
    }
    if worked.is_empty() {
        worked.push("it advises nothing to do");
    }
    Ok((true, format!("{text:?}; worked: {}", worked.join(", "))))
}

/// Opens the file with these settings and reads all that it lists.
async fn open(
    path: &Path,
    verify: Option<bool>,
    durability: Option<RedbDurability>,
) -> Result<usize, OpenError> {
    let mut builder = RedbStore::builder();
    if let Some(verify) = verify {
        builder = builder.verify_on_open(verify);
    }
    if let Some(durability) = durability {
        builder = builder.durability(durability);
    }
    let store = builder.open(path)?;
    let mut read = 0;
    if let Ok(page) = store.list(&ListQuery::all(1000)).await {
        for session in page.sessions {
            let tail = TailBounds { max_messages: 1000, max_bytes: 1 << 30 };
            read += usize::from(store.load(&session.id, tail).await.is_ok());
        }
    }
    // What a damaged file does as it closes is not asked here.
    let _ = store.close().await;
    Ok(read)
}
