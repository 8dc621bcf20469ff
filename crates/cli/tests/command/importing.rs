//! Importing what other systems wrote, and importing after a kill.

use crate::fixture::{Pair, ended, program, write};
use std::fmt::Write;
use std::process::Stdio;
use std::time::Duration;

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
    use std::io::Write;
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

#[test]
fn an_import_that_was_killed_goes_on_where_it_was() {
    let pair = Pair::none();
    let mut lines = String::new();
    for n in 0..4_000 {
        writeln!(
            lines,
            "{{\"id\":\"s-{n:04}\",\"state\":{{\"messages\":[{{\"role\":\"user\",\"content\":\
             \"{n}\"}}],\"createdAt\":1763264606917,\"lastAccessedAt\":1763264606917}}}}"
        )
        .unwrap();
    }
    let file = write(&pair, "lines.jsonl", &lines);
    let mut killed_in_the_middle = 0;
    for kill in 0..3 {
        let mut child = program()
            .args(["--store", &pair.store(), "import", &file, "--recorded-use"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(150 * (kill + 1)));
        killed_in_the_middle += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(killed_in_the_middle > 0, "every import had ended before it was killed");
    let told = pair.run(&["import", &file, "--recorded-use"]).fine();
    assert!(told.starts_with("imported sessions=4000 not_taken=0 "), "{told}");
    let export = pair.run(&["export"]).fine();
    let value = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("changedAt");
        value
    };
    assert!(export.lines().map(value).eq(lines.lines().map(value)));
}
