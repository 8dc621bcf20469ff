//! Damaged files: typed errors, never a panic, never another content than was stored.

use crate::support::{ALL, append, appends, commit, create, id};
use durable_session::SessionId;
use durable_session::store::{
    DeleteIf, Expect, ListQuery, Order, ReadQuery, Row, SessionList, SessionStore, StoreErrorKind,
};
use durable_session_redb::{RedbStore, RedbStoreBuilder};
use futures_executor::block_on;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Once;
use torture_disk::Disk;

const SESSIONS: usize = 20;
pub(crate) const EVERYTHING: ReadQuery = ReadQuery {
    first: 1,
    last: u64::MAX,
    order: Order::Forward,
    max_messages: usize::MAX,
    max_bytes: u64::MAX,
};

type Content = BTreeMap<SessionId, Vec<String>>;

/// redb's panics on the store's own threads are expected here and would only flood the output.
pub(crate) fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let ours = std::thread::current().name().is_some_and(|name| name.starts_with("durable-session"));
            if !ours {
                previous(info);
            }
        }));
    });
}

/// Opens files as they are, as one does to salvage what is left.
pub(crate) fn unchecked() -> RedbStoreBuilder {
    RedbStore::builder().verify_on_open(false)
}

/// A cleanly closed store of some sessions.
fn sample(folder: &Path) -> (PathBuf, Content) {
    let path = folder.join("sample.redb");
    let store = RedbStore::open(&path).unwrap();
    let mut content = Content::new();
    block_on(async {
        for n in 0..SESSIONS {
            let session = id(&format!("session-{n}"));
            let mut texts: Vec<String> =
                (0..=(n % 7)).map(|m| format!("{n}.{m} {}", "x".repeat(n * 40))).collect();
            let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
            let head = create(&store, &session, &refs).await;
            append(&store, &session, head.version, &["one more"]).await;
            texts.push("one more".into());
            content.insert(session, texts);
        }
        store.close().await.unwrap();
    });
    (path, content)
}

/// Whether the rows are what was stored at their seqs.
fn are_true(rows: &[Row], stored: &[String]) -> bool {
    rows.iter().all(|row| {
        let index = usize::try_from(row.seq).unwrap() - 1;
        stored.get(index).is_some_and(|text| text.as_bytes() == &row.body[..])
    })
}

/// Uses everything of a store that may be damaged; says how many sessions were whole.
fn use_all(store: &RedbStore, content: &Content) -> usize {
    let mut whole = 0;
    block_on(async {
        let _ = store.list(&ListQuery::all(1000)).await;
        let _ = store.verify(|_| {}).await;
        for (session, stored) in content {
            if let Ok(Some(loaded)) = store.load(session, ALL).await {
                assert!(are_true(&loaded.tail, stored), "{session:?}: a load made something up");
                whole += usize::from(loaded.tail.len() == stored.len());
            }
            if let Ok(Some(page)) = store.read(session, EVERYTHING).await {
                assert!(are_true(&page.rows, stored), "{session:?}: a read made something up");
            }
            if let Ok(Some(salvaged)) = store.salvage(session, EVERYTHING).await {
                assert!(are_true(&salvaged.rows, stored), "{session:?}: a salvage made something up");
            }
        }
        for (n, session) in content.keys().enumerate() {
            if let Ok(Some(loaded)) = store.load(session, ALL).await {
                let more = commit(Expect::Version(loaded.head.version), appends(&["more"]));
                let _ = store.commit(session, more).await;
                let _ = store.touch(session, 70_000).await;
            }
            if n % 2 == 0 {
                let _ = store.delete(session, DeleteIf::Any).await;
            }
        }
        let _ = store.commit(&id("new"), commit(Expect::Absent { created_at: 1 }, appends(&["new"]))).await;
        let _ = store.close().await;
    });
    whole
}

/// A small generator: the same damage in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[test]
fn flipped_bits_anywhere_in_the_file_cause_errors_at_most() {
    hush();
    let folder = tempfile::tempdir().unwrap();
    let (path, content) = sample(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    // Most of a young file is free space; damage what is used.
    let used: Vec<usize> =
        (0..bytes.len()).filter(|&at| bytes[at / 512 * 512..][..512].iter().any(|&b| b != 0)).collect();
    let mut random = Random(1);
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..300 {
        let mut damaged = bytes.clone();
        for _ in 0..=random.below(3) {
            damaged[used[random.below(used.len())]] ^= 1 << random.below(8);
        }
        match unchecked().open_backend(Disk::with(damaged).backend()) {
            Ok(store) => {
                use_all(&store, &content);
                opened += 1;
            }
            Err(_) => refused += 1,
        }
    }
    // Refused are damaged headers and roots: of other files, what is left can be read.
    assert!(opened > 250 && refused > 0, "{opened} opened, {refused} refused");
}

#[test]
fn verifying_when_opening_finds_every_flipped_bit_that_matters() {
    hush();
    let folder = tempfile::tempdir().unwrap();
    let (path, content) = sample(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    let used: Vec<usize> =
        (0..bytes.len()).filter(|&at| bytes[at / 512 * 512..][..512].iter().any(|&b| b != 0)).collect();
    let mut random = Random(2);
    let mut refused = 0;
    for _ in 0..100 {
        let mut damaged = bytes.clone();
        damaged[used[random.below(used.len())]] ^= 1 << random.below(8);
        let disk = Disk::with(damaged);
        match RedbStore::builder().verify_on_open(true).open_backend(disk.backend()) {
            Ok(store) => assert_eq!(use_all(&store, &content), SESSIONS),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 20, "{refused} refused");
}

#[test]
fn a_file_cut_short_is_refused_or_read_truly() {
    hush();
    let folder = tempfile::tempdir().unwrap();
    let (path, content) = sample(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    let mut random = Random(3);
    let short = [1, 8, 9, 63, 64, 100, 319, 320, 511, 512, 4095, 4096, 4097, 8192];
    let anywhere: Vec<usize> = (0..40).map(|_| random.below(bytes.len())).collect();
    let mut refused = 0;
    for cut in short.into_iter().chain(anywhere) {
        let disk = Disk::with(bytes[..cut].to_vec());
        if let Ok(store) = unchecked().open_backend(disk.backend()) {
            // With pages missing, it is only read, as far as it can be.
            let created = commit(Expect::Absent { created_at: 1 }, appends(&["new"]));
            let changed = block_on(store.commit(&id("unknown"), created));
            let whole = use_all(&store, &content);
            let expected = if changed.is_ok() { SESSIONS } else { whole };
            assert_eq!(whole, expected, "cut to {cut} bytes of {}", bytes.len());
            refused += usize::from(changed.is_err_and(|error| error.kind() == StoreErrorKind::Corrupt));
        } else {
            refused += 1;
        }
    }
    assert!(refused > 14, "{refused} refused or only read");
}

#[test]
fn blocks_that_were_swapped_zeroed_or_are_of_another_time_cause_errors_at_most() {
    hush();
    let folder = tempfile::tempdir().unwrap();
    let (path, content) = sample(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    let blocks: Vec<usize> = (1..bytes.len() / 4096)
        .filter(|block| bytes[block * 4096..][..4096].iter().any(|&b| b != 0))
        .collect();
    let mut random = Random(4);
    for round in 0..100 {
        let mut damaged = bytes.clone();
        let (a, b) = (blocks[random.below(blocks.len())] * 4096, blocks[random.below(blocks.len())] * 4096);
        if round % 2 == 0 {
            damaged[a..a + 4096].fill(0);
        } else {
            damaged[a..a + 4096].copy_from_slice(&bytes[b..b + 4096]);
            damaged[b..b + 4096].copy_from_slice(&bytes[a..a + 4096]);
        }
        if let Ok(store) = unchecked().open_backend(Disk::with(damaged).backend()) {
            use_all(&store, &content);
        }
    }
}

#[test]
fn a_damaged_session_disturbs_no_other_and_can_be_salvaged_and_deleted() {
    hush();
    let folder = tempfile::tempdir().unwrap();
    let (path, content) = sample(folder.path());
    // The body is stored as it is, once: its bytes can be found in the file.
    let bytes = std::fs::read(&path).unwrap();
    let text = b"13.2 ";
    let places: Vec<usize> =
        (0..bytes.len() - text.len()).filter(|&at| &bytes[at..][..text.len()] == text).collect();
    let mut damaged = bytes;
    for at in places {
        damaged[at + 20] ^= 1;
    }
    std::fs::write(&path, damaged).unwrap();
    let store = unchecked().open(&path).unwrap();
    let victim = id("session-13");
    block_on(async {
        let error = store.load(&victim, ALL).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.session(), error.seq()),
            (StoreErrorKind::Corrupt, Some(&victim), Some(3))
        );
        let error = store.read(&victim, EVERYTHING).await.unwrap_err();
        assert_eq!((error.kind(), error.seq()), (StoreErrorKind::Corrupt, Some(3)));
        let untouched = ReadQuery { first: 4, ..EVERYTHING };
        assert_eq!(store.read(&victim, untouched).await.unwrap().unwrap().rows.len(), 5);
        let salvaged = store.salvage(&victim, EVERYTHING).await.unwrap().unwrap();
        assert!(are_true(&salvaged.rows, &content[&victim]));
        assert_eq!((salvaged.rows.len(), salvaged.damage.len()), (7, 1));
        assert_eq!(salvaged.damage[0].seq, Some(3));
        let verification = store.verify(|_| {}).await.unwrap();
        assert_eq!(verification.damage.len(), 1);
        assert_eq!(verification.damage[0].seq(), Some(3));

        // Appending does not need the damaged row, and removing it heals the session.
        let head = salvaged.head.unwrap();
        let head = append(&store, &victim, head.version, &["again"]).await;
        let ops = vec![durable_session::store::Op::Remove { first: 3, last: 3 }];
        crate::support::committed(store.commit(&victim, commit(Expect::Version(head.version), ops)).await);
        assert_eq!(store.load(&victim, ALL).await.unwrap().unwrap().tail.len(), 8);
        assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
    });
}

#[test]
fn a_page_beyond_the_end_of_the_file_was_said_to_be_a_passing_failure() {
    hush();
    let disk = Disk::default();
    let storage = disk.clone();
    // With hardly any cache, reads go to the disk.
    let store = RedbStore::builder().cache_bytes(0).open_storage(move || Ok(storage.backend())).unwrap();
    let s = id("s");
    block_on(create(&store, &s, &["a"]));
    disk.cut(4096);
    let error = block_on(store.load(&s, ALL)).unwrap_err();
    assert_eq!((error.kind(), error.session()), (StoreErrorKind::Corrupt, Some(&s)));
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn rows_of_swapped_pages_were_returned_in_the_wrong_order() {
    hush();
    let disk = Disk::default();
    let store = RedbStore::builder().open_backend(disk.backend()).unwrap();
    let s = id("s");
    let texts: Vec<String> = (0..80).map(|n| format!("{n} {}", "x".repeat(300))).collect();
    let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
    block_on(create(&store, &s, &refs));
    block_on(store.close()).unwrap();
    let bytes = disk.bytes();
    let leaves: Vec<usize> = (1..bytes.len() / 4096)
        .map(|page| page * 4096)
        .filter(|&at| bytes[at..at + 4096].windows(50).any(|window| window.iter().all(|&b| b == b'x')))
        .collect();
    let mut told = 0;
    for pair in leaves.windows(2) {
        let mut damaged = bytes.clone();
        damaged[pair[0]..pair[0] + 4096].copy_from_slice(&bytes[pair[1]..pair[1] + 4096]);
        damaged[pair[1]..pair[1] + 4096].copy_from_slice(&bytes[pair[0]..pair[0] + 4096]);
        let Ok(store) = unchecked().open_backend(Disk::with(damaged).backend()) else { continue };
        let ordered = |rows: &[Row]| rows.windows(2).all(|pair| pair[0].seq < pair[1].seq);
        match block_on(store.load(&s, ALL)) {
            Ok(Some(loaded)) => assert!(ordered(&loaded.tail)),
            Ok(None) => {}
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Corrupt);
                let backward = ReadQuery { order: Order::Backward, ..EVERYTHING };
                if let Ok(Some(mut salvaged)) = block_on(store.salvage(&s, backward)) {
                    salvaged.rows.reverse();
                    assert!(ordered(&salvaged.rows) && !salvaged.damage.is_empty());
                }
                let Ok(Some(salvaged)) = block_on(store.salvage(&s, EVERYTHING)) else { continue };
                assert!(ordered(&salvaged.rows) && !salvaged.damage.is_empty());
                told += 1;
            }
        }
    }
    assert!(told > 0, "no swap of {} pages put rows out of order", leaves.len());
}
