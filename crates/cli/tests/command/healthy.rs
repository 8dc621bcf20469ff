//! Every command on a store that is in order.

use crate::fixture::{Pair, beside, exists, run};
use serde_json::Value;

/// Lines of JSON.
fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn sessions_are_listed_by_id_or_by_owner_newest_first() {
    let pair = Pair::new();
    let ids = |ran: String| {
        let first = |line: &str| line.split('\t').next().unwrap().to_owned();
        ran.lines().map(first).collect::<Vec<_>>()
    };
    assert_eq!(ids(pair.only_read(&["list"]).fine()), ["a-1", "a-2", "b-1"]);
    assert_eq!(ids(pair.only_read(&["list", "--owner", "u-1"]).fine()), ["a-2", "a-1"]);
    assert_eq!(ids(pair.only_read(&["list", "--prefix", "b"]).fine()), ["b-1"]);
    assert_eq!(ids(pair.only_read(&["list", "--limit", "2"]).fine()), ["a-1", "a-2"]);
    assert_eq!(pair.only_read(&["list", "--owner", "nobody"]).fine(), "");
    let all = objects(&pair.only_read(&["list", "--json"]).fine());
    let keys: Vec<_> = all[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["changedAt", "id", "messages", "owner", "title"]);
    assert_eq!((&all[2]["id"], &all[2]["messages"]), (&"b-1".into(), &300.into()));
    // A title cannot tell a terminal what to do.
    let text = pair.only_read(&["list"]).fine();
    assert!(!text.contains('\u{1b}') && text.contains("Traits\\u{1b}[2J"), "{text}");
}

#[test]
fn a_session_is_shown_with_its_messages() {
    let pair = Pair::new();
    let text = pair.only_read(&["show", "a-1"]).fine();
    for part in ["a-1\n", "title     Lifetimes", "messages  3", "1 user\na-1 says 0\n2 user"] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let lines = objects(&pair.only_read(&["show", "b-1", "--json"]).fine());
    assert_eq!((lines.len(), &lines[0]["messages"]), (301, &300.into()));
    assert_eq!(lines[300]["message"]["content"], "b-1 says 299");
    let lines = objects(&pair.only_read(&["show", "b-1", "--json", "--last", "2"]).fine());
    let seqs: Vec<_> = lines[1..].iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [299, 300]);
    pair.only_read(&["show", "nobody"]).failed(2, "there is no session nobody");
    pair.only_read(&["show", "a-1", "--follow"]).failed(2, "through the service");
}

#[test]
fn a_store_is_counted() {
    let pair = Pair::new();
    let text = pair.only_read(&["stats"]).fine();
    assert!(text.contains("sessions              3\n"), "{text}");
    let counts = objects(&pair.only_read(&["stats", "--json"]).fine());
    assert_eq!((&counts[0]["sessions"], &counts[0]["messages"]), (&3.into(), &305.into()));
    assert_eq!(counts[0]["damagedSessions"], 0);
    assert!(counts[0]["fileBytes"].as_u64().unwrap() > 0);
    assert!(counts[0]["logBytes"].as_u64().unwrap() > 0);
}

#[test]
fn a_store_is_verified_backed_up_and_shortened() {
    let pair = Pair::new();
    let text = pair.only_read(&["verify"]).fine();
    assert!(text.starts_with("verified sessions=3 messages=305 bytes="), "{text}");
    assert!(text.ends_with(" damaged=0\n"), "{text}");
    let copy = beside(&pair, "copy.redb");
    pair.run(&["backup", &copy]).fine();
    pair.run(&["backup", &copy]).failed(2, "exists already");
    let text = run(&["--store", &format!("redb:{copy}"), "verify"]).fine();
    assert!(text.contains("messages=305"), "{text}");
    let text = pair.run(&["compact"]).fine();
    assert!(text.starts_with("before ") && text.contains(", after "), "{text}");
    assert_eq!(pair.texts("a-1").len(), 3);
}

#[test]
fn an_owner_is_erased_and_no_file_has_a_byte_of_it() {
    let pair = Pair::new();
    assert_eq!(pair.run(&["erase", "--owner", "u-2"]).fine(), "erased sessions=1 failed=0\n");
    assert_eq!(
        pair.run(&["erase", "--owner", "u-1", "--scrub"]).fine(),
        "erased sessions=2 failed=0\n"
    );
    assert_eq!(pair.run(&["erase", "--owner", "u-1"]).fine(), "erased sessions=0 failed=0\n");
    let says = b" says ";
    for (path, bytes) in pair.files() {
        assert!(!bytes.windows(says.len()).any(|window| window == says), "{}", path.display());
    }
}

#[test]
fn idle_sessions_are_swept() {
    let pair = Pair::new();
    assert_eq!(pair.run(&["sweep", "--idle", "1h"]).fine(), "deleted sessions=0 failed=0\n");
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(pair.run(&["sweep", "--idle", "10ms"]).fine(), "deleted sessions=3 failed=0\n");
    pair.run(&["sweep", "--idle", "0s"]).failed(2, "--idle");
    pair.run(&["sweep", "--idle", "soon"]).failed(2, "invalid value 'soon'");
}

#[test]
fn an_export_is_what_import_takes() {
    let pair = Pair::new();
    let export = pair.only_read(&["export"]).fine();
    assert_eq!(export.lines().count(), 3);
    let file = beside(&pair, "export.jsonl");
    pair.run(&["export", "--output", &file]).fine();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), export);
    pair.run(&["export", "--output", &file]).failed(6, "could not make the file");
    let one = pair.run(&["export", "a-2"]).fine();
    assert!(one.starts_with(r#"{"id":"a-2","#) && one.lines().count() == 1, "{one}");
    assert_eq!(pair.run(&["export", "--owner", "u-1"]).fine().lines().count(), 2);
    pair.run(&["export", "nobody"]).failed(2, "there is no session nobody");

    let other = Pair::none();
    let told = "imported sessions=3 not_taken=0 items_not_taken=0 messages_stored=305 \
                messages_found=0\n";
    assert_eq!(other.run(&["import", &file, "--recorded-use"]).fine(), told);
    let told = told.replace("stored=305", "stored=0").replace("found=0", "found=305");
    assert_eq!(other.run(&["import", &file, "--recorded-use"]).fine(), told);
    let again = other.run(&["export"]).fine();
    assert_eq!(objects(&again), objects(&export));
}

#[test]
fn completions_and_manual_pages_are_generated() {
    let text = run(&["completions", "bash"]).fine();
    assert!(text.contains("durable-session") && text.contains("salvage"));
    let pair = Pair::none();
    let folder = pair.folder.path().display().to_string();
    run(&["man", &folder]).fine();
    assert!(exists(&beside(&pair, "durable-session.1")));
    assert!(exists(&beside(&pair, "durable-session-salvage.1")));
}

#[test]
fn a_wrong_command_line_says_what_is_right() {
    run(&["list"]).failed(2, "name the store: --store redb:PATH or --store postgres:URL");
    run(&["--store", "chat.redb", "list"]).failed(2, "a store is redb:PATH or postgres:URL");
    run(&["--store", "redb:x", "look"]).failed(2, "unrecognized subcommand");
    run(&["--store", "redb:x", "show", "a/b"]).failed(2, "invalid value 'a/b'");
}

#[test]
fn a_store_that_was_not_closed_is_read_as_it_is() {
    let crashed = Pair::crashed();
    assert_eq!(crashed.only_read(&["list"]).fine().lines().count(), 3);
    assert!(crashed.only_read(&["verify"]).fine().contains("messages=305"));
    assert_eq!(crashed.only_read(&["export"]).fine().lines().count(), 3);
}
