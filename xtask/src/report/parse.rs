//! Reading the output of test runners.

use super::Counts;

/// Begins a line by which a test says that it ended early: it could not run. Indented, it is a
/// quotation, such as in the output of this crate's own tests.
const NOT_RUN: &str = "note: not run: ";
/// How the lines begin that tests print for the summary.
const TOLD: [&str; 6] = [
    "conformance ",
    "broken stores: ",
    "interleavings ",
    "ui chunks: ",
    "verified sessions=",
    NOT_RUN,
];

/// Sums the `test result:` lines of `cargo test`. A test that says that it did not run is skipped
/// and has not passed, whether its runner knows of it (and calls it ignored) or not.
pub(super) fn cargo(lines: &[String]) -> Counts {
    let mut counts = Counts::default();
    let mut not_run = 0;
    for line in lines {
        if line.starts_with(NOT_RUN) {
            not_run += 1;
        } else if let Some(result) = line.trim().strip_prefix("test result:") {
            let ignored = number_before(result, "ignored");
            counts.failed += number_before(result, "failed");
            counts.skipped += ignored.max(not_run);
            counts.passed +=
                number_before(result, "passed").saturating_sub(not_run.saturating_sub(ignored));
            not_run = 0;
        }
    }
    counts.skipped += not_run;
    counts
}

/// Sums the closing lines of node's TAP reporter.
pub(super) fn tap(lines: &[String]) -> Counts {
    let mut counts = Counts::default();
    for line in lines {
        let mut words = line.split_whitespace();
        let (Some("#"), Some(what), Some(number), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let number = number.parse::<u64>().unwrap_or(0);
        match what {
            "pass" => counts.passed += number,
            "fail" | "cancelled" => counts.failed += number,
            "skipped" | "todo" => counts.skipped += number,
            _ => {}
        }
    }
    counts
}

/// Counts the campaigns of `torture`: each ends with a line of its own.
pub(super) fn torture(lines: &[String]) -> Counts {
    let mut counts = Counts::default();
    for line in lines {
        counts.failed += u64::from(line.starts_with("FAILED "));
        counts.passed += u64::from(is_tally(line) && !is_broken(line));
    }
    counts
}

/// Whether a line has the counts of a campaign: `NAME cases=…`.
fn is_tally(line: &str) -> bool {
    line.split_once(' ').is_some_and(|(_, counts)| counts.starts_with("cases="))
}

/// Whether a tally counts a broken promise.
fn is_broken(tally: &str) -> bool {
    const KINDS: [&str; 7] = ["lost", "doubled", "reordered", "ghosts", "shown", "logged", "wrong"];
    let mut counts = tally.split(' ').filter_map(|count| count.split_once('='));
    counts.any(|(name, count)| KINDS.contains(&name) && count != "0")
}

/// The lines that tests print for the summary: conformance cases per store, broken stores caught,
/// chunks that a schema parsed, and notes.
pub(super) fn notes(lines: &[String]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    let quoted = |line: &str| line.starts_with(' ');
    // In TAP, the output of a test is a comment.
    let told = lines
        .iter()
        .filter(|line| !quoted(line) || !line.contains(NOT_RUN) && !line.contains("FAILED "));
    for line in told.map(|line| line.trim().trim_start_matches("# ")) {
        if TOLD.iter().any(|start| {
            line.starts_with(start) && line.contains(|c: char| c.is_ascii_digit() || c == ':')
        }) && !notes.iter().any(|note| note == line)
            || is_tally(line)
            || line.starts_with("FAILED ")
        {
            notes.push(line.to_owned());
        }
    }
    notes
}

/// The number in front of a word, as in `3 passed; 0 failed`; 0 if it is not there.
fn number_before(text: &str, word: &str) -> u64 {
    text.split([';', '.'])
        .filter_map(|part| part.trim().split_once(' '))
        .find(|(_, name)| *name == word)
        .and_then(|(number, _)| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Counts, cargo, notes, tap, torture};

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn every_result_line_of_cargo_test_counts() {
        let output = lines(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; \
             finished in 0.10s\n\
             test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; \
             finished in 1.00s\n\
             note: not run: there is no data\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; \
             finished in 1.00s\n\
             note: not run: there is no data\n\
             test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; \
             finished in 1.00s\n",
        );
        // One said itself that it did not run, and of another its runner knew.
        assert_eq!(cargo(&output), Counts { passed: 18, failed: 2, skipped: 3 });
    }

    #[test]
    fn every_campaign_counts_and_its_line_is_repeated() {
        let output = lines(
            "torture seed=1\nkill cases=3 checked=9 lost=0 kills=60\n\
             damage cases=1 checked=9 lost=2\n\
             FAILED damage failed; play it again\n  long t=1s",
        );
        assert_eq!(torture(&output), Counts { passed: 1, failed: 1, skipped: 0 });
        assert_eq!(notes(&output).len(), 3);
    }

    #[test]
    fn a_cancelled_node_test_counts_as_failed() {
        let output = lines(
            "# tests 5\n# pass 2\n# fail 1\n# cancelled 1\n# skipped 1\n# todo 0\n\
             # Subtest: pass 9",
        );
        assert_eq!(tap(&output), Counts { passed: 2, failed: 2, skipped: 1 });
    }

    #[test]
    fn summary_lines_are_repeated_once_and_chatter_is_not() {
        let output = lines(
            "conformance memory: 60 passed, 0 failed, 2 not applicable\n\
             conformance memory: 60 passed, 0 failed, 2 not applicable\n\
             # broken stores: 14 of 14 caught\nconformance of sorts\nanything else",
        );
        assert_eq!(
            notes(&output),
            [
                "conformance memory: 60 passed, 0 failed, 2 not applicable",
                "broken stores: 14 of 14 caught"
            ]
        );
    }

    #[test]
    fn a_quotation_of_a_skip_is_none() {
        let output = lines(
            "  note: not run: there is no data\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; \
             finished in 0.10s",
        );
        assert_eq!(cargo(&output), Counts { passed: 3, failed: 0, skipped: 0 });
        assert_eq!(notes(&output), Vec::<String>::new());
    }
}
