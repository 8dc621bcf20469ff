//! `durable-session`: looks into a store of chat sessions, and moves, repairs and erases them.

mod args;
mod commands;
mod exit;
mod held;
mod output;
mod place;
mod progress;
mod text;
mod walk;

use args::Args;
use clap::Parser;
use exit::Exit;
use std::io::IsTerminal;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_max_level(args.log)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match commands::run(&args) {
        Ok(exit) => exit.into(),
        Err(error) => exit::told(&error).into(),
    }
}

/// What a command answers.
pub(crate) type Result<T = Exit, E = anyhow::Error> = std::result::Result<T, E>;
