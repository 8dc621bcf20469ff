//! The cost of loading a session into memory, and of handing it out.

use anyhow::Result;
use benches::{Bound, Report, id, median, message};
use durable_session::{ChatSession, ChatSessions, Window};
use durable_session_memory::MemoryStore;
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use std::hint::black_box;
use std::time::Instant;
use tempfile::TempDir;
use testkit::ByHand;

/// The same messages in a store and by hand.
struct Stored {
    store: RedbStore,
    by_hand: ByHand,
    _folder: TempDir,
}

impl Stored {
    /// With so many thousand messages.
    fn new(report: &Report, thousands: usize) -> Result<Self> {
        let folder = TempDir::new_in(&report.options().memory)?;
        let store = RedbStore::open(folder.path().join("store.redb"))?;
        let mut by_hand = ByHand::create(&folder.path().join("by-hand.redb"), 1)?;
        by_hand.append(&vec![0; thousands * 1_000], message().as_json().as_bytes())?;
        let stored = Self { store, by_hand, _folder: folder };
        let filling = stored.cold(50)?;
        for _ in 0..thousands {
            block_on(filling.add_messages(vec![message(); 1_000]))?;
        }
        Ok(stored)
    }

    /// A handle with nothing in memory yet.
    fn cold(&self, window: usize) -> Result<ChatSession> {
        let window = Window { messages: window, bytes: 4 << 20 };
        let registry: ChatSessions =
            ChatSessions::builder(self.store.clone()).window(window).build();
        Ok(registry.session(id(0)?))
    }
}

fn timed<T>(samples: &mut Vec<f64>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let done = black_box(work()?);
    samples.push(began.elapsed().as_secs_f64() * 1e6);
    Ok(done)
}

/// The last 50 messages of a long session that is not in memory.
pub(crate) fn tail(report: &mut Report) -> Result<()> {
    if !report.wants("load.tail") {
        return Ok(());
    }
    let stored = Stored::new(report, 10)?;
    let (mut hand, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..report.rounds(5_000) {
        timed(&mut hand, || stored.by_hand.scan(0, 50))?;
        let cold = stored.cold(50)?;
        timed(&mut ours, || Ok(block_on(cold.snapshot())?))?;
    }
    let (hand, ours) = (median(&mut hand), median(&mut ours));
    report.add("load.tail.by-hand", hand, "µs", Bound::None);
    report.add("load.tail", ours, "µs", Bound::None);
    report.add("load.tail/by-hand", ours / hand, "ratio", Bound::AtMost(1.3));
    Ok(())
}

/// The whole state of 1,000 messages as JSON.
pub(crate) fn whole(report: &mut Report) -> Result<()> {
    if !report.wants("load.whole") {
        return Ok(());
    }
    let stored = Stored::new(report, 1)?;
    let inside = stored.cold(1_000)?;
    let text = block_on(inside.get_state_json())?.1.into_bytes();
    let (mut copied, mut hot, mut scanned, mut cold) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..report.rounds(2_000) {
        timed(&mut copied, || Ok(black_box(&text).clone()))?;
        timed(&mut hot, || Ok(block_on(inside.get_state_json())?))?;
        timed(&mut scanned, || stored.by_hand.scan_with_checksums(0, 1_000))?;
        let outside = stored.cold(1)?;
        timed(&mut cold, || Ok(block_on(outside.get_state_json())?))?;
    }
    let (copied, hot) = (median(&mut copied), median(&mut hot));
    let (scanned, cold) = (median(&mut scanned), median(&mut cold));
    report.add("load.whole.memcpy", copied, "µs", Bound::None);
    report.add("load.whole.in-window", hot, "µs", Bound::AtMost((2.0 * copied + 10.0).round()));
    report.add("load.whole.by-hand", scanned, "µs", Bound::None);
    report.add("load.whole.from-store", cold, "µs", Bound::None);
    report.add("load.whole.from-store/by-hand", cold / scanned, "ratio", Bound::AtMost(1.5));
    Ok(())
}

/// The last state seen, of a short and of a long session.
pub(crate) fn snapshot(report: &mut Report) -> Result<()> {
    if !report.wants("snapshot") {
        return Ok(());
    }
    let registry: ChatSessions = ChatSessions::builder(MemoryStore::new()).build();
    for length in [10, 100_000] {
        let session = registry.session(id(length)?);
        for _ in 0..length.div_ceil(1_000) {
            block_on(session.add_messages(vec![message(); length.min(1_000)]))?;
        }
        let calls = 1_000;
        let mut samples = Vec::new();
        for _ in 0..report.rounds(1_000) {
            let began = Instant::now();
            block_on(async {
                for _ in 0..calls {
                    black_box(session.snapshot().await?);
                }
                Ok::<(), durable_session::Error>(())
            })?;
            samples.push(began.elapsed().as_secs_f64() * 1e9 / f64::from(calls));
        }
        report.add(format!("snapshot.{length}"), median(&mut samples), "ns", Bound::AtMost(200.0));
    }
    Ok(())
}
