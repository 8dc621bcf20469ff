//! Deleted text in the file and its log, until a compaction removes it.

use crate::support::{ALL, append, bodies, commit, committed, create, id};
use durable_session::store::{DeleteIf, Op, SessionStore};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use std::fs;
use std::path::Path;

const SECRET: &str = "a deleted text that the test looks for";

/// How often the text is in the file and its log.
fn found(path: &Path) -> usize {
    let name = path.file_name().unwrap().to_str().unwrap();
    let entries = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap());
    let ours = entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with(name));
    ours.map(|entry| {
        let bytes = fs::read(entry.path()).unwrap();
        bytes.windows(SECRET.len()).filter(|window| *window == SECRET.as_bytes()).count()
    })
    .sum()
}

#[test]
fn a_deleted_text_stays_in_the_file_until_compaction_and_is_in_no_backup() {
    // With a large log, the deleted text is in the log; with a small one, in free pages.
    for log_bytes in [4 << 20, 16 << 10] {
        for how in ["delete", "remove", "replace"] {
            let context = format!("{how}, a log of {log_bytes} bytes");
            let folder = tempfile::tempdir().unwrap();
            let (path, copy) = (folder.path().join("chat.redb"), folder.path().join("b.redb"));
            let builder = RedbStore::builder().log_bytes(log_bytes);
            let store = builder.open(&path).unwrap();
            let others = |first: usize| {
                for n in first..first + 20 {
                    block_on(create(&store, &id(&format!("other-{n}")), &[&"y".repeat(n * 40)]));
                }
            };
            others(0);
            let s = id("s");
            let mut head = block_on(create(&store, &s, &["first"]));
            for text in [SECRET, "last"] {
                head = block_on(append(&store, &s, head, &[text]));
            }
            others(20);
            if how == "delete" {
                block_on(store.delete(&s, DeleteIf::Any)).unwrap();
            } else {
                let op = match how {
                    "remove" => Op::Remove { first: 2, last: 2 },
                    _ => Op::replace(2, "other".into()),
                };
                committed(block_on(store.commit(&s, commit(head.expect(), vec![op]))));
            }
            assert!(found(&path) > 0, "{context}: gone already");
            block_on(store.backup(&copy, |_| {})).unwrap();
            assert_eq!(found(&copy), 0, "{context}: in the backup");
            // Closing empties the log; free pages of the file keep the text.
            block_on(store.close()).unwrap();
            let store = builder.open(&path).unwrap();
            block_on(store.compact()).unwrap();
            assert_eq!(found(&path), 0, "{context}: still there");
            // The store goes on.
            let loaded = block_on(store.load(&s, ALL)).unwrap().loaded();
            let expected: &[&str] = match how {
                "remove" => &["first", "last", "new"],
                "replace" => &["first", "other", "last", "new"],
                _ => &["new"],
            };
            match loaded {
                Some(loaded) => drop(block_on(append(&store, &s, loaded.head, &["new"]))),
                None => drop(block_on(create(&store, &s, &["new"]))),
            }
            block_on(store.close()).unwrap();
            let store = builder.open(&path).unwrap();
            assert_eq!(
                bodies(&block_on(store.load(&s, ALL)).unwrap().loaded().unwrap().tail),
                expected,
                "{context}"
            );
            let verified = block_on(store.verify(|_| {})).unwrap();
            assert_eq!((verified.sessions, verified.damage.len()), (41, 0), "{context}");
            assert_eq!(found(&path), 0, "{context}: it came back");
        }
    }
}
