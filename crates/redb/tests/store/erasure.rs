//! Where a deleted text is still found in the file, and what takes it out.

use crate::support::{ALL, append, appends, bodies, commit, committed, create, id};
use durable_session::store::{DeleteIf, Expect, Op, SessionStore};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use std::fs;
use std::path::Path;

const SECRET: &str = "a text that was deleted and is looked for";

fn found(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap();
    bytes.windows(SECRET.len()).filter(|window| *window == SECRET.as_bytes()).count()
}

#[test]
fn a_deleted_text_stays_in_the_file_until_compaction_and_is_in_no_backup() {
    // With the default, what was deleted is in a log; without logs, in pages that are free.
    for log_bytes in [64 << 20, 0] {
        for how in ["delete", "remove", "replace"] {
            let context = format!("{how}, logs of {log_bytes} bytes");
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
            let mut version = block_on(create(&store, &s, &["first"])).version;
            for text in [SECRET, "last"] {
                let more = commit(Expect::Version(version), appends(&[text]));
                version = committed(block_on(store.commit(&s, more))).version;
            }
            others(20);
            if how == "delete" {
                block_on(store.delete(&s, DeleteIf::Any)).unwrap();
            } else {
                let op = match how {
                    "remove" => Op::Remove { first: 2, last: 2 },
                    _ => Op::Replace { seq: 2, body: "other".into() },
                };
                committed(block_on(store.commit(&s, commit(Expect::Version(version), vec![op]))));
            }
            assert!(found(&path) > 0, "{context}: gone already");
            block_on(store.backup(&copy, |_| {})).unwrap();
            assert_eq!(found(&copy), 0, "{context}: in the backup");
            block_on(store.close()).unwrap();
            let store = builder.open(&path).unwrap();
            assert!(found(&path) > 0, "{context}: gone after closing and opening");

            assert!(block_on(store.compact()).unwrap());
            assert_eq!(found(&path), 0, "{context}: still there");
            // The store goes on where it was.
            let loaded = block_on(store.load(&s, ALL)).unwrap();
            let expected: &[&str] = match how {
                "remove" => &["first", "last", "new"],
                "replace" => &["first", "other", "last", "new"],
                _ => &["new"],
            };
            match loaded {
                Some(loaded) => drop(block_on(append(&store, &s, loaded.head.version, &["new"]))),
                None => drop(block_on(create(&store, &s, &["new"]))),
            }
            block_on(store.close()).unwrap();
            let store = builder.open(&path).unwrap();
            assert_eq!(bodies(&block_on(store.load(&s, ALL)).unwrap().unwrap().tail), expected, "{context}");
            let verified = block_on(store.verify(|_| {})).unwrap();
            assert_eq!((verified.sessions, verified.damage.len()), (41, 0), "{context}");
            assert_eq!(found(&path), 0, "{context}: it came back");
        }
    }
}
