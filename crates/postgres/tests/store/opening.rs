//! Opening: migration, settings, rights and what identifies a history.

use crate::fixture::{append, create, id, loaded, on, texts};
use crate::server::{self, Schema};
use durable_session::store::{CommitOutcome, Durability, SessionStore, Sharing, StoreErrorKind};
use durable_session_postgres::PostgresStore;
use futures_executor::block_on;

#[test]
fn stores_that_open_a_new_schema_at_once_make_it_once() {
    let Some(url) = server::url("stores that open a new schema at once") else { return };
    let schema = Schema::new(&url);
    let stores: Vec<PostgresStore> = std::thread::scope(|scope| {
        let opening: Vec<_> = (0..6).map(|_| scope.spawn(|| schema.open())).collect();
        opening.into_iter().map(|store| store.join().unwrap()).collect()
    });
    let id = id("one");
    create(&stores[0], &id, vec![append("a")]);
    for store in &stores {
        assert_eq!(texts(&loaded(store, &id)), ["a"]);
        assert_eq!(store.sharing(), Sharing::Shared);
    }
}

#[test]
fn durability_is_declared_by_the_settings_of_the_server() {
    let Some(url) = server::url("declared durability") else { return };
    let schema = Schema::new(&url);
    let expected = if setting(&url, "fsync") == "on" && setting(&url, "synchronous_commit") != "off"
    {
        Durability::Synced
    } else {
        Durability::Unsynced
    };
    assert_eq!(schema.open().durability(), expected);
    let separator = if url.contains('?') { '&' } else { '?' };
    let unsynced = format!("{url}{separator}options=-c%20synchronous_commit%3Doff");
    let store = PostgresStore::builder(unsynced).schema(&*schema.name);
    assert_eq!(block_on(store.open()).unwrap().durability(), Durability::Unsynced);
}

fn setting(url: &str, name: &str) -> String {
    server::query(url, "SELECT current_setting($1)", &[&name])[0].get(0)
}

#[test]
fn a_store_does_not_open_where_it_cannot_keep_its_promises() {
    let Some(url) = server::url("refused settings") else { return };
    let schema = Schema::new(&url);
    let separator = if url.contains('?') { '&' } else { '?' };
    for (option, text) in [
        ("default_transaction_isolation%3Dserializable", "read committed"),
        ("default_transaction_read_only%3Don", "takes no writes"),
    ] {
        let other = format!("{url}{separator}options=-c%20{option}");
        let error = block_on(PostgresStore::builder(other).schema(&*schema.name).open());
        let error = error.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.to_string().contains(text), "{error}");
    }
    for name in ["", "Chat", "a b", "pg_chat", "a\"", "a;b", "1a"] {
        let error = block_on(PostgresStore::builder(&*url).schema(name).open()).unwrap_err();
        assert!(error.to_string().contains("lower-case"), "{name}: {error}");
    }
    let secret = "postgres://u:secret@127.0.0.1:1/x";
    let error = block_on(PostgresStore::builder(secret).open()).unwrap_err();
    let shown = format!("{} {error:?}", durable_session::ErrorChain(&error));
    assert!(!shown.contains("secret"), "{shown}");
    assert!(!format!("{:?}", PostgresStore::builder(secret)).contains("secret"));
}

#[test]
fn a_role_without_rights_is_told_what_to_run_and_works_with_the_documented_rights() {
    let Some(url) = server::url("roles and rights") else { return };
    let schema = Schema::new(&url);
    let role = &schema.name;
    schema.query(&format!("CREATE ROLE {role} LOGIN PASSWORD 'chat'"), &[]);
    let (_, at) = url.split_once('@').unwrap();
    let as_role = format!("postgres://{role}:chat@{at}");
    let open = || block_on(PostgresStore::builder(&*as_role).schema(&**role).open());
    let error = open().unwrap_err();
    assert!(error.to_string().contains("PostgresStore::migration"), "{error}");
    let migration = PostgresStore::migration(&schema.name).unwrap();
    server::runtime().block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let rights = format!(
            "GRANT USAGE ON SCHEMA {role} TO {role}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {role} TO {role}; \
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA {role} TO {role};"
        );
        client.batch_execute(&format!("{migration}{rights}")).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    });
    let store = open().unwrap();
    let id = id("one");
    let head = create(&store, &id, vec![append("a")]);
    let outcome = block_on(store.commit(&id, on(head, vec![append("b")]))).unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)));
    assert_eq!(texts(&loaded(&store, &id)), ["a", "b"]);
    drop(store);
    schema.query("DROP SCHEMA {s} CASCADE", &[]);
    schema.query(&format!("DROP ROLE {role}"), &[]);
}

#[test]
fn a_declared_restore_gives_other_versions() {
    let Some(url) = server::url("a declared restore") else { return };
    let schema = Schema::new(&url);
    let store = schema.open();
    let id = id("one");
    let head = create(&store, &id, vec![append("a")]);
    drop(store);
    let reopened = schema.open();
    assert_eq!(loaded(&reopened, &id).head, head, "the same history");
    drop(reopened);
    let restored = block_on(schema.builder().restored().open()).unwrap();
    let other = loaded(&restored, &id).head;
    assert_ne!(other.version, head.version);
    assert_eq!(other.version.counter(), head.version.counter());
    let outcome = block_on(restored.commit(&id, on(head, vec![append("b")]))).unwrap();
    assert_eq!(outcome, CommitOutcome::Conflict { current: Some(other.version) });
    let again = schema.open();
    assert_eq!(loaded(&again, &id).head, other, "all openings after it agree");
}
