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
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) addr: SocketAddr,
    /// The store of the conversations: redb:PATH, memory, postgres:URL of a database, or worker:URL
    /// of a deployed Worker. The tables are in the schema chat, or in that of ?schema= in the URL.
    #[arg(long, default_value = "redb:tutor-chat.redb")]
    pub(crate) store: Store,
    /// Store messages without answering them.
    #[arg(long)]
    pub(crate) no_answers: bool,
    /// The milliseconds before each word of an answer, which is a durable reply; 30 unless given.
    /// With 0 each message and its answer are stored at once. Without effect with --no-answers.
    /// Not for a Worker, which has a variable.
    #[arg(long, value_name = "MS", overrides_with = "stream_ms")]
    pub(crate) stream_ms: Option<u64>,
    /// Which messages clients may write: `public` is for pages that anybody can open, `everything`
    /// for clients that answer users themselves. The default is public; a deployed Worker has a
    /// variable instead.
    #[arg(long, value_enum, overrides_with = "client_may")]
    pub(crate) client_may: Option<Clients>,
    /// The limit of requests per second for one client, with bursts of ten times as many; 0 for no
    /// limit. An IPv6 client is its /64 network. Clients without an address share one limit.
    #[arg(long, default_value_t = 100)]
    pub(crate) rate: u32,
    /// The header in which a proxy in front names the client's address. Without it, the address of
    /// the connection counts.
    #[arg(long)]
    pub(crate) client_header: Option<http::HeaderName>,
    /// An origin whose pages may use the routes, such as <https://chat.example.com>. May be given
    /// several times. Not together with --access-secret.
    #[arg(long)]
    pub(crate) cors_origin: Vec<http::HeaderValue>,
    /// A file of at least 32 random bytes. With it, the client that begins a session gets a signed
    /// cookie, and no other client may use the session. Works behind a proxy that strips a prefix
    /// of the path.
    #[arg(long)]
    pub(crate) access_secret: Option<PathBuf>,
    /// The header in which a proxy in front names the owner of the sessions that a request may use.
    /// A request without the header is refused (401). The proxy must overwrite the header. Without
    /// this option, each browser draws the name of its owner at random, and whoever knows the id of
    /// a session may use it. Not for a Worker.
    #[arg(long, value_name = "NAME")]
    pub(crate) owner_header: Option<http::HeaderName>,
    /// Scrub the store of the file at most so many milliseconds after an owner was erased or a
    /// session deleted: after that and the time that a scrub takes, no file has a byte of it. A
    /// scrub writes the whole store anew, and other requests wait. Only for redb:PATH.
    #[arg(long, value_name = "MS")]
    pub(crate) erase_within: Option<u64>,
    /// The log level: off, error, warn, info, debug or trace.
    #[arg(long, default_value = "info")]
    pub(crate) log: LevelFilter,
}

/// Which messages clients may write.
#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
pub(crate) enum Clients {
    /// Messages of any role, `messages` in PUT /, and single messages by their seq.
    Everything,
    /// New messages with the role user; only a reset or a delete removes messages.
    Public,
}

/// The store of the conversations.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Store {
    Redb(PathBuf),
    Memory,
    Postgres(DatabaseUrl),
    Worker(String),
}

/// The URL of a database. It may have a password in it, which is not shown.
#[derive(Clone, PartialEq)]
pub(crate) struct DatabaseUrl(pub(crate) String);

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseUrl").finish_non_exhaustive()
    }
}

impl FromStr for Store {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "memory" => Ok(Self::Memory),
            Some(("redb", path)) if !path.is_empty() => Ok(Self::Redb(path.into())),
            Some(("postgres", url)) if url.starts_with("//") => {
                Ok(Self::Postgres(DatabaseUrl(text.to_owned())))
            }
            Some(("postgres", url)) if !url.is_empty() => {
                Ok(Self::Postgres(DatabaseUrl(url.to_owned())))
            }
            Some(("worker", url)) if !url.is_empty() => Ok(Self::Worker(url.to_owned())),
            _ => Err("a store is redb:PATH, memory, postgres:URL or worker:URL".to_owned()),
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redb(path) => write!(f, "redb:{}", path.display()),
            Self::Memory => f.write_str("memory"),
            Self::Postgres(_) => f.write_str("postgres"),
            Self::Worker(url) => write!(f, "worker:{url}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DatabaseUrl, Store};

    #[test]
    fn a_store_in_a_database_has_a_url_and_shows_no_password() {
        for (text, url) in [
            ("postgres:postgres://u:secret@h/d", "postgres://u:secret@h/d"),
            ("postgres://u:secret@h/d", "postgres://u:secret@h/d"),
            ("postgres:postgres://u:secret@h/d?schema=s", "postgres://u:secret@h/d?schema=s"),
        ] {
            let store: Store = text.parse().unwrap();
            assert_eq!(store, Store::Postgres(DatabaseUrl(url.to_owned())));
            assert!(!format!("{store} {store:?}").contains("secret"));
        }
        assert!("postgres:".parse::<Store>().is_err());
    }
}
