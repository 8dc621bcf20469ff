//! Where a store is, and opening it.

use crate::Result;
use crate::args::Args;
use crate::exit::Usage;
use anyhow::Context;
use durable_session::ChatSessions;
use durable_session::store::{ListQuery, SessionList, StoreError, StoreErrorKind};
use durable_session_postgres::{PostgresStore, PostgresStoreBuilder};
use durable_session_redb::{RedbStore, RedbStoreBuilder};
use futures_executor::block_on;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// A store that the command line names. `Debug` shows no password.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Redb(PathBuf),
    Postgres(PostgresStoreBuilder),
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("redb", path)) if !path.is_empty() => Ok(Self::Redb(path.into())),
            Some(("postgres", url)) if !url.is_empty() => {
                let url = if url.starts_with("//") { text } else { url };
                Ok(Self::Postgres(PostgresStore::builder(url)))
            }
            _ => Err("a store is redb:PATH or postgres:URL"),
        }
    }
}

/// redb's cache, the memtables and the log. So small, they are full in any store that takes long,
/// and a larger file takes no more memory. Larger ones make no command faster.
const CACHE: usize = 8 << 20;
const MEMTABLES: usize = 4 << 20;
const LOG: u64 = 32 << 20;

impl Args {
    pub(crate) fn place(&self) -> Result<&Place> {
        self.store.as_ref().ok_or_else(|| {
            Usage("name the store: --store redb:PATH or --store postgres:URL".to_owned()).into()
        })
    }

    /// Opens the store for reading: a redb store as it is, and without writing a byte.
    pub(crate) fn reading(&self) -> Result<Store> {
        match self.place()? {
            Place::Redb(path) => Ok(Store::Redb(self.redb().open_read_only(path)?)),
            Place::Postgres(builder) => postgres(builder.clone().must_exist()),
        }
    }

    /// Opens a store that is there for changes.
    pub(crate) fn changing(&self) -> Result<Store> {
        match self.place()? {
            Place::Redb(path) => {
                self.look_at(path)?;
                Ok(Store::Redb(self.redb().open(path)?))
            }
            Place::Postgres(builder) => postgres(builder.clone().must_exist()),
        }
    }

    /// Opens a store for changes, and makes it if it is not there.
    pub(crate) fn open(&self, place: &Place) -> Result<Store> {
        match place {
            Place::Redb(path) => {
                if path.exists() {
                    self.look_at(path)?;
                }
                Ok(Store::Redb(self.redb().open(path)?))
            }
            Place::Postgres(builder) => postgres(builder.clone()),
        }
    }

    /// Makes sure that there is a sound store in the file. To open another one for changes changes
    /// it, even if they are refused then.
    fn look_at(&self, path: &Path) -> Result<()> {
        let store = self.redb().open_read_only(path)?;
        // A listing waits until the file is verified, and closing tells what was found.
        let _ = block_on(store.list(&ListQuery::all(1)));
        Ok(block_on(store.close())?)
    }

    fn redb(&self) -> RedbStoreBuilder {
        RedbStore::builder()
            .cache_bytes(CACHE)
            .memtable_bytes(MEMTABLES)
            .log_bytes(LOG)
            .accept_missing_log(self.accept_missing_log)
    }
}

fn postgres(builder: PostgresStoreBuilder) -> Result<Store> {
    let opened = block_on(builder.open());
    Ok(Store::Postgres(opened.context("could not open the store in the database")?))
}

fn is_damage(error: &anyhow::Error) -> bool {
    let store = error.downcast_ref::<StoreError>();
    store.is_some_and(|error| error.kind() == StoreErrorKind::Corrupt)
}

/// A store that is open.
#[derive(Debug)]
pub(crate) enum Store {
    Redb(RedbStore),
    Postgres(PostgresStore),
}

impl Store {
    pub(crate) fn list(&self) -> Arc<dyn SessionList> {
        match self {
            Self::Redb(store) => Arc::new(store.clone()),
            Self::Postgres(store) => Arc::new(store.clone()),
        }
    }

    pub(crate) fn sessions(&self) -> ChatSessions {
        ChatSessions::builder(self.list()).listing(self.list()).build()
    }

    /// The redb store, for what only that can do.
    pub(crate) fn redb(&self, what: &str, instead: &str) -> Result<&RedbStore> {
        match self {
            Self::Redb(store) => Ok(store),
            Self::Postgres(_) => {
                Err(Usage(format!("{what} is for redb stores; for a database, {instead}")).into())
            }
        }
    }

    /// Ends a store that was only read. A damaged one may have more than was found: says so, and
    /// returns whether it is damaged.
    pub(crate) fn end(self) -> Result<bool> {
        match self.close() {
            Ok(()) => Ok(false),
            Err(error) if is_damage(&error) => {
                eprintln!(
                    "the file is damaged, and may have more than was found: durable-session \
                     verify names the damage, and salvage moves what can be read to a new store"
                );
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn close(self) -> Result<()> {
        if let Self::Redb(store) = self {
            block_on(store.close())?;
        }
        Ok(())
    }
}
