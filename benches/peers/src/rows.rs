//! The figures: medians on the terminal, all of them in one JSON file.

use anyhow::Result;
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

const OURS: &str = "durable-session";

/// One engine doing one thing.
struct Row {
    peer: &'static str,
    what: &'static str,
    /// Microseconds for each.
    samples: Vec<f64>,
}

#[derive(Default)]
pub(crate) struct Rows {
    measured: Vec<Row>,
    durability: HashMap<&'static str, String>,
    figures: Vec<serde_json::Value>,
}

impl Rows {
    /// From here on, figures are of this folder.
    pub(crate) fn begin(&mut self, place: &Path) {
        self.measured.clear();
        println!("in {}", place.display());
    }

    /// Times one call that does `count` operations.
    pub(crate) fn time<T>(
        &mut self,
        peer: &'static str,
        what: &'static str,
        count: u32,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let began = Instant::now();
        let done = work()?;
        let each = began.elapsed().as_secs_f64() * 1e6 / f64::from(count);
        match self.measured.iter_mut().find(|row| (row.peer, row.what) == (peer, what)) {
            Some(row) => row.samples.push(each),
            None => self.measured.push(Row { peer, what, samples: vec![each] }),
        }
        Ok(done)
    }

    /// A peer's statement of its durability.
    pub(crate) fn says(&mut self, peer: &'static str, durability: &str) {
        self.durability.insert(peer, durability.to_owned());
    }

    /// A figure that is not a time of many rounds.
    pub(crate) fn add(&mut self, figure: serde_json::Value) {
        self.figures.push(figure);
    }

    pub(crate) fn print(&mut self, place: &Path) {
        let mut medians: Vec<_> = self
            .measured
            .iter_mut()
            .map(|row| {
                row.samples.sort_by(f64::total_cmp);
                let rounds = row.samples.len();
                (row.what, row.peer, row.samples[rounds / 2], row.samples[rounds / 10], rounds)
            })
            .collect();
        // Ours first, then the others by name, in whichever order they had their turns.
        medians.sort_by_key(|&(what, peer, ..)| (what, peer != OURS, peer));
        for &(what, peer, value, best, rounds) in &medians {
            let ours = medians
                .iter()
                .find(|row| (row.0, row.1) == (what, OURS))
                .map_or(f64::NAN, |row| row.2);
            let verdict = match value / ours {
                _ if peer == OURS => String::new(),
                times if times >= 1.0 => format!("durable-session is {times:.2} times as fast"),
                times => {
                    format!("WE LOSE: it is {:.2} times as fast as durable-session", 1.0 / times)
                }
            };
            let durability = self.durability.get(peer).map_or("unknown", String::as_str);
            println!(
                "{:<46} {value:>9.1} µs (a tenth below {best:>8.1}) {durability:<45} {verdict}",
                format!("peers.{what}.{peer}")
            );
            self.figures.push(json!({
                "place": place, "what": what, "peer": peer, "value": value, "tenth": best,
                "unit": "µs", "rounds": rounds,
                "durability": durability, "times_ours": value / ours,
            }));
        }
    }

    pub(crate) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&json!({ "figures": self.figures }))?)
    }
}
