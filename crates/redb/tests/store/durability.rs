//! S1 on disks that forget unsynced writes.

use crate::support::{
    ALL, Disks, append, appends, bodies, commit, committed, create, id, small, tiny,
};
use durable_session::store::{DeleteIf, Op, SessionStore};
use futures_executor::block_on;
use futures_util::future::join_all;

#[test]
fn every_acknowledgement_follows_a_sync_that_covers_its_writes() {
    for builder in [small(), tiny()] {
        let disks = Disks::default();
        let store = disks.open_with(&builder);
        let (s, t) = (id("s"), id("t"));
        block_on(async {
            let acknowledged = async |expected: &[&str]| {
                let after = disks.after_power_loss().open_with(&builder);
                let loaded = after.load(&s, ALL).await.unwrap().loaded().unwrap();
                assert_eq!(loaded.head, store.load(&s, ALL).await.unwrap().loaded().unwrap().head);
                assert_eq!(bodies(&loaded.tail), expected);
            };
            let mut head = create(&store, &s, &["m0"]).await;
            acknowledged(&["m0"]).await;
            head = append(&store, &s, head, &["m1", "m2"]).await;
            acknowledged(&["m0", "m1", "m2"]).await;
            let ops = vec![Op::replace(1, "edited".into()), Op::SetApp("{}".into())];
            head = committed(store.commit(&s, commit(head.expect(), ops)).await);
            acknowledged(&["edited", "m1", "m2"]).await;
            let ops = vec![Op::Remove { first: 2, last: 2 }];
            committed(store.commit(&s, commit(head.expect(), ops)).await);
            acknowledged(&["edited", "m2"]).await;
            store.touch(&s, 99_000).await.unwrap();
            acknowledged(&["edited", "m2"]).await;
            create(&store, &t, &["other"]).await;
            store.delete(&t, DeleteIf::Any).await.unwrap();
            let after = disks.after_power_loss().open_with(&builder);
            assert!(after.load(&t, ALL).await.unwrap().loaded().is_none());
        });
    }
}

#[test]
fn a_change_is_one_write_and_one_sync_of_the_log_and_none_of_the_file() {
    let disks = Disks::default();
    let store = disks.open();
    let mut head = block_on(create(&store, &id("s"), &["m"]));
    let (log, file) = (disks.log.disk().counts(), disks.file.counts());
    for n in 0..20 {
        let ops = match n % 4 {
            0 => appends(&["m"]),
            1 => vec![Op::SetApp("{}".into())],
            2 => vec![Op::replace(1, "other".into())],
            _ => vec![Op::Remove { first: 2, last: 2 }],
        };
        head = committed(block_on(store.commit(&id("s"), commit(head.expect(), ops))));
    }
    let now = disks.log.disk().counts();
    let (writes, syncs) = (now.writes - log.writes, now.syncs - log.syncs);
    // A seal more for each pause.
    assert!((20..=40).contains(&writes) && writes == syncs, "{writes} writes, {syncs} syncs");
    assert_eq!(disks.file.counts().operations, file.operations);
}

#[test]
fn sixty_four_concurrent_commits_share_syncs_and_each_is_durable_when_it_returns() {
    let disks = Disks::default();
    let store = disks.open();
    let log = disks.log.disk();
    let before = log.counts().syncs;
    // The first commit is held in its sync until the other 63 wait behind it.
    log.close_gate();
    let store = &store;
    let callers = (0..64).map(|n| async move {
        let name = format!("session-{n}");
        let text = format!("the message of caller {n:03}");
        create(store, &id(&name), &[&text]).await;
        assert!(log.holds_durably(&text), "{text} was acknowledged before it was durable");
    });
    let release = async {
        // Polled after all callers were: they are in the queue or in the first batch.
        log.open_gate();
    };
    block_on(futures_util::future::join(join_all(callers), release));
    let syncs = log.counts().syncs - before;
    let stats = store.stats();
    assert_eq!(stats.commits, 64);
    assert!(stats.batches <= 4 && stats.largest_batch >= 16, "{stats:?}");
    assert!(syncs <= 6, "{syncs} syncs for 64 commits");
}

#[test]
fn a_power_loss_at_any_moment_keeps_acknowledged_commits_and_tears_none() {
    for builder in [small(), tiny()] {
        let disks = Disks::default();
        let store = disks.open_with(&builder);
        let s = id("s");
        let mut head = block_on(create(&store, &s, &["0a", "0b"]));
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut keep = |_: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random >> 63 == 0
        };
        for round in 1..40_usize {
            disks.log.disk().close_gate();
            let texts = [format!("{round}a"), format!("{round}b")];
            let ops = appends(&[&texts[0], &texts[1]]);
            let mut pending = Box::pin(store.commit(&s, commit(head.expect(), ops)));
            assert!(futures_util::FutureExt::now_or_never(&mut pending).is_none());
            // Let the writer get as far as its sync, or not quite. A flush may run meanwhile.
            disks.log.disk().wait_for_unsynced(round % 2);
            let lost = Disks {
                log: disks.log.after_power_loss_keeping(&mut keep),
                file: disks.file.after_power_loss_keeping(&mut keep),
            };
            let after = lost.open_with(&builder);
            let loaded = block_on(after.load(&s, ALL)).unwrap().loaded().unwrap();
            let messages = loaded.tail.len();
            assert!(
                messages == 2 * round || messages == 2 * round + 2,
                "round {round}: {messages} messages"
            );
            assert_eq!(loaded.head.messages, messages as u64);
            disks.log.disk().open_gate();
            head = committed(block_on(pending));
        }
    }
}
