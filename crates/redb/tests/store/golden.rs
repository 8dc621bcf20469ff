//! Files of earlier releases stay readable.
//!
//! `tests/golden/` holds one file for every layout there has been, each made by the release that wrote that layout and never
//! changed since. A new layout gets a new file, made with
//! `DURABLE_SESSION_WRITE_GOLDEN=v4.redb cargo test -p durable-session-redb golden`.

use crate::support::{ALL, append, commit, committed, create, id};
use bytes::Bytes;
use durable_session::env::{Random, RandomError};
use durable_session::store::{DeleteIf, Expect, ListQuery, Loaded, Op, SessionList, SessionStore};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use redb::ReadableDatabase;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The same versions in every run.
struct Counting(AtomicU8);

impl Random for Counting {
    fn fill(&self, buf: &mut [u8]) -> Result<(), RandomError> {
        buf.fill(self.0.fetch_add(1, Ordering::Relaxed));
        Ok(())
    }
}

/// Makes a store with everything that a layout has to keep.
async fn write(store: &RedbStore) {
    let head = create(store, &id("appended"), &["first", ""]).await;
    append(store, &id("appended"), head.version, &["third", "{\"role\":\"user\",\"content\":null}"]).await;

    let head = create(store, &id("edited"), &["a", "b", "c", "d"]).await;
    let ops = vec![
        Op::Replace { seq: 2, body: "edited".into() },
        Op::Remove { first: 4, last: 4 },
        Op::SetApp("{\"pendingMatch\":1}".into()),
    ];
    let head = committed(store.commit(&id("edited"), commit(Expect::Version(head.version), ops)).await);
    append(store, &id("edited"), head.version, &["after"]).await;
    store.touch(&id("edited"), 77_000).await.unwrap();

    create(store, &id("empty"), &[]).await;
    create(store, &id("large"), &["start", &"x".repeat(20_000)]).await;
    // A second life, so that the numbers have a gap.
    create(store, &id("reborn"), &["earlier"]).await;
    store.delete(&id("reborn"), DeleteIf::Any).await.unwrap();
    create(store, &id("reborn"), &["later"]).await;

    // An app state in a log, with messages before and after it.
    let head = create(store, &id("turns"), &["greeting"]).await;
    let head = append(store, &id("turns"), head.version, &["hi"]).await;
    let ops = vec![Op::Append("how are you".into()), Op::SetApp("{\"step\":2}".into())];
    let head = committed(store.commit(&id("turns"), commit(Expect::Version(head.version), ops)).await);
    append(store, &id("turns"), head.version, &["fine"]).await;
}

/// What the file of each layout lacks: nobody wrote it at that time.
fn lacks(name: &str, session: &str) -> bool {
    session == "turns" && ["v1.redb", "v2.redb"].contains(&name)
}

async fn content(store: &RedbStore) -> Vec<(String, Loaded)> {
    let mut all = Vec::new();
    for session in store.list(&ListQuery::all(100)).await.unwrap().sessions {
        let loaded = store.load(&session.id, ALL).await.unwrap().unwrap();
        assert_eq!(session.head.unwrap(), loaded.head);
        all.push((session.id.as_str().to_owned(), loaded));
    }
    all
}

fn new_store(path: &Path) -> RedbStore {
    RedbStore::builder().random(Counting(AtomicU8::new(1))).open(path).unwrap()
}

fn layout(path: &Path) -> u64 {
    let meta = redb::TableDefinition::<&str, &[u8]>::new("durable-session.meta");
    let db = redb::Database::open(path).unwrap();
    let meta = db.begin_read().unwrap().open_table(meta).unwrap();
    let row = meta.get("layout").unwrap().unwrap();
    u64::from_le_bytes(row.value()[..8].try_into().unwrap())
}

#[test]
fn every_golden_file_opens_and_has_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.redb");
    let store = new_store(&path);
    block_on(write(&store));
    let expected = block_on(content(&store));
    block_on(store.compact()).unwrap();
    block_on(store.close()).unwrap();
    if let Ok(name) = std::env::var("DURABLE_SESSION_WRITE_GOLDEN") {
        assert!(!golden(&name).exists(), "{name} exists: a golden file is never changed");
        std::fs::copy(&path, golden(&name)).unwrap();
    }
    assert_eq!(expected.len(), 6);
    assert_eq!(expected[3].1.tail[1].body.len(), 20_000);

    let mut names: Vec<_> =
        std::fs::read_dir(golden("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["v1.redb", "v2.redb", "v3.redb"]);
    for name in names {
        let copy = folder.path().join(&name);
        std::fs::copy(golden(name.to_str().unwrap()), &copy).unwrap();
        let store = RedbStore::open(&copy).unwrap();
        let mut expected = expected.clone();
        expected.retain(|(session, _)| !lacks(name.to_str().unwrap(), session));
        block_on(async {
            assert_eq!(content(&store).await, expected, "{}", name.display());
            assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
            // And it can be written.
            let head = expected[1].1.head;
            append(&store, &id("edited"), head.version, &["by this release"]).await;
            create(&store, &id("new"), &["by this release"]).await;
            let loaded = store.load(&id("new"), ALL).await.unwrap().unwrap();
            assert_eq!(loaded.tail[0].body, Bytes::from("by this release"));
            store.close().await.unwrap();
        });
        // An earlier release would not understand what is in a log: it has to refuse the file from now on.
        assert_eq!(layout(&copy), 3, "{}", name.display());
    }
}
