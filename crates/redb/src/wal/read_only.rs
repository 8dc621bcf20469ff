//! Reading a log without writing a byte, past damage.

use super::catalog::{Catalog, read_whole};
use super::error::{LogDamage, LogError, Torn};
use super::format::{Epoch, FIRST, LogId, Position, SegmentHeader};
use super::recover::Batch;
use super::scan::{self, End};
use super::segment::Segment;
use super::storage::LogStorage;
use std::sync::Arc;

/// A log that was read without a change to it.
#[derive(Debug)]
pub(crate) struct ReadLog {
    /// The last position that the log has.
    pub(crate) last: Position,
    /// The unacknowledged end that was left out.
    pub(crate) torn: Option<Torn>,
}

/// A segment that may have batches.
struct Source {
    segment: Arc<Segment>,
    epoch: Epoch,
    first: Position,
}

/// Passes the batches after `flushed` to `replay`, in order, and tells `damaged` which parts could
/// not be read. Fails only if there is no segment of this log, if the storage fails, or with an
/// error of `replay`.
pub(crate) fn read_only(
    storage: &dyn LogStorage,
    id: LogId,
    flushed: Position,
    mut replay: impl FnMut(Batch<'_>) -> Result<(), LogError>,
    mut damaged: impl FnMut(LogDamage),
) -> Result<ReadLog, LogError> {
    let mut next = flushed.saturating_add(1);
    let sources = sources(storage, id, next, &mut damaged)?;
    // The segments before this one end before `next`.
    let start = sources.iter().rposition(|source| source.first <= next).unwrap_or(0);
    let sources = sources.get(start..).unwrap_or_default();
    if sources.is_empty() {
        return Err(LogError::Missing);
    }
    let mut last = 0;
    let mut torn = None;
    let mut open = None;
    let mut bytes = Vec::new();
    for Source { segment, epoch, first } in sources {
        let damage = |offset: usize, expected, found, text: &str| LogDamage {
            name: segment.name().to_owned(),
            offset: offset as u64,
            expected,
            found,
            text: text.to_owned(),
        };
        if *first > next {
            damaged(damage(0, next, Some(*first), "no segment has the positions before this one"));
        }
        read_whole(segment, segment.len(), &mut bytes)?;
        let (mut at, mut expected) = (FIRST, *first);
        loop {
            let walk = scan::walk(&bytes, at, expected, *epoch);
            let new = walk.batches.iter().filter(|item| item.position >= next);
            new.map(|item| Batch::new(segment, &bytes, item)).try_for_each(&mut replay)?;
            last = last.max(walk.next.saturating_sub(1));
            expected = walk.next;
            open = None;
            match walk.end {
                End::Continues(end) => {
                    torn = None;
                    let text = "the log continues in another segment, which is missing";
                    open = Some(damage(end, expected, None, text));
                    break;
                }
                End::Open(end) => {
                    let Some((found_at, found)) = scan::find(&bytes, end, expected, *epoch) else {
                        // An unused segment leaves the end where it was.
                        let earlier = torn.take_if(|_| walk.batches.is_empty());
                        torn = scan::torn(segment.name(), &bytes, end, *epoch).or(earlier);
                        break;
                    };
                    damaged(damage(end, expected, Some(found), "there is no valid batch"));
                    (at, expected) = (found_at, found);
                }
            }
        }
        next = next.max(expected);
    }
    if let Some(open) = open {
        damaged(open);
    } else if last < flushed {
        let end = sources.last().map_or("", |source| source.segment.name());
        damaged(LogDamage {
            name: end.to_owned(),
            offset: torn.as_ref().map_or(0, |torn| torn.offset),
            expected: last.saturating_add(1),
            found: None,
            text: format!("the log ends at position {last}; position {flushed} was flushed"),
        });
    }
    Ok(ReadLog { last, torn })
}

/// The segments that may have batches, by the position of the first.
fn sources(
    storage: &dyn LogStorage,
    id: LogId,
    next: Position,
    damaged: &mut impl FnMut(LogDamage),
) -> Result<Vec<Source>, LogError> {
    let catalog = Catalog::read(storage)?;
    let mut damage = |name: &str, offset: u64, found, text: &str| {
        let (name, text) = (name.to_owned(), text.to_owned());
        damaged(LogDamage { name, offset, expected: next, found, text });
    };
    if let Some((name, format)) = &catalog.other_format {
        damage(name, 0, None, &format!("the segment has format {format}"));
    }
    let mut sources: Vec<Source> = Vec::new();
    let mut foreign = None;
    for entry in catalog.valid {
        let SegmentHeader { epoch, first, .. } = entry.header;
        let (name, len) = (entry.segment.name(), entry.segment.len());
        if entry.header.id != id {
            damage(name, 0, None, "the segment belongs to another store");
            foreign.get_or_insert(name.to_owned());
            continue;
        }
        if sources.last().is_some_and(|last| last.first == first) {
            // An unfinished copy of the one before it.
            continue;
        }
        if len < entry.header.len() {
            damage(name, len, None, "the segment is shorter than its header says");
        }
        sources.push(Source { segment: entry.segment, epoch, first });
    }
    // A damaged header may still have the right epoch.
    let mut bytes = Vec::new();
    for (segment, epoch) in catalog.broken {
        read_whole(&segment, segment.len(), &mut bytes)?;
        if let Some((_, first)) = scan::find(&bytes, FIRST, next, epoch) {
            damage(segment.name(), 0, Some(first), "the header of the segment is not valid");
            sources.push(Source { segment, epoch, first });
        }
    }
    sources.sort_by_key(|source| source.first);
    match foreign {
        Some(name) if sources.is_empty() => Err(LogError::Foreign { name }),
        _ => Ok(sources),
    }
}
