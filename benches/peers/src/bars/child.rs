//! One measurement of one peer, in a process of its own. It prints its figures as a line of JSON.

use super::{cycle, flush, lone, memory, opening, replies, sustained};
use crate::peer::{Bare, Ours, Peer, SESSIONS, SqliteBlocking, SqliteByHand};
use crate::values::Values;
use anyhow::{Result, ensure};
use clap::{Args, Subcommand, ValueEnum};
use durable_session::Memory;
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

#[derive(Debug, Args)]
pub(crate) struct Child {
    #[arg(long)]
    peer: Name,
    /// For its files.
    #[arg(long)]
    folder: PathBuf,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    DurableSession,
    BareLog,
    Rusqlite,
    RusqliteBlocking,
}

impl Name {
    pub(super) fn file(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Self::DurableSession => STORE,
            Self::BareLog => "bare.log",
            Self::Rusqlite | Self::RusqliteBlocking => "sqlite.db",
        })
    }

    /// Makes the files, with the sessions of `compare`; the bare log has none.
    pub(super) fn create(self, runtime: &Runtime, folder: &Path) -> Result<()> {
        let file = self.file(folder);
        let made: Box<dyn Peer> = match self {
            Self::BareLog => return Ok(()),
            Self::DurableSession => Box::new(Ours::create(runtime, &file)?),
            Self::Rusqlite | Self::RusqliteBlocking => Box::new(SqliteByHand::create(&file)?),
        };
        made.close(runtime)
    }

    pub(super) fn open(self, folder: &Path) -> Result<Box<dyn Peer>> {
        let file = self.file(folder);
        Ok(match self {
            Self::DurableSession => Box::new(Ours::open(&file, SESSIONS, Memory::default().bytes)?),
            Self::BareLog => Box::new(Bare::create(&file)?),
            Self::Rusqlite => Box::new(SqliteByHand::open(&file)?),
            Self::RusqliteBlocking => Box::new(SqliteBlocking::open(&file)?),
        })
    }
}

/// The store's file; its log, if it is a file, is beside it.
pub(super) const STORE: &str = "chat.redb";

#[derive(Debug, Subcommand)]
enum Task {
    /// One append after the other.
    Lone {
        #[arg(long)]
        appends: usize,
    },
    /// 64 tasks with a session each.
    Tasks {
        #[arg(long)]
        seconds: f64,
    },
    /// 64 callers over 20,000 sessions.
    Sustained {
        #[arg(long)]
        seconds: f64,
        #[arg(long)]
        keep: Option<u64>,
    },
    /// Makes sessions of 100 messages until the files have so many bytes.
    Fill {
        #[arg(long)]
        bytes: u64,
    },
    /// Opens the files, which are not in the page cache; a page and an append, or a new session.
    Open {
        #[arg(long)]
        session: usize,
        #[arg(long)]
        create: bool,
    },
    /// Appends to so many sessions until it is killed.
    Write {
        #[arg(long)]
        sessions: usize,
    },
    /// Lone appends without a flush, and while one runs.
    Flush {
        #[arg(long)]
        appends: usize,
        #[arg(long)]
        seconds: f64,
    },
    /// Each of 20,000 sessions created, appended to and deleted.
    Cycle {
        #[arg(long)]
        callers: usize,
        /// Close the store between the steps.
        #[arg(long)]
        flush: bool,
    },
    /// The memory of the store under 64 callers.
    Memory {
        #[arg(long)]
        seconds: f64,
    },
    /// 64 replies that are written at once.
    Replies {
        #[arg(long)]
        seconds: f64,
    },
    /// One reply of so many chunks.
    LongReply {
        #[arg(long)]
        chunks: u64,
    },
}

pub(crate) fn run(runtime: &Runtime, child: &Child) -> Result<()> {
    let Child { peer, folder, task } = child;
    let ours = |values: Result<Values>| {
        ensure!(*peer == Name::DurableSession, "{task:?} is for durable-session only");
        values
    };
    let values = match *task {
        Task::Lone { appends } => lone::lone(runtime, *peer, folder, appends),
        Task::Tasks { seconds } => lone::tasks(runtime, *peer, folder, seconds),
        Task::Sustained { seconds, keep } => sustained::run(runtime, *peer, folder, seconds, keep),
        Task::Fill { bytes } => ours(opening::fill(runtime, folder, bytes)),
        Task::Open { session, create } => ours(opening::open(runtime, folder, session, create)),
        Task::Write { sessions } => ours(opening::write(runtime, folder, sessions)),
        Task::Flush { appends, seconds } => ours(flush::run(runtime, folder, appends, seconds)),
        Task::Cycle { callers, flush } => ours(cycle::run(runtime, folder, callers, flush)),
        Task::Memory { seconds } => ours(memory::run(runtime, folder, seconds)),
        Task::Replies { seconds } => ours(replies::many(runtime, &peer.file(folder), seconds)),
        Task::LongReply { chunks } => ours(replies::long(runtime, &peer.file(folder), chunks)),
    }?;
    println!("{}", serde_json::to_string(&values)?);
    Ok(())
}
