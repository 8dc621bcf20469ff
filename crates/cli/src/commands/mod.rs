//! The commands.

mod backup;
mod compact;
mod erase;
mod export;
mod import;
mod list;
mod manual;
mod salvage;
mod show;
mod stats;
mod sweep;
mod verify;

use crate::Result;
use crate::args::{Args, Command};

pub(crate) fn run(args: &Args) -> Result {
    match &args.command {
        Command::List(list) => list::run(args, list),
        Command::Show(show) => show::run(args, show),
        Command::Stats => stats::run(args),
        Command::Export(export) => export::run(args, export),
        Command::Import(import) => import::run(args, import),
        Command::Verify => verify::run(args),
        Command::Salvage { to } => salvage::run(args, to),
        Command::Backup { file } => backup::run(args, file),
        Command::Compact { scrub } => compact::run(args, *scrub),
        Command::Erase { owner, scrub } => erase::run(args, owner, *scrub),
        Command::Sweep { idle } => sweep::run(args, *idle),
        Command::Completions { shell } => Ok(manual::completions(*shell)),
        Command::Man { folder } => manual::pages(folder),
    }
}
