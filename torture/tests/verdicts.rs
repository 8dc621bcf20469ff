//! The verdict of every campaign can turn: one that sees something altered prints a count of it and
//! fails.
//!
//! `--doctor KIND` alters what a campaign sees, between what it attacks and its checks. All else is
//! as always: the same program, checks, counts and exit code.
#![allow(clippy::unwrap_used, clippy::panic)] // Clippy knows tests, but not their helpers.

use std::process::Command;

/// What a campaign printed of itself, and whether the program said that all is well.
struct Verdict {
    ok: bool,
    tally: Vec<(String, u64)>,
    printed: String,
}

impl Verdict {
    fn of(campaign: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_torture"));
        let output = command.args(["--only", campaign, "--seed", "1"]).args(arguments).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let line = printed.lines().find(|line| line.starts_with(&format!("{campaign} cases=")));
        let counts = line.unwrap_or_default().split(' ').filter_map(|count| count.split_once('='));
        let tally = counts.map(|(name, count)| (name.to_owned(), count.parse().unwrap())).collect();
        Self { ok: output.status.success(), tally, printed }
    }

    fn count(&self, name: &str) -> u64 {
        let found = self.tally.iter().find(|(counted, _)| counted == name);
        found.unwrap_or_else(|| panic!("{name} is not counted: {}", self.printed)).1
    }
}

/// Plays the campaign as it is, then with each of these altered. `all_well` is how it is played as
/// it is.
fn turns(campaign: &str, kinds: &[&str], all_well: &[&str]) {
    let verdict = Verdict::of(campaign, all_well);
    assert!(verdict.ok, "{}", verdict.printed);
    assert!(!verdict.printed.contains("FAILED"), "{}", verdict.printed);
    assert!(verdict.count("cases") > 0 && verdict.count("checked") > 0, "{}", verdict.printed);
    for kind in kinds {
        assert_eq!(verdict.count(kind), 0, "{}", verdict.printed);
    }
    for doctored in kinds {
        let verdict = Verdict::of(campaign, &["--doctor", doctored]);
        assert!(!verdict.ok, "{campaign} does not see {doctored}: {}", verdict.printed);
        assert!(verdict.count(doctored) > 0, "{campaign} does not count {doctored}: {}", verdict.printed);
        for other in kinds.iter().filter(|other| *other != doctored) {
            assert_eq!(verdict.count(other), 0, "{campaign} takes {doctored} for it: {}", verdict.printed);
        }
        let told = format!("FAILED {campaign} failed; play it again with --only {campaign} --seed 1 --case ");
        assert!(verdict.printed.contains(&told), "{}", verdict.printed);
    }
}

const OF_MESSAGES: [&str; 5] = ["lost", "doubled", "reordered", "ghosts", "wrong"];
const ONE_CASE: [&str; 2] = ["--case", "0"];

#[test]
fn the_verdict_on_power_loss_can_turn() {
    turns("power-loss", &OF_MESSAGES, &ONE_CASE);
}

#[test]
fn the_verdict_on_failing_disks_can_turn() {
    turns("io-faults", &OF_MESSAGES, &[]);
}

#[test]
fn the_verdict_on_killed_processes_can_turn() {
    turns("kill", &OF_MESSAGES, &ONE_CASE);
}

#[test]
fn the_verdict_on_damaged_files_can_turn() {
    turns("damage", &OF_MESSAGES, &ONE_CASE);
}

#[test]
fn the_verdict_on_histories_of_concurrent_clients_can_turn() {
    turns("histories", &OF_MESSAGES, &ONE_CASE);
}

#[test]
fn the_verdict_on_the_comparison_of_stores_can_turn() {
    turns("model", &OF_MESSAGES, &ONE_CASE);
}

#[test]
fn the_verdict_on_a_long_run_can_turn() {
    turns("long", &["lost", "ghosts", "wrong"], &ONE_CASE);
}

#[test]
fn the_verdict_on_security_can_turn() {
    turns("security", &["shown", "logged", "wrong"], &ONE_CASE);
}

#[test]
fn a_campaign_that_is_not_known_is_a_failure() {
    let verdict = Verdict::of("no-such-campaign", &[]);
    assert!(!verdict.ok && verdict.tally.is_empty(), "{}", verdict.printed);
}
