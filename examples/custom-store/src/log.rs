//! The file: one frame for each change, each synced before the next is written.
//!
//! ```text
//! frame    header length u32 | rows length u32 | checksum of the lengths and the header u32
//!          | header (JSON) … | rows … | checksum of the rows u32
//! ```
//!
//! Integers are little-endian. With two checksums, damage in the rows is told from damage in the
//! header, and the frames after it can still be read. Only the last frame may be incomplete, by a
//! power loss while it was written and before it was acknowledged. A copy made while the file grows
//! is therefore a valid backup.

use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{Salt, StoreError, StoreErrorKind};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

const LENGTHS: usize = 8;
const CHECKSUM: usize = 4;
const PREFIX: usize = LENGTHS + CHECKSUM;

/// One step of a change. Some kinds have a row in the frame.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Record {
    /// A message was appended or replaced. A replacement ends the reply on it.
    Message {
        /// Its seq.
        seq: u64,
        /// The tag of its id.
        tag: u64,
        /// The length of its row.
        len: u32,
    },
    /// The head, the labels and the app state.
    Head {
        /// The length of their row.
        len: u32,
    },
    /// A reply was opened on the message before.
    Reply {
        /// The message's seq.
        seq: u64,
        /// The length of the reply's row.
        len: u32,
    },
    /// A reply got chunks.
    Chunks {
        /// The message's seq.
        seq: u64,
        /// The number of the first of these chunks.
        offset: u64,
        /// The number of chunks of the reply after this.
        chunks: u64,
        /// The bytes of all these chunks.
        bytes: u64,
        /// The length of their row.
        len: u32,
    },
    /// A reply got a beat.
    Beat {
        /// The message's seq.
        seq: u64,
    },
    /// Messages were removed, and the replies on them.
    Remove {
        /// The lowest seq.
        first: u64,
        /// The highest seq.
        last: u64,
    },
    /// The session was used.
    Touch {
        /// The time, in Unix milliseconds.
        at: u64,
    },
    /// The session was deleted.
    Delete,
}

/// The header of a frame.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Header {
    /// The log was opened. All frames before were complete then, so that an incomplete one is
    /// damage and no torn write.
    Opened {
        /// The bits of the [`Salt`] from here on.
        salt: u64,
    },
    /// One change of one session.
    Change(Change),
}

/// One change of one session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Change {
    /// The session.
    pub id: SessionId,
    /// The number of this incarnation of the session, never used again.
    pub number: u64,
    /// The changes, in order. The rows follow in the same order.
    pub records: Vec<Record>,
}

/// A frame that was read.
#[derive(Debug)]
pub struct Frame {
    /// The header.
    pub header: Header,
    /// The rows, one after another.
    pub rows: Vec<u8>,
    /// The offset of the rows in the file.
    pub rows_at: u64,
}

/// A row's place in the file.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The offset of its first byte.
    pub at: u64,
    /// Its length in bytes.
    pub len: u32,
}

/// The open file, locked against other processes.
#[derive(Debug)]
pub struct Log {
    file: File,
    end: u64,
    /// A write failed. The contents of the disk are unknown until the file is opened again.
    broken: bool,
}

impl Log {
    /// Opens the file or creates it, and calls `each` with every frame. A `salt` replaces that of
    /// the file, as a restored copy needs. Returns the salt, too.
    ///
    /// # Errors
    /// Unavailable if the file cannot be opened or is open already; corrupt if it has a damaged
    /// frame.
    pub fn open(
        path: &Path,
        salt: Option<Salt>,
        mut each: impl FnMut(Frame),
    ) -> Result<(Self, Salt), StoreError> {
        let failed = |e| failed(StoreErrorKind::Unavailable, "could not open the log", e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        file.try_lock().map_err(|e| failed(e.into()))?;
        // The name of a new file must survive a power loss, too.
        #[cfg(unix)]
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        let length = file.metadata().map_err(failed)?.len();
        let mut end = 0;
        let mut stored_salt = Salt::NONE;
        let mut reader = BufReader::new(&mut file);
        let torn = loop {
            let Some((frame, sound)) = read_frame(&mut reader, end, length)? else { break false };
            let next = frame.rows_at + frame.rows.len() as u64 + CHECKSUM as u64;
            if !sound && next == length {
                break true;
            }
            end = next;
            if let Header::Opened { salt } = frame.header {
                stored_salt = Salt::new(salt);
            }
            each(frame);
        };
        if !torn {
            check_rest(&mut file, end)?;
        }
        file.set_len(end).map_err(failed)?;
        let mut log = Self { file, end, broken: false };
        let salt = salt.unwrap_or(stored_salt);
        log.append(&Header::Opened { salt: salt.get() }, &[])?;
        Ok((log, salt))
    }

    /// Writes a frame and syncs it. Returns the offset of its rows.
    ///
    /// # Errors
    /// The outcome is unknown if writing or syncing fails. The log is closed from then on.
    pub fn append(&mut self, header: &Header, rows: &[u8]) -> Result<u64, StoreError> {
        self.check_open()?;
        let too_long =
            |_| StoreError::new(StoreErrorKind::TooLarge, "the frame is larger than 4 GiB");
        let header = serde_json::to_vec(header)
            .map_err(|e| failed(StoreErrorKind::Internal, "could not write a header", e.into()))?;
        let mut frame = Vec::with_capacity(PREFIX + header.len() + rows.len() + CHECKSUM);
        frame.extend_from_slice(&u32::try_from(header.len()).map_err(too_long)?.to_le_bytes());
        frame.extend_from_slice(&u32::try_from(rows.len()).map_err(too_long)?.to_le_bytes());
        frame.extend_from_slice(&checksum(&[&frame, &header]).to_le_bytes());
        frame.extend_from_slice(&header);
        let rows_at = self.end + frame.len() as u64;
        frame.extend_from_slice(rows);
        frame.extend_from_slice(&checksum(&[rows]).to_le_bytes());

        self.broken = true;
        let end = SeekFrom::Start(self.end);
        self.file
            .seek(end)
            .and_then(|_| self.file.write_all(&frame))
            .and_then(|()| self.file.sync_data())
            .map_err(|e| failed(StoreErrorKind::OutcomeUnknown, "could not write to the log", e))?;
        self.broken = false;
        self.end += frame.len() as u64;
        Ok(rows_at)
    }

    /// Reads the bytes of a row.
    ///
    /// # Errors
    /// Unavailable if the file cannot be read.
    pub fn row(&mut self, span: Span) -> Result<Bytes, StoreError> {
        self.check_open()?;
        let mut row = vec![0; span.len as usize];
        self.file
            .seek(SeekFrom::Start(span.at))
            .and_then(|_| self.file.read_exact(&mut row))
            .map_err(|e| failed(StoreErrorKind::Unavailable, "could not read from the log", e))?;
        Ok(row.into())
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::new(
                StoreErrorKind::Closed,
                "an earlier write to the log failed",
            ));
        }
        Ok(())
    }
}

/// The frame at `at`, and whether its rows are undamaged; `None` if no frame begins there.
fn read_frame(
    reader: &mut impl Read,
    at: u64,
    length: u64,
) -> Result<Option<(Frame, bool)>, StoreError> {
    let failed = |e| failed(StoreErrorKind::Unavailable, "could not read the log", e);
    let left = length - at;
    if left < PREFIX as u64 {
        return Ok(None);
    }
    let mut prefix = [0; PREFIX];
    reader.read_exact(&mut prefix).map_err(failed)?;
    let (header_len, rows_len) = lengths(&prefix);
    if (PREFIX + header_len + rows_len + CHECKSUM) as u64 > left {
        return Ok(None);
    }
    let mut header = vec![0; header_len];
    reader.read_exact(&mut header).map_err(failed)?;
    if checksum(&[&prefix[..LENGTHS], &header]) != integer(&prefix[LENGTHS..]) {
        return Ok(None);
    }
    let mut rows = vec![0; rows_len];
    reader.read_exact(&mut rows).map_err(failed)?;
    let mut sum = [0; CHECKSUM];
    reader.read_exact(&mut sum).map_err(failed)?;
    let sound = checksum(&[&rows]) == integer(&sum);
    let header = serde_json::from_slice(&header).map_err(|e| {
        let message =
            format!("the frame header at byte {at} of the log is unknown to this release");
        StoreError::new(StoreErrorKind::Corrupt, message).with_source(e)
    })?;
    let rows_at = at + (PREFIX + header_len) as u64;
    Ok(Some((Frame { header, rows, rows_at }, sound)))
}

/// Checks that the bytes from `at` on, where no frame begins, are a write that a power loss cut
/// short. If a frame follows them they are damage: every opening writes one.
fn check_rest(file: &mut File, at: u64) -> Result<(), StoreError> {
    let mut rest = Vec::new();
    file.seek(SeekFrom::Start(at))
        .and_then(|_| file.read_to_end(&mut rest))
        .map_err(|e| failed(StoreErrorKind::Unavailable, "could not read the log", e))?;
    if (1..rest.len()).any(|skip| begins_with_frame(&rest[skip..])) {
        let message =
            format!("the log has a damaged frame at byte {at}; copy the file before anything else");
        return Err(StoreError::new(StoreErrorKind::Corrupt, message));
    }
    Ok(())
}

fn begins_with_frame(bytes: &[u8]) -> bool {
    let Some((prefix, rest)) = bytes.split_at_checked(PREFIX) else { return false };
    let header = rest.get(..lengths(prefix).0).unwrap_or_default();
    !header.is_empty() && checksum(&[&prefix[..LENGTHS], header]) == integer(&prefix[LENGTHS..])
}

/// The lengths of a frame's header and of its rows.
fn lengths(prefix: &[u8]) -> (usize, usize) {
    (integer(&prefix[..4]) as usize, integer(&prefix[4..LENGTHS]) as usize)
}

fn checksum(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

fn integer(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |integer, &byte| integer << 8 | u32::from(byte))
}

fn failed(kind: StoreErrorKind, message: &'static str, source: io::Error) -> StoreError {
    StoreError::new(kind, message).with_source(source)
}
