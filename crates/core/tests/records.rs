//! Inputs of an import, split into records.
#![allow(clippy::unwrap_used)] // helpers of tests

use durable_session::transfer::{ReadError, Records};
use proptest::prelude::*;
use serde_json::value::RawValue;
use std::io::{self, BufReader, Read};

/// An input that brings so few bytes at a time, as a pipe may, and now and then is interrupted.
struct Slow<'a> {
    bytes: &'a [u8],
    step: usize,
    interrupted: bool,
}

impl Read for Slow<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let n = self.step.min(self.bytes.len()).min(buf.len());
        buf[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes = &self.bytes[n..];
        Ok(n)
    }
}

/// Each record as `place text` or `place error`, however the input comes.
fn read(input: impl AsRef<[u8]>) -> Vec<String> {
    let input = input.as_ref();
    let told = |records: Records<'_>| -> Vec<String> {
        records
            .map(|record| match record.text {
                Ok(text) => format!("{}: {text}", record.position),
                Err(error) => format!("{}: error: {error}", record.position),
            })
            .collect()
    };
    let at_once = told(Records::new(input));
    for step in [1, 2, 3, 7] {
        let slow = Slow { bytes: input, step, interrupted: false };
        assert_eq!(
            told(Records::new(BufReader::with_capacity(4, slow))),
            at_once,
            "{step} bytes at a time"
        );
    }
    at_once
}

const TWO_LINES: [&str; 2] = [r#"line 1: {"id":"a"}"#, r#"line 2: {"id":"b"}"#];

#[test]
fn lines_are_read_with_any_line_ends_and_a_byte_order_mark() {
    for input in [
        "{\"id\":\"a\"}\n{\"id\":\"b\"}\n",
        "{\"id\":\"a\"}\n{\"id\":\"b\"}",
        "{\"id\":\"a\"}\r\n{\"id\":\"b\"}\r\n",
        "\u{feff}{\"id\":\"a\"}\n{\"id\":\"b\"}\n",
        "\u{feff}{\"id\":\"a\"}\r\n\u{feff}  {\"id\":\"b\"}\t\r\n\r\n \n",
    ] {
        assert_eq!(read(input), TWO_LINES, "{input:?}");
    }
    assert_eq!(read("\n\r\n \n{\"id\":\"a\"}"), [r#"line 4: {"id":"a"}"#]);
    for nothing in ["", "\n", "\u{feff}", "\u{feff}\r\n \n"] {
        assert!(read(nothing).is_empty(), "{nothing:?}");
    }
}

#[test]
fn a_line_that_is_not_json_or_not_utf8_is_one_record() {
    assert_eq!(
        read("oops\n{}\n[1]\n{"),
        ["line 1: oops", "line 2: {}", "line 3: [1]", "line 4: {"]
    );
    let input = [&b"{\"a\":\"\xff\"}\n"[..], b"{}"].concat();
    assert_eq!(read(input), ["line 1: error: record is not UTF-8", "line 2: {}"]);
}

#[test]
fn the_elements_of_one_array_are_records() {
    let two = [r#"element 1 (line 1): {"id":"a"}"#, r#"element 2 (line 1): {"id":"b"}"#];
    for input in
        ["[{\"id\":\"a\"},{\"id\":\"b\"}]", "\u{feff}[ {\"id\":\"a\"} ,\t{\"id\":\"b\"} ]\r\n"]
    {
        assert_eq!(read(input), two, "{input:?}");
    }
    assert_eq!(
        read("\n[\n  {\"id\": \"]},\\\"[\",\n   \"b\": [1, {}]},\n  \"text, too\",\n  17\n]\n"),
        [
            "element 1 (line 3): {\"id\": \"]},\\\"[\",\n   \"b\": [1, {}]}",
            "element 2 (line 5): \"text, too\"",
            "element 3 (line 6): 17"
        ]
    );
    assert!(read("[]").is_empty() && read(" [ \n ] ").is_empty());
}

#[test]
fn text_after_an_array_is_read_as_lines() {
    assert_eq!(read("[1] x\n{}\n"), ["element 1 (line 1): 1", "line 1: x", "line 2: {}"]);
}

#[test]
fn a_broken_array_ends_with_an_error_and_what_came_before_it_is_read() {
    for (input, reason) in [
        ("[{},", "the input ends within it"),
        ("[{}", "the input ends within it"),
        ("[{},{\"a\":", "the input ends within an element"),
        ("[{},{\"a\":[}]", "brackets"),
        ("[{} {}]", "no comma"),
        ("[{},]", "punctuation where an element must be"),
        ("[{},,{}]", "punctuation where an element must be"),
        ("[{}:{}]", "punctuation where an element must be"),
        ("[{},{\"a\":\"\n\"}]", "not closed on its line"),
    ] {
        let told = read(input);
        assert_eq!(told.len(), 2, "{input}: {told:?}");
        assert_eq!(told[0], "element 1 (line 1): {}", "{input}");
        assert!(told[1].starts_with("element 2 (line 1): error: "), "{told:?}");
        assert!(
            told[1].contains(reason) && told[1].contains("rest of the input was not read"),
            "{told:?}"
        );
    }
    assert_eq!(read("[").len(), 1);
}

#[test]
fn other_formats_are_named_and_nothing_of_them_is_read() {
    let utf16: Vec<u8> =
        "\u{feff}{\"id\":\"a\"}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (input, named) in [
        (utf16, "UTF-16"),
        (b"PK\x03\x04\x14\0conversations.json".to_vec(), "ZIP"),
        (b"\x28\xb5\x2f\xfd\x04\n\n".to_vec(), "zstd"),
        (b"{\n  \"id\": \"a\",\n  \"state\": {}\n}\n".to_vec(), "over several lines"),
    ] {
        let told = read(&input);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(named), "{told:?}");
    }
    assert_eq!(
        read("{}\n{\n{}"),
        ["line 1: {}", "line 2: {", "line 3: {}"],
        "a line that was cut off is one line"
    );
}

#[test]
fn a_record_beyond_the_limit_is_refused_and_the_next_one_is_read() {
    let of = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    for input in [format!("{}\n{}\n7", of(100), of(101)), format!("[{},{},7]", of(100), of(101))] {
        let outcomes: Vec<_> =
            Records::new(input.as_bytes()).max_bytes(100).map(|r| r.text).collect();
        assert_eq!(outcomes.len(), 3);
        assert_eq!(outcomes[0].as_ref().unwrap().len(), 100);
        assert!(matches!(outcomes[1], Err(ReadError::TooLong { max: 100 })), "{:?}", outcomes[1]);
        assert_eq!(outcomes[2].as_ref().unwrap(), "7");
    }
}

#[test]
fn an_input_that_fails_is_an_error_after_what_came_before_it() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let input = BufReader::new((&b"{\"n\":1}\n{\"n\":2}\n{\"n\":"[..]).chain(Fails));
    let outcomes: Vec<_> = Records::new(input).map(|record| record.text).collect();
    assert_eq!(outcomes.len(), 3);
    let error = outcomes[2].as_ref().unwrap_err();
    assert!(error.ends() && error.to_string().contains("the disk is gone"), "{error}");
}

#[cfg(feature = "gzip")]
#[test]
fn compressed_input_is_read_and_a_part_of_it_is_an_error() {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    let gzip = |text: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let lines = gzip("\u{feff}{\"id\":\"a\"}\r\n{\"id\":\"b\"}\r\n".as_bytes());
    assert_eq!(read(&lines), TWO_LINES);
    let members = [gzip(b"{\"id\":\"a\"}\n"), gzip(b"{\"id\":\"b\"}\n")].concat();
    assert_eq!(read(members), TWO_LINES);
    assert_eq!(read(gzip(b"[1,2]")).len(), 2);

    let text = (0..9000).fold(String::new(), |text, n| text + &format!("{{\"id\":\"s{n}\"}}\n"));
    let whole = gzip(text.as_bytes());
    let outcomes: Vec<_> = Records::new(&whole[..whole.len() - 20]).map(|r| r.text).collect();
    let (last, before) = outcomes.split_last().unwrap();
    assert!(before.len() > 1000 && before.iter().all(Result::is_ok), "{}", before.len());
    assert!(matches!(last, Err(ReadError::Io(_))), "{last:?}");

    assert!(read(gzip(b"PK\x03\x04")).concat().contains("ZIP"));
    assert!(read(gzip(&lines)).concat().contains("gzip"));
}

#[cfg(not(feature = "gzip"))]
#[test]
fn compressed_input_is_named_without_the_feature() {
    let told = read(b"\x1f\x8b\x08\0\0\0\0\0");
    assert!(told.len() == 1 && told[0].contains("gzip"), "{told:?}");
}

proptest! {
    /// Differential: whatever `serde_json` reads as an array comes out element by element as it is
    /// written, and whatever it does not is not read without an error or an element that is not
    /// JSON.
    #[test]
    fn arrays_are_split_as_a_parser_would(
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..24)
    ) {
        let input = format!("[{}]", pieces.concat());
        let told = read(&input);
        let texts = told.iter().filter_map(|told| told.split_once(": ")).map(|(_, text)| text);
        if let Ok(elements) = serde_json::from_str::<Vec<Box<RawValue>>>(&input) {
            let elements: Vec<_> = elements.iter().map(|element| element.get()).collect();
            prop_assert_eq!(texts.collect::<Vec<_>>(), elements);
        } else {
            let bad = |text: &str| serde_json::from_str::<&RawValue>(text).is_err();
            // The array may have ended earlier: the rest is a line.
            let rest = told.iter().any(|told| told.starts_with("line "));
            prop_assert!(rest || texts.into_iter().any(bad), "{}: {:?}", input, told);
        }
    }

    /// However an input comes, it ends, and comes to the same.
    #[test]
    fn any_bytes_are_read_to_an_end(
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..24),
        bytes in prop::collection::vec(any::<u8>(), 0..24),
    ) {
        read([pieces.concat().as_bytes(), &bytes].concat());
        read([&bytes, pieces.concat().as_bytes()].concat());
    }
}

const PIECES: [&str; 20] = [
    "{}",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\"a\"",
    "\"\\\"\"",
    "\\",
    "1",
    "null",
    " ",
    "\n",
    "\r\n",
    "{\"a\":[1,\"]\"]}",
    "[[],{}]",
    "é",
    "\u{feff}",
];
