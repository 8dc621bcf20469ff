//! The counts of the interleavings' scenarios, read from their output.

use super::interleavings::NAME;
use std::collections::BTreeSet;
use std::fmt;

/// The counts of broken promises that a scenario's check prints, in this order.
const BROKEN: [&str; 3] = ["lost", "doubled", "reordered"];

/// The sum of all rounds. Nothing in it is assumed: only printed counts are counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    cases: u64,
    distinct: u64,
    checked: u64,
    broken: [u64; BROKEN.len()],
    /// Scenarios that found anything else: another assertion failed in a schedule.
    wrong: u64,
    /// A run failed, independent of the counts.
    failed: bool,
}

impl Tally {
    /// Takes in one run of the scenarios.
    ///
    /// A scenario whose schedules all held prints `interleavings NAME: schedules=… distinct=…
    /// checked=…`; one whose check failed prints `BROKEN lost=… doubled=… reordered=…: …`, once or
    /// several times, in the section with its output.
    pub(super) fn add(&mut self, lines: &[String], ok: bool) {
        let mut scenario = "";
        let mut explained = BTreeSet::new();
        let mut failed = 0;
        for line in lines.iter().map(|line| line.trim()) {
            if let Some(name) =
                line.strip_prefix("---- ").and_then(|line| line.strip_suffix(" stdout ----"))
            {
                scenario = name;
            }
            failed += u64::from(line.starts_with("test ") && line.ends_with("... FAILED"));
            let counts = line.strip_prefix("interleavings ").and_then(|line| line.split_once(": "));
            if let Some((_, counts)) = counts.filter(|(_, counts)| counts.starts_with("schedules="))
            {
                self.cases += count(counts, "schedules");
                self.distinct += count(counts, "distinct");
                self.checked += count(counts, "checked");
                explained.insert(scenario);
            } else if let Some((_, counts)) = line.split_once("BROKEN ")
                && explained.insert(scenario)
            {
                let counts = counts.split(':').next().unwrap_or_default();
                for (broken, name) in self.broken.iter_mut().zip(BROKEN) {
                    *broken += count(counts, name);
                }
            }
        }
        let sections = lines.iter().filter_map(|line| line.trim().strip_prefix("---- "));
        let sections: BTreeSet<_> =
            sections.filter_map(|line| line.strip_suffix(" stdout ----")).collect();
        self.wrong += sections.difference(&explained).count() as u64;
        self.failed |= !ok || failed > 0;
    }

    /// Whether something was checked and every promise held.
    pub(super) fn held(&self) -> bool {
        !self.failed && self.checked > 0 && self.wrong == 0 && self.broken == [0; BROKEN.len()]
    }

    pub(super) fn count(&self, name: &str) -> u64 {
        match BROKEN.iter().position(|broken| *broken == name) {
            Some(at) => self.broken[at],
            None => self.wrong,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME} cases={} checked={}", self.cases, self.checked)?;
        BROKEN
            .iter()
            .zip(self.broken)
            .try_for_each(|(name, count)| write!(f, " {name}={count}"))?;
        write!(f, " wrong={} distinct_per_round={}", self.wrong, self.distinct)
    }
}

/// The number behind `NAME=`; 0 if there is none.
fn count(text: &str, name: &str) -> u64 {
    text.split(' ')
        .filter_map(|part| part.split_once('='))
        .find(|(found, _)| *found == name)
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn after(text: &str, ok: bool) -> Tally {
        let mut tally = Tally::default();
        tally.add(&text.lines().map(str::to_owned).collect::<Vec<_>>(), ok);
        tally
    }

    #[test]
    fn the_counts_of_scenarios_that_held_are_summed() {
        let tally = after(
            "---- a stdout ----\ninterleavings two chats: schedules=600 distinct=412 checked=1200\n\
             ---- b stdout ----\ninterleavings close: schedules=600 distinct=9 checked=30\n\
             interleavings are fun: indeed",
            true,
        );
        assert!(tally.held());
        assert_eq!(
            tally.to_string(),
            "interleavings cases=1200 checked=1230 lost=0 doubled=0 reordered=0 wrong=0 \
             distinct_per_round=421"
        );
    }

    #[test]
    fn the_findings_of_a_check_are_counted_once_per_scenario() {
        let tally = after(
            "test c1_x ... FAILED\ntest c2_y ... FAILED\ntest c3_z ... FAILED\n\
             ---- c1_x stdout ----\nBROKEN lost=2 doubled=0 reordered=1: [a]\n\
             BROKEN lost=2 doubled=0 reordered=1: [a]\n\
             ---- c2_y stdout ----\nassertion failed\n\
             ---- c3_z stdout ----\nBROKEN lost=0 doubled=1 reordered=0: [b]",
            false,
        );
        assert!(!tally.held());
        let found = ["lost", "doubled", "reordered", "wrong"].map(|name| tally.count(name));
        assert_eq!(found, [2, 1, 1, 1]);
    }

    #[test]
    fn a_run_that_checked_nothing_or_failed_otherwise_has_not_held() {
        assert!(
            !after(
                "---- a stdout ----\ninterleavings two chats: schedules=6 distinct=4 checked=0",
                true
            )
            .held()
        );
        assert!(!after("", true).held());
        assert!(!after("error[E0308]: mismatched types", false).held());
        // All schedules held, but they were too few.
        let few = after(
            "test a ... FAILED\n---- a stdout ----\n\
             interleavings a: schedules=6 distinct=4 checked=9",
            false,
        );
        assert!(!few.held());
        assert_eq!(few.count("wrong"), 0);
    }
}
