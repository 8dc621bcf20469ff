//! An import that is killed three times.

use crate::program::{self, printed};
use crate::{Common, conversations};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::thread::sleep;
use std::time::Duration;

/// After so many milliseconds of an import it is killed.
const KILLED_AFTER: [u64; 3] = [1_000, 2_000, 3_000];

pub(crate) fn run(common: &Common, store: &str, conversations: usize) -> Result<()> {
    let (lines, export) = (common.folder.join("lines.jsonl"), common.folder.join("export.jsonl"));
    let _ = std::fs::remove_file(&export);
    conversations::write(&lines, conversations)?;
    let (lines, file) = (lines.display().to_string(), export.display().to_string());
    for after in KILLED_AFTER {
        let mut child = program::start(common, store, &["import", &lines])?;
        sleep(Duration::from_millis(after));
        ensure!(child.try_wait()?.is_none(), "the import had ended before it was killed");
        child.kill()?;
        child.wait()?;
        program::run(common, store, &["stats", "--json"])?;
        println!("killed after {after} ms: {}", printed(common)?);
    }
    for _ in 0..2 {
        let took = program::run(common, store, &["import", &lines])?;
        println!("{:.1} s: {}", took.time.as_secs_f64(), printed(common)?);
    }
    let took = program::run(common, store, &["export", "-o", &file])?;
    println!("{:.1} s: export", took.time.as_secs_f64());
    compare(BufReader::new(std::fs::File::open(&export)?), conversations)
}

/// Each conversation is there once, with its messages in order.
fn compare(export: impl BufRead, conversations: usize) -> Result<()> {
    let mut missing: HashMap<String, usize> =
        (0..conversations).map(|n| (conversations::id(n), n)).collect();
    let mut messages = 0;
    for line in export.lines() {
        let line: Value = serde_json::from_str(&line?)?;
        let id = line["id"].as_str().context("a line without an id")?;
        let n =
            missing.remove(id).with_context(|| format!("{id} is there twice, or is foreign"))?;
        let given = conversations::messages(n);
        messages += given.len();
        ensure!(line["state"]["messages"] == Value::Array(given), "{id} has other messages");
    }
    ensure!(missing.is_empty(), "{} conversations are missing", missing.len());
    println!("equal: {conversations} conversations, {messages} messages");
    Ok(())
}
