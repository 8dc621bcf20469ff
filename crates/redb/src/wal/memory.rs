//! A log in memory, for tests and for stores in memory.

use super::storage::{LogSegment, LogStorage};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Log segments in memory. Clones share the segments.
///
/// Nothing survives the end of the process: for tests, and beside redb's `InMemoryBackend`.
#[derive(Debug, Clone, Default)]
pub struct InMemoryLog {
    segments: Arc<Mutex<BTreeMap<u32, Bytes>>>,
}

impl InMemoryLog {
    fn segments(&self) -> MutexGuard<'_, BTreeMap<u32, Bytes>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogStorage for InMemoryLog {
    fn list(&self) -> io::Result<Vec<u32>> {
        Ok(self.segments().keys().copied().collect())
    }

    fn create(&self, number: u32, len: u64) -> io::Result<Box<dyn LogSegment>> {
        let bytes = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut segments = self.segments();
        if segments.contains_key(&number) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let segment = Arc::new(RwLock::new(vec![0; bytes]));
        segments.insert(number, Arc::clone(&segment));
        Ok(Box::new(InMemorySegment(segment)))
    }

    fn open(&self, number: u32) -> io::Result<Box<dyn LogSegment>> {
        let segment = self.segments().get(&number).map(Arc::clone);
        Ok(Box::new(InMemorySegment(segment.ok_or(io::ErrorKind::NotFound)?)))
    }

    fn remove(&self, number: u32) -> io::Result<()> {
        match self.segments().remove(&number) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn name(&self, number: u32) -> String {
        format!("log segment {number}")
    }
}

/// Shared with whoever has the segment open, also after it is removed.
type Bytes = Arc<RwLock<Vec<u8>>>;

#[derive(Debug)]
struct InMemorySegment(Bytes);

/// The indices of a range, if it is within `len`.
fn within(len: usize, offset: u64, bytes: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(bytes)?;
    (end <= len).then_some(start..end)
}

impl LogSegment for InMemorySegment {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let range = within(bytes.len(), offset, out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(&bytes[range]);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let range = within(held.len(), offset, bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
        held[range].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
