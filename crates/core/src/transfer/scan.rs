//! Collects the bytes of one record and finds the end of an array's element.

use super::record::ReadError;

/// The bytes of a record, up to a limit.
pub(super) struct RecordText {
    bytes: Vec<u8>,
    max: usize,
    exceeded: bool,
}

impl RecordText {
    pub(super) fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), max, exceeded: false }
    }

    /// Adds bytes. Beyond the limit all bytes are dropped.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.exceeded |= bytes.len() > self.max - self.bytes.len();
        if self.exceeded {
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Removes these bytes from the beginning, if they are there.
    pub(super) fn strip_prefix(&mut self, prefix: &[u8]) {
        if self.bytes.starts_with(prefix) {
            self.bytes.drain(..prefix.len());
        }
    }

    /// The bytes without the white space around them; `None` beyond the limit.
    pub(super) fn trimmed(&self) -> Option<&[u8]> {
        (!self.exceeded).then(|| self.bytes.trim_ascii())
    }

    pub(super) fn finish(self) -> Result<String, ReadError> {
        if self.exceeded {
            return Err(ReadError::TooLong { max: self.max });
        }
        let text = String::from_utf8(self.bytes).map_err(|_| ReadError::NotUtf8)?;
        let inner = text.trim_ascii();
        Ok(if inner.len() == text.len() { text } else { inner.to_owned() })
    }
}

/// Finds the end of one JSON value by its brackets and strings. A parser checks the value later.
#[derive(Default)]
pub(super) struct ValueScan {
    /// The open brackets.
    open: Vec<u8>,
    string: bool,
    escaped: bool,
    /// The line ends so far.
    pub(super) lines: u64,
}

impl ValueScan {
    /// The number of these bytes that belong to the value, and whether the value ends with them.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(usize, bool), &'static str> {
        for (at, &byte) in bytes.iter().enumerate() {
            if self.string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' if self.open.is_empty() => return Ok((at + 1, true)),
                    b'"' => self.string = false,
                    b'\n' | b'\r' => return Err("a string in the array is not closed on its line"),
                    _ => {}
                }
                continue;
            }
            match byte {
                b'\n' => self.lines += 1,
                b'"' => self.string = true,
                b'{' | b'[' => self.open.push(byte),
                b',' | b']' | b'}' if self.open.is_empty() => return Ok((at, true)),
                b']' | b'}' => {
                    if self.open.pop() != Some(if byte == b']' { b'[' } else { b'{' }) {
                        return Err("brackets in the array do not match");
                    }
                    if self.open.is_empty() {
                        return Ok((at + 1, true));
                    }
                }
                _ => {}
            }
        }
        Ok((bytes.len(), false))
    }
}
