//! Figures that do not depend on the clock: bytes written, allocated and kept, and syncs.

mod steady;

use anyhow::Result;
use benches::{Bound, Line, Options, Plot, Report, SeriesLabelPosition, id, message};
use clap::Parser;
use durable_session::{ChatSession, ChatSessions};
use durable_session_memory::MemoryStore;
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use futures_util::future::try_join_all;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::ops::Range;
use std::sync::Arc;
use tempfile::TempDir;
use testkit::ByHand;
use testkit::disk::Disk;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> Result<()> {
    let mut report = Report::new("counts", Options::parse())?;
    disk(&mut report)?;
    steady::steady(&mut report)?;
    real_disk(&mut report)?;
    file(&mut report)?;
    allocations(&mut report)?;
    memory(&mut report)?;
    report.finish()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
fn exact(n: impl TryInto<u64>) -> f64 {
    n.try_into().map_or(f64::NAN, |n| n as f64)
}

fn filled(registry: &ChatSessions, sessions: usize) -> Result<Vec<ChatSession>> {
    let handles =
        (0..sessions).map(|n| Ok(registry.session(id(n)?))).collect::<Result<Vec<_>>>()?;
    for some in handles.chunks(500) {
        block_on(try_join_all(some.iter().map(|session| session.add_message(message()))))?;
    }
    Ok(handles)
}

/// Syncs and bytes written, over 20,000 sessions of which so many append at once, with the default
/// logs and without.
///
/// Long enough that the log is flushed several times, so that flushes are counted in. Quick runs
/// have a tenth of the sessions, of the appends, and of the log.
fn disk(report: &mut Report) -> Result<()> {
    if !report.wants("append.counts") {
        return Ok(());
    }
    let scale = if report.options().quick { 10 } else { 1 };
    let sessions = 20_000 / scale;
    let mut lines = Vec::new();
    for (name, log_bytes) in [("log of 256 MiB", 256 << 20), ("log of 64 MiB", 64 << 20)] {
        let mut points = Vec::new();
        for at_once in [1, 4, 16, 64, 256] {
            let appends = 400_000 / scale;
            let bytes_of_log = log_bytes / scale as u64;
            let (syncs, bytes) = written(sessions, bytes_of_log, at_once, appends)?;
            points.push((exact(at_once), bytes));
            if log_bytes == 256 << 20 && [1, 64].contains(&at_once) {
                let many = at_once == 64;
                let target = if many { Bound::AtMost(1.0 / 32.0) } else { Bound::None };
                report.add(format!("append.counts.{at_once}.syncs"), syncs, "per append", target);
                let target = if many { Bound::AtMost(3072.0) } else { Bound::None };
                report.add(
                    format!("append.counts.{at_once}.bytes-written"),
                    bytes,
                    "per append",
                    target,
                );
            }
        }
        lines.push(Line { name: name.to_owned(), points });
    }
    report.plot(&Plot {
        file: "bytes-written",
        caption: &format!(
            "The more callers share a batch, the fewer bytes reach the disk for each; \
             with a larger log, fewer still \
             (bodies of 400 bytes, {sessions} sessions, flushes included)"
        ),
        x: "callers at once",
        y: "bytes written per append",
        legend: SeriesLabelPosition::UpperRight,
        lines: &lines,
    })
}

/// Syncs and bytes for each append, in a steady state.
fn written(sessions: usize, log_bytes: u64, at_once: usize, appends: usize) -> Result<(f64, f64)> {
    let disk = Disk::default();
    let store =
        RedbStore::builder().log_bytes(log_bytes).open_backend(disk.backend(), disk.log())?;
    let registry: ChatSessions = ChatSessions::builder(store).build();
    let handles = filled(&registry, sessions)?;
    // Until the log is full for the first time, nothing is flushed.
    let warm = appends / 3;
    append(&handles, at_once, &(0..warm))?;
    let before = disk.counts();
    append(&handles, at_once, &(warm..warm + appends))?;
    let after = disk.counts();
    let done = exact(appends);
    Ok((
        exact(after.syncs - before.syncs) / done,
        exact(after.bytes_written - before.bytes_written) / done,
    ))
}

/// So many callers, each of which waits for its append before the next.
fn append(handles: &[ChatSession], at_once: usize, numbers: &Range<usize>) -> Result<()> {
    block_on(try_join_all((0..at_once).map(|caller| async move {
        for n in numbers.clone().skip(caller).step_by(at_once) {
            handles[n * 7919 % handles.len()].add_message(message()).await?;
        }
        Ok::<(), durable_session::Error>(())
    })))?;
    Ok(())
}

/// Syncs on a real disk, where they take their time, so that callers gather meanwhile. Each
/// batch syncs once, as the simulated disk counts.
fn real_disk(report: &mut Report) -> Result<()> {
    if !report.wants("append.counts") {
        return Ok(());
    }
    let folder = TempDir::new_in(&report.options().out)?;
    let store = RedbStore::open(folder.path().join("store.redb"))?;
    let registry: ChatSessions = ChatSessions::builder(store.clone()).build();
    let sessions = if report.options().quick { 2_000 } else { 20_000 };
    let handles = filled(&registry, sessions)?;
    let before = store.stats().batches;
    append(&handles, 64, &(0..2 * sessions))?;
    let syncs = exact(store.stats().batches - before) / exact(2 * sessions);
    report.add("append.counts.64.syncs-on-disk", syncs, "per append", Bound::AtMost(1.0 / 32.0));
    Ok(())
}

/// How large the file is.
fn file(report: &mut Report) -> Result<()> {
    if !report.wants("file") {
        return Ok(());
    }
    let folder = TempDir::new_in(&report.options().memory)?;
    let path = folder.path().join("store.redb");
    let store = RedbStore::open(&path)?;
    let registry: ChatSessions = ChatSessions::builder(store.clone()).build();
    let handles = filled(&registry, 100)?;
    for n in 0..10_000 - 100 {
        block_on(handles[n % 100].add_message(message()))?;
    }
    block_on(store.close())?;
    let bytes = exact(std::fs::metadata(&path)?.len());
    report.add("file.10000-messages", bytes / 1024.0, "KiB", Bound::None);
    report.add("file.10000-messages/bodies", bytes / (10_000.0 * 400.0), "ratio", Bound::None);
    Ok(())
}

/// Allocations of one append, all threads together.
fn allocations(report: &mut Report) -> Result<()> {
    if !report.wants("append.allocations") {
        return Ok(());
    }
    let folder = TempDir::new_in(&report.options().memory)?;
    let redb = RedbStore::open(folder.path().join("store.redb"))?;
    let stores: [(&str, ChatSessions); 2] = [
        ("memory", ChatSessions::builder(MemoryStore::new()).build()),
        ("redb", ChatSessions::builder(redb).build()),
    ];
    let appends = 1_000;
    for (name, registry) in stores {
        let handles = filled(&registry, 100)?;
        let messages = vec![message(); appends];
        let region = Region::new(ALLOCATOR);
        for (n, message) in messages.into_iter().enumerate() {
            block_on(handles[n % 100].add_message(message))?;
        }
        let used = region.change();
        let each = exact(used.allocations) / exact(appends);
        report.add(format!("append.allocations.{name}"), each, "per append", Bound::None);
    }
    let mut by_hand = ByHand::create(&folder.path().join("by-hand.redb"), 100)?;
    let body = message();
    let append =
        |by_hand: &mut ByHand, n: usize| by_hand.append(&[n % 100], body.as_json().as_bytes());
    (0..100).try_for_each(|n| append(&mut by_hand, n))?;
    let region = Region::new(ALLOCATOR);
    (0..appends).try_for_each(|n| append(&mut by_hand, n))?;
    let each = exact(region.change().allocations) / exact(appends);
    report.add("append.allocations.redb-by-hand", each, "per append", Bound::None);
    Ok(())
}

fn kept(region: &Region<'_, System>) -> f64 {
    let change = region.change();
    exact(change.bytes_allocated.saturating_sub(change.bytes_deallocated))
}

/// Memory of live sessions and handles beyond the messages themselves.
fn memory(report: &mut Report) -> Result<()> {
    if !report.wants("memory") {
        return Ok(());
    }
    // The memory store's bodies are shared, not copied: the rest is the overhead.
    let store = Arc::new(MemoryStore::new());
    let count = 10_000;
    for messages in [1, 7] {
        let registry: ChatSessions = ChatSessions::builder(Arc::clone(&store)).build();
        let ids = (0..count)
            .map(|n| Ok(durable_session::SessionId::new(format!("session-of-{messages}-{n}"))?))
            .collect::<Result<Vec<_>>>()?;
        for id in &ids {
            block_on(registry.session(id.clone()).add_messages(vec![message(); messages]))?;
        }
        drop(registry);
        let registry: ChatSessions = ChatSessions::builder(Arc::clone(&store)).build();
        let region = Region::new(ALLOCATOR);
        for id in ids {
            block_on(registry.session(id).snapshot())?;
        }
        let each = kept(&region) / exact(count);
        report.add(
            format!("memory.live-session.{messages}-messages"),
            each,
            "bytes",
            Bound::AtMost(1024.0),
        );
    }
    let count = if report.options().quick { 100_000 } else { 1_000_000 };
    let registry: ChatSessions = ChatSessions::builder(MemoryStore::new()).build();
    let region = Region::new(ALLOCATOR);
    let handles = (0..count).map(|n| Ok(registry.session(id(n)?))).collect::<Result<Vec<_>>>()?;
    let each = kept(&region) / exact(count);
    drop(handles);
    report.add("memory.handle", each, "bytes", Bound::AtMost(1000.0));
    Ok(())
}
