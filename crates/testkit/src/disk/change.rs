//! Changes of the files on a simulated disk.

use super::content::{Content, at};
use super::part::File;
use std::sync::Arc;

/// The bytes that a disk writes whole or not at all.
pub const SECTOR: usize = 512;

/// A change of a file.
#[derive(Debug, Clone)]
pub enum Change {
    /// The file comes into being, empty.
    Create,
    /// These bytes at this offset.
    Write(u64, Arc<[u8]>),
    /// This length.
    Length(u64),
    /// The file is removed.
    Remove,
}

/// An entry of the log, which is one for all files.
#[derive(Debug, Clone)]
pub enum Event {
    /// A file was changed.
    Change(File, Change),
    /// A sync of a file succeeded: all changes of it before are durable, and of no other.
    Sync(File),
}

impl Event {
    /// The file that it concerns.
    pub fn file(&self) -> File {
        match *self {
            Self::Change(file, _) | Self::Sync(file) => file,
        }
    }
}

impl Change {
    /// Makes the change of a file, or of none.
    pub fn apply(&self, to: &mut Option<Content>) {
        self.apply_sectors(to, |_| true);
    }

    /// Makes the parts of the change that `keep` names: the sectors of a write, counted from its
    /// first. Any other change has a single part.
    pub fn apply_sectors(&self, to: &mut Option<Content>, mut keep: impl FnMut(usize) -> bool) {
        match (self, &mut *to) {
            (Self::Create, _) if keep(0) => *to = Some(Content::default()),
            (Self::Remove, _) if keep(0) => *to = None,
            (Self::Length(len), Some(file)) if keep(0) => file.set_len(at(*len)),
            (Self::Write(offset, data), Some(file)) => {
                let start = at(*offset);
                let (mut from, mut sector) = (0, 0);
                while from < data.len() {
                    let until = (((start + from) / SECTOR + 1) * SECTOR - start).min(data.len());
                    if keep(sector) {
                        file.write(start + from, &data[from..until]);
                    }
                    (from, sector) = (until, sector + 1);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Change;

    #[test]
    fn a_torn_write_changes_whole_sectors_only() {
        let mut file = Some(vec![0; 2048].into());
        Change::Write(300, vec![1; 1000].into()).apply_sectors(&mut file, |sector| sector == 1);
        let bytes = file.as_ref().unwrap().to_vec();
        assert!(bytes[..512].iter().chain(&bytes[1024..]).all(|&byte| byte == 0));
        assert!(bytes[512..1024].iter().all(|&byte| byte == 1));
        Change::Write(2040, vec![2; 20].into()).apply(&mut file);
        let bytes = file.as_ref().unwrap().to_vec();
        assert_eq!((bytes.len(), bytes[2059]), (2060, 2));
        Change::Remove.apply(&mut file);
        Change::Write(0, vec![3].into()).apply(&mut file);
        assert_eq!(file, None);
    }
}
