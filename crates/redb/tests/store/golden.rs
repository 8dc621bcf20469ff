//! Files of earlier releases stay readable.
//!
//! `tests/golden/` holds one file with its log for every layout since the first release (layouts 1
//! to 4 are older). Each was made by the release that wrote the layout and never changes. For a new
//! layout, make new files with
//! `DURABLE_SESSION_WRITE_GOLDEN=v5 cargo test -p durable-session-redb golden`.
//! One pair is of a closed store, and one of a store that was killed, with all of it in the log.

use crate::support::{ALL, append, commit, committed, create, id, small};
use bytes::Bytes;
use durable_session::env::{Random, RandomError};
use durable_session::store::{
    ChunkQuery, Claim, DeleteIf, Expect, Extension, IdTag, Labels, ListQuery, Loaded, NewMessage,
    Op, ReplyCounts, ReplyOpening, SessionList, SessionStore,
};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
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

/// Fills a store with everything that a layout has to keep.
async fn write(store: &RedbStore) {
    let head = create(store, &id("appended"), &["first", ""]).await;
    append(store, &id("appended"), head, &["third", "{\"role\":\"user\",\"content\":null}"]).await;

    let head = create(store, &id("edited"), &["a", "b", "c", "d"]).await;
    let ops = vec![
        Op::replace(2, "edited".into()),
        Op::Remove { first: 4, last: 4 },
        Op::SetApp("{\"pendingMatch\":1}".into()),
    ];
    let head = committed(store.commit(&id("edited"), commit(head.expect(), ops)).await);
    append(store, &id("edited"), head, &["after"]).await;
    store.touch(&id("edited"), 77_000).await.unwrap();

    create(store, &id("empty"), &[]).await;
    create(store, &id("large"), &["start", &"x".repeat(20_000)]).await;
    // A second life, so that the numbers have a gap.
    create(store, &id("reborn"), &["earlier"]).await;
    store.delete(&id("reborn"), DeleteIf::Any).await.unwrap();
    create(store, &id("reborn"), &["later"]).await;

    // An app state in a log, with messages before and after it.
    let head = create(store, &id("turns"), &["greeting"]).await;
    let head = append(store, &id("turns"), head, &["hi"]).await;
    let ops = vec![Op::append("how are you".into()), Op::SetApp("{\"step\":2}".into())];
    let head = committed(store.commit(&id("turns"), commit(head.expect(), ops)).await);
    append(store, &id("turns"), head, &["fine"]).await;

    // Labels, message ids, an open reply with chunks in two rows and a beat, and a closed reply.
    let message = |body: &str, id: &str| NewMessage::tagged(body.to_owned().into(), IdTag::of(id));
    let opening = |byte| ReplyOpening::new(Claim::from_bytes([byte; 32]), "text");
    let ops = vec![
        Op::SetLabels(Labels::owner("u-42").title("Lifetimes")),
        Op::Append(message("asked", "m-1")),
        Op::Append(message(&"large".repeat(2_000), "m-2")),
        Op::Append(message("answering", "m-3").opening(opening(7))),
        Op::Append(message("answering too", "m-4").opening(opening(8))),
    ];
    let head = committed(store.commit(&id("replies"), commit(Expect::absent(1_000), ops)).await);
    for (seq, byte, offset, chunks) in [
        (3, 7, 0, &["one ", "two "][..]),
        (3, 7, 2, &["three"]),
        (3, 7, 3, &[]),
        (4, 8, 0, &["over"]),
    ] {
        let chunks = chunks.iter().copied().map(Bytes::from).collect();
        let extension = Extension::new(seq, Claim::from_bytes([byte; 32]), offset, chunks);
        store.extend(&id("replies"), extension).await.unwrap();
    }
    let close = Op::Close {
        seq: 4,
        claim: Claim::from_bytes([8; 32]),
        counts: ReplyCounts { chunks: 1, beats: 0 },
        message: message("answering too, over", "m-4"),
    };
    committed(store.commit(&id("replies"), commit(head.expect(), vec![close])).await);
}

type Content = Vec<(String, Loaded, Vec<Bytes>)>;

/// All sessions, with the chunks of their open replies.
async fn content(store: &RedbStore) -> Content {
    let mut all = Vec::new();
    for session in store.list(&ListQuery::all(100)).await.unwrap().sessions {
        let loaded = store.load(&session.id, ALL).await.unwrap().loaded().unwrap();
        assert_eq!((session.head.unwrap(), session.labels), (loaded.head, loaded.labels.clone()));
        let mut chunks = Vec::new();
        for reply in &loaded.replies {
            let page = store
                .read_chunks(&session.id, ChunkQuery::from(reply.seq, 0))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(&page.reply, reply);
            chunks.extend(page.chunks);
        }
        all.push((session.id.as_str().to_owned(), loaded, chunks));
    }
    all
}

fn new_store(path: &Path) -> RedbStore {
    small().random(Counting(AtomicU8::new(1))).open(path).unwrap()
}

/// Copies a file and the segments of its log.
fn copy(from: &Path, to: &Path) {
    let name = from.file_name().unwrap().to_str().unwrap();
    for entry in std::fs::read_dir(from.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        if let Some(suffix) = entry.file_name().to_str().unwrap().strip_prefix(name) {
            let to = to.with_file_name(format!("{}{suffix}", to.file_name().unwrap().display()));
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn every_golden_file_opens_with_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.redb");
    let store = new_store(&path);
    block_on(write(&store));
    let expected = block_on(content(&store));
    let killed = folder.path().join("killed.redb");
    copy(&path, &killed);
    block_on(store.compact()).unwrap();
    block_on(store.close()).unwrap();
    if let Ok(layout) = std::env::var("DURABLE_SESSION_WRITE_GOLDEN") {
        for (from, stop) in [(&path, "closed"), (&killed, "killed")] {
            let to = golden(&format!("{layout}-{stop}.redb"));
            assert!(!to.exists(), "{} exists: a golden file is never changed", to.display());
            copy(from, &to);
        }
    }
    assert_eq!(expected.len(), 7);
    assert_eq!(expected[3].1.tail[1].body.len(), 20_000);
    let (_, replies, chunks) = &expected[5];
    assert_eq!((replies.replies.len(), replies.labels.get_owner()), (1, Some("u-42")));
    assert_eq!(replies.replies[0].counts, ReplyCounts { chunks: 3, beats: 1 });
    assert_eq!(chunks.concat(), b"one two three");
    assert_eq!(replies.tags.len(), 4);
    assert_ne!(replies.head.closed, replies.head.base);

    let entries = std::fs::read_dir(golden("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.contains("-wal.")).collect();
    names.sort();
    assert_eq!(names, ["v5-closed.redb", "v5-killed.redb"]);
    for name in names {
        let copied = folder.path().join(&name);
        copy(&golden(&name), &copied);
        let store = small().open(&copied).unwrap();
        block_on(async {
            // The versions are the same, too: the salt is in the file.
            assert_eq!(content(&store).await, expected, "{name}");
            assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
            for query in [ListQuery::owner("u-42", 9), ListQuery::open_replies(9)] {
                let listed = store.list(&query).await.unwrap().sessions;
                assert_eq!((listed.len(), &listed[0].id), (1, &id("replies")));
            }
            // The file can also be written.
            append(&store, &id("edited"), expected[1].1.head, &["by this release"]).await;
            create(&store, &id("new"), &["by this release"]).await;
            let loaded = store.load(&id("new"), ALL).await.unwrap().loaded().unwrap();
            assert_eq!(loaded.tail[0].body, Bytes::from("by this release"));
            store.close().await.unwrap();
        });
    }
}
