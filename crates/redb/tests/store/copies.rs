//! Backup, verification, compaction.

use crate::support::{
    ALL, Disks, append, appends, commit, create, id, in_child, run_in_child, salt_between, small,
};
use durable_session::store::{
    CommitOutcome, DeleteIf, DeleteOutcome, Expect, LoadOutcome, Salt, SessionStore, StoreErrorKind,
};
use durable_session_redb::{BackupError, OpenError, Progress, RedbStore};
use futures_executor::block_on;
use futures_util::FutureExt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

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

        // The report runs on the thread of the backup, so these writes happen during it.
        let reports: Arc<Mutex<Vec<Progress>>> = Arc::default();
        let (seen, writer, first) = (Arc::clone(&reports), store.clone(), heads[0]);
        let report = move |progress: Progress| {
            let mut seen = seen.lock().unwrap();
            if seen.is_empty() {
                block_on(append(&writer, &id("s-0"), first, &["during"]));
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
        let mut salt = None;
        for (n, head) in heads.iter().enumerate() {
            let loaded = backup.load(&id(&format!("s-{n}")), ALL).await.unwrap().loaded();
            if n == 3 {
                assert!(loaded.is_none());
            } else {
                let loaded = loaded.unwrap();
                let salt = *salt.get_or_insert_with(|| salt_between(loaded.head, *head));
                assert_eq!(loaded.head, head.salted(salt));
                assert_eq!(loaded.tail.len(), 60);
            }
        }
        assert_ne!(salt.unwrap(), Salt::NONE, "the copy has the versions of the store");
        assert!(backup.load(&id("later"), ALL).await.unwrap().loaded().is_none());
        assert!(backup.verify(|_| {}).await.unwrap().damage.is_empty());
        // New sessions get numbers of their own there, too.
        create(&backup, &id("s-3"), &["new"]).await;
        assert_eq!(backup.verify(|_| {}).await.unwrap().sessions, 20);
        assert_eq!(store.load(&id("s-0"), ALL).await.unwrap().loaded().unwrap().tail.len(), 61);
        // No incomplete file is left: two files with a segment of a log each.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    });
}

#[test]
fn a_backup_that_cannot_be_written_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Disks::default().open();
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
fn a_backup_on_a_full_disk_fails_and_the_store_goes_on() {
    let Some(folder) = in_child("FULL_TARGET") else {
        let folder = tempfile::tempdir().unwrap();
        return run_in_child(
            "copies::a_backup_on_a_full_disk_fails_and_the_store_goes_on",
            "FULL_TARGET",
            folder.path().to_str().unwrap(),
            // In blocks of 512 bytes: 1 MiB. Without the signal, writes beyond it are errors.
            Some("trap '' XFSZ; ulimit -f 2048"),
        );
    };
    let path = Path::new(&folder).join("b.redb");
    let store = Disks::default().reopenable(&small());
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
        // The store itself is well.
        assert_eq!(block_on(store.load(&id("s-0"), ALL)).unwrap().loaded().unwrap().tail.len(), 5);
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
    let store = Disks::default().open();
    block_on(create(&store, &id("s"), &["a"]));
    let copy = folder.path().join("b.redb");
    block_on(store.backup(&copy, |_| panic!("the host's own"))).unwrap();
    assert!(
        block_on(RedbStore::open(&copy).unwrap().load(&id("s"), ALL)).unwrap().loaded().is_some()
    );
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
        // Closing moves everything to the file.
        store.close().await.unwrap();
        let store = RedbStore::open(&path).unwrap();
        for n in 0..19 {
            store.delete(&id(&format!("s-{n}")), DeleteIf::Any).await.unwrap();
        }
        let before = fs::metadata(&path).unwrap().len();
        let mut compacting = Box::pin(store.compact());
        let compacted = (&mut compacting).now_or_never();
        let created = Expect::absent(1);
        let meanwhile = store.commit(&id("new"), commit(created, appends(&["new"]))).await;
        assert!(meanwhile.is_ok());
        assert!(match compacted {
            Some(compacted) => compacted.unwrap(),
            None => compacting.await.unwrap(),
        });
        let after = fs::metadata(&path).unwrap().len();
        assert!(after < before / 2, "{before} bytes before, {after} after");
        assert_eq!(store.load(&id("s-19"), ALL).await.unwrap().loaded().unwrap().tail.len(), 40);
        let verification = store.verify(|_| {}).await.unwrap();
        assert_eq!((verification.sessions, verification.messages), (2, 41));
        assert!(verification.damage.is_empty());
    });
}

/// A client that knows a commit which the copy lacks must not take a new commit for it.
#[test]
fn every_restored_copy_makes_new_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    block_on(async {
        let s = id("s");
        let store = RedbStore::open(path("chat.redb")).unwrap();
        let first = create(&store, &s, &["a"]).await;
        store.backup(path("copy.redb"), |_| {}).await.unwrap();
        let lost = append(&store, &s, first, &["lost"]).await;
        store.close().await.unwrap();
        for suffix in ["", "-wal."] {
            for entry in fs::read_dir(folder.path()).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if let Some(number) = name.strip_prefix(&format!("chat.redb{suffix}"))
                    && (suffix.is_empty() == number.is_empty())
                {
                    fs::copy(path(&name), path(&format!("plain.redb{suffix}{number}"))).unwrap();
                }
            }
        }
        let head =
            async |store: &RedbStore| store.load(&s, ALL).await.unwrap().loaded().unwrap().head;

        // The copy is restored twice: the first restoration is lost, too.
        let mut seen = vec![lost];
        for restored in ["one.redb", "two.redb"] {
            fs::copy(path("copy.redb"), path(restored)).unwrap();
            let store = RedbStore::open(path(restored)).unwrap();
            let before = head(&store).await;
            let outcome =
                store.commit(&s, commit(first.expect(), appends(&["by a stale client"]))).await;
            assert_eq!(outcome.unwrap(), CommitOutcome::Conflict { current: Some(before.version) });
            seen.push(append(&store, &s, before, &["other"]).await);
            store.close().await.unwrap();
            // Only the first opening makes new versions.
            let store = RedbStore::open(path(restored)).unwrap();
            assert_eq!(head(&store).await, seen[seen.len() - 1]);
            store.close().await.unwrap();
        }

        // A copy of the plain file keeps its versions unless it is declared to be restored.
        let store = RedbStore::open(path("plain.redb")).unwrap();
        assert_eq!(head(&store).await, lost);
        store.close().await.unwrap();
        let store = RedbStore::builder().restored(true).open(path("plain.redb")).unwrap();
        let again = head(&store).await;
        let outcome = store.load(&s, ALL.unless(lost.version)).await.unwrap();
        assert!(outcome.loaded().is_some(), "the lost version passes for the restored one");
        assert_eq!(
            store.load(&s, ALL.unless(again.version)).await.unwrap(),
            LoadOutcome::Unchanged
        );
        let stale = store.delete(&s, DeleteIf::Version(lost.version)).await.unwrap();
        assert_eq!(stale, DeleteOutcome::Conflict { current: again.version });
        seen.push(again);
        store.reopen().await.unwrap();
        assert_eq!(head(&store).await, again, "opening it again draws no other");
        store.close().await.unwrap();
        let store = RedbStore::open(path("plain.redb")).unwrap();
        assert_eq!(head(&store).await, again);
        for (n, one) in seen.iter().enumerate() {
            let life = one.version.incarnation().life();
            assert_eq!(life, first.version.incarnation().life());
            assert!(seen[..n].iter().all(|other| other.version != one.version), "{seen:?}");
        }
    });
}
