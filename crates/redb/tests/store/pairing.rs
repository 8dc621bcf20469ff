//! The file and its log belong together: each refusal of a pair that does not, and its advice.

use crate::support::{ALL, append, bodies, create, id, small};
use durable_session::store::{Head, SessionStore};
use durable_session_redb::{OpenError, RedbStore};
use futures_executor::block_on;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder with stores, and a place to move files to.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir(folder.path("away")).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The names of the segments of a store's log.
    fn log(&self, store: &str) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let prefix = format!("{store}-wal.");
        names
            .map(|name| name.into_string().unwrap())
            .filter(|name| name.starts_with(&prefix))
            .collect()
    }

    fn move_away(&self, names: &[String]) {
        for name in names {
            fs::rename(self.path(name), self.path("away").join(name)).unwrap();
        }
    }

    fn bring_back(&self, names: &[String]) {
        for name in names {
            fs::rename(self.path("away").join(name), self.path(name)).unwrap();
        }
    }

    /// Copies files under a name with this prefix.
    fn keep(&self, names: &[String], prefix: &str) {
        for name in names {
            fs::copy(self.path(name), self.path(&format!("{prefix}{name}"))).unwrap();
        }
    }

    /// Puts the copies in the place of the files.
    fn put(&self, names: &[String], prefix: &str) {
        for name in names {
            fs::copy(self.path(&format!("{prefix}{name}")), self.path(name)).unwrap();
        }
    }

    fn open(&self) -> Result<RedbStore, OpenError> {
        small().open(self.path("chat.redb"))
    }

    /// The error of opening, which must change nothing.
    fn refused(&self) -> OpenError {
        // Another store of the folder may be open and write to its own log.
        let all = || {
            let mut logs: Vec<_> = self
                .log("chat.redb")
                .into_iter()
                .map(|name| (fs::read(self.path(&name)).unwrap(), name))
                .collect();
            logs.sort();
            logs
        };
        let before = all();
        let error = self.open().unwrap_err();
        assert!(all() == before, "a log was changed: {error}");
        // For reading only, an old file and a copy are as good as any.
        if let Ok(store) = small().open_read_only(self.path("chat.redb")) {
            let readable = matches!(
                error,
                OpenError::LogGap { .. }
                    | OpenError::OlderLog { .. }
                    | OpenError::ForeignLog { .. }
            );
            assert!(readable, "{error}");
            let _ = block_on(store.close());
        }
        error
    }
}

fn texts(store: &RedbStore) -> Vec<String> {
    bodies(&block_on(store.load(&id("s"), ALL)).unwrap().loaded().unwrap().tail)
}

fn owned(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

/// A store with message `a` in its file, and `b` only in the log.
fn killed() -> (Folder, Head) {
    let folder = Folder::new();
    let store = folder.open().unwrap();
    let head = block_on(create(&store, &id("s"), &["a"]));
    block_on(store.close()).unwrap();
    let store = folder.open().unwrap();
    let head = block_on(append(&store, &id("s"), head, &["b"]));
    // As a kill leaves it.
    let [log] = &folder.log("chat.redb")[..] else { panic!("one segment") };
    let names = [owned("chat.redb"), owned(log)].concat();
    folder.keep(&names, "killed-");
    block_on(store.close()).unwrap();
    folder.move_away(&folder.log("chat.redb"));
    folder.put(&names, "killed-");
    (folder, head)
}

fn version_of(store: &RedbStore) -> Head {
    block_on(store.load(&id("s"), ALL)).unwrap().loaded().unwrap().head
}

#[test]
fn a_file_without_its_log_is_refused_until_the_log_is_back_or_its_loss_is_accepted() {
    let (folder, head) = killed();
    let log = folder.log("chat.redb");
    folder.move_away(&log);
    let error = folder.refused();
    assert!(matches!(error, OpenError::LogMissing { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("chat.redb-wal.1") && text.contains("accept_missing_log(true)"),
        "{text}"
    );
    assert!(folder.log("chat.redb").is_empty(), "a log was begun");

    // The first advice: bring it back.
    folder.bring_back(&log);
    let store = folder.open().unwrap();
    assert_eq!((texts(&store), version_of(&store)), (vec!["a".into(), "b".into()], head));
    block_on(store.close()).unwrap();
    assert_eq!(texts(&folder.open().unwrap()), ["a", "b"]);

    // The second: accept the loss. No version of a lost commit comes again.
    let (folder, head) = killed();
    folder.move_away(&folder.log("chat.redb"));
    let store = small().accept_missing_log(true).open(folder.path("chat.redb")).unwrap();
    assert_eq!(texts(&store), ["a"]);
    let again = block_on(append(&store, &id("s"), version_of(&store), &["c"]));
    assert_ne!(again.version, head.version);
    block_on(store.close()).unwrap();
    assert_eq!(texts(&folder.open().unwrap()), ["a", "c"]);
}

/// A crash while a log begins in the place of the lost one.
#[test]
fn a_loss_can_be_accepted_again_and_the_changes_of_another_store_are_never_taken_for_a_loss() {
    let (folder, _) = killed();
    folder.move_away(&folder.log("chat.redb"));
    let other = small().open(folder.path("other.redb")).unwrap();
    fs::copy(folder.path("other.redb-wal.1"), folder.path("chat.redb-wal.1")).unwrap();
    block_on(create(&other, &id("s"), &["theirs"]));
    fs::copy(folder.path("other.redb-wal.1"), folder.path("away").join("theirs")).unwrap();
    assert!(matches!(folder.refused(), OpenError::ForeignLog { .. }));
    let builder = small().accept_missing_log(true);
    let store = builder.open(folder.path("chat.redb")).unwrap();
    assert_eq!(texts(&store), ["a"]);
    block_on(store.close()).unwrap();

    folder.move_away(&folder.log("chat.redb"));
    fs::copy(folder.path("away").join("theirs"), folder.path("chat.redb-wal.1")).unwrap();
    let error = builder.open(folder.path("chat.redb")).unwrap_err();
    assert!(matches!(error, OpenError::ForeignLog { .. }), "{error}");
}

#[test]
fn an_accepted_loss_is_none_when_the_log_is_there() {
    let (folder, head) = killed();
    let store = small().accept_missing_log(true).open(folder.path("chat.redb")).unwrap();
    assert_eq!((texts(&store).len(), version_of(&store)), (2, head));
}

#[test]
fn the_log_of_another_store_is_refused_until_it_is_moved_away() {
    let (folder, head) = killed();
    let log = folder.log("chat.redb");
    folder.move_away(&log);
    let other = small().open(folder.path("other.redb")).unwrap();
    block_on(create(&other, &id("s"), &["theirs"]));
    fs::copy(folder.path("other.redb-wal.1"), folder.path("chat.redb-wal.7")).unwrap();
    drop(other);
    let error = folder.refused();
    assert!(matches!(error, OpenError::ForeignLog { .. }), "{error}");
    assert!(
        error.to_string().starts_with("chat.redb-wal.7 belongs to the log of another"),
        "{error}"
    );
    fs::rename(folder.path("chat.redb-wal.7"), folder.path("away").join("theirs")).unwrap();
    folder.bring_back(&log);
    let store = folder.open().unwrap();
    assert_eq!((texts(&store), version_of(&store)), (vec!["a".into(), "b".into()], head));
}

/// As after a restore that forgot the log of the lost file.
#[test]
fn a_backup_beside_the_log_of_the_file_that_it_replaces_is_refused() {
    let (folder, _) = killed();
    let store = folder.open().unwrap();
    block_on(store.backup(folder.path("backup"), |_| {})).unwrap();
    let head = version_of(&store);
    block_on(append(&store, &id("s"), head, &["lost"]));
    let log = folder.log("chat.redb");
    folder.keep(&log, "with-changes-");
    block_on(store.close()).unwrap();
    fs::rename(folder.path("backup"), folder.path("chat.redb")).unwrap();
    for name in folder.log("chat.redb") {
        fs::remove_file(folder.path(&name)).unwrap();
    }
    folder.put(&log, "with-changes-");
    let error = folder.refused();
    assert!(matches!(error, OpenError::ForeignLog { .. }), "{error}");
    folder.move_away(&log);
    let store = folder.open().unwrap();
    assert_eq!(texts(&store), ["a", "b"]);
}

#[test]
fn no_new_store_is_created_beside_a_log_with_changes() {
    let (folder, head) = killed();
    folder.move_away(&owned("chat.redb"));
    let error = folder.refused();
    assert!(matches!(error, OpenError::FileMissing { log: Some(_), .. }), "{error}");
    assert!(!folder.path("chat.redb").exists());
    let text = error.to_string();
    for advice in ["bring the file back", "move the log away to create a new store"] {
        assert!(text.contains(advice), "{text}");
    }
    folder.bring_back(&owned("chat.redb"));
    let store = folder.open().unwrap();
    assert_eq!(version_of(&store), head);
    block_on(store.close()).unwrap();

    let (folder, _) = killed();
    folder.move_away(&[owned("chat.redb"), folder.log("chat.redb")].concat());
    let store = folder.open().unwrap();
    assert!(block_on(store.load(&id("s"), ALL)).unwrap().loaded().is_none());
}

/// Two closed states of one store: `old-` with message `a`, and the present with `b`.
fn aged() -> Folder {
    let folder = Folder::new();
    let store = folder.open().unwrap();
    let head = block_on(create(&store, &id("s"), &["a"]));
    block_on(store.close()).unwrap();
    folder.keep(&[owned("chat.redb"), folder.log("chat.redb")].concat(), "old-");
    let store = folder.open().unwrap();
    block_on(append(&store, &id("s"), head, &["b"]));
    block_on(store.close()).unwrap();
    folder.keep(&[owned("chat.redb"), folder.log("chat.redb")].concat(), "new-");
    folder
}

fn old_log(folder: &Folder) -> Vec<String> {
    let names = folder.log("old-chat.redb");
    names.iter().map(|name| name.trim_start_matches("old-").to_owned()).collect()
}

#[test]
fn a_file_that_is_older_than_its_log_is_refused() {
    let folder = aged();
    folder.put(&owned("chat.redb"), "old-");
    let error = folder.refused();
    assert!(matches!(error, OpenError::LogGap { .. }), "{error}");
    assert!(error.to_string().contains("put the file back that belongs to the log"), "{error}");
    folder.put(&owned("chat.redb"), "new-");
    assert_eq!(texts(&folder.open().unwrap()), ["a", "b"]);

    let folder = aged();
    folder.put(&owned("chat.redb"), "old-");
    assert!(folder.open().is_err());
    folder.move_away(&folder.log("chat.redb"));
    let store = small().accept_missing_log(true).open(folder.path("chat.redb")).unwrap();
    assert_eq!(texts(&store), ["a"]);
}

#[test]
fn a_log_that_is_older_than_its_file_is_refused() {
    let folder = aged();
    let now = folder.log("chat.redb");
    folder.move_away(&now);
    folder.put(&old_log(&folder), "old-");
    let error = folder.refused();
    assert!(matches!(error, OpenError::OlderLog { .. }), "{error}");
    assert!(error.to_string().contains("put the log back that belongs to the file"), "{error}");
    for name in old_log(&folder) {
        fs::remove_file(folder.path(&name)).unwrap();
    }
    folder.bring_back(&now);
    assert_eq!(texts(&folder.open().unwrap()), ["a", "b"]);

    let folder = aged();
    folder.move_away(&folder.log("chat.redb"));
    folder.put(&old_log(&folder), "old-");
    assert!(folder.open().is_err());
    for name in old_log(&folder) {
        fs::remove_file(folder.path(&name)).unwrap();
    }
    let store = small().accept_missing_log(true).open(folder.path("chat.redb")).unwrap();
    assert_eq!(texts(&store), ["a", "b"]);
}

/// A crash while a log begins.
#[test]
fn segments_without_a_batch_beside_a_new_file_are_no_obstacle() {
    let folder = Folder::new();
    let store = small().open(folder.path("other.redb")).unwrap();
    fs::write(folder.path("chat.redb-wal.2"), vec![0; 4096]).unwrap();
    fs::write(folder.path("chat.redb-wal.3"), []).unwrap();
    block_on(store.backup(folder.path("backup.redb"), |_| {})).unwrap();
    let store = folder.open().unwrap();
    block_on(create(&store, &id("s"), &["a"]));
    assert_eq!(folder.log("chat.redb").len(), 1, "{:?}", folder.log("chat.redb"));
    fs::copy(folder.path("other.redb-wal.1"), folder.path("backup.redb-wal.5")).unwrap();
    let backup = small().open(folder.path("backup.redb")).unwrap();
    block_on(create(&backup, &id("s"), &["a"]));
    assert_eq!(folder.log("backup.redb").len(), 1);
}

#[test]
fn files_with_similar_names_are_not_taken_for_segments() {
    let folder = Folder::new();
    for name in ["chat.redb-wal.x", "chat.redb-wal.01", "chat.redb-wal.1.old", "chat.redb-wal"] {
        fs::write(folder.path(name), "mine").unwrap();
    }
    let store = folder.open().unwrap();
    block_on(create(&store, &id("s"), &["a"]));
    block_on(store.close()).unwrap();
    for name in ["chat.redb-wal.x", "chat.redb-wal.01", "chat.redb-wal.1.old", "chat.redb-wal"] {
        assert_eq!(fs::read(folder.path(name)).unwrap(), b"mine");
    }
    assert!(Path::new(&folder.path("chat.redb")).exists());
}
