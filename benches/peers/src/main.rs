//! The same appends by durable-session and by the stores that a user would pick instead, in one
//! interleaved run.
//!
//! Every append is durable, of a 400-byte message. Every peer syncs each commit to the disk: a peer
//! that would not sync is an error.

mod bars;
mod compare;
mod io;
mod peer;
mod postgres;
mod results;
mod rows;
mod values;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use tokio::runtime::Runtime;

#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Appends and loads of all peers, by turns in one process.
    Compare(compare::Options),
    /// Figures beside their bars, each peer and round in a process of its own.
    Bars(bars::Options),
    /// Appends to a PostgreSQL server, each peer and round in a process of its own.
    Postgres(postgres::Options),
    /// The table of bars, of the results that `bars --results` kept in a file.
    Table { results: PathBuf },
    /// One measurement of one peer.
    #[command(hide = true)]
    Child(bars::Child),
    /// One measurement of one peer on PostgreSQL.
    #[command(hide = true)]
    PostgresChild(postgres::Child),
}

fn main() -> Result<()> {
    match Options::parse().command {
        Command::Compare(options) => compare::all(&Runtime::new()?, &options),
        Command::Bars(options) => bars::run(&options),
        Command::Table { results } => bars::print_file(&results),
        Command::Postgres(options) => postgres::run(&options),
        Command::Child(child) => bars::run_child(&Runtime::new()?, &child),
        Command::PostgresChild(child) => Runtime::new()?.block_on(postgres::run_child(&child)),
    }
}
