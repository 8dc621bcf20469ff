//! The verdicts, printed as they come and counted.

use std::fmt::Display;
use std::process::ExitCode;

#[derive(Debug, Default)]
pub(crate) struct Report {
    right: usize,
    wrong: usize,
}

impl Report {
    /// Says whether the member `name` of `entry` behaves, with the evidence.
    pub(crate) fn say(&mut self, entry: &str, name: impl Display, right: bool, seen: impl Display) {
        let verdict = if right { "right" } else { "WRONG" };
        *(if right { &mut self.right } else { &mut self.wrong }) += 1;
        // One line each, for the script that reads them.
        let seen = seen.to_string().replace('\n', " ");
        println!("entry {entry} {name}: {verdict}: {seen}");
    }

    pub(crate) fn conclude(self) -> ExitCode {
        println!("crates right={} wrong={}", self.right, self.wrong);
        if self.wrong > 0 || self.right == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}
