//! App states in the logs: a commit that writes the app state and appends is logged, and its head row counts from then on.

use crate::damage::EVERYTHING;
use crate::logs::{LOGS, change, counts, fill, open, tail, until_folded};
use crate::support::{ALL, append, commit, committed, create, id};
use durable_session::store::{DeleteIf, Expect, Head, ListQuery, Op, SessionList, SessionStore};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use redb::{ReadableTable, TableDefinition};
use torture_disk::Disk;

const HEADS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("durable-session.heads");

/// Two messages and the app state, as a chat service writes them for every turn.
async fn turn(store: &RedbStore, session: &str, head: Head, app: &str) -> Head {
    let ops = vec![
        Op::Append(format!("asked {app}").into()),
        Op::SetApp(app.to_owned().into()),
        Op::Append(format!("answered {app}").into()),
    ];
    committed(store.commit(&id(session), commit(Expect::Version(head.version), ops)).await)
}

async fn app(store: &RedbStore, session: &str) -> String {
    let loaded = store.load(&id(session), ALL).await.unwrap().unwrap();
    String::from_utf8(loaded.app.to_vec()).unwrap()
}

/// All that can be asked says the same.
async fn check(store: &RedbStore, session: &str, head: Head, expected: &str) {
    let loaded = store.load(&id(session), ALL).await.unwrap().unwrap();
    assert_eq!((loaded.head, &loaded.app[..]), (head, expected.as_bytes()));
    assert_eq!(loaded.tail.len() as u64, head.messages);
    let page = store.read(&id(session), EVERYTHING).await.unwrap().unwrap();
    assert_eq!((page.head, &page.rows), (head, &loaded.tail));
    let salvaged = store.salvage(&id(session), EVERYTHING).await.unwrap().unwrap();
    assert_eq!((salvaged.head, salvaged.app, salvaged.rows), (Some(head), Some(loaded.app), page.rows));
    assert!(salvaged.damage.is_empty());
    let listed = store.list(&ListQuery::all(100)).await.unwrap().sessions;
    assert!(listed.iter().any(|listed| listed.id == id(session) && *listed.head.as_ref().unwrap() == head));
    assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
}

#[test]
fn a_turn_with_app_state_is_logged_and_found_wherever_it_is() {
    let disk = Disk::default();
    block_on(async {
        let store = open(&disk, 1 << 20);
        let mut heads = fill(&store, 3, 2).await;
        for n in 1..=3 {
            heads[1] = turn(&store, "s-001", heads[1], &format!("{{\"n\":{n}}}")).await;
            assert_eq!(heads[1].base, heads[1].version);
            check(&store, "s-001", heads[1], &format!("{{\"n\":{n}}}")).await;
        }
        // After the head row, so that the head is derived from both.
        heads[1] = append(&store, &id("s-001"), heads[1].version, &["after"]).await;
        // With no message at all.
        let ops = vec![Op::SetApp("{\"alone\":true}".into())];
        heads[2] =
            committed(store.commit(&id("s-002"), commit(Expect::Version(heads[2].version), ops)).await);
        assert_eq!(store.stats().logged, 6 + 6 + 1, "nothing has been settled");
        let check_all = async |store: &RedbStore| {
            check(store, "s-001", heads[1], "{\"n\":3}").await;
            check(store, "s-002", heads[2], "{\"alone\":true}").await;
            check(store, "s-000", heads[0], "").await;
        };
        check_all(&store).await;
        store.close().await.unwrap();
        assert_eq!(counts(&disk).1, 3, "only the first messages are among the rows");

        let store = open(&disk, 1 << 20);
        assert_eq!(store.stats().logged, 13);
        check_all(&store).await;
        let folder = tempfile::tempdir().unwrap();
        store.backup(folder.path().join("copy.redb"), |_| {}).await.unwrap();
        check_all(&RedbStore::open(folder.path().join("copy.redb")).unwrap()).await;
        store.close().await.unwrap();

        // Logs that are full at once: frozen when something is written, then folded without anyone asking.
        let store = open(&disk, 1);
        create(&store, &id("z"), &[]).await;
        until_folded(&store);
        check_all(&store).await;
        store.close().await.unwrap();
        assert_eq!(counts(&disk), (0, 16));
        check_all(&open(&disk, 0)).await;
    });
}

/// Each step goes to a log that is full at once, so that it is frozen while the next is written.
#[test]
fn app_states_stay_in_order_while_logs_are_folded() {
    for pause in [0, 30] {
        let disk = Disk::default();
        block_on(async {
            let store = open(&disk, 1);
            let mut head = create(&store, &id("s"), &["first"]).await;
            for n in 0..20 {
                let expected = format!("{{\"n\":{n}}}");
                head = turn(&store, "s", head, &expected).await;
                check(&store, "s", head, &expected).await;
                head = append(&store, &id("s"), head.version, &["between"]).await;
                // Long enough for an idle writer to fold, in the second round.
                std::thread::sleep(std::time::Duration::from_millis(pause));
                check(&store, "s", head, &expected).await;
                check(&open(&disk.after_power_loss(), 1), "s", head, &expected).await;
            }
        });
    }
}

#[test]
fn what_was_settled_or_deleted_does_not_come_back_with_an_old_app_state() {
    let disk = Disk::default();
    block_on(async {
        let store = open(&disk, 1 << 20);
        let mut heads = fill(&store, 4, 1).await;
        for (n, head) in heads.iter_mut().enumerate() {
            *head = turn(&store, &format!("s-00{n}"), *head, "{\"old\":1}").await;
        }
        let ops = vec![Op::Remove { first: 1, last: 2 }, Op::SetApp("{\"new\":1}".into())];
        let removed =
            committed(store.commit(&id("s-000"), commit(Expect::Version(heads[0].version), ops)).await);
        let ops = vec![Op::Remove { first: 2, last: 2 }];
        let kept =
            committed(store.commit(&id("s-001"), commit(Expect::Version(heads[1].version), ops)).await);
        store.delete(&id("s-002"), DeleteIf::Version(heads[2].version)).await.unwrap();
        let again = create(&store, &id("s-002"), &["second life"]).await;
        store.touch(&id("s-003"), 99_000).await.unwrap();
        let touched = Head { last_accessed_at: 99_000, ..heads[3] };

        let check_all = async |store: &RedbStore| {
            check(store, "s-000", removed, "{\"new\":1}").await;
            check(store, "s-001", kept, "{\"old\":1}").await;
            check(store, "s-002", again, "").await;
            check(store, "s-003", touched, "{\"old\":1}").await;
        };
        check_all(&store).await;
        let store = open(&disk.after_power_loss(), 1 << 20);
        check_all(&store).await;
        // Nor when the log that still has it is folded.
        let folded = disk.after_power_loss();
        let folding = open(&folded, 1);
        append(&folding, &id("s-002"), again.version, &["logged"]).await;
        until_folded(&folding);
        for (n, head, app) in
            [(0, removed, "{\"new\":1}"), (1, kept, "{\"old\":1}"), (3, touched, "{\"old\":1}")]
        {
            check(&folding, &format!("s-00{n}"), head, app).await;
        }
        let next = turn(&store, "s-003", touched, "{\"next\":1}").await;
        assert_eq!(next.last_accessed_at, 99_000);
        check(&store, "s-003", next, "{\"next\":1}").await;
        check(&open(&disk, 0), "s-003", touched, "{\"old\":1}").await;
    });
}

/// A head row with a wrong bit is refused by its own checksum; the session's earlier app state is not shown instead.
#[test]
fn a_damaged_app_state_in_a_log_is_seen_and_only_its_session_suffers() {
    let written = Disk::default();
    let head = block_on(async {
        let store = open(&written, 1 << 20);
        let heads = fill(&store, 2, 0).await;
        turn(&store, "s-000", heads[0], "{\"n\":1}").await;
        store.close().await.unwrap();
        heads[1]
    });
    for bit in 0..8 {
        let disk = written.after_power_loss();
        change(&disk, |txn| {
            let mut log = txn.open_table(LOGS[0]).unwrap();
            let mut entry = log.get(0).unwrap().unwrap().value().to_vec();
            let at = entry.windows(7).position(|bytes| bytes == b"{\"n\":1}").unwrap();
            entry[at + 5] ^= 1 << bit;
            log.insert(0, &entry[..]).unwrap();
        });
        let store = open(&disk, 1 << 20);
        block_on(async {
            let error = store.load(&id("s-000"), ALL).await.unwrap_err();
            assert!(error.to_string().contains("checksum"), "{error}");
            let salvaged = store.salvage(&id("s-000"), EVERYTHING).await.unwrap().unwrap();
            assert_eq!((salvaged.rows.len(), salvaged.damage.len()), (3, 1));
            assert_eq!(store.verify(|_| {}).await.unwrap().damage.len(), 1);
            check_others(&store, head).await;
            // Folding it keeps it as it is.
            store.close().await.unwrap();
            let store = open(&disk, 1);
            create(&store, &id("z"), &[]).await;
            until_folded(&store);
            assert!(store.load(&id("s-000"), ALL).await.is_err());
            check_others(&store, head).await;
        });
    }
}

async fn check_others(store: &RedbStore, head: Head) {
    let loaded = store.load(&id("s-001"), ALL).await.unwrap().unwrap();
    assert_eq!((loaded.head, loaded.tail.len()), (head, 1));
}

/// A whole head row that does not continue the one in the table.
#[test]
fn a_logged_head_that_contradicts_the_stored_one_is_damage() {
    let disk = Disk::default();
    block_on(async {
        let store = open(&disk, 1 << 20);
        let head = create(&store, &id("s"), &["a", "b"]).await;
        let head = turn(&store, "s", head, "{\"n\":1}").await;
        turn(&store, "s", head, "{\"n\":2}").await;
        store.close().await.unwrap();
        // As if there had been more messages when the head row was written.
        change(&disk, |txn| {
            let mut heads = txn.open_table(HEADS).unwrap();
            let stored = heads.get(1).unwrap().unwrap().value().to_vec();
            let mut stored = durable_session::rows::decode_head(1, &id("s"), &stored).unwrap().head;
            stored.messages += 1;
            heads.insert(1, &durable_session::rows::encode_head(1, &id("s"), &stored, b"")[..]).unwrap();
        });
        let store = open(&disk, 1 << 20);
        let error = store.load(&id("s"), ALL).await.unwrap_err();
        assert!(error.to_string().contains("does not continue"), "{error}");
    });
}

#[test]
fn an_app_state_is_not_lost_when_logs_are_switched_off() {
    let disk = Disk::default();
    block_on(async {
        let store = open(&disk, 1 << 20);
        let heads = fill(&store, 2, 1).await;
        let logged = turn(&store, "s-000", heads[0], "{\"n\":1}").await;
        store.close().await.unwrap();
        let store = open(&disk, 0);
        let head = append(&store, &id("s-000"), logged.version, &["past the log"]).await;
        check(&store, "s-000", head, "{\"n\":1}").await;
        let head = turn(&store, "s-000", head, "{\"n\":2}").await;
        let store = open(&disk.after_power_loss(), 1 << 20);
        check(&store, "s-000", head, "{\"n\":2}").await;
        assert_eq!(tail(&store, "s-000").await.len(), 7);
        assert_eq!(app(&store, "s-001").await, "");
    });
}

/// Messages that take several slices to fold, with the head row that tells of them behind them.
#[test]
fn an_app_state_is_folded_after_the_messages_that_it_tells_of() {
    let disk = Disk::default();
    block_on(async {
        let store = open(&disk, 1 << 20);
        let mut head = create(&store, &id("large"), &["first"]).await;
        let mut other = create(&store, &id("other"), &["first"]).await;
        for _ in 0..24 {
            head = append(&store, &id("large"), head.version, &[&"x".repeat(40 << 10)]).await;
        }
        head = turn(&store, "large", head, "{\"n\":1}").await;
        head = append(&store, &id("large"), head.version, &["after"]).await;
        // With this the log is full, and frozen.
        other = append(&store, &id("other"), other.version, &[&"y".repeat(100 << 10)]).await;
        for written in 1.. {
            other = append(&store, &id("other"), other.version, &["makes a transaction"]).await;
            for store in [&store, &open(&disk.after_power_loss(), 1 << 20)] {
                check(store, "large", head, "{\"n\":1}").await;
                check(store, "other", other, "").await;
            }
            if store.stats().logged == written {
                break;
            }
        }
    });
}
