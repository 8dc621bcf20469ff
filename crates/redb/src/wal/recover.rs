//! Opening the log: begun anew, or read after an earlier process or a failure.

use super::batch::{self, BatchHeader, Kind};
use super::catalog::{Catalog, Chain, Entry};
use super::chain::{self, LogEnd, ReadSegment};
use super::error::{LogError, Torn};
use super::format::{Epoch, FIRST, LogId, Position, SegmentHeader};
use super::log::{self, Current, Log, LogConfig, Used};
use super::scan::Item;
use super::segment::Segment;
use super::storage::LogStorage;
use durable_session::env::Random;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Large writes would make the kernel cache the file in large units, and later count a whole unit
/// as written for each small batch in it.
const COPY_BYTES: usize = 4096;

/// A batch that recovery read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a> {
    pub(crate) position: Position,
    pub(crate) segment: &'a Arc<Segment>,
    /// Where in the segment the payload begins.
    pub(crate) payload_at: u64,
    pub(crate) payload: &'a [u8],
    /// As given to [`Log::append`].
    pub(crate) count: u32,
}

impl<'a> Batch<'a> {
    pub(super) fn new(segment: &'a Arc<Segment>, bytes: &'a [u8], item: &Item) -> Self {
        Self {
            position: item.position,
            segment,
            payload_at: item.payload_at() as u64,
            payload: &bytes[item.payload()],
            count: item.count,
        }
    }

    /// The error for a payload that makes no sense although its checksum holds.
    pub(crate) fn damaged(&self, text: impl Into<String>) -> LogError {
        LogError::damaged(self.segment.name(), self.payload_at, text)
    }
}

/// A log that was read.
pub(crate) struct Recovered {
    pub(crate) log: Log,
    /// The unacknowledged end that was dropped.
    pub(crate) torn: Option<Torn>,
}

/// Begins a new log. Segments that hold no batch are removed; if one holds a batch, the log is
/// refused as [`LogError::Foreign`].
pub(crate) fn begin(
    storage: Arc<dyn LogStorage>,
    id: LogId,
    next: Position,
    config: LogConfig,
    random: Arc<dyn Random>,
) -> Result<Log, LogError> {
    let catalog = Catalog::read(&*storage)?;
    catalog.check_format()?;
    if let Some(name) = catalog.with_a_batch()? {
        return Err(LogError::Foreign { name });
    }
    for segment in catalog.segments() {
        remove(&*storage, segment)?;
    }
    let opener = Opener { storage, id, config, random };
    let current = opener.empty_segment(next, 0)?;
    Ok(opener.log(VecDeque::new(), current, next, next.saturating_sub(1)))
}

/// The name of a segment that some store has used, if there is one.
pub(crate) fn used_segment(storage: &dyn LogStorage) -> Result<Option<String>, LogError> {
    let catalog = Catalog::read(storage)?;
    if let Some((name, _)) = catalog.other_format {
        return Ok(Some(name));
    }
    let valid = catalog.valid.first().map(|entry| &entry.segment);
    let used = valid.or(catalog.broken.first().map(|(segment, _)| segment));
    Ok(used.map(|segment| segment.name().to_owned()))
}

/// Reads the log, and passes the batches after `flushed` to `replay`, in order.
///
/// An earlier process may have left its last batches unsynced. So the batches of the newest segment
/// are copied to a new one and synced before `replay` sees them, and the old segment is removed.
///
/// A crash in the middle changes nothing: the copy begins at the same position as the original and
/// has a higher generation, so it does not count while the original is there; and the original is
/// removed only when the whole copy is durable. Unfinished copies are removed before a copy is
/// made, so that there is one at most.
pub(crate) fn recover(
    storage: Arc<dyn LogStorage>,
    id: LogId,
    flushed: Position,
    config: LogConfig,
    random: Arc<dyn Random>,
    mut replay: impl FnMut(Batch<'_>) -> Result<(), LogError>,
) -> Result<Recovered, LogError> {
    let Chain { entries: chain, copies, unneeded } =
        Catalog::read(&*storage)?.into_chain(id, flushed)?;
    let mut replay = |segment: &Arc<Segment>, bytes: &[u8], items: &[Item]| {
        items
            .iter()
            .filter(|item| item.position > flushed)
            .try_for_each(|item| replay(Batch::new(segment, bytes, item)))
    };
    let LogEnd { newest, next, torn } = chain::read(&chain, |read| {
        replay(&chain[read.index].segment, &read.bytes, &read.walk.batches)
    })?;
    check_covers(flushed, next, torn.as_ref())?;
    for segment in &copies {
        remove(&*storage, segment)?;
    }
    let opener = Opener { storage, id, config, random };
    let newest = newest.filter(|newest| newest.walk.next > flushed.saturating_add(1));
    let log = if let Some(newest) = newest {
        let (older, rest) = chain.split_at(newest.index);
        let (current, bytes, items) = opener.copy(&newest, chain[newest.index].header)?;
        opener.remove(rest, &unneeded)?;
        replay(&current.segment, &bytes, &items)?;
        opener.log(used(older, current.header.first), current, next, flushed)
    } else {
        // An empty segment at the end of the chain may begin at the same position.
        let same = chain.iter().filter(|entry| entry.header.first == next);
        let generation = same.map(|entry| entry.header.generation.saturating_add(1)).max();
        let current = opener.empty_segment(next, generation.unwrap_or(0))?;
        opener.remove(&chain, &unneeded)?;
        opener.log(VecDeque::new(), current, next, flushed)
    };
    Ok(Recovered { log, torn })
}

/// The log must reach as far as the tables do.
fn check_covers(flushed: Position, next: Position, torn: Option<&Torn>) -> Result<(), LogError> {
    let last = next.saturating_sub(1);
    match torn {
        _ if last >= flushed => Ok(()),
        None => Err(LogError::Older { flushed, last }),
        Some(torn) => {
            let text = format!("there is no valid batch for position {next}, which was flushed");
            Err(LogError::damaged(&torn.name, torn.offset, text))
        }
    }
}

/// The segments before the one that begins at `end`.
fn used(older: &[Entry], end: Position) -> VecDeque<Used> {
    let ends = older.iter().skip(1).map(|entry| entry.header.first).chain([end]);
    older
        .iter()
        .zip(ends)
        .map(|(entry, end)| {
            let last = end.saturating_sub(1);
            Used { segment: Arc::clone(&entry.segment), last, own: false }
        })
        .collect()
}

fn remove(storage: &dyn LogStorage, segment: &Segment) -> Result<(), LogError> {
    storage.remove(segment.number()).map_err(|source| segment.failed("remove", source))
}

/// A log that is opened on a full disk goes on in a segment of this length, in bytes.
const SMALL_SEGMENT: u64 = 16 * 1024;

/// Makes the segment with which a log is opened.
struct Opener {
    storage: Arc<dyn LogStorage>,
    id: LogId,
    config: LogConfig,
    random: Arc<dyn Random>,
}

impl Opener {
    fn log(self, used: VecDeque<Used>, current: Current, next: Position, flushed: Position) -> Log {
        let Self { storage, id, config, random } = self;
        let (free, sealed, failed) = (Vec::new(), true, false);
        Log { storage, random, config, id, used, current, free, next, flushed, sealed, failed }
    }

    /// Removes segments that a durable one has replaced. Until then none is removed, since an
    /// earlier process may have left even the header of a segment unsynced.
    fn remove(&self, replaced: &[Entry], unneeded: &[Arc<Segment>]) -> Result<(), LogError> {
        let replaced = replaced.iter().map(|entry| &entry.segment);
        replaced.chain(unneeded).try_for_each(|segment| remove(&*self.storage, segment))
    }

    fn create(&self, len: u64) -> Result<Arc<Segment>, LogError> {
        let created = Segment::create(&*self.storage, len, []);
        created.map(Arc::new).map_err(|source| failed("create", source))
    }

    fn epoch(&self) -> Result<Epoch, LogError> {
        Epoch::draw(&*self.random).map_err(|e| failed("draw the epoch of", io::Error::other(e)))
    }

    fn empty_segment(&self, first: Position, generation: u32) -> Result<Current, LogError> {
        // A full disk may still have room for a small one: then the store can be read, at least.
        let usual = self.config.segment_for(0);
        let segment = self.create(usual).or_else(|_| self.create(usual.min(SMALL_SEGMENT)))?;
        log::begin(segment, true, self.id, self.epoch()?, first, generation)
            .map_err(|(segment, source)| segment.failed("write", source))
    }

    /// Writes the batches of a segment to a new one, with a seal, and syncs it. Returns the new
    /// segment, its bytes, and the batches in them.
    fn copy(
        &self,
        read: &ReadSegment,
        original: SegmentHeader,
    ) -> Result<(Current, Vec<u8>, Vec<Item>), LogError> {
        let epoch = self.epoch()?;
        let (seal, seal_len) = log::empty_batch(Kind::Seal, read.walk.next, epoch);
        let batches: usize = read.walk.batches.iter().map(|item| item.range().len()).sum();
        let needed = (batches + seal_len) as u64;
        // A full disk may still have room for the batches alone.
        let least = FIRST as u64 + needed + log::RESERVE as u64;
        let segment =
            self.create(self.config.segment_for(needed)).or_else(|_| self.create(least))?;
        let header = SegmentHeader {
            generation: original.generation.saturating_add(1),
            ..log::header_of(&segment, self.id, epoch, original.first, 0)
                .map_err(|source| segment.failed("write", source))?
        };
        let mut bytes = Vec::with_capacity(FIRST + batches + seal_len);
        bytes.extend_from_slice(&header.encode());
        bytes.resize(FIRST, 0);
        let mut items = Vec::with_capacity(read.walk.batches.len());
        for item in &read.walk.batches {
            let copied = Item { at: bytes.len(), ..*item };
            bytes.extend_from_slice(&read.bytes[item.range()]);
            let header = BatchHeader {
                kind: Kind::Edits,
                position: item.position,
                count: item.count,
                payload_len: u32::try_from(item.payload_len).unwrap_or(u32::MAX),
            };
            batch::encode(&mut bytes[copied.range()], &header, epoch);
            items.push(copied);
        }
        bytes.extend_from_slice(&seal[..seal_len]);
        let written = (0u64..)
            .step_by(COPY_BYTES)
            .zip(bytes.chunks(COPY_BYTES))
            .try_for_each(|(at, bytes)| segment.write(at, bytes))
            .and_then(|()| segment.sync());
        written.map_err(|source| segment.failed("write", source))?;
        let at = bytes.len() as u64;
        Ok((Current { segment, header, at, new: true }, bytes, items))
    }
}

fn failed(doing: &'static str, source: io::Error) -> LogError {
    LogError::Io { doing, name: "a new log segment".to_owned(), source }
}
