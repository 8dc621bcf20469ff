//! Attacks every promise of durable-session by machine. Run it as `cargo xtask torture`.

mod campaign;
mod damage;
mod histories;
mod io_faults;
mod kill;
mod long;
mod model;
mod model_run;
mod planted;
mod power_loss;
mod security;
mod seeded;
mod verdict;

use campaign::{Budget, Plan, Tally};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use verdict::Kind;

/// One campaign: its name and how it is run.
type Campaign = (&'static str, fn(&Plan) -> Tally);

const CAMPAIGNS: [Campaign; 8] = [
    (power_loss::NAME, power_loss::run),
    (io_faults::NAME, io_faults::run),
    (kill::NAME, kill::run),
    (damage::NAME, damage::run),
    (histories::NAME, histories::run),
    (model_run::NAME, model_run::run),
    (long::NAME, long::run),
    (security::NAME, security::run),
];

#[derive(Debug, Parser)]
#[command(name = "torture", about = "Attacks every promise of durable-session by machine")]
struct Cli {
    /// Every campaign for some seconds; this is what runs without --minutes, too.
    #[arg(long, conflicts_with = "minutes")]
    quick: bool,
    /// Each campaign for so long.
    #[arg(long, value_name = "N")]
    minutes: Option<f64>,
    /// What all random choices come from; a fresh one unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this campaign. `interleavings`, which needs a build of its own, only `cargo xtask torture` knows.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Only this case of it.
    #[arg(long, requires = "only", requires = "seed")]
    case: Option<u64>,
    /// Show that a verdict can turn: alter in this way what the campaign sees, before it checks it.
    #[arg(long, value_name = "KIND", requires = "only")]
    doctor: Option<Kind>,
    /// Show that each campaign finds the bug that is planted for it.
    #[arg(long)]
    planted: bool,
    /// What the kill campaign runs and kills.
    #[arg(long, hide = true, value_name = "FILE")]
    child: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    campaign::hush();
    if let Some(file) = cli.child {
        return match kill::child(&file) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("killed child: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let budget = match cli.minutes {
        Some(minutes) => Budget::Time(Duration::from_secs_f64(minutes.clamp(0.0, 1e6) * 60.0)),
        None => Budget::Quick,
    };
    let seed = cli.seed.unwrap_or_else(|| fastrand::u64(..));
    if cli.planted {
        return match planted::run(seed) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let wanted = |name: &str| cli.only.as_deref().is_none_or(|only| only == name);
    let campaigns: Vec<_> = CAMPAIGNS.into_iter().filter(|(name, _)| wanted(name)).collect();
    if campaigns.is_empty() {
        let names: Vec<_> = CAMPAIGNS.iter().map(|(name, _)| *name).collect();
        eprintln!("there is no such campaign; there are {}, interleavings", names.join(", "));
        return ExitCode::FAILURE;
    }
    println!("torture seed={seed}");
    let mut failed = 0;
    for (_, run) in campaigns {
        let tally = run(&Plan { seed, budget, case: cli.case, doctor: cli.doctor });
        println!("{tally}");
        if let Some(error) = tally.failed() {
            failed += 1;
            println!("FAILED {error:#}");
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
