//! Damage to the log: refused or harmless, and never a shorter history of an acknowledged change.

use crate::damage::{EVERYTHING, hush};
use crate::support::{ALL, Disks, append, bodies, create, id, small, until};
use durable_session::store::{ListQuery, SessionList, SessionStore, StoreErrorKind};
use durable_session_redb::{OpenError, RedbStore};
use futures_executor::block_on;

const MESSAGES: usize = 12;

fn texts() -> Vec<String> {
    (0..MESSAGES).map(|n| format!("message {n} {}", "x".repeat(n * 30))).collect()
}

/// A killed store with all of its messages in the log, one batch each, and how long the log is.
///
/// The writer seals an idle log. On a busy machine it may do so between two messages: then the
/// store is made anew.
fn killed(sealed: bool) -> (Disks, usize) {
    loop {
        let disks = Disks::default();
        let store = disks.open();
        let writes = || disks.log.disk().counts().writes;
        let batches = writes() + 1 + MESSAGES as u64;
        let mut head = block_on(create(&store, &id("s"), &[]));
        for text in texts() {
            head = block_on(append(&store, &id("s"), head, &[&text]));
        }
        if writes() > batches {
            continue;
        }
        if sealed {
            until("the seal", || writes() > batches);
        }
        let killed = disks.after_kill();
        if writes() == batches + u64::from(sealed) {
            let (_, segment) = killed.log.segments().into_iter().next().unwrap();
            let used = segment.iter().rposition(|&byte| byte != 0).unwrap();
            return (killed, used + 1);
        }
    }
}

fn messages(store: &RedbStore) -> Vec<String> {
    bodies(&block_on(store.load(&id("s"), ALL)).unwrap().loaded().unwrap().tail)
}

fn flipped(disks: &Disks, at: usize) -> Disks {
    let damaged = disks.log.changed(|_, bytes| bytes[at] ^= 1 << (at % 8));
    Disks { log: damaged, ..disks.after_kill() }
}

#[test]
fn a_flipped_byte_is_refused_or_harmless_and_at_the_end_costs_one_reported_batch_at_most() {
    hush();
    for sealed in [false, true] {
        let (disks, used) = killed(sealed);
        let (mut refused, mut harmless, mut dropped) = (0, 0, 0);
        for at in (0..used + 256).step_by(5) {
            match flipped(&disks, at).try_open(&small()) {
                Err(error) => {
                    refused += 1;
                    let told = matches!(
                        error,
                        OpenError::LogDamaged { .. }
                            | OpenError::LogMissing { .. }
                            | OpenError::ForeignLog { .. }
                            | OpenError::LogGap { .. }
                            | OpenError::OlderLog { .. }
                            | OpenError::NewerLogFormat { .. }
                    );
                    assert!(told, "byte {at}: {error}");
                }
                Ok(store) => {
                    let (found, torn) = (messages(&store), store.stats().torn_batches);
                    if found == texts() {
                        harmless += 1;
                        continue;
                    }
                    assert!(!sealed, "byte {at}: {} messages", found.len());
                    assert_eq!(found, texts()[..MESSAGES - 1], "byte {at}");
                    assert_eq!(torn, 1, "byte {at}: a batch was dropped without a report");
                    dropped += 1;
                }
            }
        }
        println!("sealed {sealed}: {refused} refused, {harmless} harmless, {dropped} dropped");
        assert!(refused > 500 && harmless > 0);
        assert_eq!(dropped > 0, !sealed);
    }
}

#[test]
fn a_damaged_log_is_read_past_its_damage_without_a_write() {
    hush();
    let (disks, _) = killed(true);
    let log = disks.log.segments();
    let (_, segment) = log.iter().next().unwrap();
    let text = b"message 7 ";
    let at = segment.windows(text.len()).position(|window| window == text).unwrap();
    let damaged = flipped(&disks, at + 30);
    let error = damaged.try_open(&small()).unwrap_err();
    assert!(matches!(error, OpenError::LogDamaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("restore a backup, or read the rest"), "{text}");
    assert!(text.contains("RedbStoreBuilder::open_read_only"), "{text}");

    let store = damaged.read_only().unwrap();
    block_on(async {
        let salvaged = store.salvage(&id("s"), EVERYTHING).await.unwrap().unwrap();
        assert_eq!(salvaged.rows.len(), MESSAGES - 1);
        let mut expected = texts();
        expected.remove(7);
        assert_eq!(bodies(&salvaged.rows), expected);
        assert!(!salvaged.damage.is_empty());
        assert!(!store.verify(|_| {}).await.unwrap().damage.is_empty());
        assert_eq!(store.list(&ListQuery::all(9)).await.unwrap().sessions.len(), 1);
        let error = store.touch(&id("s"), 9).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    });
}

#[test]
fn a_batch_that_was_torn_by_a_kill_is_dropped_and_the_store_goes_on() {
    let (disks, used) = killed(false);
    for cut in [1, 20, 64, 100] {
        let log = disks.log.changed(|_, bytes| bytes[used - cut..].fill(0));
        let disks = Disks { log, ..disks.after_kill() };
        let store = disks.open();
        let found = messages(&store);
        // Zeros at the end may be the padding of the batch.
        let kept = if found.len() == MESSAGES { MESSAGES } else { MESSAGES - 1 };
        assert_eq!(found, texts()[..kept], "{cut} bytes torn");
        assert_eq!(store.stats().torn_batches, u64::from(kept < MESSAGES));
        let head = block_on(store.load(&id("s"), ALL)).unwrap().loaded().unwrap().head;
        block_on(append(&store, &id("s"), head, &["more"]));
        let again = disks.after_power_loss().open();
        assert_eq!(messages(&again).len(), kept + 1);
        assert_eq!(again.stats().torn_batches, 0, "reported once");
    }
}

/// Bodies that look like batches of the log are content.
#[test]
fn a_message_with_the_bytes_of_the_log_is_content() {
    let (disks, _) = killed(false);
    let copy: Vec<u8> = disks.log.segments().into_values().next().unwrap();
    let body = bytes::Bytes::from(copy[..20_000].to_vec());
    let disks = Disks::default();
    let store = disks.open();
    let s = id("other");
    let head = block_on(create(&store, &s, &["first"]));
    let ops = vec![durable_session::store::Op::append(body.clone())];
    let commit = crate::support::commit(head.expect(), ops);
    crate::support::committed(block_on(store.commit(&s, commit)));
    let store = disks.after_kill().open();
    let loaded = block_on(store.load(&s, ALL)).unwrap().loaded().unwrap();
    assert_eq!(loaded.tail[1].body, body);
    assert!(block_on(store.load(&id("s"), ALL)).unwrap().loaded().is_none());
}
