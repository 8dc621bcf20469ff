//! Opening a file that is open already, in this process or another: the error, and waiting.

use crate::support::{Disks, append, create, id, in_child};
use durable_session_redb::{InMemoryLog, OpenError, RedbStore};
use futures_executor::block_on;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_mins(1);

fn refused(path: &Path, patience: Duration) -> (String, Duration) {
    let error = RedbStore::builder().wait_for_lock(patience).open(path).unwrap_err();
    let OpenError::AlreadyOpen { path: named, waited } = &error else { panic!("{error}") };
    assert_eq!(named.as_deref(), Some(path));
    (error.to_string(), *waited)
}

#[test]
fn a_dropped_store_can_be_opened_at_once_by_one_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    let store = RedbStore::open(&path).unwrap();
    let mut head = block_on(create(&store, &id("s"), &["0"]));
    drop(store);
    for n in 1..50 {
        let store = RedbStore::builder().wait_for_lock(LONG).open(&path).unwrap();
        head = block_on(append(&store, &id("s"), head, &[&n.to_string()]));
        drop(store);
    }
}

#[test]
fn the_error_names_the_file_and_its_advice_works() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    let store = RedbStore::open(&path).unwrap();
    let (text, waited) = refused(&path, Duration::ZERO);
    assert_eq!(waited, Duration::ZERO);
    assert!(text.starts_with(&format!("{} is already open", path.display())), "{text}");
    for advice in ["close()", "a dropped store closes it in the background", "wait_for_lock"] {
        assert!(text.contains(advice), "{text}");
    }
    // close() returns when the file is free.
    for _ in 0..20 {
        block_on(store.close()).unwrap();
        let again = RedbStore::open(&path).unwrap();
        block_on(again.close()).unwrap();
    }
}

#[test]
fn waiting_ends_after_the_given_time_and_the_error_says_how_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    let _store = RedbStore::open(&path).unwrap();
    for patience in [Duration::from_millis(1), Duration::from_millis(300)] {
        let began = Instant::now();
        let (text, waited) = refused(&path, patience);
        assert!(waited >= patience && waited <= began.elapsed(), "{waited:?} of {patience:?}");
        assert!(text.contains(&format!("is still open after {waited:.1?}")), "{text}");
        assert!(text.contains("close()"), "{text}");
    }
}

#[test]
fn opening_waits_until_the_other_store_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    let store = RedbStore::open(&path).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let began = Instant::now();
            RedbStore::builder().wait_for_lock(LONG).open(&path).unwrap();
            began.elapsed()
        });
        std::thread::sleep(Duration::from_millis(200));
        assert!(!waiting.is_finished(), "it did not wait");
        block_on(store.close()).unwrap();
        assert!(waiting.join().unwrap() < LONG);
    });
}

#[test]
fn storage_of_the_host_is_waited_for_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    let storage = {
        let path = path.clone();
        move || {
            let mut options = std::fs::OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
            redb::backends::FileBackend::new(file).map_err(std::io::Error::other)
        }
    };
    let log = InMemoryLog::default();
    let store = RedbStore::builder().open_storage(storage.clone(), log.clone()).unwrap();
    let error = RedbStore::builder().open_storage(storage.clone(), log.clone()).unwrap_err();
    assert!(matches!(error, OpenError::AlreadyOpen { path: None, .. }), "{error}");
    assert!(error.to_string().starts_with("the storage is already open"), "{error}");
    drop(store);
    RedbStore::builder().wait_for_lock(LONG).open_storage(storage, log).unwrap();
    // A backend without locks is always free.
    Disks::default().open_with(&RedbStore::builder().wait_for_lock(LONG));
}

/// A process that keeps the store open until its input ends.
struct Holder(Child);

impl Holder {
    fn start(path: &Path, ready: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lock::another_process_is_waited_for", "--nocapture"])
            .env("DURABLE_SESSION_TEST_HOLD", path)
            .env("DURABLE_SESSION_TEST_READY", ready)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while !ready.exists() {
            assert!(began.elapsed() < LONG, "the other process did not open the store");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::fs::remove_file(ready).unwrap();
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn another_process_is_waited_for() {
    if let Some(path) = in_child("HOLD") {
        let store = RedbStore::open(&path).unwrap();
        std::fs::write(PathBuf::from(in_child("READY").unwrap()), "").unwrap();
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        block_on(store.close()).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, ready) = (folder.path().join("chat.redb"), folder.path().join("ready"));
    let open = |patience| RedbStore::builder().wait_for_lock(patience).open(&path);

    let mut holder = Holder::start(&path, &ready);
    let (text, waited) = refused(&path, Duration::from_millis(100));
    assert!(waited >= Duration::from_millis(100) && text.contains("or another"), "{text}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| open(LONG).unwrap());
        std::thread::sleep(Duration::from_millis(100));
        assert!(!waiting.is_finished(), "it did not wait");
        holder.0.stdin.take().unwrap().write_all(b"close\n").unwrap();
        block_on(waiting.join().unwrap().close()).unwrap();
    });

    // A kill frees the file, too.
    let holder = Holder::start(&path, &ready);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| open(LONG).unwrap());
        std::thread::sleep(Duration::from_millis(100));
        assert!(!waiting.is_finished(), "it did not wait");
        drop(holder);
        block_on(waiting.join().unwrap().close()).unwrap();
    });
}

/// A new file beside the log of an open store: neither is used with the other.
#[test]
fn a_file_put_in_the_place_of_an_open_one_is_not_opened_beside_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    let store = RedbStore::open(&path).unwrap();
    let backup = folder.path().join("backup.redb");
    block_on(create(&store, &id("s"), &["a"]));
    block_on(store.backup(&backup, |_| {})).unwrap();
    std::fs::rename(&backup, &path).unwrap();
    let error = RedbStore::builder().wait_for_lock(LONG).open(&path).unwrap_err();
    assert!(matches!(error, OpenError::ForeignLog { .. }), "{error}");
    // Closed, the other store leaves an empty log.
    block_on(store.close()).unwrap();
    let opened = RedbStore::open(&path).unwrap();
    block_on(create(&opened, &id("t"), &["b"]));
    block_on(opened.close()).unwrap();
    let found = RedbStore::open(&path).unwrap();
    assert_eq!(block_on(found.verify(|_| {})).unwrap().sessions, 2);
}
