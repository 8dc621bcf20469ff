//! Backup, verification, compaction.

use crate::support::{ALL, append, appends, commit, create, id, in_child, run_in_child};
use durable_session::store::{DeleteIf, Expect, SessionStore, StoreErrorKind};
use durable_session_redb::{BackupError, OpenError, Progress, RedbStore};
use futures_executor::block_on;
use futures_util::FutureExt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use torture_disk::Disk;

#[test]
fn a_backup_of_a_running_store_is_a_store_of_that_moment() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path().join("chat.redb")).unwrap();
    block_on(async {
        let body = "z".repeat(10_000);
        let mut heads = Vec::new();
        for n in 0..20 {
            heads.push(create(&store, &id(&format!("s-{n}")), &[&body[..]; 60]).await);
        }
        store.delete(&id("s-3"), DeleteIf::Any).await.unwrap();

        // While the backup reports, the store is written: on the thread of the backup, so surely during it.
        let reports: Arc<Mutex<Vec<Progress>>> = Arc::default();
        let (seen, writer, first) = (Arc::clone(&reports), store.clone(), heads[0]);
        let report = move |progress: Progress| {
            let mut seen = seen.lock().unwrap();
            if seen.is_empty() {
                block_on(append(&writer, &id("s-0"), first.version, &["during"]));
                block_on(create(&writer, &id("later"), &["during"]));
            }
            seen.push(progress);
        };
        let copy = folder.path().join("backup.redb");
        store.backup(&copy, report).await.unwrap();
        let reports = reports.lock().unwrap().clone();
        assert!(reports.len() >= 3, "{reports:?}");
        assert!(reports.windows(2).all(|pair| pair[0].done <= pair[1].done));
        assert_eq!(reports.last().map(|last| last.done), reports.last().map(|last| last.total));

        let error = store.backup(&copy, |_| {}).await.unwrap_err();
        assert!(matches!(error, BackupError::Target(OpenError::Exists { .. })), "{error}");
        let advice = format!("{} exists already; choose another name or remove it", copy.display());
        assert_eq!(error.to_string(), advice);
        let other = folder.path().join("other.redb");
        store.backup(&other, |_| {}).await.unwrap();
        fs::remove_file(&other).unwrap();
        store.backup(&other, |_| {}).await.unwrap();
        fs::remove_file(&other).unwrap();

        let backup = RedbStore::open(&copy).unwrap();
        for (n, head) in heads.iter().enumerate() {
            let loaded = backup.load(&id(&format!("s-{n}")), ALL).await.unwrap();
            if n == 3 {
                assert!(loaded.is_none());
            } else {
                let loaded = loaded.unwrap();
                assert_eq!(loaded.head, *head);
                assert_eq!(loaded.tail.len(), 60);
            }
        }
        assert!(backup.load(&id("later"), ALL).await.unwrap().is_none());
        assert!(backup.verify(|_| {}).await.unwrap().damage.is_empty());
        // New sessions get numbers of their own there, too.
        create(&backup, &id("s-3"), &["new"]).await;
        assert_eq!(backup.verify(|_| {}).await.unwrap().sessions, 20);
        assert_eq!(store.load(&id("s-0"), ALL).await.unwrap().unwrap().tail.len(), 61);
        // Nothing half-made is left over.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    });
}

#[test]
fn a_backup_that_cannot_be_written_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::builder().open_backend(Disk::default().backend()).unwrap();
    let path = folder.path().join("no/such/folder/b.redb");
    let error = block_on(store.backup(&path, |_| {})).unwrap_err();
    assert!(matches!(error, BackupError::Target(OpenError::Io { .. })), "{error}");
    let parent = path.parent().unwrap();
    let advice = format!("the folder {} does not exist; create it first", parent.display());
    assert!(error.to_string().contains(&advice), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::create_dir_all(parent).unwrap();
    block_on(store.backup(&path, |_| {})).unwrap();
}

/// The limit on the size of files stands in for a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_backup_that_finds_no_room_says_so_and_the_store_goes_on() {
    let Some(folder) = in_child("FULL_TARGET") else {
        let folder = tempfile::tempdir().unwrap();
        return run_in_child(
            "copies::a_backup_that_finds_no_room_says_so_and_the_store_goes_on",
            "FULL_TARGET",
            folder.path().to_str().unwrap(),
            // In blocks of 512 bytes: 1 MiB. Without the signal, writes beyond it are errors.
            Some("trap '' XFSZ; ulimit -f 2048"),
        );
    };
    let path = Path::new(&folder).join("b.redb");
    let disk = Disk::default();
    let storage = disk.clone();
    let store = RedbStore::builder().open_storage(move || Ok(storage.backend())).unwrap();
    let body = "z".repeat(10_000);
    for n in 0..4 {
        let messages = if n == 0 { 5 } else { 50 };
        block_on(create(&store, &id(&format!("s-{n}")), &vec![&body[..]; messages]));
    }
    for _ in 0..3 {
        let error = block_on(store.backup(&path, |_| {})).unwrap_err();
        assert!(matches!(error, BackupError::Target(OpenError::Io { .. })), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("b.redb") && text.contains("there is no room for it"), "{text}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        // The store has nothing to do with it.
        assert_eq!(block_on(store.load(&id("s-0"), ALL)).unwrap().unwrap().tail.len(), 5);
    }
    assert_eq!(store.stats().reopened, 0);
    for n in 1..4 {
        block_on(store.delete(&id(&format!("s-{n}")), DeleteIf::Any)).unwrap();
    }
    block_on(store.backup(&path, |_| {})).unwrap();
}

#[test]
fn compaction_during_a_backup_is_refused_and_works_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path().join("chat.redb")).unwrap();
    block_on(create(&store, &id("s"), &["a"]));
    let compacted: Arc<Mutex<Vec<_>>> = Arc::default();
    let (seen, busy) = (Arc::clone(&compacted), store.clone());
    let report = move |_| seen.lock().unwrap().push(block_on(busy.compact()));
    block_on(store.backup(folder.path().join("b.redb"), report)).unwrap();
    let compacted = std::mem::take(&mut *compacted.lock().unwrap());
    let refused: Vec<_> = compacted.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(!refused.is_empty(), "{compacted:?}");
    for error in refused {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.to_string().contains("while a backup or a verification reads it"), "{error}");
    }
    block_on(store.compact()).unwrap();
}

#[test]
fn a_panic_of_the_progress_report_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::builder().open_backend(Disk::default().backend()).unwrap();
    block_on(create(&store, &id("s"), &["a"]));
    let copy = folder.path().join("b.redb");
    block_on(store.backup(&copy, |_| panic!("the host's own"))).unwrap();
    assert!(block_on(RedbStore::open(&copy).unwrap().load(&id("s"), ALL)).unwrap().is_some());
}

#[test]
fn compaction_gives_space_back_while_others_wait_and_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    let store = RedbStore::open(&path).unwrap();
    block_on(async {
        let body = "z".repeat(10_000);
        for n in 0..20 {
            create(&store, &id(&format!("s-{n}")), &[&body[..]; 40]).await;
        }
        for n in 0..19 {
            store.delete(&id(&format!("s-{n}")), DeleteIf::Any).await.unwrap();
        }
        let before = fs::metadata(&path).unwrap().len();
        let mut compacting = Box::pin(store.compact());
        let compacted = (&mut compacting).now_or_never();
        let created = Expect::Absent { created_at: 1 };
        let meanwhile = store.commit(&id("new"), commit(created, appends(&["new"]))).await;
        assert!(meanwhile.is_ok());
        assert!(match compacted {
            Some(compacted) => compacted.unwrap(),
            None => compacting.await.unwrap(),
        });
        let after = fs::metadata(&path).unwrap().len();
        assert!(after < before / 2, "{before} bytes before, {after} after");
        assert_eq!(store.load(&id("s-19"), ALL).await.unwrap().unwrap().tail.len(), 40);
        let verification = store.verify(|_| {}).await.unwrap();
        assert_eq!((verification.sessions, verification.messages), (2, 41));
        assert!(verification.damage.is_empty());
    });
}
