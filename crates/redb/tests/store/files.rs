//! Opening a path: files that are no store, other layouts, other owners, a full disk.

use crate::support::{
    ALL, Disks, append, appends, bodies, commit, create, id, in_child, run_in_child, small, until,
};
use durable_session::store::{SessionStore, StoreErrorKind};
use durable_session_redb::{OpenCheck, OpenError, RedbStore};
use futures_executor::block_on;
use redb::{Database, ReadableDatabase, TableDefinition};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::disk::Disk;

fn refused(path: &Path) -> OpenError {
    let before = fs::read(path).ok();
    let error = RedbStore::open(path).unwrap_err();
    assert_eq!(fs::read(path).ok(), before, "a refused file was changed");
    error
}

#[test]
fn files_that_are_no_store_are_refused_and_left_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);

    assert!(matches!(refused(folder.path()), OpenError::IsDirectory { .. }));
    fs::write(path("empty"), "").unwrap();
    assert!(matches!(refused(&path("empty")), OpenError::EmptyFile { .. }));
    for (name, content) in
        [("text", "x".repeat(10_000)), ("short", "hello".into()), ("zeros", "\0".repeat(9_000))]
    {
        fs::write(path(name), content).unwrap();
        assert!(matches!(refused(&path(name)), OpenError::NotADatabase(_)), "{name}");
    }
}

#[test]
fn an_error_of_creating_a_file_names_the_reason_and_a_remedy_that_works() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let refusal = |path: &Path| {
        let error = RedbStore::open(path).unwrap_err();
        assert!(matches!(error, OpenError::Io { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        error.to_string()
    };
    let nowhere = path("no/such/folder/chat.redb");
    let text = refusal(&nowhere);
    let parent = nowhere.parent().unwrap();
    let advice = format!("the folder {} does not exist; create it first", parent.display());
    assert!(text.ends_with(&advice), "{text}");
    fs::create_dir_all(parent).unwrap();
    block_on(RedbStore::open(&nowhere).unwrap().close()).unwrap();

    fs::write(path("file"), "x").unwrap();
    let text = refusal(&path("file/chat.redb"));
    assert!(
        text.ends_with(&format!("{} is not a folder; check the path", path("file").display())),
        "{text}"
    );

    // No process can create files here.
    #[cfg(target_os = "linux")]
    {
        let text = refusal(Path::new("/sys/chat.redb"));
        let told = text.contains("give this process the right to")
            || text.contains("its file system is read-only");
        assert!(told, "{text}");
    }
}

#[test]
fn a_refused_empty_file_can_be_removed_and_is_then_created() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    fs::write(&path, "").unwrap();
    let error = refused(&path);
    assert!(error.to_string().contains("remove it to create a store"), "{error}");
    fs::remove_file(&path).unwrap();
    block_on(RedbStore::open(&path).unwrap().close()).unwrap();
    block_on(RedbStore::open(&path).unwrap().close()).unwrap();
}

#[test]
fn a_redb_database_of_another_application_is_refused_and_keeps_its_tables() {
    const THEIRS: TableDefinition<'_, u64, u64> = TableDefinition::new("theirs");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.redb");
    let db = Database::create(&path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(THEIRS).unwrap().insert(1, 2).unwrap();
    txn.commit().unwrap();
    db.close().unwrap();

    assert!(matches!(RedbStore::open(&path).unwrap_err(), OpenError::ForeignDatabase));
    let db = Database::open(&path).unwrap();
    let txn = db.begin_read().unwrap();
    assert_eq!(txn.list_tables().unwrap().count(), 1);

    // Also on a backend, where an empty one becomes a store.
    let file = Disk::with(fs::read(&path).unwrap());
    let refused = Disks { file, ..Disks::default() }.try_open(&small()).unwrap_err();
    assert!(matches!(refused, OpenError::ForeignDatabase), "{refused}");
}

/// Creates and closes a store, changes its file, and returns the error of opening it.
fn opened_after(check: OpenCheck, change: impl FnOnce(&redb::WriteTransaction)) -> OpenError {
    let disks = Disks::default();
    block_on(disks.open().close()).unwrap();
    disks.change(change);
    disks.try_open(&small().check(check)).unwrap_err()
}

#[test]
fn a_store_of_another_layout_is_refused_with_both_numbers_and_a_remedy() {
    const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("durable-session.meta");
    for check in [OpenCheck::First, OpenCheck::Background] {
        for layout in [1_u64, 2, 3, 4, 6, 7] {
            let error = opened_after(check, |txn| {
                let mut row = layout.to_le_bytes().to_vec();
                let checksum = xxhash_rust::xxh3::xxh3_64(&[&row[..], b"layout"].concat());
                row.extend_from_slice(&checksum.to_le_bytes());
                txn.open_table(META).unwrap().insert("layout", &row[..]).unwrap();
            });
            let text = error.to_string();
            let remedy = match error {
                OpenError::EarlierLayout { found, supported: 5 }
                    if found == layout && found < 5 =>
                {
                    "export the sessions with the build that wrote it"
                }
                OpenError::NewerFormat { found, supported: 5 } if found == layout && found > 5 => {
                    "use a newer release"
                }
                other => panic!("{other}"),
            };
            assert!(text.contains(&format!("layout {layout}")) && text.contains(remedy), "{text}");
        }
    }
}

#[test]
fn a_store_that_lost_a_table_is_refused_and_gets_no_empty_one() {
    for table in ["ids", "heads", "rows", "tags", "replies", "chunks", "lists"] {
        let name = &format!("durable-session.{table}")[..];
        let error = opened_after(OpenCheck::Background, |txn| {
            let deleted = match table {
                "ids" | "lists" => txn.delete_table(TableDefinition::<&[u8], &[u8]>::new(name)),
                "heads" => txn.delete_table(TableDefinition::<u64, &[u8]>::new(name)),
                "chunks" => txn.delete_table(TableDefinition::<(u64, u64, u64), &[u8]>::new(name)),
                _ => txn.delete_table(TableDefinition::<(u64, u64), &[u8]>::new(name)),
            };
            assert!(deleted.unwrap());
        });
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_file_of_a_newer_redb_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("newer.redb");
    block_on(RedbStore::open(&path).unwrap().close()).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    // The first byte of each of redb's two commit slots is the version of its file format.
    for slot in [64, 192] {
        assert_eq!(bytes[slot], 3);
        bytes[slot] = 4;
    }
    fs::write(&path, bytes).unwrap();
    let error = refused(&path);
    assert!(matches!(error, OpenError::NewerFileFormat(_)), "{error}");
}

#[test]
fn a_new_store_appears_whole_and_leaves_nothing_else_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    let store = RedbStore::open(&path).unwrap();
    let names = || {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["chat.redb", "chat.redb-wal.1"]);
    // The file and an empty log are the store, also when it is closed.
    block_on(create(&store, &id("s"), &["a"]));
    block_on(store.close()).unwrap();
    let closed = names();
    assert_eq!((closed.len(), &closed[0]), (2, &"chat.redb".into()));
    assert!(closed[1].to_string_lossy().starts_with("chat.redb-wal."), "{closed:?}");
}

#[test]
fn one_of_many_threads_that_create_the_same_file_gets_it() {
    // Threads that come at the wrong moment are rare.
    for _ in 0..50 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.redb");
        let opened: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| RedbStore::open(&path))).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1);
        for refused in opened.iter().filter_map(|opened| opened.as_ref().err()) {
            assert!(matches!(refused, OpenError::AlreadyOpen { .. }), "{refused}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}

#[test]
fn after_close_and_after_the_last_drop_the_file_can_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    let store = RedbStore::open(&path).unwrap();
    let clone = store.clone();
    let head = block_on(create(&store, &id("s"), &["a"]));
    block_on(store.close()).unwrap();
    block_on(store.close()).unwrap();
    let store = RedbStore::open(&path).unwrap();
    assert_eq!(block_on(clone.load(&id("s"), ALL)).unwrap_err().kind(), StoreErrorKind::Closed);
    assert_eq!(block_on(clone.touch(&id("s"), 9)).unwrap_err().kind(), StoreErrorKind::Closed);
    block_on(append(&store, &id("s"), head, &["b"]));

    drop((store, clone));
    let began = Instant::now();
    let store = loop {
        match RedbStore::open(&path) {
            Ok(store) => break store,
            Err(OpenError::AlreadyOpen { .. }) => {
                assert!(began.elapsed() < Duration::from_mins(1), "never closed");
            }
            Err(other) => panic!("{other}"),
        }
        std::thread::yield_now();
    };
    assert_eq!(
        bodies(&block_on(store.load(&id("s"), ALL)).unwrap().loaded().unwrap().tail),
        ["a", "b"]
    );
}

/// The limit on the size of files stands in for a full disk: writes and growth fail beyond it.
#[cfg(target_os = "linux")]
#[test]
fn on_a_full_disk_commits_fail_truthfully_and_everything_stored_stays_readable() {
    if let Some(path) = in_child("FULL_DISK") {
        return until_the_disk_is_full(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    run_in_child(
        "files::on_a_full_disk_commits_fail_truthfully_and_everything_stored_stays_readable",
        "FULL_DISK",
        path.to_str().unwrap(),
        // In blocks of 512 bytes: 4 MiB. Without the signal, writes beyond it are errors.
        Some("trap '' XFSZ; ulimit -f 8192"),
    );
}

fn until_the_disk_is_full(path: &Path) {
    // The file can grow to 4 MiB, and the log to 1 MiB.
    let builder = small();
    let store = builder.open(path).unwrap();
    let s = id("s");
    let body = "y".repeat(50_000);
    let mut head = block_on(create(&store, &s, &[&body]));
    let mut refused = 0;
    for _ in 0..400 {
        let more = commit(head.expect(), appends(&[&body]));
        let outcome = block_on(store.commit(&s, more));
        let loaded = block_on(store.load(&s, ALL)).unwrap().loaded().unwrap();
        match outcome {
            Ok(_) => assert_eq!(loaded.tail.len() as u64, head.messages + 1),
            Err(error) => {
                refused += 1;
                assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
                assert!(error.to_string().contains("the log is full"), "{error}");
                assert_eq!(loaded.head, head);
            }
        }
        head = loaded.head;
        if refused == 3 {
            break;
        }
    }
    assert_eq!(refused, 3, "the disk was never full");
    assert!(store.stats().reopened >= 1 && head.messages > 20, "{:?}", store.stats());
    // Once there is room, the next flush succeeds.
    block_on(store.delete(&s, durable_session::store::DeleteIf::Any)).ok();
    block_on(store.close()).ok();
    let store = builder.open(path).unwrap();
    let loaded = block_on(store.load(&s, ALL)).unwrap().loaded();
    assert!(loaded.is_none_or(|loaded| loaded.head == head));
    drop(store);
    until("closing", || builder.open(path).is_ok());
}
