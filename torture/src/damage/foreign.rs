//! Files that are no stores: refused, and left as they are.

use crate::campaign::Tally;
use anyhow::{Context, Result, ensure};
use durable_session::{ChatSessions, Message, SessionId};
use durable_session_redb::{OpenError, RedbStore};
use futures_executor::block_on;
use redb::{Database, ReadableDatabase, TableDefinition};
use std::path::Path;

pub(super) fn check(tally: &mut Tally) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("foreign");
    let random: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(10_000).collect();
    let mut sqlite = b"SQLite format 3\0".to_vec();
    sqlite.resize(8192, 0);
    for content in [&b""[..], b"text", &[0; 4096], &random, &sqlite, b"redb\x1A\x0A\xA9\x0D\x0A"] {
        std::fs::write(&path, content)?;
        refused(&path)?;
        tally.add("foreign", 1);
    }
    refused(folder.path())?;
    let other = folder.path().join("other.redb");
    let theirs = TableDefinition::<u64, u64>::new("theirs");
    let db = Database::create(&other)?;
    let txn = db.begin_write()?;
    txn.open_table(theirs)?.insert(1, 2)?;
    txn.commit()?;
    drop(db);
    // redb notes in its header that a file is open, so its bytes change; its tables must not.
    ensure!(
        matches!(RedbStore::open(&other), Err(OpenError::ForeignDatabase)),
        "another's database was opened"
    );
    let db = Database::open(&other)?;
    let txn = db.begin_read()?;
    ensure!(txn.list_tables()?.count() == 1, "another's database has new tables");
    ensure!(
        txn.open_table(theirs)?.get(1)?.is_some_and(|row| row.value() == 2),
        "its content changed"
    );
    no_file_beside_a_log(&folder.path().join("lost.redb"))?;
    tally.add("foreign", 3);
    Ok(())
}

/// If the file is gone and its log is there, no new store takes its place.
fn no_file_beside_a_log(path: &Path) -> Result<()> {
    let store = RedbStore::open(path)?;
    let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
    block_on(sessions.session(SessionId::new("a")?).add_message(Message::user("hello")))?;
    drop(sessions);
    // As a killed process leaves it: the message is only in the log.
    let kept = tempfile::tempdir()?;
    for entry in std::fs::read_dir(path.parent().context("no folder")?)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("lost.redb-wal.") {
            std::fs::copy(entry.path(), kept.path().join(entry.file_name()))?;
        }
    }
    block_on(store.close())?;
    let lost = kept.path().join("lost.redb");
    let refused = RedbStore::open(&lost);
    ensure!(matches!(refused, Err(OpenError::FileMissing { .. })), "{refused:?}");
    ensure!(!lost.exists(), "a file was made beside the log of another");
    Ok(())
}

fn refused(path: &Path) -> Result<()> {
    let before = std::fs::read(path).ok();
    let error = RedbStore::open(path).err().with_context(|| format!("{before:.80?} was opened"))?;
    ensure!(!matches!(error, OpenError::AlreadyOpen { .. }), "{error}");
    let after = std::fs::read(path).ok();
    ensure!(before == after, "a foreign file was changed, though refused: {error}");
    Ok(())
}
