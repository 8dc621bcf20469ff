//! The segments that there are, by their headers.

use super::error::LogError;
use super::format::{Epoch, FIRST, HeaderFound, LogId, Position, SegmentHeader};
use super::scan;
use super::segment::Segment;
use super::storage::LogStorage;
use std::sync::Arc;

/// A segment that has a valid header.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) segment: Arc<Segment>,
    pub(super) header: SegmentHeader,
}

impl Entry {
    /// Reads the whole segment into `bytes`.
    pub(super) fn read(&self, bytes: &mut Vec<u8>) -> Result<(), LogError> {
        let (len, expected) = (self.segment.len(), self.header.len());
        if len < expected {
            let text = format!("the segment has {len} bytes; its header says {expected}");
            return Err(LogError::damaged(self.segment.name(), len, text));
        }
        read_whole(&self.segment, expected, bytes)
    }
}

/// The segments of a log, by their use for recovery.
#[derive(Debug)]
pub(super) struct Chain {
    /// Oldest first.
    pub(super) entries: Vec<Entry>,
    /// Unfinished copies of entries.
    pub(super) copies: Vec<Arc<Segment>>,
    /// Not needed once the log is durable in the others.
    pub(super) unneeded: Vec<Arc<Segment>>,
}

/// All segments of a storage.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    /// By first position; of two with the same one, the original comes before its copy.
    pub(super) valid: Vec<Entry>,
    /// The header is not valid. Its epoch may be.
    pub(super) broken: Vec<(Arc<Segment>, Epoch)>,
    /// Made and never used.
    pub(super) unused: Vec<Arc<Segment>>,
    /// Written in another format: the first such segment, and the format.
    pub(super) other_format: Option<(String, u32)>,
}

impl Catalog {
    /// Reads all headers.
    pub(super) fn read(storage: &dyn LogStorage) -> Result<Self, LogError> {
        let listed = storage.list().map_err(|source| LogError::Io {
            doing: "list",
            name: "the log segments".to_owned(),
            source,
        })?;
        let mut catalog = Self::default();
        for number in listed {
            let segment = Arc::new(Segment::open(storage, number)?);
            match segment.header_bytes()?.as_ref().map(SegmentHeader::decode) {
                None | Some(HeaderFound::Unused) => catalog.unused.push(segment),
                Some(HeaderFound::Broken { epoch }) => catalog.broken.push((segment, epoch)),
                Some(HeaderFound::OtherFormat(found)) => {
                    catalog.other_format.get_or_insert((segment.name().to_owned(), found));
                }
                Some(HeaderFound::Valid(header)) => catalog.valid.push(Entry { segment, header }),
            }
        }
        catalog.valid.sort_by_key(|entry| (entry.header.first, entry.header.generation));
        Ok(catalog)
    }

    /// Fails for a segment in another format.
    pub(super) fn check_format(&self) -> Result<(), LogError> {
        match &self.other_format {
            None => Ok(()),
            Some((name, found)) => Err(LogError::NewerFormat { name: name.clone(), found: *found }),
        }
    }

    /// The name of a segment that holds a batch, or may hold one.
    pub(super) fn with_a_batch(&self) -> Result<Option<String>, LogError> {
        let mut bytes = Vec::new();
        let valid = self.valid.iter().map(|entry| (&entry.segment, entry.header.epoch));
        let broken = self.broken.iter().map(|(segment, epoch)| (segment, *epoch));
        for (segment, epoch) in valid.chain(broken) {
            read_whole(segment, segment.len(), &mut bytes)?;
            // Whoever writes a header writes zeros behind it.
            let untouched = scan::torn("", &bytes, FIRST, epoch).is_none();
            if !untouched || scan::find(&bytes, FIRST, 0, epoch).is_some() {
                return Ok(Some(segment.name().to_owned()));
            }
        }
        Ok(None)
    }

    /// Every segment whose format is known.
    pub(super) fn segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        let valid = self.valid.iter().map(|entry| &entry.segment);
        valid.chain(self.broken.iter().map(|(segment, _)| segment)).chain(&self.unused)
    }

    /// The segments from which the log after `flushed` is read.
    pub(super) fn into_chain(mut self, id: LogId, flushed: Position) -> Result<Chain, LogError> {
        self.check_format()?;
        if let Some(foreign) = self.valid.iter().find(|entry| entry.header.id != id) {
            return Err(LogError::Foreign { name: foreign.segment.name().to_owned() });
        }
        let expected = flushed.saturating_add(1);
        let start = self.valid.iter().rposition(|entry| entry.header.first <= expected);
        let Some(start) = start else {
            return Err(match (self.broken.first(), self.valid.first()) {
                (Some((segment, _)), _) => {
                    LogError::damaged(segment.name(), 0, "the header of the segment is not valid")
                }
                (None, Some(entry)) => LogError::Gap { expected, found: entry.header.first },
                (None, None) => LogError::Missing,
            });
        };
        // The original, if the last one is a copy of it.
        let first = self.valid[start].header.first;
        let start = self.valid.partition_point(|entry| entry.header.first < first);
        let mut chain: Vec<Entry> = Vec::new();
        let mut copies = Vec::new();
        let mut unneeded: Vec<_> = self.valid.drain(..start).map(|entry| entry.segment).collect();
        for entry in self.valid {
            if chain.last().is_some_and(|last| last.header.first == entry.header.first) {
                copies.push(entry.segment);
            } else {
                chain.push(entry);
            }
        }
        unneeded.extend(self.broken.into_iter().map(|(segment, _)| segment));
        unneeded.extend(self.unused);
        Ok(Chain { entries: chain, copies, unneeded })
    }
}

pub(super) fn read_whole(segment: &Segment, len: u64, bytes: &mut Vec<u8>) -> Result<(), LogError> {
    let len = usize::try_from(len)
        .map_err(|_| segment.failed("read", std::io::ErrorKind::OutOfMemory.into()))?;
    bytes.resize(len, 0);
    segment.read_into(0, bytes).map_err(|source| segment.failed("read", source))
}
