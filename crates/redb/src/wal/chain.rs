//! Reading the segments of a log in their order, and telling a torn end from damage.

use super::catalog::Entry;
use super::error::{LogError, Torn};
use super::format::{FIRST, Position};
use super::scan::{self, End, Walk};

/// A segment that was read.
pub(super) struct ReadSegment {
    pub(super) index: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) walk: Walk,
}

/// The end of a log.
pub(super) struct LogEnd {
    /// The last segment with batches. Those before it were passed on.
    pub(super) newest: Option<ReadSegment>,
    /// The position after the last batch.
    pub(super) next: Position,
    pub(super) torn: Option<Torn>,
}

/// Reads the batches of `chain`. A segment is passed to `replay` when a later one has a batch: then
/// its own batches were synced before that one was written.
pub(super) fn read(
    chain: &[Entry],
    mut replay: impl FnMut(&ReadSegment) -> Result<(), LogError>,
) -> Result<LogEnd, LogError> {
    let mut newest: Option<ReadSegment> = None;
    let mut spare = Vec::new();
    let mut next = chain.first().map_or(1, |entry| entry.header.first);
    for (index, entry) in chain.iter().enumerate() {
        let epoch = entry.header.epoch;
        let mut bytes = std::mem::take(&mut spare);
        entry.read(&mut bytes)?;
        let walk = scan::walk(&bytes, FIRST, next, epoch);
        next = walk.next;
        let end = walk.end;
        let name = entry.segment.name();
        let torn = match end {
            End::Continues(_) => None,
            End::Open(at) => {
                check_no_batch_after(entry, &bytes, at, &chain[index + 1..], next)?;
                scan::torn(name, &bytes, at, epoch)
            }
        };
        if !walk.batches.is_empty() {
            let older = newest.replace(ReadSegment { index, bytes, walk });
            if let Some(older) = older {
                replay(&older)?;
                spare = older.bytes;
            }
        }
        match end {
            End::Open(_) => return Ok(LogEnd { newest, next, torn }),
            End::Continues(at) => {
                let successor = chain.get(index + 1).map(|entry| entry.header.first);
                if successor != Some(next) {
                    let text = format!(
                        "the log continues at position {next} in another segment, and no segment \
                         with a valid header begins there"
                    );
                    return Err(LogError::damaged(name, at as u64, text));
                }
            }
        }
    }
    // Only an empty chain comes here: each segment above ends the loop or has a successor.
    Ok(LogEnd { newest, next, torn: None })
}

/// A batch that is followed by a valid one was acknowledged: that it is not valid is damage.
fn check_no_batch_after(
    entry: &Entry,
    bytes: &[u8],
    at: usize,
    later: &[Entry],
    next: Position,
) -> Result<(), LogError> {
    let damaged = |found: Position, where_found: &str| {
        let text = format!(
            "there is no valid batch for position {next}, but one for {found} in {where_found}"
        );
        Err(LogError::damaged(entry.segment.name(), at as u64, text))
    };
    if let Some((_, found)) = scan::find(bytes, at, next, entry.header.epoch) {
        return damaged(found, entry.segment.name());
    }
    let mut bytes = Vec::new();
    for later in later {
        later.read(&mut bytes)?;
        if let Some((_, found)) = scan::find(&bytes, FIRST, next, later.header.epoch) {
            return damaged(found, later.segment.name());
        }
    }
    Ok(())
}
