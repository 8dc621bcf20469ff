//! Stores that are damaged, held, foreign, cut short, or not whole.

use crate::fixture::{Pair, beside, exists, run, write};
use futures_executor::block_on;
use std::path::PathBuf;

/// The commands that only read.
const READING: [&[&str]; 5] = [&["list"], &["show", "a-1"], &["stats"], &["export"], &["verify"]];

/// The segments of the log.
fn log(pair: &Pair) -> Vec<PathBuf> {
    let is_log = |path: &PathBuf| path.to_string_lossy().contains("-wal.");
    pair.files().into_keys().filter(is_log).collect()
}

#[test]
fn a_damaged_message_is_named_and_the_rest_is_read_and_salvaged() {
    let pair = Pair::new();
    pair.damage("a-1 says 1");
    let ran = pair.only_read(&["verify"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("corrupt session=a-1 seq=2: "), "{ran:?}");
    assert!(ran.out.contains("verified sessions=3 messages=304 "), "{ran:?}");
    let ran = pair.only_read(&["verify", "--json"]);
    assert!(ran.out.contains(r#"{"corrupt":"a-1","#), "{ran:?}");

    let ran = pair.only_read(&["show", "a-1"]).failed(1, "corrupt session=a-1 seq=2: ");
    assert!(ran.out.contains("1 user\na-1 says 0\n3 user\na-1 says 2\n"), "{ran:?}");
    // What is found is whole, and there may be more.
    let ran = pair.only_read(&["show", "b-1"]).failed(1, "the file is damaged, and may have more");
    assert!(ran.out.contains("b-1 says 299"), "{ran:?}");
    let ran = pair.only_read(&["export"]).failed(1, "corrupt session=a-1 seq=2: ");
    assert!(ran.err.contains("1 damaged sessions were not exported"), "{ran:?}");
    assert_eq!(ran.out.lines().count(), 2);

    // A backup has what is found, and the damage.
    let copy = Pair::none();
    let file = copy.file.display().to_string();
    pair.only_read(&["backup", &file]).failed(1, "the file is damaged, and may have more");
    let ran = copy.only_read(&["verify"]);
    assert!(ran.out.contains("corrupt session=a-1 seq=2: "), "{ran:?}");

    let new = Pair::none();
    let ran = pair.only_read(&["salvage", &new.store()]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.out, "salvaged sessions=3 messages=304 damaged=1\n");
    assert!(ran.err.contains("corrupt session=a-1 seq=2: "), "{ran:?}");
    assert_eq!(new.texts("a-1"), ["a-1 says 0", "a-1 says 2"]);
    assert_eq!(new.texts("b-1").len(), 300);
    assert!(new.run(&["verify"]).fine().contains("messages=304"));
    pair.only_read(&["salvage", &new.store()]).failed(2, "exists already; name a new file");
}

#[test]
fn a_damaged_store_is_not_changed_by_what_is_refused_then() {
    let pair = Pair::new();
    let lines = write(&pair, "lines.jsonl", &pair.run(&["export"]).fine());
    pair.damage("a-1 says 1");
    let advice = "durable-session salvage";
    for command in [
        &["compact"] as &[&str],
        &["compact", "--scrub"],
        &["erase", "--owner", "u-1"],
        &["sweep", "--idle", "90d"],
        &["import", &lines],
    ] {
        pair.only_read(command).failed(1, advice);
    }
}

#[test]
fn a_store_that_a_process_holds_names_the_process() {
    let pair = Pair::none();
    let store = pair.fill();
    let held = format!("is held by process {} (", std::process::id());
    for command in READING {
        pair.run(command).failed(3, &held);
    }
    pair.run(&["compact"]).failed(3, &held);
    pair.run(&["erase", "--owner", "u-1"]).failed(3, &held);
    let lines = write(&pair, "empty.jsonl", "");
    pair.run(&["import", &lines]).failed(3, &held);
    block_on(store.close()).unwrap();
    pair.run(&["list"]).fine();
}

#[test]
fn foreign_files_are_refused_and_left_alone() {
    let database = Pair::none();
    drop(redb_of_another_application(&database));
    let text = Pair::none();
    std::fs::write(&text.file, "this is no store").unwrap();
    let empty = Pair::none();
    std::fs::write(&empty.file, "").unwrap();
    for (pair, told) in [
        (&database, "is a redb database without a durable-session store"),
        (&text, "is not a redb database"),
        (&empty, "is empty and so not a store"),
    ] {
        for command in READING {
            pair.only_read(command).failed(4, told);
        }
        pair.only_read(&["compact"]).failed(4, told);
        pair.only_read(&["sweep", "--idle", "1d"]).failed(4, told);
    }
    let none = Pair::none();
    for command in [&["list"][..], &["compact"], &["erase", "--owner", "u-1"]] {
        none.only_read(command).failed(4, "there is no file");
    }
}

/// A redb database with another table.
fn redb_of_another_application(pair: &Pair) -> redb::Database {
    let database = redb::Database::create(&pair.file).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(redb::TableDefinition::<u64, u64>::new("other")).unwrap();
    write.commit().unwrap();
    database
}

#[test]
fn a_file_that_is_cut_short_is_refused_or_told() {
    let pair = Pair::new();
    let bytes = std::fs::read(&pair.file).unwrap();
    std::fs::write(&pair.file, &bytes[..bytes.len() / 2]).unwrap();
    for command in READING {
        let ran = pair.only_read(command);
        assert!(matches!(ran.code, 1 | 4), "{ran:?}");
        assert!(!ran.err.is_empty() || ran.out.contains("corrupt"), "{ran:?}");
    }
}

#[test]
fn a_missing_log_is_told_and_can_be_accepted() {
    let pair = Pair::new();
    for segment in log(&pair) {
        std::fs::remove_file(segment).unwrap();
    }
    for command in READING {
        pair.only_read(command)
            .failed(4, "Bring it back, or accept the loss: --accept-missing-log");
    }
    let text = pair.only_read(&["list", "--accept-missing-log"]).fine();
    assert_eq!(text.lines().count(), 3);
    pair.run(&["compact"]).failed(4, "--accept-missing-log");
    pair.run(&["compact", "--accept-missing-log"]).fine();
    pair.run(&["list"]).fine();
}

#[test]
fn a_missing_file_beside_its_log_is_told() {
    let pair = Pair::new();
    std::fs::remove_file(&pair.file).unwrap();
    for command in READING {
        pair.only_read(command).failed(4, "but its log is there");
    }
    let lines = write(&pair, "lines.jsonl", "");
    pair.run(&["import", &lines]).failed(4, "but its log is there");
}

#[test]
fn a_log_of_another_store_is_refused() {
    let (pair, other) = (Pair::new(), Pair::new());
    for (mine, theirs) in log(&pair).iter().zip(log(&other)) {
        std::fs::copy(theirs, mine).unwrap();
    }
    for command in READING {
        pair.only_read(command).failed(4, "belongs to the log of another file");
    }
}

#[test]
fn a_damaged_log_is_read_but_not_written() {
    let crashed = Pair::crashed();
    let segment = &log(&crashed)[0];
    let mut bytes = std::fs::read(segment).unwrap();
    let text = b"b-1 says 150";
    let at = bytes.windows(text.len()).position(|window| window == text).unwrap();
    bytes[at] ^= 1;
    std::fs::write(segment, bytes).unwrap();
    let ran = crashed.only_read(&["verify"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("corrupt session="), "{ran:?}");
    crashed.only_read(&["compact"]).failed(1, "durable-session salvage");
    let new = Pair::none();
    let ran = crashed.only_read(&["salvage", &new.store()]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(new.texts("a-1").len(), 3);
}

#[test]
fn a_target_that_cannot_be_written_leaves_nothing() {
    let pair = Pair::new();
    let nowhere = beside(&pair, "no/such/folder.redb");
    pair.only_read(&["backup", &nowhere]).failed(6, "does not exist; create it first");
    pair.only_read(&["salvage", &format!("redb:{nowhere}")]).failed(6, "create it first");
    pair.only_read(&["export", "--output", &nowhere]).failed(6, "could not make the file");
    assert!(!exists(&nowhere));
    run(&["--store", &pair.store(), "import", &nowhere]).failed(6, "could not open");
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    let pair = Pair::new();
    let small = pair.folder.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let mut mount = std::process::Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&small);
    if !mount.output().is_ok_and(|output| output.status.success()) {
        println!("note: not run: a full disk: this user may not mount a file system");
        return;
    }
    let (copy, lines) = (small.join("copy.redb"), small.join("lines.jsonl"));
    let store = format!("redb:{}", small.join("new.redb").display());
    let export = pair.run(&["export"]).fine();
    let lines_outside = write(&pair, "outside.jsonl", &export);
    let rans = [
        pair.run(&["backup", &copy.display().to_string()]),
        run(&["--store", &store, "import", &lines_outside]),
        pair.run(&["salvage", &format!("{store}2")]),
    ];
    let mut export = pair.run(&["export", "--output", &lines.display().to_string()]);
    // It may fit.
    if export.code == 0 {
        export.code = 6;
        export.err = "no room".into();
    }
    drop(std::process::Command::new("umount").arg(&small).output());
    for ran in rans {
        assert_eq!(ran.code, 6, "{ran:?}");
        assert!(ran.err.contains("no room") || ran.err.contains("No space left"), "{ran:?}");
    }
    assert_eq!(export.code, 6, "{export:?}");
    assert_eq!(pair.texts("b-1").len(), 300);
}
