//! Sessions in the tables: how a session is found, read, changed and deleted. All of it works on
//! the [view](crate::view) of the tables, whatever of them is in the memtable.
//!
//! An append writes message rows only; the head is derived from the head row and the last message
//! row.

mod commit;
mod delete;
mod draft;
mod find;
mod flush;
mod known;
mod list;
mod lists;
pub(crate) mod meta;
mod read;
pub(crate) mod replies;
mod salvage;
pub(crate) mod seqs;
mod snapshot;
mod tags;
#[cfg(test)]
mod tests;

pub(crate) use draft::Draft;
pub(crate) use flush::flush;
pub(crate) use known::Known;
pub(crate) use lists::{key_of_open_replies, keys_of_owner};
pub(crate) use snapshot::Snapshot;
