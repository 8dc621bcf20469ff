//! The bytes of a file in memory.

use std::io;

/// The content of a file. Zeros at its end take no memory, so that preallocated files are cheap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The bytes up to the last that was written; all others are zero.
    bytes: Vec<u8>,
    len: usize,
}

impl Content {
    /// The length of the file.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.resize(self.len, 0);
        bytes
    }

    /// Whether these bytes occur in the file.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        self.bytes.windows(bytes.len()).any(|window| window == bytes)
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = at(offset);
        let end = start.checked_add(out.len()).filter(|end| *end <= self.len);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let written = self.bytes.get(start..).unwrap_or_default();
        let written = &written[..written.len().min(out.len())];
        out[..written.len()].copy_from_slice(written);
        out[written.len()..].fill(0);
        Ok(())
    }

    pub(super) fn write(&mut self, start: usize, data: &[u8]) {
        let end = start + data.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(data);
        // A write may outlive the growth that it came after.
        self.len = self.len.max(end);
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.bytes.truncate(len);
        self.len = len;
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len(), bytes }
    }
}

/// An offset in memory. Files here are small.
pub(super) fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::Content;

    #[test]
    fn bytes_that_were_never_written_are_zeros() {
        let mut file = Content::from(vec![1; 4]);
        file.set_len(8);
        let mut read = [9; 5];
        file.read(3, &mut read).unwrap();
        assert_eq!(read, [1, 0, 0, 0, 0]);
        file.read(4, &mut read[..4]).unwrap();
        assert_eq!(file.to_vec(), [1, 1, 1, 1, 0, 0, 0, 0]);
        file.read(4, &mut read).unwrap_err();
        file.set_len(2);
        file.set_len(4);
        assert_eq!(file.to_vec(), [1, 1, 0, 0]);
        file.write(3, &[7, 7]);
        assert_eq!(file.to_vec(), [1, 1, 0, 7, 7]);
    }
}
