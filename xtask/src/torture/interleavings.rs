//! The campaign on the session engine under a concurrency checker: `crates/core/tests/interleavings.rs`, built with
//! `--cfg shuttle`.

use super::tally::Tally;
use crate::report::Part;
use crate::shell::{Shell, Step};
use anyhow::{Context, Result};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::Command;
use std::time::{Duration, Instant};

pub(super) const NAME: &str = "interleavings";

/// Schedules of each kind per scenario, in one round.
const QUICK: u64 = 300;
const ROUND: u64 = 2_000;

/// So that the checker sees something else than what is stored: the kinds of `BROKEN` lines, and
/// something stored that nobody sent, which the scenarios' other assertions have to find.
const DOCTORED: [(&str, &str); 4] =
    [("lost", "lost"), ("doubled", "doubled"), ("reordered", "reordered"), ("ghosts", "wrong")];
/// The variable that asks for it.
const DOCTOR: &str = "INTERLEAVINGS_DOCTOR";

/// The bugs that this campaign has to find.
const PLANTED: [&str; 2] = ["slot-check-then-act", "leave-answers-to-callers"];

/// What the command line of the campaigns says that matters here; their own program refuses what is wrong.
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
}

/// The scenarios, `schedules` of each kind.
pub(crate) fn command(shell: &Shell, schedules: u64) -> Command {
    build(shell, "shuttle", "--cfg shuttle", schedules)
}

fn build(shell: &Shell, folder: &str, flags: &str, schedules: u64) -> Command {
    let mut command = shell.cargo(["test", "--package", "durable-session", "--test", "interleavings"]);
    command.arg("--target-dir").arg(shell.target().join(folder)).args(["--", "--show-output"]);
    let given = std::env::var("RUSTFLAGS").unwrap_or_default();
    command.env("RUSTFLAGS", format!("{given} {flags}")).env("INTERLEAVINGS", schedules.to_string());
    command
}

/// Rounds of schedules, each from a seed of its own, until the time is over. `true` if every promise held, or with
/// planted bugs if this campaign's was found.
pub(super) fn run(shell: &Shell, asked: &Asked) -> Result<bool> {
    let seed = asked.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    if asked.planted {
        return planted(shell, seed);
    }
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

/// Shows that the verdict can turn: whatever is altered of what the scenarios see is counted, and
/// fails.
pub(crate) fn turn(shell: &Shell, part: &mut Part) -> Result<()> {
    for (doctored, counted) in DOCTORED {
        let began = Instant::now();
        let output = command(shell, 5).env(DOCTOR, doctored).output().context("could not start cargo")?;
        let lines = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>();
        let mut tally = Tally::default();
        tally.add(&lines, output.status.success());
        let turned = !tally.held() && tally.count(counted) > 0;
        if !turned {
            println!("   {NAME} with {doctored} messages: {tally}");
        }
        part.check(&format!("{NAME}: the verdict on {doctored} turns"), turned, began.elapsed());
    }
    Ok(())
}

fn planted(shell: &Shell, seed: u64) -> Result<bool> {
    let mut all = true;
    for bug in PLANTED {
        let mut command = build(shell, "planted-shuttle", "--cfg shuttle --cfg planted", ROUND);
        command.env("SHUTTLE_RANDOM_SEED", seed.to_string()).env("DURABLE_SESSION_PLANTED", bug);
        let output = command.output()?;
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = output.lines().find(|line| line.starts_with("test ") && line.ends_with("FAILED"));
        match told {
            Some(told) => println!("planted {bug}: found, seed={seed}: {NAME}: {told}"),
            None => println!("planted {bug}: MISSED by {NAME}, seed={seed}"),
        }
        all &= told.is_some();
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_understood_as_the_campaigns_understand_it() {
        let asked = Asked::from(&["--only=interleavings", "--seed", "7", "--minutes=0.5"].map(str::to_owned));
        assert_eq!(asked.only.as_deref(), Some("interleavings"));
        assert_eq!((asked.seed, asked.minutes, asked.planted), (Some(7), Some(0.5), false));
    }
}
