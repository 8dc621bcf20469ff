//! What a disk is asked to do.

use std::sync::Arc;

/// What a disk writes whole or not at all, in bytes.
pub const SECTOR: usize = 512;

/// A change of the file.
#[derive(Debug, Clone)]
pub enum Change {
    /// These bytes at this offset.
    Write(u64, Arc<[u8]>),
    /// This length.
    Length(u64),
}

/// An entry of the log.
#[derive(Debug, Clone)]
pub enum Event {
    /// The file was changed.
    Change(Change),
    /// A sync succeeded: all changes before it are durable.
    Sync,
}

impl Change {
    /// Makes the change.
    pub fn apply(&self, to: &mut Vec<u8>) {
        self.apply_sectors(to, |_| true);
    }

    /// Makes those parts of the change that `keep` names: the sectors of a write, counted from its first; a change of
    /// length is one part.
    pub fn apply_sectors(&self, to: &mut Vec<u8>, mut keep: impl FnMut(usize) -> bool) {
        match self {
            Self::Length(len) => {
                if keep(0) {
                    to.resize(at(*len), 0);
                }
            }
            Self::Write(offset, data) => {
                let start = at(*offset);
                let (mut from, mut sector) = (0, 0);
                while from < data.len() {
                    let until = (((start + from) / SECTOR + 1) * SECTOR - start).min(data.len());
                    if keep(sector) {
                        // A write may outlive the growth that it came after.
                        if to.len() < start + until {
                            to.resize(start + until, 0);
                        }
                        to[start + from..start + until].copy_from_slice(&data[from..until]);
                    }
                    (from, sector) = (until, sector + 1);
                }
            }
        }
    }
}

/// An offset in memory. Files here are small.
pub(crate) fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_write_changes_whole_sectors_only() {
        let mut file = vec![0; 2048];
        Change::Write(300, vec![1; 1000].into()).apply_sectors(&mut file, |sector| sector == 1);
        assert!(file[..512].iter().chain(&file[1024..]).all(|&byte| byte == 0));
        assert!(file[512..1024].iter().all(|&byte| byte == 1));
        Change::Write(2040, vec![2; 20].into()).apply(&mut file);
        assert_eq!((file.len(), file[2059]), (2060, 2));
    }
}
