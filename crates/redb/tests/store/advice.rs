//! The advice in an error that refuses a damaged file works when it is followed, after a clean and an unclean stop.

use crate::damage::{EVERYTHING, hush};
use crate::support::{ALL, append, create, id};
use durable_session::SessionId;
use durable_session::store::SessionStore;
use durable_session_redb::{RedbDurability, RedbStore};
use futures_executor::block_on;
use std::collections::BTreeMap;
use torture_disk::Disk;

const SESSIONS: usize = 30;
const ADVICE: &str = "verify_on_open(false)";

type Content = BTreeMap<SessionId, Vec<String>>;

/// The bytes of a store while it is open, which are those after a kill, and after it was closed.
struct Stopped {
    content: Content,
    killed: Vec<u8>,
    closed: Vec<u8>,
}

/// A store with rows in every table: some messages are folded, some are in a log, some app states too.
fn stopped(durability: RedbDurability) -> Stopped {
    let disk = Disk::default();
    let store = RedbStore::builder().durability(durability).log_bytes(24 << 10);
    let store = store.open_backend(disk.backend()).unwrap();
    let mut content = Content::new();
    for n in 0..SESSIONS {
        let session = id(&format!("session-{n}"));
        let texts: Vec<String> = (0..6).map(|m| format!("{n}.{m} {}", "x".repeat(n * 20))).collect();
        let head = block_on(create(&store, &session, &[&texts[0]]));
        let mut version = head.version;
        for text in &texts[1..] {
            version = block_on(append(&store, &session, version, &[text])).version;
        }
        content.insert(session, texts);
    }
    assert!(store.stats().logged > 0, "nothing is in a log");
    let killed = disk.bytes();
    block_on(store.close()).unwrap();
    Stopped { content, killed, closed: disk.bytes() }
}

/// How many sessions can be read as a whole. What can be read is what was stored.
fn whole(store: &RedbStore, content: &Content) -> usize {
    let read = |(session, stored): (&SessionId, &Vec<String>)| {
        if let Ok(Some(salvaged)) = block_on(store.salvage(session, EVERYTHING)) {
            for row in &salvaged.rows {
                let index = usize::try_from(row.seq).unwrap() - 1;
                assert_eq!(stored.get(index).map(|text| text.as_bytes()), Some(&row.body[..]), "{session}");
            }
        }
        let loaded = block_on(store.load(session, ALL)).ok().flatten();
        usize::from(loaded.is_some_and(|loaded| loaded.tail.len() == stored.len()))
    };
    content.iter().map(read).sum()
}

/// The pages that hold anything, in each the place of some byte that is not zero.
fn places(bytes: &[u8], of_each_page: usize) -> Vec<usize> {
    let in_page = |page: usize| {
        let used: Vec<usize> = (page * 4096..(page + 1) * 4096).filter(|&at| bytes[at] != 0).collect();
        let step = (used.len() / of_each_page).max(1);
        used.into_iter().step_by(step).collect::<Vec<_>>()
    };
    (0..bytes.len() / 4096).flat_map(in_page).collect()
}

#[test]
fn the_advice_for_a_flipped_bit_works_in_every_page_after_every_kind_of_stop() {
    hush();
    for durability in [RedbDurability::Immediate, RedbDurability::QuickRecovery] {
        let Stopped { content, killed, closed } = stopped(durability);
        for (stop, bytes) in [("killed", killed), ("closed", closed)] {
            let (mut harmless, mut advised, mut hopeless, mut kept) = (0, 0, 0, 0);
            for at in places(&bytes, 2) {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << (at % 8);
                let open = |verify: bool| {
                    let builder = RedbStore::builder().durability(durability).verify_on_open(verify);
                    builder.open_backend(Disk::with(damaged.clone()).backend())
                };
                let context = format!("{durability:?}, {stop}, byte {at}");
                let refusal = match open(true) {
                    Ok(store) => {
                        // With one sync per transaction, damage to what the last one wrote looks like a commit that
                        // power loss interrupted: the transaction before it counts.
                        let last = durability == RedbDurability::Immediate && stop == "killed";
                        assert!(whole(&store, &content) >= SESSIONS - usize::from(last), "{context}");
                        harmless += 1;
                        continue;
                    }
                    Err(refusal) => refusal.to_string(),
                };
                assert!(refusal.contains("backup") || refusal.contains("release"), "{context}: {refusal}");
                match open(false) {
                    Ok(store) if refusal.contains(ADVICE) => {
                        advised += 1;
                        kept += whole(&store, &content);
                    }
                    Ok(_) => panic!("{context}: it can be opened, and the error did not say so: {refusal}"),
                    Err(error) => {
                        assert!(!refusal.contains(ADVICE), "{context}: advised {ADVICE}, which says {error}");
                        assert!(!error.to_string().contains(ADVICE), "{context}: advised again: {error}");
                        hopeless += 1;
                    }
                }
            }
            println!(
                "{durability:?}, {stop}: {harmless} harmless, {advised} advised, {hopeless} hopeless, {kept} kept"
            );
            // Hopeless are the header and the roots of the tables, which in a file this small are many.
            assert!(advised > 25 && hopeless < advised / 5, "{advised} advised, {hopeless} hopeless");
            // A flipped bit costs a session or a page of sessions, seldom more.
            assert!(kept * 10 > advised * SESSIONS * 8, "{kept} of {}", advised * SESSIONS);
        }
    }
}
