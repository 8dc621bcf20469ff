//! S1 on a disk that forgets what was not synced.

use crate::support::{ALL, append, appends, bodies, commit, committed, create, id};
use durable_session::store::{DeleteIf, Expect, Op, SessionStore};
use durable_session_redb::{RedbDurability, RedbStore};
use futures_executor::block_on;
use futures_util::future::join_all;
use torture_disk::Disk;

const LEVELS: [RedbDurability; 2] = [RedbDurability::Immediate, RedbDurability::QuickRecovery];

fn open(disk: &Disk, level: RedbDurability) -> RedbStore {
    RedbStore::builder().durability(level).open_backend(disk.backend()).unwrap()
}

#[test]
fn every_acknowledgement_follows_a_sync_that_covers_its_writes() {
    for level in LEVELS {
        let disk = Disk::default();
        let store = open(&disk, level);
        let (s, t) = (id("s"), id("t"));
        block_on(async {
            let acknowledged = async |expected: &[&str]| {
                assert_eq!(disk.unsynced(), 0, "{level:?}: writes of an acknowledged commit are not synced");
                let after = open(&disk.after_power_loss(), level);
                let loaded = after.load(&s, ALL).await.unwrap().unwrap();
                assert_eq!(loaded.head, store.load(&s, ALL).await.unwrap().unwrap().head);
                assert_eq!(bodies(&loaded.tail), expected);
            };
            let mut head = create(&store, &s, &["m0"]).await;
            acknowledged(&["m0"]).await;
            head = append(&store, &s, head.version, &["m1", "m2"]).await;
            acknowledged(&["m0", "m1", "m2"]).await;
            let ops = vec![Op::Replace { seq: 1, body: "edited".into() }, Op::SetApp("{}".into())];
            head = committed(store.commit(&s, commit(Expect::Version(head.version), ops)).await);
            acknowledged(&["edited", "m1", "m2"]).await;
            let ops = vec![Op::Remove { first: 2, last: 2 }];
            committed(store.commit(&s, commit(Expect::Version(head.version), ops)).await);
            acknowledged(&["edited", "m2"]).await;
            store.touch(&s, 99_000).await.unwrap();
            acknowledged(&["edited", "m2"]).await;
            create(&store, &t, &["other"]).await;
            store.delete(&t, DeleteIf::Any).await.unwrap();
            let after = open(&disk.after_power_loss(), level);
            assert!(after.load(&t, ALL).await.unwrap().is_none());
        });
    }
}

/// What makes quick recovery quick is a second phase of each commit, with a sync of its own. That less is read when the store
/// is opened cannot be seen here: with debug assertions redb walks the file all the same.
#[test]
fn a_commit_is_synced_once_and_with_quick_recovery_twice() {
    let [immediate, quick] = LEVELS.map(|level| {
        let disk = Disk::default();
        let store = open(&disk, level);
        let mut head = block_on(create(&store, &id("s"), &["m"]));
        let before = disk.counts().syncs;
        for _ in 0..20 {
            head = block_on(append(&store, &id("s"), head.version, &["m"]));
        }
        disk.counts().syncs - before
    });
    // Once more when the file grows.
    assert!((20..25).contains(&immediate) && (40..45).contains(&quick), "{immediate} {quick}");
}

#[test]
fn sixty_four_sessions_at_once_share_syncs_and_each_is_durable_when_told_so() {
    for level in LEVELS {
        let disk = Disk::default();
        let store = open(&disk, level);
        let before = disk.counts().syncs;
        // The first commit is held in its sync until the other 63 wait behind it.
        disk.close_gate();
        let (store, disk_ref) = (&store, &disk);
        let callers = (0..64).map(|n| async move {
            let name = format!("session-{n}");
            let text = format!("the message of caller {n:03}");
            create(store, &id(&name), &[&text]).await;
            assert!(
                disk_ref.holds_durably(&text),
                "{level:?}: {text} was acknowledged before it was durable"
            );
        });
        let release = async {
            // Polled after all callers were: they are in the queue or in the first transaction.
            disk_ref.open_gate();
        };
        block_on(futures_util::future::join(join_all(callers), release));
        let syncs = disk.counts().syncs - before;
        let stats = store.stats();
        assert_eq!(stats.commits, 64);
        assert!(stats.transactions <= 4, "{stats:?}");
        assert!(stats.largest_batch >= 16, "{stats:?}");
        // A transaction syncs once or twice, and once more when the file grows.
        assert!(syncs <= 12, "{level:?}: {syncs} syncs for 64 commits");
    }
}

#[test]
fn after_a_power_loss_at_any_moment_all_that_was_acknowledged_is_there_and_nothing_by_half() {
    for level in LEVELS {
        let disk = Disk::default();
        let store = open(&disk, level);
        let s = id("s");
        let mut head = block_on(create(&store, &s, &["0a", "0b"]));
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 1..40_usize {
            disk.close_gate();
            let texts = [format!("{round}a"), format!("{round}b")];
            let ops = appends(&[&texts[0], &texts[1]]);
            let mut pending = Box::pin(store.commit(&s, commit(Expect::Version(head.version), ops)));
            assert!(futures_util::FutureExt::now_or_never(&mut pending).is_none());
            // Let the writer get as far as its sync, or not quite.
            disk.wait_for_unsynced(round % 5);
            let lost = disk.after_power_loss_keeping(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                random >> 63 == 0
            });
            let after = open(&lost, level);
            let loaded = block_on(after.load(&s, ALL)).unwrap().unwrap();
            let messages = loaded.tail.len();
            assert!(messages == 2 * round || messages == 2 * round + 2, "round {round}: {messages} messages");
            assert_eq!(loaded.head.messages, messages as u64);
            disk.open_gate();
            head = committed(block_on(pending));
        }
    }
}
