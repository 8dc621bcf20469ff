//! Made-up conversations, and runs of the program on them.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part; a test may panic")]

use durable_session::ChatSessions;
use durable_session_redb::RedbStore;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

/// A small seeded generator (SplitMix64): the same seed gives the same run everywhere.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Conversations as the file has them.
pub(crate) struct Made {
    pub(crate) ids: Vec<String>,
    pub(crate) conversations: Vec<Vec<String>>,
}

impl Made {
    /// One conversation of each of these lengths. Many messages say the same, and some have fields
    /// that typed structs lose.
    pub(crate) fn new(seed: u64, lengths: &[usize]) -> Self {
        let mut seeded = Seeded(seed);
        let ids =
            (0..lengths.len()).map(|n| format!("session-{n}-{:016x}", seeded.next())).collect();
        let conversations = lengths
            .iter()
            .map(|&length| (0..length).map(|n| message(&mut seeded, n)).collect())
            .collect();
        Self { ids, conversations }
    }

    pub(crate) fn messages(&self) -> usize {
        self.conversations.iter().map(Vec::len).sum()
    }

    pub(crate) fn lines(&self) -> String {
        let mut text = String::new();
        for (id, messages) in self.ids.iter().zip(&self.conversations) {
            writeln!(text, r#"{{"id":"{id}","messages":[{}]}}"#, messages.join(",")).unwrap();
        }
        text
    }
}

const TOOL_CALLS: &str = r#"[{"z":1,"a":null}]"#;
const BIG: &str = "123456789012345678901234567890";

fn message(seeded: &mut Seeded, n: usize) -> String {
    let time = 1_763_264_606_917 + n as u64 * 1000;
    match seeded.below(8) {
        0 => r#"{"role":"user","content":"yes"}"#.to_owned(),
        1 => format!(
            r#"{{"timestamp":{time},"content":null,"role":"assistant","tool_calls":{TOOL_CALLS}}}"#
        ),
        2 => {
            format!(r#"{{"role":"user","content":"👋 \u00e4 \"{n}\"","big":{BIG}}}"#)
        }
        3 => format!(
            r#"{{"role":"tool","content":[{{"type":"text","text":"{n}"}}],"timestamp":{time}}}"#
        ),
        4 => format!(r#"{{"role":"user","content":"{}","timestamp":{time}}}"#, "long ".repeat(400)),
        _ => format!(
            r#"{{"role":"user","content":"made up {:x}","timestamp":{time}}}"#,
            seeded.next()
        ),
    }
}

/// The program, ready to be given more arguments.
pub(crate) fn replay(file: &Path, db: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
    command.arg(file).arg("--db").arg(db);
    command
}

pub(crate) fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
}

/// The last line without its rate, which differs from run to run; empty if it is no verdict.
pub(crate) fn verdict(output: &Output) -> String {
    let line = last_line(output);
    let Some((verdict, rest)) = line.split_once(" appends_per_s=") else { return String::new() };
    let (rate, skipped) = rest.split_once(' ').unwrap();
    assert!(rate.parse::<u64>().is_ok() && skipped.starts_with("skipped="), "{line}");
    format!("{verdict} {skipped}")
}

/// Works on the sessions of a database that no other process has open, and closes it.
pub(crate) async fn with_sessions<T>(db: &Path, work: impl AsyncFnOnce(&ChatSessions) -> T) -> T {
    let store = RedbStore::open(db).unwrap();
    let sessions = ChatSessions::builder(store.clone()).build();
    let done = work(&sessions).await;
    sessions.close().await.unwrap();
    store.close().await.unwrap();
    done
}
