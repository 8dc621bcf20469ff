//! The project's chores:
//! `cargo xtask test | verify | fix | bench | torture | faults | syncs | package | semver`.
//!
//! Everything is run from here, on a laptop and in CI alike, so that a green run means the same in
//! both.

mod bench;
mod doors;
mod faults;
mod fix;
mod lines;
mod msrv;
mod package;
mod packages;
mod planted;
mod report;
mod semver;
mod setup;
mod shell;
mod suite;
mod syncs;
mod torture;
mod tracked;
mod verify;
mod workers;

use anyhow::Result;
use clap::{Parser, Subcommand};
use shell::Shell;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "The chores of durable-session",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run every test, or one part of them; ends with a line of counts.
    Test {
        /// Only this part.
        part: Option<suite::Part>,
    },
    /// Check formatting, lints, docs, licences, dependencies, packages, the wasm32 build, the
    /// length of lines, the planted bugs and the table of tests (`docs/doors.md`). Changes nothing.
    Verify,
    /// Format, and apply the lints' own corrections.
    Fix,
    /// Measure: figures with their targets, peers, criterion, the Worker. JSON and plots go into
    /// `target/bench/`.
    Bench {
        /// Fewer samples: a first impression rather than a figure.
        #[arg(long)]
        quick: bool,
        /// Only figures whose group's name contains this; or `peers`, `bars`, `python`,
        /// `sustained`, `deletes`, `postgres`, `criterion`, `workers`.
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
    },
    /// Attack the promises: power loss, failing disks, kills, damage and more.
    #[command(disable_help_flag = true)]
    Torture {
        /// Options of the program: `--quick`, `--minutes N`, `--seed S`, `--only NAME`, `--case K`,
        /// `--help`. With `--planted`, the campaigns look for the bugs of `torture/planted`;
        /// `--only` then names a campaign or a bug.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Play the faults that users once met: each is WRONG or right, with the evidence.
    Faults {
        /// Another checkout, such as one of an older commit, whose programs and crates are built
        /// and played.
        #[arg(long, value_name = "DIR")]
        against: Option<PathBuf>,
        /// Options of the script: `--only ENTRY`, `--slow`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Trace a small server with `strace`: each of 40 messages is in the log, then synced, and then
    /// answered.
    Syncs,
    /// Pack every published crate and build it from its packed files; they are in
    /// `target/package/crates/`.
    Package,
    /// Compare the public API with a release's or any other revision's.
    Semver {
        /// A tag, branch or commit; the last release's tag if none is given.
        #[arg(long, value_name = "REV")]
        baseline: Option<String>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<bool> {
    let shell = Shell::new()?;
    match task {
        Task::Test { part } => suite::run(&shell, part),
        Task::Verify => verify::run(&shell),
        Task::Fix => fix::run(&shell),
        Task::Bench { quick, only } => bench::run(&shell, quick, only.as_deref()),
        Task::Torture { args } => torture::run(&shell, &args),
        Task::Faults { against, args } => faults::run(&shell, against.as_deref(), &args),
        Task::Syncs => syncs::run(&shell),
        Task::Package => package::run(&shell, &packages::Packages::of(&shell)?),
        Task::Semver { baseline } => semver::run(&shell, baseline.as_deref()),
    }
}
