//! S8, C7, S11: the disk reads and writes of single operations.
#![allow(clippy::unwrap_used, clippy::panic)] // Clippy knows tests, but not their helpers.

#[allow(dead_code)]
#[path = "store/support.rs"]
mod support;

use durable_session::SessionId;
use durable_session::store::{
    Commit, Expect, Head, IdTag, Labels, ListQuery, LoadQuery, NewMessage, Op, SessionList,
    SessionStore, TailBounds,
};
use durable_session_redb::OpenCheck;
use futures_executor::block_on;
use support::{Disks, append, commit, committed, create, id, small};

/// Each append goes to another session.
#[test]
fn a_lone_append_is_one_small_write_and_one_sync_of_the_log() {
    let disks = Disks::default();
    let store = disks.open();
    let sessions: Vec<SessionId> = (0..50).map(|n| id(&format!("session-{n}"))).collect();
    let mut heads: Vec<Head> =
        sessions.iter().map(|session| block_on(create(&store, session, &[]))).collect();
    let body = "x".repeat(400);
    let before = (disks.file.counts(), disks.log.disk().counts());
    for n in 0..500 {
        let n = n % sessions.len();
        heads[n] = block_on(append(&store, &sessions[n], heads[n], &[&body]));
    }
    let after = (disks.file.counts(), disks.log.disk().counts());
    assert_eq!(after.0, before.0, "the file was used");
    let (after, before) = (after.1, before.1);
    let (bytes, syncs) = (after.bytes_written - before.bytes_written, after.syncs - before.syncs);
    let writes = after.writes - before.writes;
    println!("500 lone appends: {bytes} bytes in {writes} writes, {syncs} syncs");
    // A few more when the log goes on in another segment, or was idle and is sealed.
    assert!((500..=560).contains(&syncs) && (500..=560).contains(&writes), "{writes} {syncs}");
    assert!(bytes / 500 <= 700, "{} bytes per append", bytes / 500);
    assert_eq!(after.bytes_read, before.bytes_read, "an append reads nothing");
}

/// C7: every load reads the tags of 64 messages, however large these are.
#[test]
fn a_load_costs_the_same_however_large_the_messages_before_its_tail() {
    let s = id("s");
    let read = |bodies: &dyn Fn(usize) -> usize| {
        let disks = Disks::default();
        let store = disks.open();
        let head = block_on(create(&store, &s, &[]));
        let message =
            |n: usize| NewMessage::tagged(vec![b'x'; bodies(n)].into(), IdTag::of(&n.to_string()));
        let mut ops: Vec<Op> = (0..99).map(|n| Op::Append(message(n))).collect();
        ops.push(Op::Append(NewMessage::tagged("last".into(), IdTag::of("99"))));
        committed(block_on(store.commit(&s, commit(head.expect(), ops))));
        // From the tables, not from the log.
        block_on(store.compact()).unwrap();
        block_on(store.close()).unwrap();
        let store = disks.open_with(&small().cache_bytes(0).check(OpenCheck::Skip));
        let before = disks.file.counts();
        let last = LoadQuery::new(TailBounds::new(1, u64::MAX));
        let loaded = block_on(store.load(&s, last)).unwrap().loaded().unwrap();
        let read = disks.file.counts().bytes_read - before.bytes_read;
        assert_eq!((loaded.tail.len(), loaded.tags.len()), (1, 64));
        for (seq, tagged) in (37..).zip(&loaded.tags) {
            assert_eq!((tagged.seq, tagged.tag), (seq, IdTag::of(&(seq - 1).to_string())));
        }
        read
    };
    let small = read(&|_| 200);
    for (sizes, bodies) in [
        ("all large", &(|_| 50_000_usize) as &dyn Fn(usize) -> usize),
        ("every other large", &|n| if n % 2 == 0 { 50_000 } else { 200 }),
        ("some large", &|n| if n % 7 == 3 { 50_000 } else { 200 }),
        ("all just over the limit", &|_| 5_000),
    ] {
        let large = read(bodies);
        println!("{sizes}: {large} bytes read, {small} where all are small");
        // For each of 64 messages, a page of the tag table and the pages above it.
        assert!(
            large <= small + 64 * 4 * 4096,
            "{sizes}: {large} bytes read, {small} where all are small"
        );
    }
}

/// S11: a page of an owner's list costs nothing for sessions outside the page.
#[test]
fn a_page_of_an_owners_list_costs_the_same_in_a_long_list() {
    let disks = Disks::default();
    let store = disks.open();
    for (owner, sessions) in [("few", 20), ("many", 500)] {
        for n in 0..sessions {
            let ops = vec![Op::SetLabels(Labels::owner(owner))];
            let creation = Commit::new(Expect::absent(1_000 + n), ops, 1_000 + n);
            committed(block_on(store.commit(&id(&format!("{owner}-{n:04}")), creation)));
        }
    }
    block_on(store.close()).unwrap();
    let store = disks.open_with(&small().cache_bytes(0).check(OpenCheck::Skip));
    for query in [
        |owner: &str| ListQuery::owner(owner, 10),
        |owner: &str| ListQuery::owner(owner, 10).by_id(),
    ] {
        let [few, many] = ["few", "many"].map(|owner| {
            let first = block_on(store.list(&query(owner))).unwrap();
            let before = disks.file.counts();
            let page = block_on(store.list(&query(owner).after(first.next.unwrap()))).unwrap();
            assert_eq!(page.sessions.len(), 10);
            disks.file.counts().reads - before.reads
        });
        println!("{few} reads for ten of 20 sessions, {many} for ten of 500");
        // The trees of many sessions are higher.
        assert!(many <= few * 2, "{few} reads for ten of 20 sessions, {many} for ten of 500");
    }
}
