//! The campaign on the session engine under a concurrency checker:
//! `crates/core/tests/interleavings`, built with `--cfg shuttle`.

use super::tally::Tally;
use crate::planted::Tree;
use crate::report::Part;
use crate::shell::{Shell, Step};
use anyhow::{Context, Result};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub(super) const NAME: &str = "interleavings";

/// Schedules of each kind per scenario, in one round.
const QUICK: u64 = 300;
const ROUND: u64 = 2_000;

/// Alterations of the stored messages that the checker sees: the kinds of `BROKEN` lines, and a
/// message that nobody sent, which the scenarios' other assertions have to find.
const ALTERED: [(&str, &str); 4] =
    [("lost", "lost"), ("doubled", "doubled"), ("reordered", "reordered"), ("ghosts", "wrong")];
/// The variable that asks for it.
const ALTER: &str = "INTERLEAVINGS_ALTER";

/// The options of the campaigns' command line that matter here; their own program refuses wrong
/// ones.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) only: Option<String>,
    pub(super) planted: bool,
    pub(super) help: bool,
    seed: Option<u64>,
    minutes: Option<f64>,
}

impl Asked {
    pub(super) fn from(args: &[String]) -> Self {
        let mut asked = Self::default();
        let mut args = args.iter().flat_map(|arg| arg.split('='));
        while let Some(arg) = args.next() {
            match arg {
                "--only" => asked.only = args.next().map(str::to_owned),
                "--seed" => asked.seed = args.next().and_then(|seed| seed.parse().ok()),
                "--minutes" => asked.minutes = args.next().and_then(|minutes| minutes.parse().ok()),
                "--planted" => asked.planted = true,
                "--help" | "-h" => asked.help = true,
                _ => {}
            }
        }
        asked
    }

    /// The seed that was asked for, or a new one.
    pub(super) fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish())
    }
}

/// The scenarios, `schedules` of each kind.
pub(crate) fn command(shell: &Shell, schedules: u64) -> Command {
    with_shuttle(shell.cargo(TEST), &shell.target().join("shuttle"), schedules)
}

/// The scenarios in a copy of the checkout, a round of them.
pub(super) fn command_in(tree: &Tree<'_>) -> Command {
    with_shuttle(tree.cargo(TEST), &tree.built().join("shuttle"), ROUND)
}

const TEST: [&str; 5] = ["test", "--package", "durable-session", "--test", "interleavings"];

fn with_shuttle(mut test: Command, target: &Path, schedules: u64) -> Command {
    test.arg("--target-dir").arg(target).args(["--", "--show-output"]);
    let given = std::env::var("RUSTFLAGS").unwrap_or_default();
    test.env("RUSTFLAGS", format!("{given} --cfg shuttle"));
    test.env("INTERLEAVINGS", schedules.to_string());
    test
}

/// Rounds of schedules, each from a seed of its own, until the time is over. `true` if every
/// promise held.
pub(super) fn run(shell: &Shell, asked: &Asked) -> Result<bool> {
    let seed = asked.seed();
    println!("torture seed={seed}");
    let time = asked.minutes.map(|minutes| Duration::from_secs_f64(minutes.clamp(0.0, 1e6) * 60.0));
    let began = Instant::now();
    let mut tally = Tally::default();
    for round in 0.. {
        let seed = seed.wrapping_add(round);
        let mut command = command(shell, if time.is_some() { ROUND } else { QUICK });
        command.env("SHUTTLE_RANDOM_SEED", seed.to_string());
        let finished = Step::new(shell, NAME, command).run()?;
        tally.add(&finished.lines, finished.ok);
        if !tally.held() {
            println!("{tally}");
            println!("FAILED {NAME}; play it again with --only {NAME} --seed {seed}");
            return Ok(false);
        }
        if time.is_none_or(|time| began.elapsed() >= time) {
            break;
        }
    }
    println!("{tally}");
    Ok(true)
}

/// Shows that the verdict can turn: an alteration of the messages that the scenarios see is
/// counted, and fails.
pub(crate) fn turn(shell: &Shell, part: &mut Part) -> Result<()> {
    for (altered, counted) in ALTERED {
        let began = Instant::now();
        let output =
            command(shell, 5).env(ALTER, altered).output().context("could not start cargo")?;
        let lines =
            String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>();
        let mut tally = Tally::default();
        tally.add(&lines, output.status.success());
        let turned = !tally.held() && tally.count(counted) > 0;
        if !turned {
            println!("   {NAME} with {altered} messages: {tally}");
        }
        part.check(&format!("{NAME}: the verdict on {altered} turns"), turned, began.elapsed());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Asked;

    #[test]
    fn options_are_understood_as_the_campaigns_understand_them() {
        let asked = Asked::from(
            &["--only=interleavings", "--seed", "7", "--minutes=0.5"].map(str::to_owned),
        );
        assert_eq!(asked.only.as_deref(), Some("interleavings"));
        assert_eq!((asked.seed, asked.minutes, asked.planted), (Some(7), Some(0.5), false));
    }
}
