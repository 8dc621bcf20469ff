//! Damaged files: errors of the right kind, no panic, and never other content than was stored.

use crate::support::{ALL, Disks, append, appends, commit, committed, create, id, small};
use durable_session::SessionId;
use durable_session::store::{
    DeleteIf, Expect, ListQuery, LoadOutcome, Op, ReadQuery, Row, SessionList, SessionStore,
    StoreErrorKind,
};
use durable_session_redb::{OpenCheck, RedbStore, RedbStoreBuilder};
use futures_executor::block_on;
use std::collections::BTreeMap;
use std::sync::Once;

const SESSIONS: usize = 20;
pub(crate) const EVERYTHING: ReadQuery = ReadQuery::forward(1, u64::MAX);

type Content = BTreeMap<SessionId, Vec<String>>;

/// Silences panics of redb on the store's threads, which are expected here.
pub(crate) fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let ours = std::thread::current()
                .name()
                .is_some_and(|name| name.starts_with("durable-session"));
            if !ours {
                previous(info);
            }
        }));
    });
}

/// Trusts files, so that damage is met when they are read and written.
pub(crate) fn unchecked() -> RedbStoreBuilder {
    small().check(OpenCheck::Skip)
}

/// A cleanly closed store of some sessions, all in its file.
fn sample() -> (Disks, Content) {
    let disks = Disks::default();
    let store = disks.open();
    let mut content = Content::new();
    block_on(async {
        for n in 0..SESSIONS {
            let session = id(&format!("session-{n}"));
            let mut texts: Vec<String> =
                (0..=(n % 7)).map(|m| format!("{n}.{m} {}", "x".repeat(n * 40))).collect();
            let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
            let head = create(&store, &session, &refs).await;
            append(&store, &session, head, &["one more"]).await;
            texts.push("one more".into());
            content.insert(session, texts);
        }
        store.close().await.unwrap();
    });
    (disks, content)
}

/// Whether the rows have the bodies that were stored at their seqs.
fn are_true(rows: &[Row], stored: &[String]) -> bool {
    rows.iter().all(|row| {
        let index = usize::try_from(row.seq).unwrap() - 1;
        stored.get(index).is_some_and(|text| text.as_bytes() == &row.body[..])
    })
}

/// Makes every call on a store that may be damaged; returns the number of whole sessions.
fn use_all(store: &RedbStore, content: &Content) -> usize {
    let mut whole = 0;
    block_on(async {
        let _ = store.list(&ListQuery::all(1000)).await;
        let _ = store.verify(|_| {}).await;
        for (session, stored) in content {
            if let Ok(LoadOutcome::Loaded(loaded)) = store.load(session, ALL).await {
                assert!(are_true(&loaded.tail, stored), "{session:?}: a load shows other content");
                whole += usize::from(loaded.tail.len() == stored.len());
            }
            if let Ok(Some(page)) = store.read(session, EVERYTHING).await {
                assert!(are_true(&page.rows, stored), "{session:?}: a read shows other content");
            }
            if let Ok(Some(salvaged)) = store.salvage(session, EVERYTHING).await {
                assert!(
                    are_true(&salvaged.rows, stored),
                    "{session:?}: a salvage shows other content"
                );
            }
        }
        for (n, session) in content.keys().enumerate() {
            if let Ok(LoadOutcome::Loaded(loaded)) = store.load(session, ALL).await {
                let more = commit(loaded.head.expect(), appends(&["more"]));
                let _ = store.commit(session, more).await;
                let _ = store.touch(session, 70_000).await;
            }
            if n % 2 == 0 {
                let _ = store.delete(session, DeleteIf::Any).await;
            }
        }
        let _ = store.commit(&id("new"), commit(Expect::absent(1), appends(&["new"]))).await;
        let _ = store.close().await;
    });
    whole
}

/// A small generator: the same damage in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[test]
fn flipped_bits_cause_errors_and_never_other_content() {
    hush();
    let (disks, content) = sample();
    let bytes = disks.file.bytes();
    // Most of a young file is free: damage used blocks.
    let used: Vec<usize> = (0..bytes.len())
        .filter(|&at| bytes[at / 512 * 512..][..512].iter().any(|&b| b != 0))
        .collect();
    let mut random = Random(1);
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..300 {
        let mut damaged = bytes.clone();
        for _ in 0..=random.below(3) {
            damaged[used[random.below(used.len())]] ^= 1 << random.below(8);
        }
        match disks.with_file(damaged).try_open(&unchecked()) {
            Ok(store) => {
                use_all(&store, &content);
                opened += 1;
            }
            Err(_) => refused += 1,
        }
    }
    // Files with a damaged header or root are refused; others can be read in part.
    assert!(opened > 250 && refused > 0, "{opened} opened, {refused} refused");
}

#[test]
fn a_file_cut_short_is_refused_or_shows_only_stored_content() {
    hush();
    let (disks, content) = sample();
    let bytes = disks.file.bytes();
    let mut random = Random(3);
    let short = [1, 8, 9, 63, 64, 100, 319, 320, 511, 512, 4095, 4096, 4097, 8192];
    let anywhere: Vec<usize> = (0..40).map(|_| random.below(bytes.len())).collect();
    let mut refused = 0;
    for cut in short.into_iter().chain(anywhere) {
        if let Ok(store) = disks.with_file(bytes[..cut].to_vec()).try_open(&unchecked()) {
            // With pages missing, the file is open for reading only.
            let created = commit(Expect::absent(1), appends(&["new"]));
            let changed = block_on(store.commit(&id("unknown"), created));
            let whole = use_all(&store, &content);
            let expected = if changed.is_ok() { SESSIONS } else { whole };
            assert_eq!(whole, expected, "cut to {cut} bytes of {}", bytes.len());
            refused +=
                usize::from(changed.is_err_and(|error| error.kind() == StoreErrorKind::Corrupt));
        } else {
            refused += 1;
        }
    }
    assert!(refused > 14, "{refused} refused or only read");
}

#[test]
fn swapped_and_zeroed_blocks_cause_errors_and_never_other_content() {
    hush();
    let (disks, content) = sample();
    let bytes = disks.file.bytes();
    let blocks: Vec<usize> = (1..bytes.len() / 4096)
        .filter(|block| bytes[block * 4096..][..4096].iter().any(|&b| b != 0))
        .collect();
    let mut random = Random(4);
    for round in 0..100 {
        let mut damaged = bytes.clone();
        let (a, b) =
            (blocks[random.below(blocks.len())] * 4096, blocks[random.below(blocks.len())] * 4096);
        if round % 2 == 0 {
            damaged[a..a + 4096].fill(0);
        } else {
            damaged[a..a + 4096].copy_from_slice(&bytes[b..b + 4096]);
            damaged[b..b + 4096].copy_from_slice(&bytes[a..a + 4096]);
        }
        if let Ok(store) = disks.with_file(damaged).try_open(&unchecked()) {
            use_all(&store, &content);
        }
    }
}

#[test]
fn a_damaged_message_affects_one_session_and_removing_it_heals_it() {
    hush();
    let (disks, content) = sample();
    // Bodies are stored unchanged, so their bytes can be found in the file.
    let bytes = disks.file.bytes();
    let text = b"13.2 ";
    let places: Vec<usize> =
        (0..bytes.len() - text.len()).filter(|&at| &bytes[at..][..text.len()] == text).collect();
    let mut damaged = bytes;
    for at in places {
        damaged[at + 20] ^= 1;
    }
    let store = disks.with_file(damaged).open_with(&unchecked());
    let victim = id("session-13");
    block_on(async {
        let error = store.load(&victim, ALL).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.session(), error.seq()),
            (StoreErrorKind::Corrupt, Some(&victim), Some(3))
        );
        let error = store.read(&victim, EVERYTHING).await.unwrap_err();
        assert_eq!((error.kind(), error.seq()), (StoreErrorKind::Corrupt, Some(3)));
        let untouched = ReadQuery::forward(4, u64::MAX);
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
        let head = append(&store, &victim, head, &["again"]).await;
        let ops = vec![Op::Remove { first: 3, last: 3 }];
        committed(store.commit(&victim, commit(head.expect(), ops)).await);
        assert_eq!(store.load(&victim, ALL).await.unwrap().loaded().unwrap().tail.len(), 8);
        assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
    });
}

#[test]
fn a_page_past_the_end_of_the_file_is_damage() {
    hush();
    let disks = Disks::default();
    let s = id("s");
    let store = disks.open();
    block_on(create(&store, &s, &["a"]));
    block_on(store.close()).unwrap();
    // With hardly any cache, reads go to the disk.
    let store = disks.reopenable(&unchecked().cache_bytes(0));
    disks.file.cut(4096);
    let error = block_on(store.load(&s, ALL)).unwrap_err();
    assert_eq!((error.kind(), error.session()), (StoreErrorKind::Corrupt, Some(&s)));
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn rows_of_swapped_pages_are_never_returned_out_of_order() {
    hush();
    let disks = Disks::default();
    let store = disks.open();
    let s = id("s");
    let texts: Vec<String> = (0..80).map(|n| format!("{n} {}", "x".repeat(300))).collect();
    let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
    block_on(create(&store, &s, &refs));
    block_on(store.close()).unwrap();
    let bytes = disks.file.bytes();
    let leaves: Vec<usize> = (1..bytes.len() / 4096)
        .map(|page| page * 4096)
        .filter(|&at| {
            bytes[at..at + 4096].windows(50).any(|window| window.iter().all(|&b| b == b'x'))
        })
        .collect();
    let mut told = 0;
    for pair in leaves.windows(2) {
        let mut damaged = bytes.clone();
        damaged[pair[0]..pair[0] + 4096].copy_from_slice(&bytes[pair[1]..pair[1] + 4096]);
        damaged[pair[1]..pair[1] + 4096].copy_from_slice(&bytes[pair[0]..pair[0] + 4096]);
        let Ok(store) = disks.with_file(damaged).try_open(&unchecked()) else { continue };
        let ordered = |rows: &[Row]| rows.windows(2).all(|pair| pair[0].seq < pair[1].seq);
        match block_on(store.load(&s, ALL)) {
            Ok(LoadOutcome::Loaded(loaded)) => assert!(ordered(&loaded.tail)),
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Corrupt);
                let backward = ReadQuery::backward(1, u64::MAX);
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
