//! The command line.

use crate::place::Place;
use clap::{Args as Arguments, Parser, Subcommand};
use clap_complete::Shell;
use durable_session::SessionId;
use durable_session::transfer::TimeUnit;
use durable_session_convert::Format;
use std::path::PathBuf;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  damage was found, or something was not taken
  2  the command line is wrong, or the store cannot do this
  3  another process holds the store
  4  the store is foreign, or cannot be read at all
  5  reserved for stores whose keys are missing
  6  the storage failed";

/// Look into a store of chat sessions, and move, repair and erase them.
///
/// The reading commands (list, show, stats, export, verify) open a redb store as it is, also after
/// a crash or with damage, and never write a byte to it.
#[derive(Debug, Parser)]
#[command(name = "durable-session", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The store: redb:PATH of a file with its log, or postgres:URL of a database. The schema is
    /// chat, or that of ?schema= in the URL.
    #[arg(long, global = true, value_name = "STORE", env = "DURABLE_SESSION_STORE")]
    pub(crate) store: Option<Place>,
    /// Print JSON: one object per line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Open a redb file whose log is lost for good, as it was when it was last flushed. The newest
    /// changes may be missing.
    #[arg(long, global = true)]
    pub(crate) accept_missing_log: bool,
    /// The log level on standard error: off, error, warn, info, debug or trace.
    #[arg(long, global = true, default_value = "off")]
    pub(crate) log: LevelFilter,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the sessions: those of an owner newest first, others by their ids.
    List(List),
    /// Show a session: its head, app state and messages. Damaged messages are named.
    Show(Show),
    /// Count sessions, messages and bytes.
    Stats,
    /// Write sessions as lines of JSON, which `import` takes.
    Export(Export),
    /// Store the conversations of a file: lines of an export, or records of another system. Run
    /// again, it goes on where it was.
    Import(Import),
    /// Read and check everything. Prints a line for each damaged place.
    Verify,
    /// Move everything that can be read to a new store.
    Salvage {
        /// The new store: redb:PATH of a file that does not exist, or postgres:URL.
        to: Place,
    },
    /// Copy a redb store into one file, which can be opened as a store.
    Backup {
        /// The new file.
        file: PathBuf,
    },
    /// Move all changes from the log of a redb store to its file, and shorten it.
    Compact {
        /// Fill free space with zeros, so that no file has a byte of what was deleted.
        #[arg(long)]
        scrub: bool,
    },
    /// Delete all sessions of an owner.
    Erase {
        #[arg(long)]
        owner: String,
        /// Also scrub a redb store: afterwards no file of it has a byte of these sessions.
        #[arg(long)]
        scrub: bool,
    },
    /// Delete the sessions that were not used for so long.
    Sweep {
        /// Such as 90d or 12h.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        idle: Duration,
    },
    /// Print the completions for a shell.
    Completions { shell: Shell },
    /// Write the manual pages into a folder.
    Man { folder: PathBuf },
}

/// The sessions that a command takes.
#[derive(Debug, Arguments)]
#[group(multiple = false)]
pub(crate) struct Which {
    /// The sessions of this owner.
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// The sessions whose ids begin with this.
    #[arg(long)]
    pub(crate) prefix: Option<String>,
}

#[derive(Debug, Arguments)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) which: Which,
    /// At most so many.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

#[derive(Debug, Arguments)]
pub(crate) struct Show {
    pub(crate) id: SessionId,
    /// Only so many messages, the newest ones.
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<usize>,
    /// Then show each new message, until interrupted. Not for a redb store.
    #[arg(long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Arguments)]
pub(crate) struct Export {
    /// Only these sessions.
    #[arg(conflicts_with_all = ["owner", "prefix"])]
    pub(crate) ids: Vec<SessionId>,
    #[command(flatten)]
    pub(crate) which: Which,
    /// A new file; standard output unless given.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Arguments)]
pub(crate) struct Import {
    /// JSON Lines or one JSON array, plain or gzipped; - is standard input.
    pub(crate) file: PathBuf,
    /// The format of all records; each is recognized unless given. One of lines, messages,
    /// responses, chatgpt, langchain, sharegpt.
    #[arg(long)]
    pub(crate) format: Option<Format>,
    /// The unit of all times in records of other systems: s, ms, us or ns.
    #[arg(long, value_name = "UNIT", value_parser = time_unit)]
    pub(crate) time_unit: Option<TimeUnit>,
    /// Take every branch of a tree (`ChatGPT`), and not only the current one.
    #[arg(long)]
    pub(crate) all_branches: bool,
    /// The owner of the sessions from other systems.
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// Keep the recorded times of the last use. Otherwise a session counts as used now, so that the
    /// next sweep leaves it.
    #[arg(long)]
    pub(crate) recorded_use: bool,
}

fn time_unit(text: &str) -> Result<TimeUnit, &'static str> {
    match text {
        "s" => Ok(TimeUnit::Seconds),
        "ms" => Ok(TimeUnit::Milliseconds),
        "us" => Ok(TimeUnit::Microseconds),
        "ns" => Ok(TimeUnit::Nanoseconds),
        _ => Err("a unit is s, ms, us or ns"),
    }
}
