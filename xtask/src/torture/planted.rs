//! `cargo xtask torture --planted`: the campaigns on copies of the checkout with a planted bug.

use super::PG_BIN;
use super::interleavings::{self, Asked};
use crate::planted::{Finder, Patch, Tree};
use crate::setup::postgres_programs;
use crate::shell::{Shell, Step};
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// For how long a campaign may look for a bug, in minutes.
const MINUTES: &str = "5";

/// Plants each bug and runs everything that has to find it; with `--only`, a single campaign or a
/// single bug. `true` if all were found.
pub(super) fn run(shell: &Shell, asked: &Asked) -> Result<bool> {
    let seed = asked.seed();
    let tree = Tree::take(shell)?;
    let (mut found, mut all) = (0, 0);
    for patch in Patch::all(shell)? {
        let name = &patch.name;
        let is_wanted = |finder: &&Finder| {
            asked.only.as_ref().is_none_or(|only| only == name || only == campaign(finder))
        };
        let finders: Vec<_> = patch.finders.iter().filter(is_wanted).collect();
        all += finders.len();
        if finders.is_empty() {
            continue;
        }
        if let Err(error) = tree.plant(&patch) {
            println!("planted {name}: FAILED: {error:#}");
            continue;
        }
        for finder in finders {
            let campaign = campaign(finder);
            match told(shell, &tree, finder, seed)? {
                Some(told) => {
                    found += 1;
                    let told: String = told.chars().take(300).collect();
                    println!("planted {name}: found, seed={seed}: {campaign}: {told}");
                }
                None => println!("planted {name}: MISSED by {campaign}, seed={seed}"),
            }
        }
    }
    ensure!(all > 0, "no campaign and no planted bug has this name");
    println!("planted bugs: {found} of {all} found");
    Ok(found == all)
}

fn campaign(finder: &Finder) -> &str {
    match finder {
        Finder::Campaign(name) => name,
        Finder::Interleavings => interleavings::NAME,
        Finder::Conformance(_) => "conformance",
    }
}

/// The line in which a finder tells that it failed, if it did. A copy that does not compile is not
/// a bug that was found.
fn told(shell: &Shell, tree: &Tree<'_>, finder: &Finder, seed: u64) -> Result<Option<String>> {
    match finder {
        Finder::Campaign(name) => {
            let build = tree.cargo(["build", "--profile", "torture", "--package", "torture"]);
            if !Step::new(shell, "build with a planted bug", build).run()?.ok {
                return Ok(None);
            }
            let mut program = shell.command(tree.built().join("torture/torture"));
            program.args(["--only", name, "--minutes", MINUTES, "--seed", &seed.to_string()]);
            if let Ok(programs) = postgres_programs(shell)? {
                program.env(PG_BIN, programs);
            }
            line(program, |line| line.starts_with("FAILED "))
        }
        Finder::Interleavings => {
            let mut command = interleavings::command_in(tree);
            command.env("SHUTTLE_RANDOM_SEED", seed.to_string());
            line(command, |line| line.starts_with("test ") && line.ends_with("FAILED"))
        }
        Finder::Conformance(case) => {
            Ok(tree.case_fails(case)?.then(|| format!("test {case} ... FAILED")))
        }
    }
}

/// The first line of this kind that a program prints.
fn line(mut program: Command, is_it: impl Fn(&str) -> bool) -> Result<Option<String>> {
    let output = program.output().context("could not start the campaign")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    Ok(printed.lines().find(|line| is_it(line)).map(str::to_owned))
}
