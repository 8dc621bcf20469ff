//! Attacks every promise of durable-session by machine. Run it as `cargo xtask torture`.

mod campaign;
mod context;
mod damage;
mod digest;
mod followers;
mod histories;
mod io_faults;
mod kill;
mod long;
mod model;
mod model_run;
mod postgres;
mod power_loss;
mod processes;
mod runs;
mod script;
mod security;
mod seeded;
mod verdict;

use anyhow::Result;
use campaign::{Alteration, Budget, Plan, Tally};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use verdict::Kind;

/// One campaign: its name and how it is run.
type Campaign = (&'static str, fn(&Plan) -> Tally);

const CAMPAIGNS: [Campaign; 12] = [
    (power_loss::NAME, power_loss::run),
    (io_faults::NAME, io_faults::run),
    (kill::NAME, kill::run),
    (followers::NAME, followers::run),
    (damage::NAME, damage::run),
    (histories::NAME, histories::run),
    (model_run::NAME, model_run::run),
    (context::NAME, context::run),
    (long::NAME, long::run),
    (security::NAME, security::run),
    (postgres::NAME, postgres::run),
    (histories::replicas::NAME, histories::replicas::run),
];

#[derive(Debug, Parser)]
#[command(name = "torture", about = "Attacks every promise of durable-session by machine")]
struct Cli {
    /// Every campaign for some seconds; the default without --minutes.
    #[arg(long, conflicts_with = "minutes")]
    quick: bool,
    /// Each campaign for so long.
    #[arg(long, value_name = "N")]
    minutes: Option<f64>,
    /// So many cases of each campaign.
    #[arg(long, value_name = "N", conflicts_with_all = ["minutes", "quick"])]
    cases: Option<u64>,
    /// Go on with this case: a run with the same seed ended before it.
    #[arg(long, value_name = "N", requires = "only", requires = "seed", default_value_t = 0)]
    first: u64,
    /// The source of all random choices; a fresh one unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this campaign. `interleavings`, which needs a build of its own, only
    /// `cargo xtask torture` knows.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Only this case of it.
    #[arg(long, requires = "only", requires = "seed")]
    case: Option<u64>,
    /// Show that a verdict can turn: alter the messages that the campaign sees, before it checks
    /// them.
    #[arg(long, value_name = "KIND", requires = "only")]
    alter: Option<Kind>,
    /// With --alter: alter chunks of open replies, and not messages.
    #[arg(long, requires = "alter")]
    chunks: bool,
    /// Run as the process that the kill campaign kills.
    #[arg(long, hide = true, value_name = "FILE")]
    child: Option<PathBuf>,
    /// Run as the server that the followers campaign kills.
    #[arg(long, hide = true, value_name = "FILE")]
    serve: Option<PathBuf>,
    /// Run as a process with clients of the replicas campaign.
    #[arg(long, hide = true, value_name = "URL")]
    clients: Option<String>,
    /// Run as a follower of that server.
    #[arg(long, hide = true, value_name = "URL")]
    follow: Option<String>,
}

impl Cli {
    /// Plays the part of a process that a campaign has started; `None` if none did.
    fn part(&self) -> Option<Result<()>> {
        let Self { child, serve, clients, follow, .. } = self;
        if let Some(url) = clients {
            return Some(histories::serve(url));
        }
        let child = child.as_deref().map(kill::child);
        let serve = || serve.as_deref().map(followers::serve);
        child.or_else(serve).or_else(|| follow.as_deref().map(followers::follow))
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    campaign::hush();
    if let Some(played) = cli.part() {
        return match played {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("process of a campaign: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let budget = match (cli.minutes, cli.cases) {
        (Some(minutes), _) => Budget::Time(Duration::from_secs_f64(minutes.clamp(0.0, 1e6) * 60.0)),
        (None, Some(cases)) => Budget::Cases(cases),
        (None, None) => Budget::Quick,
    };
    let seed = cli.seed.unwrap_or_else(|| fastrand::u64(..));
    let wanted = |name: &str| match cli.only.as_deref() {
        Some(only) => only == name,
        // Which needs a server's programs.
        None => ![postgres::NAME, histories::replicas::NAME].contains(&name) || postgres::can_run(),
    };
    let campaigns: Vec<_> = CAMPAIGNS.into_iter().filter(|(name, _)| wanted(name)).collect();
    if campaigns.is_empty() {
        let names: Vec<_> = CAMPAIGNS.iter().map(|(name, _)| *name).collect();
        eprintln!("there is no such campaign; there are {}, interleavings", names.join(", "));
        return ExitCode::FAILURE;
    }
    println!("torture seed={seed}");
    if cli.only.is_none() && !postgres::can_run() {
        println!("postgres, replicas are not run: PG_BIN does not name PostgreSQL's programs");
    }
    let mut failed = 0;
    for (name, run) in campaigns {
        let alteration = cli.alter.map(|kind| Alteration { kind, chunks: cli.chunks });
        let plan = Plan { seed, budget, first: cli.first, case: cli.case, alteration };
        let tally = run(&plan);
        println!("{tally}");
        if cli.case.is_none() && !matches!(budget, Budget::Quick) {
            println!("{}", runs::line(name, &plan, &tally));
        }
        if let Some(error) = tally.failed() {
            failed += 1;
            println!("FAILED {error:#}");
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
