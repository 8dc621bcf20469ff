//! The server that the tests use: `cargo xtask test postgres` starts one and gives its URL in
//! `DATABASE_URL`.
#![allow(clippy::unwrap_used, dead_code)] // Clippy knows tests, but not their helpers.

use durable_session_postgres::{PostgresStore, PostgresStoreBuilder};
use futures_executor::block_on;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};

/// The URL of the server; `None`, and a note, where there is none.
pub(crate) fn url(what: &str) -> Option<String> {
    let url = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        println!("note: not run: {what}: DATABASE_URL is not set (`cargo xtask test postgres`)");
    }
    url
}

/// A schema of its own for one test, removed when dropped.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) url: String,
    pub(crate) name: String,
}

impl Schema {
    pub(crate) fn new(url: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{now}_{count}", std::process::id());
        Self { url: url.to_owned(), name }
    }

    pub(crate) fn builder(&self) -> PostgresStoreBuilder {
        PostgresStore::builder(&*self.url).schema(&*self.name)
    }

    pub(crate) fn open(&self) -> PostgresStore {
        self.open_at(&self.url)
    }

    /// Opens the schema by another way to the same server.
    pub(crate) fn open_at(&self, url: &str) -> PostgresStore {
        block_on(PostgresStore::builder(url).schema(&*self.name).open()).unwrap()
    }

    /// Runs a statement in which `{s}` is the schema.
    pub(crate) fn query(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        query(&self.url, &statement.replace("{s}", &self.name), parameters)
    }

    /// Runs a statement that changes exactly one row.
    pub(crate) fn change_one(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) {
        let rows = self.query(&format!("{statement} RETURNING 1"), parameters);
        assert_eq!(rows.len(), 1, "the rows that were changed");
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        self.query("DROP SCHEMA IF EXISTS {s} CASCADE", &[]);
    }
}

/// Runs one statement on a connection of its own.
pub(crate) fn query(url: &str, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
    runtime().block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let rows = match parameters {
            // Without a name, as the store does it: a pooler can be in between.
            [] => client.query_typed(statement, &[]).await.unwrap(),
            parameters => client.query(statement, parameters).await.unwrap(),
        };
        drop(client);
        connection.await.unwrap().unwrap();
        rows
    })
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A program of PostgreSQL: from `PG_BIN`, where the server's programs are, or the search path.
pub(crate) fn program(name: &str) -> Command {
    let folder = std::env::var_os("PG_BIN").map(PathBuf::from).unwrap_or_default();
    Command::new(folder.join(name))
}
