//! What callers rely on, over a file.

use crate::support::{ALL, append, bodies, commit, committed, create, id};
use durable_session::rows;
use durable_session::store::{
    CommitOutcome, DeleteIf, DeleteOutcome, Expect, ListQuery, Op, Order, ReadQuery, SessionList,
    SessionStore, StoreErrorKind,
};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use redb::{ReadableDatabase, ReadableTable};
use torture_disk::Disk;

fn store() -> (tempfile::TempDir, RedbStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path().join("chat.redb")).unwrap();
    (folder, store)
}

#[test]
fn messages_come_back_in_order_after_reopening() {
    let (folder, store) = store();
    let s = id("s");
    block_on(async {
        let head = create(&store, &s, &["a", "b"]).await;
        let head = append(&store, &s, head.version, &["c"]).await;
        assert_eq!((head.messages, head.bytes, head.next_seq), (3, 3, 4));
        store.close().await.unwrap();
        let error = store.load(&s, ALL).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Closed);
        let error = store.touch(&s, 9).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Closed);
        store.close().await.unwrap();

        let store = RedbStore::open(folder.path().join("chat.redb")).unwrap();
        let loaded = store.load(&s, ALL).await.unwrap().unwrap();
        assert_eq!(loaded.head, head);
        assert_eq!(bodies(&loaded.tail), ["a", "b", "c"]);
    });
}

/// As the format of the rows says, also of the messages of one commit.
#[test]
fn each_row_carries_the_totals_as_of_its_message() {
    let disk = Disk::default();
    let s = id("s");
    block_on(async {
        let store = RedbStore::builder().log_bytes(0).open_backend(disk.backend()).unwrap();
        let head = create(&store, &s, &["a", "bb", "ccc"]).await;
        append(&store, &s, head.version, &["dddd", "e"]).await;
        store.close().await.unwrap();
    });
    let table = redb::TableDefinition::<(u64, u64), &[u8]>::new("durable-session.rows");
    let db = redb::Database::builder().create_with_backend(disk.backend()).unwrap();
    let rows = db.begin_read().unwrap().open_table(table).unwrap();
    let totals = rows.iter().unwrap().map(|row| {
        let (place, row) = row.unwrap();
        let (number, seq) = place.value();
        let row = rows::decode_message(&s, number, seq, row.value()).unwrap();
        (seq, row.messages, row.bytes)
    });
    assert_eq!(totals.collect::<Vec<_>>(), [(1, 1, 1), (2, 2, 3), (3, 3, 6), (4, 4, 10), (5, 5, 11)]);
}

#[test]
fn a_commit_of_all_kinds_of_operations_is_worked_out_in_order() {
    let (_folder, store) = store();
    let s = id("s");
    block_on(async {
        let head = create(&store, &s, &["1", "22", "333", "4444"]).await;
        let ops = vec![
            Op::Remove { first: 1, last: 2 },
            Op::Append("55555".into()),
            Op::Replace { seq: 5, body: "five".into() },
            Op::Replace { seq: 3, body: "three".into() },
            Op::Append("6".into()),
            Op::Remove { first: 6, last: u64::MAX },
            Op::SetApp("{}".into()),
        ];
        let head = committed(store.commit(&s, commit(Expect::Version(head.version), ops)).await);
        assert_eq!((head.messages, head.bytes, head.next_seq), (3, 13, 7));
        assert_eq!(head.base, head.version);
        let loaded = store.load(&s, ALL).await.unwrap().unwrap();
        assert_eq!(loaded.head, head);
        assert_eq!(&loaded.app[..], b"{}");
        assert_eq!(bodies(&loaded.tail), ["three", "4444", "five"]);

        let refused = vec![Op::Append("x".into()), Op::Replace { seq: 6, body: "y".into() }];
        let outcome = store.commit(&s, commit(Expect::Version(head.version), refused)).await.unwrap();
        assert_eq!(outcome, CommitOutcome::NoSuchSeq { seq: 6 });
        assert_eq!(store.load(&s, ALL).await.unwrap().unwrap(), loaded);

        let empty = committed(store.commit(&s, commit(Expect::Version(head.version), Vec::new())).await);
        assert_ne!(empty.version, head.version);
        assert_eq!(store.load(&s, ALL).await.unwrap().unwrap().head, empty);
    });
}

#[test]
fn overlapping_removals_count_every_message_once() {
    let (_folder, store) = store();
    let s = id("s");
    block_on(async {
        let head = create(&store, &s, &["1", "22", "333", "4444", "55555", "666666"]).await;
        let remove = |first, last| Op::Remove { first, last };
        let ops = vec![
            remove(2, 3),
            remove(5, 5),
            remove(3, 5),
            remove(2, 2),
            remove(9, 4),
            Op::Append("7".into()),
            remove(7, 7),
            remove(0, 1),
        ];
        let head = committed(store.commit(&s, commit(Expect::Version(head.version), ops)).await);
        assert_eq!((head.messages, head.bytes, head.next_seq), (1, 6, 8));
        assert_eq!(bodies(&store.load(&s, ALL).await.unwrap().unwrap().tail), ["666666"]);
        let gone = vec![Op::Replace { seq: 4, body: "x".into() }];
        let outcome = store.commit(&s, commit(Expect::Version(head.version), gone)).await.unwrap();
        assert_eq!(outcome, CommitOutcome::NoSuchSeq { seq: 4 });
        assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
    });
}

#[test]
fn a_touch_keeps_version_and_base_and_what_was_appended() {
    let (_folder, store) = store();
    let s = id("s");
    block_on(async {
        let first = create(&store, &s, &["a"]).await;
        let head = append(&store, &s, first.version, &["b"]).await;
        store.touch(&s, 5000).await.unwrap();
        store.touch(&s, 4000).await.unwrap();
        store.touch(&id("absent"), 4000).await.unwrap();
        let touched = store.load(&s, ALL).await.unwrap().unwrap().head;
        assert_eq!(touched.last_accessed_at, 5000);
        assert_eq!((touched.version, touched.base), (head.version, first.version));
        assert_eq!(touched.messages, 2);
        assert!(store.load(&id("absent"), ALL).await.unwrap().is_none());
    });
}

#[test]
fn a_deleted_session_leaves_nothing_to_its_successor() {
    let (_folder, store) = store();
    let s = id("s");
    block_on(async {
        let head = create(&store, &s, &["a", "b"]).await;
        let early = store.delete(&s, DeleteIf::IdleSince(head.last_accessed_at - 1)).await.unwrap();
        assert_eq!(early, DeleteOutcome::Conflict { current: head.version });
        let deleted = store.delete(&s, DeleteIf::Version(head.version)).await.unwrap();
        assert_eq!(deleted, DeleteOutcome::Deleted);
        assert_eq!(store.delete(&s, DeleteIf::Any).await.unwrap(), DeleteOutcome::Absent);
        assert!(store.load(&s, ALL).await.unwrap().is_none());
        let again = create(&store, &s, &["c"]).await;
        assert_ne!(again.version.incarnation(), head.version.incarnation());
        assert_eq!(bodies(&store.load(&s, ALL).await.unwrap().unwrap().tail), ["c"]);
    });
}

#[test]
fn reads_keep_to_their_bounds_in_both_directions() {
    let (_folder, store) = store();
    let s = id("s");
    block_on(async {
        create(&store, &s, &["a", "bb", "ccc", "dddd"]).await;
        let query =
            |order, max_messages, max_bytes| ReadQuery { first: 1, last: 4, order, max_messages, max_bytes };
        let forward = store.read(&s, query(Order::Forward, 9, 5)).await.unwrap().unwrap();
        assert_eq!((bodies(&forward.rows), forward.more), (vec!["a".into(), "bb".to_owned()], true));
        let backward = store.read(&s, query(Order::Backward, 2, 99)).await.unwrap().unwrap();
        assert_eq!((bodies(&backward.rows), backward.more), (vec!["dddd".into(), "ccc".to_owned()], true));
        let one = store.read(&s, query(Order::Backward, 0, 0)).await.unwrap().unwrap();
        assert_eq!((bodies(&one.rows), one.more), (vec!["dddd".to_owned()], true));
        let nothing = ReadQuery { first: 3, last: 2, ..query(Order::Forward, 9, 9) };
        assert!(store.read(&s, nothing).await.unwrap().unwrap().rows.is_empty());
    });
}

#[test]
fn listings_go_by_prefix_page_and_idleness() {
    let (_folder, store) = store();
    block_on(async {
        for name in ["a-1", "a-2", "a-3", "b-1"] {
            create(&store, &id(name), &["x"]).await;
        }
        store.touch(&id("a-2"), 9_000).await.unwrap();
        let page = store.list(&ListQuery::prefix("a-", 2)).await.unwrap();
        let names = |page: &durable_session::store::ListPage| {
            page.sessions.iter().map(|s| s.id.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&page), ["a-1", "a-2"]);
        assert_eq!(page.next, Some(id("a-2")));
        let rest = ListQuery { after: page.next, ..ListQuery::prefix("a-", 2) };
        let page = store.list(&rest).await.unwrap();
        assert_eq!((names(&page), page.next.clone()), (vec!["a-3".to_owned()], None));
        let idle = ListQuery { idle_since: Some(8_000), ..ListQuery::all(10) };
        assert_eq!(names(&store.list(&idle).await.unwrap()), ["a-1", "a-3", "b-1"]);
    });
}
