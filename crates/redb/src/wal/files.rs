//! The segments of a log as files beside the store's file.

use super::storage::{LogSegment, LogStorage};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Segments as files `PATH-wal.1`, `PATH-wal.2` and so on, beside the file at `PATH`.
#[derive(Debug, Clone)]
pub(crate) struct LogFiles {
    folder: PathBuf,
    /// The names up to the number.
    prefix: OsString,
    writable: bool,
}

impl LogFiles {
    /// The segments beside the file at `path`.
    pub(crate) fn beside(path: &Path) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut prefix = path.file_name().unwrap_or_default().to_owned();
        prefix.push("-wal.");
        let folder = folder.unwrap_or_else(|| Path::new(".")).to_owned();
        Self { folder, prefix, writable: true }
    }

    /// The same segments, opened so that they cannot be written.
    pub(crate) fn read_only(path: &Path) -> Self {
        Self { writable: false, ..Self::beside(path) }
    }

    fn file_name(&self, number: u32) -> OsString {
        let mut name = self.prefix.clone();
        name.push(number.to_string());
        name
    }

    /// The path of a segment.
    pub(crate) fn path(&self, number: u32) -> PathBuf {
        self.folder.join(self.file_name(number))
    }

    /// Makes the names in the folder survive a power loss.
    fn sync_folder(&self) -> io::Result<()> {
        if cfg!(unix) {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl LogStorage for LogFiles {
    fn list(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let number = name
                .as_encoded_bytes()
                .strip_prefix(self.prefix.as_encoded_bytes())
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| digits.parse().ok())
                // Only names that this store gives: no "+1", no "01".
                .filter(|number| self.file_name(*number) == name);
            numbers.extend(number);
        }
        Ok(numbers)
    }

    fn create(&self, number: u32, len: u64) -> io::Result<Box<dyn LogSegment>> {
        self.check_writable()?;
        let path = self.path(number);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let reserved =
            reserve(&file, len).and_then(|()| file.sync_all()).and_then(|()| self.sync_folder());
        match reserved {
            Ok(()) => Ok(Box::new(SegmentFile(file))),
            Err(e) => {
                drop(file);
                let _ = fs::remove_file(&path);
                Err(e)
            }
        }
    }

    fn open(&self, number: u32) -> io::Result<Box<dyn LogSegment>> {
        let path = self.path(number);
        let file = OpenOptions::new().read(true).write(self.writable).open(path)?;
        Ok(Box::new(SegmentFile(file)))
    }

    fn remove(&self, number: u32) -> io::Result<()> {
        self.check_writable()?;
        fs::remove_file(self.path(number))?;
        self.sync_folder()
    }

    fn name(&self, number: u32) -> String {
        self.file_name(number).to_string_lossy().into_owned()
    }

    #[cfg(target_os = "linux")]
    fn forget_cached(&self, number: u32) -> io::Result<()> {
        use rustix::fs::{Advice, fadvise};
        let file = File::open(self.path(number))?;
        fadvise(&file, 0, None, Advice::DontNeed).map_err(io::Error::from)
    }
}

/// Reserves the space of a new file, so that later writes need none.
#[cfg(target_os = "linux")]
fn reserve(file: &File, len: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::{Errno, retry_on_intr};
    match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, len)) {
        // Some file systems cannot reserve space.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(len),
        reserved => reserved.map_err(io::Error::from),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(file: &File, len: u64) -> io::Result<()> {
    file.set_len(len)
}

#[derive(Debug)]
struct SegmentFile(File);

impl LogSegment for SegmentFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    #[cfg(unix)]
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, out, offset)
    }

    #[cfg(unix)]
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, offset)
    }

    #[cfg(windows)]
    fn read(&self, mut offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        while !out.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.0, out, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    out = &mut out[read..];
                    offset += read as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    #[cfg(windows)]
    fn write(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match std::os::windows::fs::FileExt::seek_write(&self.0, bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
