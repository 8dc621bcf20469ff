//! The log as the writer sees it: appends, seals, and segments that become free.

use super::batch::{self, BatchHeader, HEADER, Kind, MAX_PAYLOAD};
use super::error::{AppendError, LogError};
use super::format::{ALIGN, Epoch, FIRST, FORMAT, LogId, Position, SegmentHeader};
use super::segment::Segment;
use super::storage::LogStorage;
use durable_session::env::Random;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Room at the end of a segment for a seal and for the batch that names the next segment.
pub(super) const RESERVE: usize = 2 * ALIGN;

/// Segments of a size of their own end at multiples of this.
const BLOCK: u64 = 4096;

/// The sizes of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogConfig {
    /// The length of a segment. A larger batch gets a segment of its own size.
    pub(crate) segment_bytes: u64,
    /// The segments that are not flushed should take no more than this.
    pub(crate) limit_bytes: u64,
}

impl LogConfig {
    /// The length of a segment, unless a host chooses another.
    pub(crate) const SEGMENT_BYTES: u64 = 16 << 20;

    /// The length of a segment for batches of so many bytes.
    pub(super) fn segment_for(&self, batches: u64) -> u64 {
        let needed = FIRST as u64 + batches + RESERVE as u64;
        let usual = self.segment_bytes / ALIGN as u64 * ALIGN as u64;
        if needed <= usual { usual } else { needed.next_multiple_of(BLOCK) }
    }
}

/// A batch that is durable.
#[derive(Debug, Clone)]
pub(crate) struct Appended {
    pub(crate) position: Position,
    pub(crate) segment: Arc<Segment>,
    /// Where in the segment the payload begins.
    pub(crate) payload_at: u64,
}

/// A segment with batches that may not be flushed.
pub(super) struct Used {
    pub(super) segment: Arc<Segment>,
    /// The position of its last batch.
    pub(super) last: Position,
    /// Made by this log. Others may still be read through another handle, so they are removed.
    pub(super) own: bool,
}

/// The segment that takes the next batch.
pub(super) struct Current {
    pub(super) segment: Arc<Segment>,
    pub(super) header: SegmentHeader,
    /// Where the next batch begins.
    pub(super) at: u64,
    /// The segment was new: behind the batches it has zeros already.
    pub(super) new: bool,
}

/// The end of the log, and the segments before it. Only the writer has it.
pub(crate) struct Log {
    pub(super) storage: Arc<dyn LogStorage>,
    pub(super) random: Arc<dyn Random>,
    pub(super) config: LogConfig,
    pub(super) id: LogId,
    /// The segments before the current one, oldest first.
    pub(super) used: VecDeque<Used>,
    pub(super) current: Current,
    /// Segments without a batch that is still needed.
    pub(super) free: Vec<Used>,
    pub(super) next: Position,
    pub(super) flushed: Position,
    /// No batch of edits since the last seal, or since the segment began.
    pub(super) sealed: bool,
    /// A write or a sync failed.
    pub(super) failed: bool,
}

impl Log {
    /// Makes a batch durable: one write and one sync.
    ///
    /// `buffer` has [`HEADER`] free bytes and then the payload. The header is written into it; its
    /// length stays.
    pub(crate) fn append(
        &mut self,
        buffer: &mut Vec<u8>,
        count: u32,
    ) -> Result<Appended, AppendError> {
        let payload = buffer.len().checked_sub(HEADER).filter(|&len| len <= MAX_PAYLOAD);
        let Some((payload, payload_len)) =
            payload.and_then(|len| Some((len, u32::try_from(len).ok()?)))
        else {
            let text = format!("a batch of {} bytes is beyond what the log takes", buffer.len());
            return Err(AppendError::Refused(io::Error::new(io::ErrorKind::InvalidInput, text)));
        };
        self.check()?;
        let total = batch::padded(payload);
        if !self.fits(total as u64) {
            self.roll(total as u64, true)?;
        }
        let header = BatchHeader { kind: Kind::Edits, position: self.next, count, payload_len };
        let len = buffer.len();
        // The padding, and zeros where the next batch will be: a log ends with them.
        buffer.resize(if self.current.new { total } else { total + ALIGN }, 0);
        batch::encode(&mut buffer[..total], &header, self.current.header.epoch);
        let written = self.write(buffer, total);
        buffer.truncate(len);
        let payload_at = written? + HEADER as u64;
        let position = self.next;
        self.next += 1;
        self.sealed = false;
        Ok(Appended { position, segment: Arc::clone(&self.current.segment), payload_at })
    }

    /// Shows that the last batch was acknowledged, by an empty batch after it.
    pub(crate) fn seal(&mut self) -> Result<(), AppendError> {
        if self.sealed {
            return Ok(());
        }
        self.check()?;
        self.write_empty(Kind::Seal)?;
        self.sealed = true;
        Ok(())
    }

    /// Whether [`seal`](Self::seal) has nothing to do.
    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// The identity of the log.
    pub(crate) fn id(&self) -> LogId {
        self.id
    }

    /// The position of the next batch.
    #[cfg(test)]
    pub(super) fn next(&self) -> Position {
        self.next
    }

    /// The bytes of the segments with batches that are not flushed; of the current one, those that
    /// are written.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used.iter().map(|used| used.segment.len()).sum::<u64>() + self.current.at
    }

    /// Whether a batch with `payload` bytes keeps the log within its limit. It always does when
    /// everything is flushed: a wait for a flush would have no end.
    pub(crate) fn has_room(&self, payload: u64) -> bool {
        let batch = (payload + HEADER as u64).next_multiple_of(ALIGN as u64);
        if self.fits(batch) || self.next <= self.flushed + 1 {
            return true;
        }
        self.segment_bytes() + self.config.segment_for(batch) <= self.config.limit_bytes
    }

    /// The lengths of all segments that are in use.
    fn segment_bytes(&self) -> u64 {
        let used: u64 = self.used.iter().map(|used| used.segment.len()).sum();
        used + self.current.segment.len()
    }

    /// Everything up to `flushed` is durable in the tables: segments without a later batch become
    /// free. Of those, as many are kept as the limit has room for.
    pub(crate) fn release(&mut self, flushed: Position) {
        self.flushed = self.flushed.max(flushed);
        let flushed = self.used.iter().take_while(|used| used.last <= self.flushed).count();
        self.free.extend(self.used.drain(..flushed));
        let usual = self.config.segment_for(0);
        let in_use = self.segment_bytes();
        let mut room = self.config.limit_bytes.saturating_sub(in_use) / usual.max(1);
        self.remove_free(|used| {
            let keep = used.own && used.segment.len() == usual && room > 0;
            room -= u64::from(keep);
            !keep
        });
    }

    /// Leaves nothing but a new segment, if everything up to now is flushed, so that no deleted
    /// text stays in the log.
    pub(crate) fn scrub(&mut self, flushed: Position) -> Result<(), LogError> {
        self.release(flushed);
        let rolled = self.check().and_then(|()| self.roll(0, false));
        rolled.map_err(|error| {
            let (AppendError::Refused(source) | AppendError::Failed(source)) = error;
            self.current.segment.failed("replace", source)
        })?;
        self.remove_free(|_| true);
        match self.free.first() {
            None => Ok(()),
            Some(kept) => {
                let source = io::Error::other("it is still there; see the log of the process");
                Err(kept.segment.failed("remove", source))
            }
        }
    }

    fn check(&self) -> Result<(), AppendError> {
        if self.failed {
            return Err(AppendError::Failed(io::Error::other("an earlier write failed")));
        }
        Ok(())
    }

    fn fits(&self, batch: u64) -> bool {
        self.current.at + batch + RESERVE as u64 <= self.current.segment.len()
    }

    /// Writes `bytes` at the end and syncs them. The end moves on by `batch`. Returns where the
    /// bytes are.
    fn write(&mut self, bytes: &[u8], batch: usize) -> Result<u64, AppendError> {
        let at = self.current.at;
        match self.current.segment.write_durably(at, bytes) {
            Ok(()) => {
                self.current.at += batch as u64;
                Ok(at)
            }
            Err(e) => Err(self.fail(e)),
        }
    }

    fn fail(&mut self, source: io::Error) -> AppendError {
        self.failed = true;
        AppendError::Failed(source)
    }

    fn write_empty(&mut self, kind: Kind) -> Result<u64, AppendError> {
        let (bytes, len) = empty_batch(kind, self.next, self.current.header.epoch);
        // The last batch of a segment needs no zeros behind it, and may have no room for them.
        let alone = self.current.new || kind == Kind::Continues;
        self.write(if alone { &bytes[..len] } else { &bytes }, len)
    }

    /// Goes on in another segment with room for `batch` bytes.
    ///
    /// Three steps, each durable before the next: the header of the new segment, the batch that
    /// says that the log continues there, and the first batch there. So at any moment of a crash,
    /// a segment that is missing is noticed, and an unused one is recognized.
    fn roll(&mut self, batch: u64, reuse: bool) -> Result<(), AppendError> {
        // Two segments must not begin at the same position, so an empty one is removed.
        let empty = self.current.at == FIRST as u64;
        let generation = if empty { self.current.header.generation + 1 } else { 0 };
        let successor = self.begin_segment(batch, reuse, generation)?;
        if empty {
            if let Err(e) = self.storage.remove(self.current.segment.number()) {
                return Err(self.fail(e));
            }
            self.current = successor;
        } else {
            self.write_empty(Kind::Continues)?;
            let previous = std::mem::replace(&mut self.current, successor);
            let used = Used { segment: previous.segment, last: self.next - 1, own: true };
            self.used.push_back(used);
            self.release(self.flushed);
        }
        self.sealed = true;
        Ok(())
    }

    /// A segment with a durable header, and no batches.
    fn begin_segment(
        &mut self,
        batch: u64,
        reuse: bool,
        generation: u32,
    ) -> Result<Current, AppendError> {
        let refused = AppendError::Refused;
        let epoch = Epoch::draw(&*self.random).map_err(|e| refused(io::Error::other(e)))?;
        let len = self.config.segment_for(batch);
        // Unique: no reader holds the segment, and nobody else can come to hold it.
        let unused = |used: &mut Used| {
            used.own && used.segment.len() == len && Arc::get_mut(&mut used.segment).is_some()
        };
        let position = if reuse { self.free.iter_mut().position(unused) } else { None };
        let segment = if let Some(index) = position {
            let segment = self.free.swap_remove(index).segment;
            // Large batches are cached in large units, and the kernel would count a whole unit as
            // written for each small batch in it. A failure costs nothing else.
            let _ = self.storage.forget_cached(segment.number());
            segment
        } else {
            // A segment whose removal failed may be gone, and is still to be removed.
            let reserved = self.free.iter().map(|free| free.segment.number());
            Arc::new(Segment::create(&*self.storage, len, reserved).map_err(refused)?)
        };
        match begin(segment, position.is_none(), self.id, epoch, self.next, generation) {
            Ok(current) => Ok(current),
            Err((segment, e)) => {
                // It is never written again. If it cannot be removed, its header may survive and
                // would name a position that this log goes on to use elsewhere.
                match self.storage.remove(segment.number()) {
                    Ok(()) => Err(refused(e)),
                    Err(_) => Err(self.fail(e)),
                }
            }
        }
    }

    fn remove_free(&mut self, mut unwanted: impl FnMut(&Used) -> bool) {
        let storage = &self.storage;
        self.free.retain_mut(|used| {
            if !unwanted(used) {
                return true;
            }
            match storage.remove(used.segment.number()) {
                Ok(()) => false,
                Err(e) if e.kind() == io::ErrorKind::NotFound => false,
                Err(error) => {
                    let name = used.segment.name();
                    tracing::warn!(%error, name, "a log segment could not be removed");
                    // Its file may be gone all the same, so it is never used again.
                    used.own = false;
                    true
                }
            }
        });
    }
}

/// A batch without payload and zeros behind it, and the length of the batch.
pub(super) fn empty_batch(
    kind: Kind,
    position: Position,
    epoch: Epoch,
) -> ([u8; 2 * ALIGN], usize) {
    let mut bytes = [0; 2 * ALIGN];
    let header = BatchHeader { kind, position, count: 0, payload_len: 0 };
    let len = batch::padded(0);
    batch::encode(&mut bytes[..len], &header, epoch);
    (bytes, len)
}

/// The header of a segment that begins to be used.
pub(super) fn header_of(
    segment: &Segment,
    id: LogId,
    epoch: Epoch,
    first: Position,
    generation: u32,
) -> io::Result<SegmentHeader> {
    let units = u32::try_from(segment.len() / ALIGN as u64)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the segment is too long"))?;
    Ok(SegmentHeader { format: FORMAT, generation, units, id, epoch, first })
}

/// Writes a segment's header, durably, with zeros behind it.
pub(super) fn begin(
    segment: Arc<Segment>,
    new: bool,
    id: LogId,
    epoch: Epoch,
    first: Position,
    generation: u32,
) -> Result<Current, (Arc<Segment>, io::Error)> {
    let written = header_of(&segment, id, epoch, first, generation).and_then(|header| {
        let mut bytes = [0; FIRST + ALIGN];
        bytes[..SegmentHeader::BYTES].copy_from_slice(&header.encode());
        segment.write_durably(0, &bytes)?;
        Ok(header)
    });
    match written {
        Ok(header) => Ok(Current { segment, header, at: FIRST as u64, new }),
        Err(e) => Err((segment, e)),
    }
}
