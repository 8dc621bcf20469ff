//! Moves the readable messages of a damaged file to a new store, session by session, and names the
//! damage.
//!
//! `cargo run -p durable-session-redb --example rescue -- DAMAGED-FILE NEW-FILE`
//!
//! The damaged file and its log are only read. The command `durable-session salvage` does the same.

use durable_session::store::{ListQuery, SessionList, StoreError};
use durable_session::transfer;
use durable_session_redb::RedbStore;
use futures_executor::block_on;

/// The result of a rescue.
#[derive(Debug, Default)]
pub(crate) struct Rescued {
    /// Sessions that were moved, whole or in part.
    pub(crate) sessions: usize,
    /// Messages that were moved.
    pub(crate) messages: u64,
    /// What could not be read.
    pub(crate) damage: Vec<StoreError>,
}

/// Moves every listed session.
pub(crate) async fn rescue(from: &RedbStore, to: &RedbStore) -> Rescued {
    let mut rescued = Rescued::default();
    let mut query = ListQuery::all(1);
    loop {
        let page = match from.list(&query).await {
            Ok(page) => page,
            Err(error) => {
                rescued.damage.push(error);
                return rescued;
            }
        };
        for listed in page.sessions {
            match transfer::salvage(from, to, &listed.id).await {
                Ok(moved) => {
                    rescued.sessions += 1;
                    rescued.messages += moved.messages;
                    rescued.damage.extend(moved.damage);
                }
                Err(error) => rescued.damage.push(error),
            }
        }
        match page.next {
            Some(next) => query = query.after(next),
            None => return rescued,
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        return Err("give two paths: the damaged file, and a new file".into());
    };
    if std::path::Path::new(&to).exists() {
        return Err("the second file exists already; choose another name or remove it".into());
    }
    let from = RedbStore::builder().open_read_only(from)?;
    let to = RedbStore::open(to)?;
    let rescued = block_on(rescue(&from, &to));
    block_on(to.close())?;
    for error in &rescued.damage {
        eprintln!("{error}");
    }
    println!(
        "sessions={} messages={} damaged={}",
        rescued.sessions,
        rescued.messages,
        rescued.damage.len()
    );
    Ok(())
}
