//! The command line.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use tracing::level_filters::LevelFilter;

/// A tutoring chat whose conversations survive refresh, crash and restart.
#[derive(Debug, clap::Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) addr: SocketAddr,
    /// Where conversations are kept: redb:PATH, memory, or worker:URL of a deployed Worker.
    #[arg(long, default_value = "redb:tutor-chat.redb")]
    pub(crate) store: Store,
    /// Store messages without answering them.
    #[arg(long)]
    pub(crate) no_answers: bool,
    /// What clients may change: `public` is for pages that anybody can open, `everything` for
    /// clients that answer users themselves. Public by default; a deployed Worker has a variable of
    /// its own for it.
    #[arg(long, value_enum, overrides_with = "client_may")]
    pub(crate) client_may: Option<Clients>,
    /// Requests per second that one client may make, with bursts of ten times as many; 0 for any number. An IPv6 client is
    /// its /64 network; clients that cannot be told apart share one limit.
    #[arg(long, default_value_t = 100)]
    pub(crate) rate: u32,
    /// The header in which a proxy in front names the client's address. Without it the connection's is taken.
    #[arg(long)]
    pub(crate) client_header: Option<http::HeaderName>,
    /// An origin whose pages may use the routes, such as <https://chat.example.com>. May be given several times. Not
    /// together with --access-secret.
    #[arg(long)]
    pub(crate) cors_origin: Vec<http::HeaderValue>,
    /// A file of at least 32 random bytes. With it, whoever begins a session gets a signed cookie, and nobody else may use
    /// the session. Works behind a proxy that strips a prefix of the path.
    #[arg(long)]
    pub(crate) access_secret: Option<PathBuf>,
    /// What goes to the log: off, error, warn, info, debug or trace.
    #[arg(long, default_value = "info")]
    pub(crate) log: LevelFilter,
}

/// What clients may change.
#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
pub(crate) enum Clients {
    /// Messages of any role, `messages` in PUT /, and single messages by their seq.
    Everything,
    /// Messages with the role user are taken; no message is changed or removed but by a reset.
    Public,
}

/// Where conversations are kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Store {
    Redb(PathBuf),
    Memory,
    Worker(String),
}

impl FromStr for Store {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "memory" => Ok(Self::Memory),
            Some(("redb", path)) if !path.is_empty() => Ok(Self::Redb(path.into())),
            Some(("worker", url)) if !url.is_empty() => Ok(Self::Worker(url.to_owned())),
            _ => Err("redb:PATH, memory or worker:URL is expected".to_owned()),
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redb(path) => write!(f, "redb:{}", path.display()),
            Self::Memory => f.write_str("memory"),
            Self::Worker(url) => write!(f, "worker:{url}"),
        }
    }
}
