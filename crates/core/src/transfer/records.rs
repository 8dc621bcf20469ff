//! Splitting an input into records: the lines of JSON Lines, or the elements of one JSON array.

use super::recognize::{self, FORMAT_BYTES};
use std::fmt;
use std::io::{self, BufRead, Read};

/// The longest record that is kept in memory, unless set otherwise: 2 GiB, more than a session of
/// the default [`Limits`](crate::Limits) needs.
pub const MAX_RECORD_BYTES: usize = 1 << 31;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where a record begins in its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Place {
    /// The line, from 1.
    pub line: u64,
    /// The place in the array, from 1, if the input is an array.
    pub element: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.element {
            Some(element) => write!(f, "element {element} (line {})", self.line),
            None => write!(f, "line {}", self.line),
        }
    }
}

/// One line or element, as it came.
#[non_exhaustive]
pub struct Record {
    /// Where it begins.
    pub place: Place,
    /// Its text, which may turn out not to be JSON, or why it cannot be had.
    pub text: Result<String, ReadError>,
}

impl fmt::Debug for Record {
    /// The size only: the text is the users' own words and stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("place", &self.place)
            .field("bytes", &self.text.as_ref().map(String::len))
            .finish()
    }
}

/// Why a part of the input is no record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The record is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The record is longer than [`Records::max_bytes`] allows.
    #[error("it has more than {max} bytes, the limit of one record")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// The whole input has another format. Nothing of it was read.
    #[error("the input is {0}")]
    Format(&'static str),
    /// The array is broken, so that nobody can tell where its next element begins.
    #[error("{0}; the rest of the input was not read")]
    Array(&'static str),
    /// The input could not be read on, for example because it is compressed and damaged.
    #[error("the input could not be read: {0}; the rest of it was not read")]
    Io(io::Error),
}

impl ReadError {
    /// Whether the rest of the input was not read, or nothing of it.
    pub fn ends(&self) -> bool {
        matches!(self, Self::Format(_) | Self::Array(_) | Self::Io(_))
    }
}

/// The records of an input: JSON Lines or one JSON array, in UTF-8, with or without a byte order
/// mark, with any line ends; with the feature `gzip` also compressed. Blank lines are no records.
///
/// Keeps one record in memory, however long the input is. Blocks while the input does.
///
/// ```
/// use durable_session::transfer::Records;
///
/// let input = "[{\"id\":1},\r\n {\"id\":2}]";
/// let texts = Records::new(input.as_bytes()).map(|record| record.text).collect::<Result<Vec<_>, _>>()?;
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
    /// `any`: a line that was not blank came already.
    Lines {
        any: bool,
    },
    /// Within an array, after so many elements; `comma`: a comma came since.
    Array {
        elements: u64,
        comma: bool,
    },
    Ended,
}

impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("mode", &self.mode).field("line", &self.line).finish_non_exhaustive()
    }
}

impl<'r> Records<'r> {
    /// The records of `input`.
    pub fn new(input: impl BufRead + Send + 'r) -> Self {
        Self { input: Box::new(input), mode: Mode::Start, line: 1, max_bytes: MAX_RECORD_BYTES }
    }

    /// Refuses longer records: [`ReadError::TooLong`]. Default: [`MAX_RECORD_BYTES`].
    pub fn max_bytes(mut self, max: usize) -> Self {
        self.max_bytes = max;
        self
    }

    fn place(&self) -> Place {
        let element = match self.mode {
            Mode::Array { elements, .. } => Some(elements + 1),
            _ => None,
        };
        Place { line: self.line, element }
    }

    /// Looks at the first bytes, and finds out whether the input is an array.
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

    /// Up to the first so many bytes, which stay to be read.
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
    #[allow(clippy::unused_self, clippy::needless_pass_by_ref_mut)] // as with the feature
    fn decompress(&mut self) {}

    /// The next bytes; empty at the end.
    fn chunk(&mut self) -> Result<&[u8], ReadError> {
        let empty = loop {
            match self.input.fill_buf() {
                Ok(bytes) => break bytes.is_empty(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(ReadError::Io(e)),
            }
        };
        // The borrow of the first call would last through the loop. With bytes in the buffer
        // nothing is read again.
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

    /// The next line; `None` if it was blank or there is none.
    fn next_line(&mut self, later: bool) -> Result<Option<Record>, ReadError> {
        let place = self.place();
        let mut text = Text::new(self.max_bytes);
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
        // Files with byte order marks may have been put behind one another.
        if text.bytes.starts_with(BYTE_ORDER_MARK) {
            text.bytes.drain(..BYTE_ORDER_MARK.len());
        }
        let bytes = text.bytes.trim_ascii();
        if !text.over && bytes.is_empty() {
            return Ok(None);
        }
        if !later && bytes == b"{" {
            return Err(ReadError::Format(
                "a JSON object over several lines; put each conversation on one line, or all into one array",
            ));
        }
        if self.mode != Mode::Ended {
            self.mode = Mode::Lines { any: true };
        }
        Ok(Some(Record { place, text: text.finish() }))
    }

    /// The next element; `None` if the array ends.
    fn element(&mut self, elements: u64, comma: bool) -> Result<Option<Record>, ReadError> {
        self.space()?;
        match self.first()? {
            None => return Err(ReadError::Array("the array is not closed: the input ends within it")),
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
                return Err(ReadError::Array("the array has a mark where an element must be"));
            }
            Some(_) if elements > 0 && !comma => {
                return Err(ReadError::Array("the array has no comma after an element"));
            }
            Some(_) => {}
        }
        let place = self.place();
        let mut text = Text::new(self.max_bytes);
        let mut scan = Scan::default();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Err(ReadError::Array("the array is not closed: the input ends within an element"));
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
        Ok(Some(Record { place, text: text.finish() }))
    }
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if self.mode == Mode::Start
            && let Err(e) = self.start()
        {
            self.mode = Mode::Ended;
            return Some(Record { place: Place { line: 1, element: None }, text: Err(e) });
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
                Err(e) => Record { place: self.place(), text: Err(e) },
            };
            if record.text.as_ref().is_err_and(ReadError::ends) {
                self.mode = Mode::Ended;
            }
            return Some(record);
        }
    }
}

/// The bytes of a record, as long as they are not too many.
struct Text {
    bytes: Vec<u8>,
    max: usize,
    over: bool,
}

impl Text {
    fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), max, over: false }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.over |= bytes.len() > self.max - self.bytes.len();
        if self.over {
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn finish(self) -> Result<String, ReadError> {
        if self.over {
            return Err(ReadError::TooLong { max: self.max });
        }
        let text = String::from_utf8(self.bytes).map_err(|_| ReadError::NotUtf8)?;
        let inner = text.trim_ascii();
        Ok(if inner.len() == text.len() { text } else { inner.to_owned() })
    }
}

/// Finds the end of one JSON value. Whether it is one is for a parser to say.
#[derive(Default)]
struct Scan {
    /// The open brackets.
    open: Vec<u8>,
    string: bool,
    escaped: bool,
    /// Line ends so far.
    lines: u64,
}

impl Scan {
    /// How many of these bytes belong to the value, and whether it ends with them.
    fn take(&mut self, bytes: &[u8]) -> Result<(usize, bool), &'static str> {
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
