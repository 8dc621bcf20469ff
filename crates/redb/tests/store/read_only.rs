//! Opening for reading: of closed, killed and damaged stores, without writing a byte.

use crate::advice::{Stopped, stopped, whole};
use crate::damage::hush;
use crate::support::{ALL, Disks, appends, commit, create, id, killed_during, small, until};
use durable_session::SessionId;
use durable_session::store::{
    DeleteIf, Expect, ListQuery, SessionList, SessionStore, StoreErrorKind,
};
use durable_session_redb::{OpenCheck, OpenError, RedbStore};
use futures_executor::block_on;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use testkit::disk::{Disk, Files};

/// Writes a store to files.
fn write(disks: &Disks, path: &Path) {
    fs::write(path, disks.file.bytes()).unwrap();
    for (number, bytes) in disks.log.segments() {
        let name = format!("{}-wal.{number}", path.file_name().unwrap().display());
        fs::write(path.with_file_name(name), bytes).unwrap();
    }
}

/// All files of a folder: their bytes and times of change.
fn state(folder: &Path) -> Vec<(PathBuf, Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| {
            let changed = entry.metadata().unwrap().modified().unwrap();
            (entry.path(), fs::read(entry.path()).unwrap(), changed)
        })
        .collect();
    files.sort();
    files
}

/// A compaction replaces the last commit by one that redb finds to be incomplete after a kill. Then
/// redb goes back to the commit before, which has the same rows.
#[test]
fn a_kill_during_a_compaction_is_no_damage() {
    for_each_kill(
        |store| assert!(block_on(store.compact()).is_ok()),
        |_, killed, kept| {
            for how in [OpenCheck::Background, OpenCheck::First] {
                let killed = Disk::holding(killed.clone());
                let builder = small().check(how);
                has_all(&builder.open_backend(killed.backend(), killed.log()).unwrap(), kept);
            }
        },
    );
}

/// A scrub that was killed is run again, and leaves no deleted text.
#[test]
fn a_kill_during_a_scrub_is_no_damage() {
    for_each_kill(
        |store| block_on(store.scrub()).unwrap(),
        |at, killed, kept| {
            let killed = Disk::holding(killed.clone());
            let store = small().open_backend(killed.backend(), killed.log()).unwrap();
            if at % 4 == 0 {
                block_on(store.scrub()).unwrap();
                assert!(!killed.holds_durably("removed "));
            }
            has_all(&store, kept);
        },
    );
}

/// Lets the process be killed after each change of the files that `act` makes of a store with
/// deleted sessions. Each time the store is read, and given to `check`, too.
fn for_each_kill(act: impl FnOnce(&RedbStore), mut check: impl FnMut(usize, &Files, &[SessionId])) {
    let names = |what: &str| -> Vec<_> { (0..6).map(|n| id(&format!("{what}-{n}"))).collect() };
    let (kept, removed) = (names("kept"), names("removed"));
    let begin = |store: &RedbStore| {
        for (kept, removed) in kept.iter().zip(&removed) {
            block_on(create(store, kept, &[&"kept ".repeat(300)]));
            block_on(create(store, removed, &[&"removed ".repeat(300)]));
        }
        block_on(store.compact()).unwrap();
        for removed in &removed {
            block_on(store.delete(removed, DeleteIf::Any)).unwrap();
        }
    };
    killed_during(begin, act, |at, files| {
        let killed = Disk::holding(files.clone());
        has_all(&small().open_backend_read_only(killed.backend(), killed.log()).unwrap(), &kept);
        check(at, files, &kept);
    });
}

/// Every session can be read, the file verifies, and the store closes.
fn has_all(store: &RedbStore, kept: &[SessionId]) {
    for session in kept {
        let loaded = block_on(store.load(session, ALL)).unwrap().loaded();
        assert_eq!(loaded.map(|loaded| loaded.tail.len()), Some(1), "{session:?}");
    }
    // Waits for the verification.
    assert!(block_on(store.list(&ListQuery::all(100))).is_ok());
    block_on(store.close()).unwrap();
}

#[test]
fn a_store_is_read_after_a_clean_stop_after_a_kill_and_damaged_and_never_written() {
    hush();
    let Stopped { content, killed, closed } = stopped();
    let mut damaged = killed.file.bytes();
    for page in (4096..damaged.len()).step_by(3 * 4096) {
        damaged[page + 100] ^= 1;
    }
    let cases = [
        ("closed", closed.clone()),
        ("killed", killed.clone()),
        ("damaged", killed.with_file(damaged)),
    ];
    for (stop, disks) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.redb");
        write(&disks, &path);
        let before = state(folder.path());
        let store = small().open_read_only(&path).unwrap();
        let is_damaged = stop == "damaged";
        let found = whole(&store, &content);
        assert!(found == content.len() || (is_damaged && found > 0), "{stop}: {found} whole");
        block_on(async {
            let listed = store.list(&ListQuery::all(100)).await.unwrap().sessions;
            assert!(listed.len() == content.len() || is_damaged, "{stop}");
            let verified = store.verify(|_| {}).await;
            assert_eq!(verified.is_ok_and(|found| found.damage.is_empty()), !is_damaged, "{stop}");
            let s = id("session-1");
            let absent = store.load(&id("absent"), ALL).await;
            assert_eq!(absent.is_ok(), !is_damaged, "{stop}: a session counts as absent");
            let creation = commit(Expect::absent(1), appends(&["new"]));
            let refusals = [
                store.commit(&id("new"), creation).await.err(),
                store.touch(&s, 9).await.err(),
                store.delete(&s, DeleteIf::Any).await.err(),
                store.compact().await.err(),
            ];
            for refusal in refusals {
                let refusal = refusal.unwrap();
                let expected =
                    if is_damaged { StoreErrorKind::Corrupt } else { StoreErrorKind::Closed };
                assert_eq!(refusal.kind(), expected, "{stop}: {refusal}");
            }
        });
        // Others may read it, too, and nobody writes it.
        let other = small().open_read_only(&path).unwrap();
        assert_eq!(whole(&other, &content), found);
        let error = small().open(&path).unwrap_err();
        assert!(matches!(error, OpenError::AlreadyOpen { .. }), "{stop}: {error}");
        let _ = block_on(other.close());
        assert_eq!(block_on(store.close()).is_ok(), !is_damaged);
        assert!(state(folder.path()) == before, "{stop}: a file was changed");
        if !is_damaged {
            let store = small().open(&path).unwrap();
            assert_eq!(whole(&store, &content), content.len(), "{stop}");
        }
    }
}

#[test]
fn a_store_that_is_open_is_read_through_its_service() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    let store = RedbStore::open(&path).unwrap();
    block_on(create(&store, &id("s"), &["a"]));
    let error = small().open_read_only(&path).unwrap_err();
    assert!(matches!(error, OpenError::AlreadyOpen { .. }), "{error}");
    drop(store);
    until("closing", || small().open_read_only(&path).is_ok());
    let read = small().open_read_only(&path).unwrap();
    assert!(block_on(read.load(&id("s"), ALL)).unwrap().loaded().is_some());
}

#[test]
fn a_path_without_a_store_is_refused_and_gets_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    let error = small().open_read_only(&path).unwrap_err();
    assert!(matches!(error, OpenError::FileMissing { log: None, .. }), "{error}");
    assert!(error.to_string().contains("check the path"), "{error}");
    fs::write(&path, "").unwrap();
    assert!(matches!(small().open_read_only(&path).unwrap_err(), OpenError::EmptyFile { .. }));
    fs::write(&path, "x".repeat(9_000)).unwrap();
    assert!(matches!(small().open_read_only(&path).unwrap_err(), OpenError::NotADatabase(_)));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(Disks::default().read_only().is_err());
}
