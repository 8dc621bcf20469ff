//! The logs on disk: appended messages and written app states that are durable and not yet in their tables.
//!
//! A transaction over many sessions would rewrite a page of the rows table for each of them. Instead it writes all the
//! messages that it appends as one *entry* at the end of a log, and they are folded into the rows later, in the order
//! of the rows table, many of one session at a time. A commit that writes the app state logs its head row in the same
//! way; only the last one of a session is folded. There are two logs: while one is written, the other, *frozen*, is
//! folded and then dropped.
//!
//! ```text
//! entry     1 u8 | part … | checksum u64
//! part      session number u64 | seq u64 | id length u16 | row length u32 | checksum u64 | id … | row …
//! ```
//!
//! The row is that of the message at `seq`, or the head row if that is 0. Entries are keyed by a position that only grows, over both logs. Integers are little-endian. The checksum of a part is
//! XXH3-64 of its fields, its id and the position of the entry; the row has its own. The checksum of an entry is of the
//! checksums of its parts, so that none can be missing.
//!
//! What is not logged settles its session first, that is, puts what is logged of it into the tables in the same
//! transaction; so the rows of a session are always older than what counts in the logs. When the logs are read again, a
//! message counts only if neither its session's head row tells of its seq nor there is a row at it or after it, and a
//! head row only if it has a higher counter: nothing that was replaced, removed or deleted comes back from a log. For
//! that, a head row is folded after the messages that it tells of.

use super::logged::Logged;
use super::{Blob, Index, Place, Snapshot, counts_from, head_counts};
use crate::error::{Fault, OpenError, caught};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::planted::bug;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use std::collections::HashMap;
use xxhash_rust::xxh3::Xxh3;

/// The two logs.
pub(super) const LOGS: [TableDefinition<'_, u64, Blob>; 2] =
    [TableDefinition::new("durable-session.log-a"), TableDefinition::new("durable-session.log-b")];

/// The seq of a part that is a head row: no message has it.
pub(super) const HEAD: u64 = 0;

const FORMAT: u8 = 1;
const FIELDS: usize = 8 + 8 + 2 + 4;
const CHECKSUM: usize = 8;
/// A page of 4 KiB without what redb needs of it.
const ENTRY_BYTES: usize = 4064;

/// Where the writer is in the logs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    /// Which of the two is written.
    pub(super) active: usize,
    /// The position of the next entry.
    pub(super) next: u64,
    /// Bytes in the active log.
    pub(super) bytes: u64,
    /// Whether the other one has entries.
    pub(super) frozen: bool,
    /// How many bytes make a log full; 0: nothing is logged.
    limit: u64,
}

impl Position {
    /// Without logs.
    pub(crate) fn none() -> Self {
        Self { active: 0, next: 0, bytes: 0, frozen: false, limit: 0 }
    }

    /// Whether appends are logged.
    pub(super) fn takes(&self) -> bool {
        self.limit > 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.limit
    }

    /// Whether there is something to fold.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Freezes a full log if the other one is free.
    pub(crate) fn switch(&mut self, logged: &mut Logged) {
        if self.is_full() {
            self.freeze(logged);
        }
    }

    /// Freezes the active log if it has anything and the other one is free.
    pub(super) fn freeze(&mut self, logged: &mut Logged) {
        if self.bytes > 0 && !self.frozen {
            self.active = 1 - self.active;
            self.bytes = 0;
            self.frozen = true;
            logged.freeze();
        }
    }
}

/// A message row or a head row on its way into a log.
#[derive(Debug)]
pub(crate) struct Part {
    pub(super) id: SessionId,
    pub(super) number: u64,
    pub(super) seq: u64,
    pub(super) row: Bytes,
}

impl Part {
    fn bytes(&self) -> usize {
        FIELDS + CHECKSUM + self.id.as_str().len() + self.row.len()
    }
}

/// Divides `parts` into those of one entry each: as many as fill a page of redb, which allocates in powers of two.
pub(super) fn entries(mut parts: &mut [Part]) -> impl Iterator<Item = &mut [Part]> {
    std::iter::from_fn(move || {
        let mut bytes = 1 + CHECKSUM;
        let fits = parts.iter().take_while(|part| {
            bytes += part.bytes();
            bytes <= ENTRY_BYTES
        });
        let count = fits.count().max(1).min(parts.len());
        let (entry, rest) = std::mem::take(&mut parts).split_at_mut(count);
        parts = rest;
        (!entry.is_empty()).then_some(entry)
    })
}

/// Writes an entry of `parts`; their rows become slices of it.
pub(super) fn encode(position: u64, parts: &mut [Part]) -> Bytes {
    let mut entry = Vec::with_capacity(1 + parts.iter().map(Part::bytes).sum::<usize>() + CHECKSUM);
    entry.push(FORMAT);
    let mut sums = Xxh3::new();
    for part in &*parts {
        let start = entry.len();
        let id = part.id.as_str().as_bytes();
        entry.extend_from_slice(&part.number.to_le_bytes());
        entry.extend_from_slice(&part.seq.to_le_bytes());
        // An id has at most 256 bytes, a row little more than the largest body.
        #[allow(clippy::cast_possible_truncation)]
        entry.extend_from_slice(&(id.len() as u16).to_le_bytes());
        #[allow(clippy::cast_possible_truncation)]
        entry.extend_from_slice(&(part.row.len() as u32).to_le_bytes());
        let sum = part_checksum(position, &entry[start..], id).to_le_bytes();
        sums.update(&sum);
        entry.extend_from_slice(&sum);
        entry.extend_from_slice(id);
        entry.extend_from_slice(&part.row);
    }
    entry.extend_from_slice(&sums.digest().to_le_bytes());
    let entry = Bytes::from(entry);
    let mut at = 1;
    for part in parts {
        let start = at + FIELDS + CHECKSUM + part.id.as_str().len();
        at = start + part.row.len();
        part.row = entry.slice(start..at);
    }
    entry
}

/// Reads an entry; `None` if it is damaged. Damage within a message row is left for whoever reads the row.
fn decode(position: u64, entry: &[u8]) -> Option<Vec<Part>> {
    let entry = Bytes::copy_from_slice(entry);
    let (content, sum) = entry.split_at_checked(entry.len().checked_sub(CHECKSUM)?)?;
    let end = content.len();
    if content.first() != Some(&FORMAT) {
        return None;
    }
    let mut parts = Vec::new();
    let mut sums = Xxh3::new();
    let mut at = 1;
    while at < end {
        let (fields, rest) = content[at..].split_at_checked(FIELDS)?;
        let (stored, rest) = rest.split_at_checked(CHECKSUM)?;
        let id_bytes = usize::from(u16::from_le_bytes([fields[16], fields[17]]));
        let row_bytes = usize::try_from(u32::from_le_bytes(fields[18..22].try_into().ok()?)).ok()?;
        let (id, rest) = rest.split_at_checked(id_bytes)?;
        if rest.len() < row_bytes || part_checksum(position, fields, id).to_le_bytes() != *stored {
            return None;
        }
        sums.update(stored);
        let row = at + FIELDS + CHECKSUM + id_bytes;
        parts.push(Part {
            id: SessionId::new(std::str::from_utf8(id).ok()?).ok()?,
            number: integer(fields, 0)?,
            seq: integer(fields, 8)?,
            row: entry.slice(row..row + row_bytes),
        });
        at = row + row_bytes;
    }
    (sums.digest().to_le_bytes() == *sum).then_some(parts)
}

fn integer(fields: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(fields.get(at..at + 8)?.try_into().ok()?))
}

fn part_checksum(position: u64, fields: &[u8], id: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(fields);
    hasher.update(id);
    hasher.update(&position.to_le_bytes());
    hasher.digest()
}

/// Reads both logs of a database that was just opened.
///
/// `limit`: how many bytes make a log full.
pub(crate) fn recover(db: &Database, limit: u64) -> Result<(Logged, Position), OpenError> {
    let txn = db.begin_read().map_err(OpenError::redb)?;
    let logs = [Stored::read(&txn, 0)?, Stored::read(&txn, 1)?];
    let (older, newer) =
        if logs[0].first > logs[1].first { (&logs[1], &logs[0]) } else { (&logs[0], &logs[1]) };
    if older.first.is_some() && older.end() != newer.first {
        return Err(missing());
    }
    let next = logs.iter().filter_map(Stored::end).max().unwrap_or(0);
    let active = match (logs[0].end(), logs[1].end()) {
        (Some(a), Some(b)) => usize::from(b > a),
        (None, Some(_)) => 1,
        _ => 0,
    };
    let frozen = 1 - active;
    let position =
        Position { active, next, bytes: logs[active].bytes, frozen: logs[frozen].end().is_some(), limit };
    let mut logged = Logged::default();
    let Snapshot { index, rows } = Snapshot::open(&txn).map_err(OpenError::redb)?;
    let mut settled = Settled { index, rows, known: HashMap::new() };
    for log in [frozen, active] {
        for part in &logs[log].parts {
            if settled.counts(part).map_err(Fault::on_opening)? {
                logged.recovered(part);
            }
        }
        if log == frozen && position.frozen {
            logged.freeze();
        }
    }
    Ok((logged, position))
}

/// Reads all that can be read of the logs of a damaged file.
pub(crate) fn salvage(db: &impl ReadableDatabase) -> Result<Logged, OpenError> {
    let txn = db.begin_read().map_err(OpenError::redb)?;
    let Snapshot { index, rows } = Snapshot::open(&txn).map_err(OpenError::redb)?;
    let mut settled = Settled { index, rows, known: HashMap::new() };
    let mut parts = Vec::new();
    for log in LOGS {
        // Damage to a log's pages, on which redb can panic, ends it; an entry that cannot be read is left out.
        let walked = caught(|| -> Result<(), redb::Error> {
            let mut last = None;
            for entry in ReadableTable::iter(&txn.open_table(log)?)? {
                let (position, entry) = entry?;
                let position = position.value();
                if last.replace(position).is_some_and(|last| last >= position) {
                    break;
                }
                let entry = decode(position, entry.value()).into_iter().flatten();
                parts.extend(entry.map(|part| (position, part)));
            }
            Ok(())
        });
        match walked {
            Ok(Ok(()) | Err(redb::Error::TableDoesNotExist(_))) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a log of the damaged file cannot be read to its end"),
            Err(message) => tracing::warn!(message, "redb panicked on a log of the damaged file"),
        }
    }
    parts.sort_by_key(|(position, _)| *position);
    let mut logged = Logged::default();
    for (_, part) in &parts {
        // With rows that cannot be read, nothing of the session is dropped.
        if caught(|| settled.counts(part).unwrap_or(true)).unwrap_or(true) {
            logged.recovered(part);
        }
    }
    Ok(logged)
}

fn missing() -> OpenError {
    OpenError::damaged("entries of the log with the newest messages are missing")
}

/// One log as it is in the file.
struct Stored {
    parts: Vec<Part>,
    first: Option<u64>,
    last: Option<u64>,
    bytes: u64,
}

impl Stored {
    fn read(txn: &ReadTransaction, log: usize) -> Result<Self, OpenError> {
        let mut stored = Self { parts: Vec::new(), first: None, last: None, bytes: 0 };
        let table = match txn.open_table(LOGS[log]) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(stored),
            Err(e) => return Err(OpenError::redb(e)),
        };
        for entry in ReadableTable::iter(&table).map_err(OpenError::redb)? {
            let (position, entry) = entry.map_err(OpenError::redb)?;
            let (position, entry) = (position.value(), entry.value());
            if stored.end().is_some_and(|end| end != position) {
                return Err(missing());
            }
            let parts = decode(position, entry).ok_or_else(|| {
                OpenError::damaged("an entry of the log with the newest messages cannot be read")
            })?;
            stored.first = stored.first.or(Some(position));
            stored.last = Some(position);
            stored.bytes += entry.len() as u64;
            stored.parts.extend(parts);
        }
        Ok(stored)
    }

    fn end(&self) -> Option<u64> {
        self.last.map(|last| last.saturating_add(1))
    }
}

/// Tells what of the logs still counts.
struct Settled<I, H, R> {
    index: Index<I, H>,
    rows: R,
    /// The first seq that counts; `None` if the session is gone.
    known: HashMap<u64, Option<u64>>,
}

impl<I, H, R> Settled<I, H, R>
where
    I: ReadableTable<Blob, Blob>,
    H: ReadableTable<u64, Blob>,
    R: ReadableTable<Place, Blob>,
{
    fn counts(&mut self, part: &Part) -> Result<bool, Fault> {
        let number = part.number;
        if part.seq == HEAD && !bug("believe-the-log") {
            return self.head_counts(part);
        }
        let first = match self.known.get(&number) {
            Some(&known) => known,
            None => self.first(number, &part.id)?,
        };
        self.known.insert(number, first);
        Ok(first.is_some_and(|first| part.seq >= first))
    }

    fn head_counts(&self, part: &Part) -> Result<bool, Fault> {
        let stored = self.index.heads.get(part.number)?;
        // With its head row lost, the session is damaged, if it is still there.
        Ok(stored.is_some_and(|stored| head_counts(part.number, &part.id, stored.value(), &part.row)))
    }

    fn first(&self, number: u64, id: &SessionId) -> Result<Option<u64>, Fault> {
        // With a head row that is lost or cannot be read, the session is damaged: nothing of it is dropped.
        let next = match self.index.heads.get(number)? {
            Some(row) => counts_from(number, id, row.value()),
            None if self.index.number(id).is_ok_and(|found| found == Some(number)) => 0,
            None => return Ok(None),
        };
        // The rows are always older than what is logged: up to the last of them, all has been folded.
        let last = self.rows.range((number, 0)..=(number, u64::MAX))?.next_back().transpose()?;
        let folded = last.map_or(0, |(place, _)| place.value().1.saturating_add(1));
        if bug("believe-the-log") {
            return Ok(Some(0));
        }
        Ok(Some(next.max(folded)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_as_many_parts_as_fill_a_page() {
        let part = |n: usize| Part {
            id: SessionId::new("i".repeat(1 + n % 9)).unwrap(),
            number: n as u64,
            seq: 1 + n as u64,
            row: vec![7; n * 37 % 900].into(),
        };
        let mut parts: Vec<Part> = (0..200).map(part).collect();
        parts.insert(100, Part { row: vec![7; 9_000].into(), ..part(5) });
        let written: usize = parts.iter().map(Part::bytes).sum();
        let mut read = Vec::new();
        let mut sizes = Vec::new();
        for (position, parts) in entries(&mut parts).enumerate() {
            let entry = encode(position as u64, parts);
            assert_eq!(entry.len(), 1 + CHECKSUM + parts.iter().map(Part::bytes).sum::<usize>());
            assert!(entry.len() <= ENTRY_BYTES || parts.len() == 1, "{}", entry.len());
            sizes.push((entry.len(), parts[0].bytes()));
            read.extend(decode(position as u64, &entry).unwrap());
        }
        for pair in sizes.windows(2) {
            assert!(pair[0].0 + pair[1].1 > ENTRY_BYTES, "the next part had room, too");
        }
        assert_eq!(read.iter().map(Part::bytes).sum::<usize>(), written);
        let key = |part: &Part| (part.id.clone(), part.number, part.seq, part.row.clone());
        assert_eq!(read.iter().map(key).collect::<Vec<_>>(), parts.iter().map(key).collect::<Vec<_>>());
    }

    #[test]
    fn only_a_log_that_has_something_is_frozen() {
        let mut logged = Logged::default();
        let mut off = Position::none();
        off.switch(&mut logged);
        assert!(off.is_full() && !off.is_frozen());
        let mut position = Position { limit: 10, bytes: 9, ..Position::none() };
        position.switch(&mut logged);
        assert_eq!((position.active, position.is_frozen()), (0, false));
        position.bytes = 10;
        position.switch(&mut logged);
        assert_eq!((position.active, position.bytes, position.is_frozen()), (1, 0, true));
        position.bytes = 20;
        position.switch(&mut logged);
        assert_eq!((position.active, position.bytes), (1, 20), "the other one is not free");
        position.frozen = false;
        position.switch(&mut logged);
        assert_eq!((position.active, position.bytes, position.is_frozen()), (0, 0, true));
    }
}
