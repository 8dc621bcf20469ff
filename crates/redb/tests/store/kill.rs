//! A process that is killed while it writes to files: nothing acknowledged is lost.

use crate::support::{ALL, append, bodies, create, id, in_child, small, tiny};
use durable_session::store::{LoadOutcome, SessionStore};
use durable_session_redb::{OpenCheck, RedbStoreBuilder};
use futures_executor::block_on;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

fn builder(name: &str) -> RedbStoreBuilder {
    match name {
        "tiny" => tiny(),
        "first" => tiny().check(OpenCheck::First),
        _ => small(),
    }
}

/// Appends numbers, and prints each when it is acknowledged.
fn write_until_killed(path: &str) {
    let (name, path) = path.split_once(':').unwrap();
    let store = builder(name).open(path).unwrap();
    let s = id("s");
    let loaded = block_on(store.load(&s, ALL)).unwrap();
    let (mut head, mut next) = match loaded {
        LoadOutcome::Loaded(loaded) => {
            for (n, body) in bodies(&loaded.tail).iter().enumerate() {
                assert!(body.starts_with(&format!("{n} ")), "message {n} is {body}");
            }
            (loaded.head, loaded.tail.len())
        }
        _ => (block_on(create(&store, &s, &[])), 0),
    };
    let mut out = std::io::stdout();
    writeln!(out, "has {next}").unwrap();
    loop {
        let body = format!("{next} {}", "x".repeat(next % 700));
        head = block_on(append(&store, &s, head, &[&body]));
        next += 1;
        writeln!(out, "has {next}").unwrap();
    }
}

#[test]
fn a_kill_at_any_moment_loses_no_acknowledged_message() {
    if let Some(path) = in_child("KILLED") {
        return write_until_killed(&path);
    }
    for name in ["small", "tiny", "first"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.redb");
        let mut acknowledged = 0;
        for round in 0..12 {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "kill::a_kill_at_any_moment_loses_no_acknowledged_message"])
                .arg("--nocapture")
                .env("DURABLE_SESSION_TEST_KILLED", format!("{name}:{}", path.display()))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut left = 3 + round * 7;
            let mut first = true;
            for line in lines {
                let line = line.unwrap();
                // The first line is behind the words of the test's own report.
                let Some((_, count)) = line.rsplit_once("has ") else { continue };
                let count: usize = count.parse().unwrap();
                if std::mem::take(&mut first) {
                    assert!(
                        (acknowledged..=acknowledged + 1).contains(&count),
                        "{name}, round {round}: {count} messages, {acknowledged} acknowledged"
                    );
                }
                acknowledged = acknowledged.max(count);
                left -= 1;
                if left == 0 {
                    child.kill().unwrap();
                }
            }
            assert!(!child.wait().unwrap().success());
            assert!(!first, "{name}, round {round}: the child did not open the store");
        }
        // Those that were printed before the kill took effect were read, too.
        let store = builder(name).open(&path).unwrap();
        let loaded = block_on(store.load(&id("s"), ALL)).unwrap().loaded().unwrap();
        assert!((acknowledged..=acknowledged + 1).contains(&loaded.tail.len()));
        assert!(block_on(store.verify(|_| {})).unwrap().damage.is_empty());
        block_on(store.close()).unwrap();
    }
}
