//! The verdict of every campaign can turn: one that sees something altered prints a count of it and
//! fails.
//!
//! `--alter KIND` alters the messages that a campaign sees, before its checks. All else is as
//! always: the same program, checks, counts and exit code.
#![allow(clippy::unwrap_used, clippy::panic)] // Clippy knows tests, but not their helpers.

use std::process::Command;

/// The counts that a campaign printed, and whether the program said that all is well.
struct Verdict {
    ok: bool,
    tally: Vec<(String, u64)>,
    printed: String,
}

impl Verdict {
    fn of(campaign: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_torture"));
        let output =
            command.args(["--only", campaign, "--seed", "1"]).args(arguments).output().unwrap();
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
    for altered in kinds {
        sees(campaign, altered, kinds, &[]);
    }
}

/// The same of the chunks of open replies, which the campaign has to see at all.
fn turns_on_chunks(campaign: &str, all_well: &[&str]) {
    let verdict = Verdict::of(campaign, all_well);
    assert!(verdict.ok && verdict.count("chunks") > 0, "{}", verdict.printed);
    for altered in &OF_CHUNKS {
        sees(campaign, altered, &OF_MESSAGES, &["--chunks"]);
    }
}

/// An alteration is counted as its kind, and as no other.
fn sees(campaign: &str, altered: &str, kinds: &[&str], how: &[&str]) {
    let verdict = Verdict::of(campaign, &[&["--alter", altered], how].concat());
    assert!(!verdict.ok, "{campaign} does not see {altered}: {}", verdict.printed);
    assert!(verdict.count(altered) > 0, "{campaign} does not count {altered}: {}", verdict.printed);
    for other in kinds.iter().filter(|other| **other != altered) {
        assert_eq!(
            verdict.count(other),
            0,
            "{campaign} takes {altered} for it: {}",
            verdict.printed
        );
    }
    let told =
        format!("FAILED {campaign} failed; play it again with --only {campaign} --seed 1 --case ");
    assert!(verdict.printed.contains(&told), "{}", verdict.printed);
    assert!(verdict.printed.contains(&how.concat()), "{}", verdict.printed);
}

const OF_MESSAGES: [&str; 5] = ["lost", "doubled", "reordered", "ghosts", "wrong"];
const OF_CHUNKS: [&str; 4] = ["lost", "doubled", "reordered", "ghosts"];
const ONE_CASE: [&str; 2] = ["--case", "0"];

#[test]
fn the_verdict_on_power_loss_can_turn() {
    turns("power-loss", &OF_MESSAGES, &ONE_CASE);
}

#[test]
fn the_verdict_on_power_loss_can_turn_on_chunks() {
    turns_on_chunks("power-loss", &ONE_CASE);
}

#[test]
fn the_verdict_on_failing_disks_can_turn() {
    turns("io-faults", &OF_MESSAGES, &[]);
}

#[test]
fn the_verdict_on_failing_disks_can_turn_on_chunks() {
    turns_on_chunks("io-faults", &[]);
}

#[test]
fn the_verdict_on_killed_processes_can_turn() {
    turns("kill", &OF_MESSAGES, &ONE_CASE);
}

#[test]
fn the_verdict_on_killed_processes_can_turn_on_chunks() {
    turns_on_chunks("kill", &ONE_CASE);
}

#[test]
fn the_verdict_on_followers_of_a_killed_server_can_turn() {
    turns("followers", &OF_MESSAGES, &ONE_CASE);
}

#[test]
fn the_verdict_on_followers_of_a_killed_server_can_turn_on_chunks() {
    turns_on_chunks("followers", &ONE_CASE);
}

#[test]
fn the_verdict_on_damaged_files_can_turn() {
    turns("damage", &OF_MESSAGES, &ONE_CASE);
}

#[test]
fn the_verdict_on_damaged_files_can_turn_on_chunks() {
    turns_on_chunks("damage", &ONE_CASE);
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
fn the_verdict_on_the_comparison_of_stores_can_turn_on_chunks() {
    turns_on_chunks("model", &ONE_CASE);
}

#[test]
fn the_verdict_on_context_views_can_turn() {
    turns("context", &["invalid", "not-maximal", "wrong"], &[]);
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
fn the_verdict_on_an_attacked_postgres_server_can_turn() {
    if std::env::var_os("PG_BIN").is_none() {
        println!(
            "note: not run: the verdict on PostgreSQL: PG_BIN is not set (`cargo xtask test`)"
        );
        return;
    }
    turns("postgres", &OF_MESSAGES, &ONE_CASE);
    turns("replicas", &OF_MESSAGES, &ONE_CASE);
}

/// The line for `docs/runs.tsv`: cases and digest.
fn line(campaign: &str, first: &str) -> (String, String) {
    let verdict = Verdict::of(campaign, &["--first", first, "--cases", "4"]);
    assert!(verdict.ok, "{}", verdict.printed);
    let start = format!("{campaign}\t");
    let line = verdict.printed.lines().find(|line| line.starts_with(&start)).unwrap();
    let columns: Vec<_> = line.split('\t').collect();
    assert_eq!(columns.len(), 7, "{line}");
    assert!(columns[5].starts_with("held: checked="), "{line}");
    (columns[3].to_owned(), columns[6].to_owned())
}

#[test]
fn a_part_of_a_run_that_is_played_again_has_the_same_digest() {
    for campaign in ["model", "power-loss", "damage", "histories"] {
        let (cases, digest) = line(campaign, "3");
        assert_eq!(cases, "3..7", "{campaign}");
        assert_eq!(line(campaign, "3").1, digest, "{campaign}");
        assert_ne!(line(campaign, "4").1, digest, "{campaign}");
    }
}

#[test]
fn a_campaign_that_is_not_known_is_a_failure() {
    let verdict = Verdict::of("no-such-campaign", &[]);
    assert!(!verdict.ok && verdict.tally.is_empty(), "{}", verdict.printed);
}
