//! Tests of the redb store beyond the conformance suite: files, threads, failing disks, damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Clippy knows tests, but not their helpers.

mod advice;
mod contract;
mod copies;
mod damage;
mod durability;
mod erasure;
mod faults;
mod files;
mod golden;
mod host;
mod lock;
mod logged_states;
mod logs;
mod queue;
#[path = "../../examples/rescue.rs"]
#[allow(dead_code)] // Its main is for the command line.
mod rescue;
mod structure;
mod support;
