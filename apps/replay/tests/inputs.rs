//! Input files of all kinds: the program stores their conversations, and names the ones it skips. A
//! second run gives the same answer.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{last_line, replay, verdict};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// Runs the program on a file twice. Returns the verdict's counts, the exit code and standard error
/// of the first run.
fn run(file: impl AsRef<[u8]>) -> (String, i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let (path, db) = (folder.path().join("input"), folder.path().join("made.redb"));
    std::fs::write(&path, file).unwrap();
    let first = replay(&path, &db).output().unwrap();
    let again = replay(&path, &db).output().unwrap();
    let told = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(!verdict(&first).is_empty(), "{told}");
    assert_eq!(verdict(&again), verdict(&first));
    assert_eq!(again.status.code(), first.status.code());
    assert_eq!(again.stderr, first.stderr, "{told}");
    assert!(last_line(&again).contains(" appends_per_s=0 "), "the second run added something");
    let counts =
        verdict(&first).replace("verified ", "").replace(" lost=0 duplicated=0 reordered=0", "");
    (counts, first.status.code().unwrap(), told)
}

fn message(text: &str) -> String {
    format!(r#"{{"role":"user","content":"{text}"}}"#)
}

fn conversation(id: &str, messages: &[String]) -> String {
    format!(r#"{{"id":"{id}","messages":[{}]}}"#, messages.join(","))
}

fn two() -> [String; 2] {
    [conversation("a", &[message("1"), message("2")]), conversation("b", &[message("1")])]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn lines_and_an_array_are_taken_with_a_byte_order_mark_any_line_ends_and_gzip() {
    let [a, b] = two();
    for text in [
        format!("{a}\n{b}\n"),
        format!("{a}\n{b}"),
        format!("{a}\r\n\r\n{b}\r\n"),
        format!("\u{feff}{a}\n{b}\n"),
        format!("[{a},{b}]"),
        format!("\u{feff}[\r\n  {},\r\n  {b}\r\n]\r\n", a.replace(',', ",\r\n    ")),
    ] {
        for file in [text.clone().into_bytes(), gzip(text.as_bytes())] {
            assert_eq!(
                run(file),
                ("sessions=2 messages=3 skipped=0".into(), 0, String::new()),
                "{text}"
            );
        }
    }
}

#[test]
fn a_file_of_which_nothing_is_taken_is_not_a_success() {
    let [a, b] = two();
    let utf16 =
        |order: fn(u16) -> [u8; 2]| -> Vec<u8> { a.encode_utf16().flat_map(order).collect() };
    for (file, skipped, named) in [
        (utf16(u16::to_le_bytes), 1, "UTF-16"),
        (utf16(u16::to_be_bytes), 1, "UTF-16"),
        ([&b"\xff\xfe"[..], &utf16(u16::to_le_bytes)].concat(), 1, "UTF-16"),
        (b"PK\x03\x04\x14\0\0\0\x08\0conversations.json".to_vec(), 1, "ZIP"),
        (gzip(b"PK\x03\x04"), 1, "ZIP"),
        (gzip(&gzip(a.as_bytes())), 1, "gzip"),
        (br#"[{"title":"t","mapping":{"n":{"message":null}},"id":"x"}]"#.to_vec(), 1, "ChatGPT"),
        (br#"{"id":"x","conversations":[{"from":"human","value":"hi"}]}"#.to_vec(), 1, "ShareGPT"),
        (b"{\"messages\":[]}\n{\"messages\":[]}".to_vec(), 2, "fine-tuning"),
        (br#"{"id":"x","state":{"messages":[]}}"#.to_vec(), 1, "transfer::export"),
        (
            format!("{{\n\"id\":\"a\",\n\"messages\":[{}]\n}}", message("1")).into_bytes(),
            1,
            "over several lines",
        ),
        (b"{".repeat(100_000), 1, "not JSON"),
        (Vec::new(), 0, "nothing was stored"),
        (b"\n\n".to_vec(), 0, "nothing was stored"),
        (b"[]".to_vec(), 0, "nothing was stored"),
    ] {
        let (counts, code, told) = run(file);
        assert_eq!(
            (counts, code),
            (format!("sessions=0 messages=0 skipped={skipped}"), 2),
            "{told}"
        );
        assert!(told.contains(named), "{named}: {told}");
    }
    assert_eq!(run(conversation("empty", &[])).1, 2, "a conversation without messages is nothing");
    assert_eq!(run(format!("{}\n{b}", conversation("empty", &[]))).1, 0);
}

#[test]
fn a_file_of_which_a_part_is_taken_is_not_a_success() {
    let [a, b] = two();
    let text = format!("{a}\n{b}\n");
    // Compressed well enough for a part of it to be read before the damage is seen.
    let lines: Vec<_> = (0..3000).map(|n| conversation(&format!("s{n}"), &[])).collect();
    let whole = gzip(format!("{text}{}", lines.join("\n")).as_bytes());
    for (file, counts, named) in [
        (
            format!("{a}\n{}", &b[..b.len() - 3]).into_bytes(),
            "sessions=1 messages=2 skipped=1",
            "line 2: it is not JSON",
        ),
        (
            format!("[{a},{}", &b[..b.len() - 3]).into_bytes(),
            "sessions=1 messages=2 skipped=1",
            "element 2 (line 1): ",
        ),
        (
            format!("[{a},{b}").into_bytes(),
            "sessions=2 messages=3 skipped=1",
            "the array is not closed",
        ),
        (
            [text.as_bytes(), b"{\"id\":\"c\",\"messages\":[]\xff}\n"].concat(),
            "sessions=2 messages=3 skipped=1",
            "line 3: record is not UTF-8",
        ),
    ] {
        let (found, code, told) = run(&file);
        assert_eq!((found.as_str(), code), (counts, 2), "{told}");
        assert!(told.contains(named), "{named}: {told}");
    }
    let (counts, code, told) = run(&whole[..whole.len() - 100]);
    assert!(counts.contains("messages=3 skipped=1") && code == 2, "{counts}: {told}");
    assert!(
        told.contains("could not be read") && told.contains("the rest of it was not read"),
        "{told}"
    );
}

#[test]
fn one_conversation_that_cannot_be_taken_is_skipped_and_the_rest_is_stored() {
    // A message as large as may be, and one byte more.
    let of = |bytes: usize| message(&"x".repeat(bytes - message("").len()));
    let (fits, over) = (1 << 20, (1 << 20) + 1);
    let small = message("small");
    let reused = |text: &str| format!(r#"{{"role":"user","id":"m","content":"{text}"}}"#);
    let file = [
        conversation("a", &[small.clone(), of(fits)]),
        conversation("large", &[small.clone(), of(over)]),
        conversation("larger", &[of(1_400_000)]),
        conversation("reused", &[reused("1"), small.clone(), reused("2")]),
        conversation("twice", &[reused("1"), small.clone(), reused("1")]),
        conversation("a", std::slice::from_ref(&small)),
        conversation("a", &[small.clone(), of(fits)]),
        conversation("large", std::slice::from_ref(&small)),
        conversation("sl/ash", std::slice::from_ref(&small)),
        conversation("last", std::slice::from_ref(&small)),
    ]
    .join("\n");
    let (counts, code, told) = run(file);
    assert_eq!((counts.as_str(), code), ("sessions=4 messages=6 skipped=5", 2), "{told}");
    for named in [
        "line 2: message 2 is 1048577 bytes; the limit is 1048576",
        "line 3: message 1 is 1400000 bytes; the limit is 1048576",
        "line 4: message 3 has the id of message 1 and says something else",
        "line 5: message 3 repeats an earlier message and is stored once",
        "line 6: its id is that of line 1, which is another conversation",
        "line 9: ",
    ] {
        assert!(told.contains(named), "{named}: {told}");
    }
}

#[test]
fn a_repeated_message_is_neither_lost_nor_another_conversation() {
    let said = |n: u32| format!(r#"{{"role":"user","id":"m{n}","content":"x"}}"#);
    // At once, at the end, and so late that the store would not know the id any more.
    let far: Vec<_> = (0..200).chain([0]).map(said).collect();
    for (messages, stored) in
        [(vec![said(1), said(1)], 1), (vec![said(1), said(2), said(1)], 2), (far, 200)]
    {
        let (counts, code, told) = run(conversation("a", &messages));
        assert_eq!(
            (counts, code),
            (format!("sessions=1 messages={stored} skipped=0"), 0),
            "{told}"
        );
        assert!(told.contains("is stored once"), "{told}");
    }
}
