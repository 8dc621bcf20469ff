//! A store inside a database that its host owns.

use crate::support::{ALL, appends, bodies, commit, create, id};
use durable_session::store::{CommitOutcome, Expect, SessionStore, StoreErrorKind};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use redb::{Database, ReadableDatabase, TableDefinition};
use std::sync::Arc;
use torture_disk::{Disk, Failure};

const THEIRS: TableDefinition<'_, u64, u64> = TableDefinition::new("theirs");

fn host(disk: &Disk) -> Arc<Database> {
    let db = Database::builder().create_with_backend(disk.backend()).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(THEIRS).unwrap().insert(1, 2).unwrap();
    txn.commit().unwrap();
    Arc::new(db)
}

#[test]
fn a_store_lives_beside_the_hosts_tables_and_leaves_the_database_open() {
    let db = host(&Disk::default());
    let s = id("s");
    block_on(async {
        let store = RedbStore::builder().open_database(Arc::clone(&db)).unwrap();
        create(&store, &s, &["a"]).await;
        let error = store.compact().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.to_string().contains("the host holds the database"), "{error}");
        store.close().await.unwrap();

        let txn = db.begin_read().unwrap();
        assert_eq!(txn.open_table(THEIRS).unwrap().get(1).unwrap().unwrap().value(), 2);
        let store = RedbStore::builder().open_database(Arc::clone(&db)).unwrap();
        assert_eq!(bodies(&store.load(&s, ALL).await.unwrap().unwrap().tail), ["a"]);
    });
}

/// What the database's other users write must not be hidden by what a store remembers of its own writes.
#[test]
fn two_stores_over_one_database_see_each_others_commits() {
    let db = host(&Disk::default());
    let s = id("s");
    block_on(async {
        let [one, two] = [(), ()].map(|()| RedbStore::builder().open_database(Arc::clone(&db)).unwrap());
        let created = create(&one, &s, &["a"]).await;
        let more = |text| commit(Expect::Version(created.version), appends(&[text]));
        let CommitOutcome::Committed(appended) = two.commit(&s, more("b")).await.unwrap() else { panic!() };
        let outcome = one.commit(&s, more("lost")).await.unwrap();
        assert_eq!(outcome, CommitOutcome::Conflict { current: Some(appended.version) });
        assert_eq!(bodies(&one.load(&s, ALL).await.unwrap().unwrap().tail), ["a", "b"]);
    });
}

#[test]
fn after_an_io_error_it_stays_closed_and_says_that_the_host_must_reopen() {
    let disk = Disk::default();
    let db = host(&disk);
    let store = RedbStore::builder().open_database(Arc::clone(&db)).unwrap();
    block_on(async {
        let head = create(&store, &id("s"), &["a"]).await;
        disk.fail(Some(Failure::once(disk.counts().operations + 1)));
        let more = || commit(Expect::Version(head.version), appends(&["b"]));
        let error = store.commit(&id("s"), more()).await.unwrap_err();
        // What happens below the host's database is out of sight.
        assert_eq!(error.kind(), StoreErrorKind::OutcomeUnknown);
        for error in
            [store.commit(&id("s"), more()).await.unwrap_err(), store.load(&id("s"), ALL).await.unwrap_err()]
        {
            assert_eq!(error.kind(), StoreErrorKind::Closed);
            assert!(error.to_string().contains("only the host can open this database again"), "{error}");
        }
    });
}
