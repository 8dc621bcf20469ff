//! Backup, verification, compaction.

use crate::support::{ALL, append, appends, commit, create, id};
use durable_session::store::{DeleteIf, Expect, SessionStore};
use durable_session_redb::{BackupError, OpenError, Progress, RedbStore};
use futures_executor::block_on;
use futures_util::FutureExt;
use std::fs;
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
