//! Tests of the redb store beyond the conformance suite: files, threads, failing disks, damage.

mod contract;
mod support;
