//! The keys of the tables, as redb, the memtable and the log have them.

use redb::Value;
use std::fmt::Debug;
use std::ops::Bound;

/// A session id, or the key of a list: bytes, not `str`, since redb panics on a `str` key that
/// damage has made invalid UTF-8.
pub(crate) type Name = Box<[u8]>;
/// Session number and seq.
pub(crate) type Place = (u64, u64);
/// Session number, seq and the offset of the first chunk of the row.
pub(crate) type ChunkPlace = (u64, u64, u64);

/// A range of keys by its ends.
pub(crate) type KeyRange<K> = (Bound<K>, Bound<K>);

/// A key of a table.
pub(crate) trait TableKey: Clone + Ord + Debug + 'static {
    /// The key's type in redb.
    type Stored: redb::Key + 'static;

    fn stored(&self) -> <Self::Stored as Value>::SelfType<'_>;

    fn own(stored: <Self::Stored as Value>::SelfType<'_>) -> Self;

    /// Writes the key into a batch of the log.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads the key at the beginning of `bytes` and takes it off them.
    fn read(bytes: &mut &[u8]) -> Option<Self>;

    /// The key directly after this one. The last of all keys has none; no session has it.
    fn after(&self) -> Self;

    /// The session number in it.
    fn number(&self) -> Option<u64>;

    /// Bytes that it has on the heap.
    fn heap_bytes(&self) -> usize {
        0
    }
}

impl TableKey for Name {
    type Stored = &'static [u8];

    fn stored(&self) -> &[u8] {
        self
    }

    fn own(stored: &[u8]) -> Self {
        stored.into()
    }

    fn write(&self, out: &mut Vec<u8>) {
        // An id has at most 256 bytes, and the key of a list some 300 more.
        #[allow(clippy::cast_possible_truncation)]
        out.extend_from_slice(&(self.len() as u16).to_le_bytes());
        out.extend_from_slice(self);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let length = u16::from_le_bytes(take(bytes)?);
        let (key, rest) = bytes.split_at_checked(usize::from(length))?;
        *bytes = rest;
        Some(key.into())
    }

    fn after(&self) -> Self {
        let mut after = self.to_vec();
        after.push(0);
        after.into()
    }

    fn number(&self) -> Option<u64> {
        None
    }

    fn heap_bytes(&self) -> usize {
        self.len() + 16
    }
}

impl TableKey for u64 {
    type Stored = u64;

    fn stored(&self) -> u64 {
        *self
    }

    fn own(stored: u64) -> Self {
        stored
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        take(bytes).map(Self::from_le_bytes)
    }

    fn after(&self) -> Self {
        self.saturating_add(1)
    }

    fn number(&self) -> Option<u64> {
        Some(*self)
    }
}

impl TableKey for Place {
    type Stored = (u64, u64);

    fn stored(&self) -> Place {
        *self
    }

    fn own(stored: Place) -> Self {
        stored
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some((u64::read(bytes)?, u64::read(bytes)?))
    }

    fn after(&self) -> Self {
        self.1.checked_add(1).map_or((self.0.after(), 0), |seq| (self.0, seq))
    }

    fn number(&self) -> Option<u64> {
        Some(self.0)
    }
}

impl TableKey for ChunkPlace {
    type Stored = (u64, u64, u64);

    fn stored(&self) -> ChunkPlace {
        *self
    }

    fn own(stored: ChunkPlace) -> Self {
        stored
    }

    fn write(&self, out: &mut Vec<u8>) {
        (self.0, self.1).write(out);
        self.2.write(out);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some((u64::read(bytes)?, u64::read(bytes)?, u64::read(bytes)?))
    }

    fn after(&self) -> Self {
        let (number, seq) = (self.0, self.1).after();
        self.2.checked_add(1).map_or((number, seq, 0), |offset| (self.0, self.1, offset))
    }

    fn number(&self) -> Option<u64> {
        Some(self.0)
    }
}

/// Takes so many bytes off the beginning.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}
