//! Deleted text in the file and its log, until a compaction removes it.

use crate::support::{ALL, append, bodies, commit, committed, create, id};
use durable_session::store::{DeleteIf, Labels, ListQuery, Op, SessionList, SessionStore};
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

/// A text with a marker of a kind, and so many bytes after it.
fn marked(kind: u8, n: usize, bytes: usize) -> String {
    let marker = format!("<{}:{n}>", char::from(kind));
    format!("{marker}{}", "y".repeat(bytes))
}

/// How often a text with a marker of this kind is in any file of the folder.
fn markers(folder: &Path, kind: u8) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let pattern = [b'<', kind, b':'];
    entries
        .map(|path| fs::read(path).unwrap().windows(3).filter(|found| *found == pattern).count())
        .sum()
}

/// Deleted is `D`, kept is `K`: in messages, app states, owners and titles.
#[test]
fn a_scrub_leaves_no_byte_of_deleted_text_in_any_file() {
    for (seed, log_bytes) in [(1, 4 << 20), (2, 16 << 10), (3, 64 << 10)] {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.redb");
        let builder = RedbStore::builder().log_bytes(log_bytes);
        let store = builder.open(&path).unwrap();
        let mut kept = Vec::new();
        for n in 0..40 {
            let s = id(&format!("s-{n}"));
            let dies = random.bool();
            let kind = if dies { b'D' } else { b'K' };
            let size = [0, 30, 300, 3_000, 20_000][random.usize(..5)];
            let head = block_on(create(&store, &s, &[&marked(kind, n, size)]));
            let labels = Labels::owner(marked(kind, n, 9)).title(marked(kind, n, 90));
            let app = Op::SetApp(marked(kind, n, 50).into());
            let ops = vec![Op::SetLabels(labels), app];
            let head = committed(block_on(store.commit(&s, commit(head.expect(), ops))));
            let head = block_on(append(&store, &s, head, &[&marked(b'D', n, size), "last"]));
            // One of them is replaced, and one removed, in sessions that stay.
            let ops = match random.u8(..3) {
                0 => vec![Op::replace(2, "other".into())],
                1 => vec![Op::Remove { first: 2, last: 2 }],
                _ => vec![Op::replace(2, "x".repeat(random.usize(..5_000)).into())],
            };
            committed(block_on(store.commit(&s, commit(head.expect(), ops))));
            if dies {
                if random.bool() {
                    block_on(store.delete(&s, DeleteIf::Any)).unwrap();
                } else {
                    kept.push((s, true));
                }
            } else {
                kept.push((s, false));
            }
        }
        for (s, _) in kept.extract_if(.., |(_, dies)| *dies) {
            block_on(store.delete(&s, DeleteIf::Any)).unwrap();
        }
        let context = format!("seed {seed}, a log of {log_bytes} bytes");
        assert!(markers(folder.path(), b'D') > 0, "{context}: gone already");
        block_on(store.scrub()).unwrap();
        assert_eq!(markers(folder.path(), b'D'), 0, "{context}");
        assert!(markers(folder.path(), b'K') >= 4 * kept.len(), "{context}: kept text is gone");
        let verified = block_on(store.verify(|_| {})).unwrap();
        let found = (verified.sessions, verified.damage.len());
        assert_eq!(found, (kept.len() as u64, 0), "{context}");
        let files = |store: &RedbStore| {
            let page = block_on(store.list(&ListQuery::all(1_000))).unwrap();
            page.sessions.iter().map(|listed| listed.id.clone()).collect::<Vec<_>>()
        };
        let mut expected: Vec<_> = kept.iter().map(|(s, _)| s.clone()).collect();
        expected.sort();
        assert_eq!(files(&store), expected, "{context}");
        // The store goes on, and a reopened one has the same.
        block_on(create(&store, &id("new"), &["new"]));
        block_on(store.close()).unwrap();
        let store = builder.open(&path).unwrap();
        let (s, _) = &kept[0];
        let loaded = block_on(store.load(s, ALL)).unwrap().loaded().unwrap();
        assert!(bodies(&loaded.tail).concat().contains("<K:"), "{context}");
        block_on(store.delete(&id("new"), DeleteIf::Any)).unwrap();
        assert_eq!(files(&store), expected, "{context}");
        block_on(store.scrub()).unwrap();
        assert_eq!(markers(folder.path(), b'D'), 0, "{context}: it came back");
    }
}

#[test]
fn a_scrub_of_an_empty_store_does_nothing_and_may_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    let store = RedbStore::open(&path).unwrap();
    for _ in 0..3 {
        block_on(store.scrub()).unwrap();
    }
    let len = fs::metadata(&path).unwrap().len();
    assert!(len < 8 << 20, "the zeros are given back: {len} bytes");
    block_on(create(&store, &id("s"), &["x"]));
}
