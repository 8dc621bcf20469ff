//! What the command `durable-session` takes, and what it keeps when it is killed.
//!
//! ```sh
//! cargo build --release -p durable-session-cli
//! cargo run --release -p benches --bin command -- sizes
//! cargo run --release -p benches --bin command -- import redb:FOLDER/chat.redb
//! cargo run --release -p benches --bin command -- import postgres:URL
//! ```
//!
//! `sizes` runs each command on a store of 10,000 conversations and on one of 100,000, and prints
//! the time and the peak memory of each. `import` imports 80,000 conversations, kills the import
//! three times, ends it, and compares the export with the input.

mod conversations;
mod import;
mod program;
mod sizes;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Args)]
struct Common {
    /// The command's program.
    #[arg(long, default_value = "target/release/durable-session")]
    program: PathBuf,
    /// Where files are made.
    #[arg(long, default_value = "target/bench/command")]
    folder: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Each command on a small and on a large store.
    Sizes {
        /// Conversations in the small one; the large one has ten times as many.
        #[arg(long, default_value_t = 10_000)]
        conversations: usize,
    },
    /// An import that is killed three times.
    Import {
        store: String,
        #[arg(long, default_value_t = 80_000)]
        conversations: usize,
    },
}

fn main() -> Result<()> {
    let Options { common, what } = Options::parse();
    std::fs::create_dir_all(&common.folder)?;
    match what {
        What::Sizes { conversations } => sizes::run(&common, conversations),
        What::Import { store, conversations } => import::run(&common, &store, conversations),
    }
}
