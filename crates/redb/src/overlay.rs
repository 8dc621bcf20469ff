//! Storage whose writes stay in memory: redb can repair and check a file without changing it.

use crate::backend::Storage;
use redb::{BackendError, StorageBackend};
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

/// The unit in which writes are kept.
const PAGE: usize = 4096;

/// Shows the bytes of a storage with the writes that were made here. It takes no locks: whoever
/// opens the storage below holds them.
#[derive(Debug)]
pub(crate) struct Overlay {
    below: Arc<Storage>,
    state: RwLock<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// Up to here the bytes below are shown; after it there are zeros.
    from_below: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl Overlay {
    pub(crate) fn over(below: Arc<Storage>) -> io::Result<Self> {
        let len = below.len()?;
        let state = Written { len, from_below: len, pages: BTreeMap::new() };
        Ok(Self { below, state: RwLock::new(state) })
    }
}

impl Written {
    /// Reads from one page. `at` and the length of `out` stay within it.
    fn read(&self, below: &Storage, at: u64, out: &mut [u8]) -> io::Result<()> {
        let (number, within) = place(at);
        if let Some(page) = self.pages.get(&number) {
            out.copy_from_slice(&page[within..within + out.len()]);
            return Ok(());
        }
        let there = self.from_below.saturating_sub(at).min(out.len() as u64);
        // At most the length of `out`.
        let (there, beyond) = out.split_at_mut(usize::try_from(there).unwrap_or_default());
        beyond.fill(0);
        if there.is_empty() { Ok(()) } else { below.read(at, there) }
    }

    fn page(&mut self, below: &Storage, number: u64) -> io::Result<&mut [u8; PAGE]> {
        if !self.pages.contains_key(&number) {
            let mut page = Box::new([0; PAGE]);
            self.read(below, number * PAGE as u64, &mut page[..])?;
            self.pages.insert(number, page);
        }
        self.pages.get_mut(&number).map(|page| &mut **page).ok_or_else(past_the_end)
    }
}

/// The page of an offset, and the offset within it.
fn place(at: u64) -> (u64, usize) {
    let page = PAGE as u64;
    (at / page, usize::try_from(at % page).unwrap_or_default())
}

fn past_the_end() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// Divides `at..at + len` at the borders of pages: each part's offset, and its range in a buffer.
fn parts(at: u64, len: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let offset = at + from as u64;
        let until = (from + PAGE - place(offset).1).min(len);
        let part = (from < len).then_some((offset, from..until));
        from = until;
        part
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.read().unwrap_or_else(PoisonError::into_inner).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > state.len) {
            return Err(past_the_end());
        }
        // Most of a file was not written here: one read for all of it.
        let end = offset + out.len() as u64;
        let pages = place(offset).0..=place(end.saturating_sub(1)).0;
        if end <= state.from_below && state.pages.range(pages).next().is_none() {
            return self.below.read(offset, out);
        }
        for (at, range) in parts(offset, out.len()) {
            state.read(&self.below, at, &mut out[range])?;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if len < state.len {
            let (number, within) = place(len);
            if within > 0 {
                let below = &self.below;
                state.page(below, number)?[within..].fill(0);
            }
            let kept = len.div_ceil(PAGE as u64);
            state.pages.retain(|&page, _| page < kept);
            state.from_below = state.from_below.min(len);
        }
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let end = offset.checked_add(data.len() as u64).ok_or_else(past_the_end)?;
        state.len = state.len.max(end);
        for (at, range) in parts(offset, data.len()) {
            let (number, within) = place(at);
            let part = &data[range];
            state.page(&self.below, number)?[within..within + part.len()].copy_from_slice(part);
        }
        Ok(())
    }

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn query_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::{Overlay, PAGE, StorageBackend};
    use crate::backend::Storage;
    use redb::backends::InMemoryBackend;
    use std::sync::Arc;

    /// A small generator: the same steps in every run.
    fn below(random: &mut u64, bound: usize) -> usize {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
        usize::try_from(*random >> 33).unwrap() % bound
    }

    #[test]
    fn it_reads_as_a_file_would_and_leaves_the_storage_below_as_it_was() {
        let content: Vec<u8> = (0..10_000_u64).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let base = InMemoryBackend::new();
        base.set_len(content.len() as u64).unwrap();
        base.write(0, &content).unwrap();
        let storage = Arc::new(Storage::new(Box::new(base)));
        let overlay = Overlay::over(Arc::clone(&storage)).unwrap();
        let mut model = content.clone();
        let mut random = 7;
        for step in 0..2_000_usize {
            match below(&mut random, 8) {
                0 => {
                    let to = below(&mut random, 6 * PAGE);
                    overlay.set_len(to as u64).unwrap();
                    model.resize(to, 0);
                }
                1..4 => {
                    let at = below(&mut random, model.len() + 1);
                    let byte = u8::try_from(step % 256).unwrap();
                    let data = vec![byte; 1 + below(&mut random, 6_000)];
                    overlay.write(at as u64, &data).unwrap();
                    model.resize(model.len().max(at + data.len()), 0);
                    model[at..at + data.len()].copy_from_slice(&data);
                }
                _ => {
                    let at = below(&mut random, model.len() + 1);
                    let mut read = vec![1; below(&mut random, model.len() - at + 1)];
                    overlay.read(at as u64, &mut read).unwrap();
                    assert_eq!(read, &model[at..at + read.len()], "step {step}");
                }
            }
            assert_eq!(StorageBackend::len(&overlay).unwrap(), model.len() as u64);
            assert!(overlay.read(model.len() as u64, &mut [0]).is_err(), "a read past the end");
        }
        let mut kept = vec![0; content.len()];
        storage.read(0, &mut kept).unwrap();
        assert_eq!(kept, content);
    }
}
