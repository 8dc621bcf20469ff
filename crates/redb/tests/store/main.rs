//! Tests of the redb store beyond the conformance suite: files, threads, failing disks, damage.
// Clippy knows tests, but not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod advice;
mod compaction;
mod conversations;
mod copies;
mod damage;
mod durability;
mod erasure;
mod failed_storage;
mod faults;
mod files;
mod flushes;
mod golden;
mod kill;
mod listing;
mod lock;
mod log_damage;
mod model;
mod order;
mod pairing;
mod queue;
mod read_only;
mod replies;
#[path = "../../examples/rescue.rs"]
#[allow(dead_code)] // Its main is for the command line.
mod rescue;
mod secrets;
mod structure;
mod support;
mod totals;
mod verification;
