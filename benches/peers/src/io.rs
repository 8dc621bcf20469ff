//! Counters of the kernel, and files.

use anyhow::{Context, Result};
use rustix::fs::{Advice, fadvise};
use std::fs::{DirEntry, File};
use std::path::Path;

/// A line of `/proc/…/io`.
pub(crate) fn counted(path: &str, what: &str) -> Result<u64> {
    line(path, what)?.parse().with_context(|| format!("{what} in {path} is not a number"))
}

fn line(path: &str, what: &str) -> Result<String> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("{path}, which only Linux has"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("no {what} in {path}"))?.trim().to_owned())
}

/// The bytes that this process has written so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// In pages that were changed, which the kernel writes to the disk. Always 0 on tmpfs.
    pub(crate) pages: u64,
    /// In calls of `write` and its like.
    pub(crate) calls: u64,
}

impl Written {
    pub(crate) fn so_far() -> Result<Self> {
        let io = "/proc/self/io";
        Ok(Self { pages: counted(io, "write_bytes")?, calls: counted(io, "wchar")? })
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { pages: self.pages - earlier.pages, calls: self.calls - earlier.calls }
    }
}

/// The memory of this process, in bytes.
pub(crate) fn resident() -> Result<u64> {
    memory("VmRSS")
}

/// The most memory that this process had, in bytes.
pub(crate) fn most_resident() -> Result<u64> {
    memory("VmHWM")
}

fn memory(what: &str) -> Result<u64> {
    let path = "/proc/self/status";
    let line = line(path, what)?;
    let kib = line.strip_suffix(" kB").with_context(|| format!("{what} in {path} is {line}"))?;
    Ok(kib.trim().parse::<u64>()? << 10)
}

/// The bytes of all files in a folder.
pub(crate) fn folder_bytes(folder: &Path) -> Result<u64> {
    sum(folder, |_| true)
}

/// The bytes of the files in a folder other than `name`.
pub(crate) fn bytes_beside(folder: &Path, name: &str) -> Result<u64> {
    sum(folder, |entry| entry.file_name() != name)
}

fn sum(folder: &Path, counts: impl Fn(&DirEntry) -> bool) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if counts(&entry) {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// Makes the next reads of the files in a folder come from the disk.
pub(crate) fn evict(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let file = File::open(entry?.path())?;
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}
