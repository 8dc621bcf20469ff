//! The totals that heads and rows carry.

use crate::support::{ALL, Disks, append, bodies, commit, committed, create, id};
use durable_session::rows;
use durable_session::store::{CommitOutcome, Op, SessionStore};
use futures_executor::block_on;
use redb::{ReadableDatabase, ReadableTable};

/// The messages of one commit, too, as the row format demands.
#[test]
fn each_row_carries_the_totals_as_of_its_message() {
    let disks = Disks::default();
    let s = id("s");
    block_on(async {
        let store = disks.open();
        let head = create(&store, &s, &["a", "bb", "ccc"]).await;
        append(&store, &s, head, &["dddd", "e"]).await;
        store.close().await.unwrap();
    });
    let table = redb::TableDefinition::<(u64, u64), &[u8]>::new("durable-session.rows");
    let db = redb::Database::builder().create_with_backend(disks.file.backend()).unwrap();
    let rows = db.begin_read().unwrap().open_table(table).unwrap();
    let totals = rows.iter().unwrap().map(|row| {
        let (place, row) = row.unwrap();
        let (number, seq) = place.value();
        let row = rows::decode_message(&s, number, seq, row.value()).unwrap();
        (seq, row.messages, row.bytes)
    });
    assert_eq!(
        totals.collect::<Vec<_>>(),
        [(1, 1, 1), (2, 2, 3), (3, 3, 6), (4, 4, 10), (5, 5, 11)]
    );
}

#[test]
fn overlapping_removals_count_every_message_once() {
    let store = Disks::default().open();
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
            Op::append("7".into()),
            remove(7, 7),
            remove(0, 1),
        ];
        let head = committed(store.commit(&s, commit(head.expect(), ops)).await);
        assert_eq!((head.messages, head.bytes, head.next_seq), (1, 6, 8));
        assert_eq!(bodies(&store.load(&s, ALL).await.unwrap().loaded().unwrap().tail), ["666666"]);
        let gone = vec![Op::replace(4, "x".into())];
        let outcome = store.commit(&s, commit(head.expect(), gone)).await.unwrap();
        assert_eq!(outcome, CommitOutcome::NoSuchSeq { seq: 4 });
        assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
    });
}
