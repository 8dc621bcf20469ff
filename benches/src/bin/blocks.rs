//! Experiment: how a flush could put messages into redb, by the bytes that redb then writes.
//!
//! ```sh
//! cargo run -p benches --bin blocks
//! ```
//!
//! Sessions that have messages already get more of them, several times, as by a flush. The bytes
//! are those that redb gives to its storage, so that they are the same in each run.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of a benchmark are small"
)]

use anyhow::Result;
use durable_session::rows::MESSAGE_OVERHEAD;
use redb::backends::InMemoryBackend;
use redb::{
    Database, ReadableTable, ReadableTableMetadata, StorageBackend, Table, TableDefinition,
    WriteTransaction,
};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const ROWS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("rows");
const HEADS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("heads");

const PAGE: u64 = 4096;
/// The bytes of a transaction of the store's flush.
const SLICE: usize = 2 << 20;
/// About the bytes of a head row with a short id.
const HEAD: usize = 110;
const SESSIONS: u64 = 500;
/// Bytes for the length of a message in a block.
const LENGTH: usize = 4;

/// How messages are put into redb.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    /// A row for each message, as the store does it.
    Rows,
    /// The same, the last message of a session first.
    Backwards,
    /// The same in one transaction.
    OneTransaction,
    /// The same without quick repair.
    NoQuickRepair,
    /// Messages in blocks of at most so many bytes; the last block is filled up first.
    Blocks(usize),
    /// The same, but each flush begins a new block.
    NewBlocks(usize),
}

/// What is put in.
struct Load {
    name: &'static str,
    /// Messages that each session has before.
    before: u64,
    /// Messages for each session, in each flush.
    each: u64,
    flushes: u64,
    length: fn(u64) -> usize,
}

fn main() -> Result<()> {
    // Of the lengths of real chats: many short ones, a long tail, 400 bytes on average.
    let mixed = |n: u64| {
        let share = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / f64::from(1 << 24);
        (-share.mul_add(-0.97, 1.0).ln() * 430.0) as usize + 30
    };
    for load in [
        Load {
            name: "20 messages of 400 bytes for each session that has 10: the lone appends",
            before: 10,
            each: 20,
            flushes: 1,
            length: |_| 400,
        },
        Load {
            name: "4 flushes with 15 messages of 30 to 1,500 bytes",
            before: 0,
            each: 15,
            flushes: 4,
            length: mixed,
        },
        Load {
            name: "10 flushes with 2 messages of 400 bytes",
            before: 10,
            each: 2,
            flushes: 10,
            length: |_| 400,
        },
    ] {
        println!("\n{}\n", load.name);
        println!("| layout | bytes written per append | pages / bodies | used of leaves |");
        println!("|---|---|---|---|");
        for layout in [
            Layout::Rows,
            Layout::Backwards,
            Layout::OneTransaction,
            Layout::NoQuickRepair,
            Layout::Blocks(4_000),
            Layout::Blocks(1_950),
            Layout::NewBlocks(4_000),
        ] {
            measure(&load, layout)?;
        }
    }
    Ok(())
}

fn measure(load: &Load, layout: Layout) -> Result<()> {
    let storage = Counted::default();
    let written = Arc::clone(&storage.written);
    let db = Database::builder().create_with_backend(storage)?;
    let mut seq = 1;
    flush(&db, load, layout, seq, load.before)?;
    seq += load.before;
    let before = written.load(Relaxed);
    for _ in 0..load.flushes {
        flush(&db, load, layout, seq, load.each)?;
        seq += load.each;
    }
    let after = written.load(Relaxed);
    let txn = db.begin_write()?;
    let stats = txn.open_table(ROWS)?.stats()?;
    let pages = txn.stats()?.allocated_pages();
    txn.abort()?;
    let bodies: usize = (0..SESSIONS)
        .flat_map(|session| (1..seq).map(move |seq| (session, seq)))
        .map(|(session, seq)| (load.length)(session * 10_000 + seq))
        .sum();
    let appends = (SESSIONS * load.each * load.flushes) as f64;
    let used = stats.stored_bytes() as f64 / (stats.leaf_pages() * PAGE) as f64;
    println!(
        "| {layout:?} | {:.0} | {:.2} | {used:.2} |",
        (after - before) as f64 / appends,
        (pages * PAGE) as f64 / bodies as f64,
    );
    Ok(())
}

fn flush(db: &Database, load: &Load, layout: Layout, first: u64, each: u64) -> Result<()> {
    let begin = || -> Result<WriteTransaction> {
        let mut txn = db.begin_write()?;
        txn.set_quick_repair(layout != Layout::NoQuickRepair);
        Ok(txn)
    };
    let mut txn = begin()?;
    for session in 0..SESSIONS {
        txn.open_table(HEADS)?.insert(session, &[1; HEAD][..])?;
    }
    let mut slice = SESSIONS as usize * HEAD;
    for session in 0..SESSIONS {
        let row = |seq| (load.length)(session * 10_000 + seq) + MESSAGE_OVERHEAD;
        let seqs = first..first + each;
        slice += seqs.clone().map(row).sum::<usize>();
        let mut table = txn.open_table(ROWS)?;
        match layout {
            Layout::Rows | Layout::OneTransaction | Layout::NoQuickRepair => {
                for seq in seqs {
                    table.insert((session, seq), &vec![7; row(seq)][..])?;
                }
            }
            Layout::Backwards => {
                for seq in seqs.rev() {
                    table.insert((session, seq), &vec![7; row(seq)][..])?;
                }
            }
            Layout::Blocks(most) => blocks(&mut table, session, seqs, row, most, true)?,
            Layout::NewBlocks(most) => blocks(&mut table, session, seqs, row, most, false)?,
        }
        drop(table);
        if slice >= SLICE && layout != Layout::OneTransaction {
            txn.commit()?;
            txn = begin()?;
            slice = 0;
        }
    }
    txn.commit()?;
    Ok(())
}

/// Adds messages in blocks, each under the seq of its first message.
fn blocks(
    table: &mut Table<'_, (u64, u64), &'static [u8]>,
    session: u64,
    seqs: std::ops::Range<u64>,
    row: impl Fn(u64) -> usize,
    most: usize,
    fill: bool,
) -> Result<()> {
    let last = table.range((session, 0)..=(session, u64::MAX))?.next_back().transpose()?;
    let last = last.map(|(key, value)| (key.value().1, value.value().len()));
    let (mut begins, mut bytes) = match last {
        Some(last) if fill => last,
        _ => (seqs.start, 0),
    };
    let mut changed = false;
    for seq in seqs {
        let more = row(seq) + LENGTH;
        if bytes > 0 && bytes + more > most {
            if changed {
                table.insert((session, begins), &vec![7; bytes][..])?;
            }
            (begins, bytes) = (seq, 0);
        }
        bytes += more;
        changed = true;
    }
    table.insert((session, begins), &vec![7; bytes][..])?;
    Ok(())
}

/// Storage in memory that counts the bytes that are written to it.
#[derive(Debug, Default)]
struct Counted {
    memory: InMemoryBackend,
    written: Arc<AtomicU64>,
}

impl StorageBackend for Counted {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.written.fetch_add(data.len() as u64, Relaxed);
        self.memory.write(offset, data)
    }
}
