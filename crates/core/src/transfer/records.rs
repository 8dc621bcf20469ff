//! Splits an input into records: the lines of JSON Lines, or the elements of one JSON array.

use super::recognize::{self, FORMAT_BYTES};
use super::record::{Position, ReadError, Record};
use super::scan::{RecordText, ValueScan};
use std::fmt;
use std::io::{self, BufRead, Read};

/// The default limit for one record, which is kept in memory: 2 GiB. A session within the default
/// [`Limits`](crate::Limits) needs less.
pub const MAX_RECORD_BYTES: usize = 1 << 31;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The records of an input: an iterator over JSON Lines or one JSON array.
///
/// The input is UTF-8, with or without a byte order mark and with any line ends. With the feature
/// `gzip` it may be compressed. Blank lines are skipped. One record is kept in memory at a time.
/// The iterator blocks while the input blocks.
///
/// ```
/// use durable_session::transfer::Records;
///
/// let input = "[{\"id\":1},\r\n {\"id\":2}]";
/// let records = Records::new(input.as_bytes());
/// let texts = records.map(|record| record.text).collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(texts, ["{\"id\":1}", "{\"id\":2}"]);
/// # Ok::<(), durable_session::transfer::ReadError>(())
/// ```
pub struct Records<'r> {
    input: Box<dyn BufRead + Send + 'r>,
    mode: Mode,
    line: u64,
    max_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Start,
    /// `any`: a line that is not blank was read.
    Lines {
        any: bool,
    },
    /// Inside an array, after `elements` elements; `comma`: a comma was read since.
    Array {
        elements: u64,
        comma: bool,
    },
    Ended,
}

impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("mode", &self.mode)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl<'r> Records<'r> {
    /// The records of `input`.
    pub fn new(input: impl BufRead + Send + 'r) -> Self {
        Self { input: Box::new(input), mode: Mode::Start, line: 1, max_bytes: MAX_RECORD_BYTES }
    }

    /// Sets the limit for one record, in bytes: [`MAX_RECORD_BYTES`] by default. A longer record is
    /// [`ReadError::TooLong`].
    ///
    /// ```
    /// use durable_session::transfer::{ReadError, Records};
    ///
    /// let mut records = Records::new(&b"[1,22,333]"[..]).max_bytes(2);
    /// assert!(matches!(records.nth(2).unwrap().text, Err(ReadError::TooLong { max: 2 })));
    /// ```
    pub fn max_bytes(mut self, max: usize) -> Self {
        self.max_bytes = max;
        self
    }

    fn current_position(&self) -> Position {
        let element = match self.mode {
            Mode::Array { elements, .. } => Some(elements + 1),
            _ => None,
        };
        Position { line: self.line, element }
    }

    /// Checks the first bytes for other formats, and detects an array.
    fn start(&mut self) -> Result<(), ReadError> {
        let mut start = self.peek(FORMAT_BYTES)?;
        if cfg!(feature = "gzip") && start.starts_with(b"\x1f\x8b") {
            self.decompress();
            start = self.peek(FORMAT_BYTES)?;
        }
        if let Some(format) = recognize::format(&start) {
            return Err(ReadError::Format(format));
        }
        if start.starts_with(BYTE_ORDER_MARK) {
            let mut mark = self.input.by_ref().take(BYTE_ORDER_MARK.len() as u64);
            io::copy(&mut mark, &mut io::sink()).map_err(ReadError::Io)?;
        }
        self.mode = Mode::Lines { any: false };
        self.space()?;
        if self.first()? == Some(b'[') {
            self.input.consume(1);
            self.mode = Mode::Array { elements: 0, comma: false };
        }
        Ok(())
    }

    /// The first bytes, at most so many. They are not consumed.
    fn peek(&mut self, bytes: usize) -> Result<Vec<u8>, ReadError> {
        let mut start = Vec::with_capacity(bytes);
        self.input.by_ref().take(bytes as u64).read_to_end(&mut start).map_err(ReadError::Io)?;
        let rest = std::mem::replace(&mut self.input, Box::new(io::empty()));
        self.input = Box::new(io::Cursor::new(start.clone()).chain(rest));
        Ok(start)
    }

    #[cfg(feature = "gzip")]
    fn decompress(&mut self) {
        let compressed = std::mem::replace(&mut self.input, Box::new(io::empty()));
        self.input = Box::new(io::BufReader::new(flate2::bufread::MultiGzDecoder::new(compressed)));
    }

    #[cfg(not(feature = "gzip"))]
    #[allow(clippy::unused_self, clippy::needless_pass_by_ref_mut)] // same signature as with gzip
    fn decompress(&mut self) {}

    /// The buffered bytes; empty at the end of the input.
    fn chunk(&mut self) -> Result<&[u8], ReadError> {
        let empty = loop {
            match self.input.fill_buf() {
                Ok(bytes) => break bytes.is_empty(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(ReadError::Io(e)),
            }
        };
        // The first borrow cannot leave the loop. With bytes in the buffer, the second call reads
        // nothing.
        if empty { Ok(&[]) } else { self.input.fill_buf().map_err(ReadError::Io) }
    }

    fn first(&mut self) -> Result<Option<u8>, ReadError> {
        Ok(self.chunk()?.first().copied())
    }

    /// Skips white space.
    fn space(&mut self) -> Result<(), ReadError> {
        while let Some(byte) = self.first()?.filter(u8::is_ascii_whitespace) {
            self.line += u64::from(byte == b'\n');
            self.input.consume(1);
        }
        Ok(())
    }

    /// The next line; `None` for a blank line or at the end.
    fn next_line(&mut self, later: bool) -> Result<Option<Record>, ReadError> {
        let position = self.current_position();
        let mut text = RecordText::new(self.max_bytes);
        let mut any = false;
        loop {
            let chunk = self.chunk()?;
            any |= !chunk.is_empty();
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            text.push(part);
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                self.line += 1;
                break;
            }
            if used == 0 {
                if !any {
                    self.mode = Mode::Ended;
                }
                break;
            }
        }
        // Concatenated files have byte order marks in the middle.
        text.strip_prefix(BYTE_ORDER_MARK);
        match text.trimmed() {
            Some([]) => return Ok(None),
            Some(b"{") if !later => {
                return Err(ReadError::Format(
                    "a JSON object over several lines; \
                     put each conversation on one line, or all into one array",
                ));
            }
            _ => {}
        }
        if self.mode != Mode::Ended {
            self.mode = Mode::Lines { any: true };
        }
        Ok(Some(Record { position, text: text.finish() }))
    }

    /// The next element; `None` after a comma or the end of the array.
    fn element(&mut self, elements: u64, comma: bool) -> Result<Option<Record>, ReadError> {
        self.space()?;
        match self.first()? {
            None => {
                return Err(ReadError::Array("the array is not closed: the input ends within it"));
            }
            Some(b']') if !comma => {
                self.input.consume(1);
                self.mode = Mode::Lines { any: true };
                return Ok(None);
            }
            Some(b',') if elements > 0 && !comma => {
                self.input.consume(1);
                self.mode = Mode::Array { elements, comma: true };
                return Ok(None);
            }
            Some(b',' | b']' | b'}' | b':') => {
                return Err(ReadError::Array("the array has punctuation where an element must be"));
            }
            Some(_) if elements > 0 && !comma => {
                return Err(ReadError::Array("the array has no comma after an element"));
            }
            Some(_) => {}
        }
        let position = self.current_position();
        let mut text = RecordText::new(self.max_bytes);
        let mut scan = ValueScan::default();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Err(ReadError::Array(
                    "the array is not closed: the input ends within an element",
                ));
            }
            let (used, ended) = scan.take(chunk).map_err(ReadError::Array)?;
            text.push(&chunk[..used]);
            self.input.consume(used);
            if ended {
                break;
            }
        }
        self.line += scan.lines;
        self.mode = Mode::Array { elements: elements + 1, comma: false };
        Ok(Some(Record { position, text: text.finish() }))
    }
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if self.mode == Mode::Start
            && let Err(e) = self.start()
        {
            self.mode = Mode::Ended;
            let position = Position { line: 1, element: None };
            return Some(Record { position, text: Err(e) });
        }
        loop {
            let next = match self.mode {
                Mode::Array { elements, comma } => self.element(elements, comma),
                Mode::Lines { any } => self.next_line(any),
                Mode::Start | Mode::Ended => return None,
            };
            let record = match next {
                Ok(Some(record)) => record,
                Ok(None) => continue,
                Err(e) => Record { position: self.current_position(), text: Err(e) },
            };
            if record.text.as_ref().is_err_and(ReadError::ends) {
                self.mode = Mode::Ended;
            }
            return Some(record);
        }
    }
}
