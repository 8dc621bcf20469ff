//! Importing what other systems wrote, and importing after a kill.

use crate::fixture::{Pair, Ran, ended, program, write};
use durable_session::SessionId;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;

const RECORDS: &str = concat!(
    r#"{"id":"g-1","title":"Rust","create_time":1763264606.9,"current_node":"n","mapping":{"#,
    r#""n":{"message":{"author":{"role":"user"},"#,
    r#""content":{"content_type":"text","parts":["from ChatGPT"]}}}}}"#,
    "\n",
    r#"{"id":"o-1","messages":[{"role":"user","content":"from OpenAI"}]}"#,
    "\n",
    r#"{"id":"r-1","input":"from Responses","output":[{"type":"web_search_call"}]}"#,
    "\n",
    r#"{"id":"l-1","messages":[{"type":"human","content":"from LangChain"}]}"#,
    "\n",
    r#"{"id":"s-1","conversations":[{"from":"human","value":"from ShareGPT"}]}"#,
    "\n",
    r#"{"what":"is this"}"#,
    "\n",
);

#[test]
fn conversations_of_other_systems_are_imported_and_what_is_not_taken_is_named() {
    let pair = Pair::none();
    let file = write(&pair, "records.jsonl", RECORDS);
    let ran = pair.run(&["import", &file, "--owner", "u-1"]);
    let told = "imported sessions=5 not_taken=1 items_not_taken=1 messages_stored=5 \
                messages_found=0\n";
    assert_eq!((ran.code, &*ran.out), (1, told), "{ran:?}");
    let not_taken = "not taken: line 3: item 1: an item of the type \"web_search_call\"\n\
                     not taken: line 6: its format is not known; name it with --format\n";
    assert_eq!(ran.err, not_taken);
    // The same again, and nothing twice.
    let again = pair.run(&["import", &file, "--owner", "u-1"]);
    assert_eq!((again.code, &*again.err), (1, not_taken));
    assert!(again.out.contains("messages_stored=0 messages_found=5"), "{again:?}");
    for (id, text) in [
        ("g-1", "from ChatGPT"),
        ("o-1", "from OpenAI"),
        ("r-1", "from Responses"),
        ("l-1", "from LangChain"),
        ("s-1", "from ShareGPT"),
    ] {
        assert_eq!(pair.texts(id), [text]);
    }
    assert_eq!(pair.run(&["list", "--owner", "u-1"]).fine().lines().count(), 5);
}

#[test]
fn a_format_and_a_unit_can_be_named() {
    let pair = Pair::none();
    let record = "{\"id\":\"c-1\",\"created_at\":1763264606,\"messages\":[]}\n";
    let file = write(&pair, "records.jsonl", record);
    let ran = pair.run(&["import", &file]).failed(1, "see --time-unit");
    assert!(ran.err.starts_with("not taken: line 1: `createdAt` is 1763264606, "), "{ran:?}");
    pair.run(&["import", &file, "--time-unit", "s"]).fine();
    pair.run(&["import", &file, "--time-unit", "min"]).failed(2, "a unit is s, ms, us or ns");
    pair.run(&["import", &file, "--format", "yaml"]).failed(2, "a format is lines, messages");
    let told = "not taken: line 1: as sharegpt: it is no record of this format";
    pair.run(&["import", &file, "--format", "sharegpt"]).failed(1, told);
}

#[test]
fn standard_input_is_imported() {
    let pair = Pair::none();
    let mut child = program()
        .args(["--store", &pair.store(), "import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"{\"id\":\"c-1\",\"messages\":[]}").unwrap();
    drop(input);
    let told = ended(child.wait_with_output().unwrap()).fine();
    assert!(told.starts_with("imported sessions=1 "), "{told}");
}

/// A line of an export.
fn line(id: &str, texts: &[&str]) -> String {
    let messages = texts.iter().map(|text| json!({ "role": "user", "content": text }));
    let state = json!({
        "messages": messages.collect::<Vec<_>>(),
        "createdAt": 1_763_264_606_917_u64,
        "lastAccessedAt": 1_763_264_606_917_u64,
    });
    json!({ "id": id, "state": state }).to_string() + "\n"
}

/// Imports three records of each session. The second contradicts the first and is not taken.
pub(crate) fn of_two_records_the_first_is_taken(pair: &Pair, on: impl Fn(&[&str]) -> Ran) {
    let (mut lines, mut not_taken) = (String::new(), String::new());
    for n in 0..100 {
        let id = format!("s-{n:02}");
        lines += &line(&id, &["the same", "first"]);
        lines += &line(&id, &["the same", "second"]);
        lines += &line(&id, &["the same", "first", "third"]);
        let fingerprint = SessionId::new(id).unwrap().fingerprint();
        writeln!(
            not_taken,
            "not taken: line {}: session {fingerprint}: the stored session has other content; it \
             was not changed",
            3 * n + 2
        )
        .unwrap();
    }
    let file = write(pair, "two-records.jsonl", &lines);
    let ran = on(&["import", &file]);
    let told = "imported sessions=200 not_taken=100 items_not_taken=0 messages_stored=300 \
                messages_found=200\n";
    assert_eq!((ran.code, &*ran.out, &*ran.err), (1, told, &*not_taken));
    let export = on(&["export", "s-42"]).fine();
    let export: Value = serde_json::from_str(&export).unwrap();
    let messages = export["state"]["messages"].as_array().unwrap();
    let texts: Vec<_> = messages.iter().map(|message| &message["content"]).collect();
    assert_eq!(texts, ["the same", "first", "third"]);
}

#[test]
fn of_two_records_of_one_session_the_first_is_taken() {
    let pair = Pair::none();
    of_two_records_the_first_is_taken(&pair, |arguments| pair.run(arguments));
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_was() {
    let pair = Pair::none();
    let lines: Vec<_> = (0..4_000).map(|n| line(&format!("s-{n:04}"), &[&n.to_string()])).collect();
    for kill in 1..=3 {
        let mut child = program()
            .args(["--store", &pair.store(), "import", "-", "--recorded-use"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Its input does not end: it is killed in the middle.
        let mut input = child.stdin.take().unwrap();
        input.write_all(lines[..kill * 1_000].concat().as_bytes()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let file = write(&pair, "lines.jsonl", &lines.concat());
    let told = pair.run(&["import", &file, "--recorded-use"]).fine();
    assert!(told.starts_with("imported sessions=4000 not_taken=0 "), "{told}");
    assert!(!told.ends_with("messages_found=0\n"), "no import had stored anything: {told}");
    let export = pair.run(&["export"]).fine();
    let value = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("changedAt");
        value
    };
    assert!(export.lines().map(value).eq(lines.iter().map(|line| value(line))));
}
