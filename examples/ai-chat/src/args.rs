//! The command line.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A chat for the AI SDK's `useChat`, whose answers survive refresh, stop, crash and restart.
#[derive(Debug, clap::Parser)]
pub(crate) struct Args {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:3001")]
    pub(crate) addr: SocketAddr,
    /// The store of the conversations: redb:PATH, memory, or postgres:URL of a database. The tables
    /// are in the schema chat, or in that of ?schema= in the URL.
    #[arg(long, default_value = "redb:ai-chat.redb")]
    pub(crate) store: Store,
    /// The made-up model answers with so many words: `w0` is the first.
    #[arg(long, default_value_t = 60)]
    pub(crate) tokens: usize,
    /// The pause before each word, in milliseconds.
    #[arg(long, default_value_t = 50)]
    pub(crate) delay_ms: u64,
    /// The made-up model writes markdown, and calls a tool that needs approval.
    #[arg(long)]
    pub(crate) tools: bool,
    /// A server that speaks `OpenAI`'s chat completions, such as <http://127.0.0.1:11434/v1>. If
    /// the environment has `OPENAI_API_KEY`, that key is sent. For https, build with
    /// `--features tls`.
    #[arg(long, requires = "model", conflicts_with_all = ["tokens", "delay_ms", "tools"])]
    pub(crate) model_url: Option<String>,
    /// The name of the model at --model-url.
    #[arg(long, requires = "model_url")]
    pub(crate) model: Option<String>,
    /// The folder of the built page. The default is `examples/ai-chat/page/dist`, or a plain page
    /// if that was not built.
    #[arg(long)]
    pub(crate) page: Option<PathBuf>,
}

/// The store of the conversations.
#[derive(Clone, PartialEq)]
pub(crate) enum Store {
    Redb(PathBuf),
    Memory,
    /// The URL of the database.
    Postgres(String),
}

impl fmt::Debug for Store {
    /// The URL of a database may have a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redb(_) => "Redb",
            Self::Memory => "Memory",
            Self::Postgres(_) => "Postgres",
        })
    }
}

impl FromStr for Store {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "memory" => Ok(Self::Memory),
            Some(("redb", path)) if !path.is_empty() => Ok(Self::Redb(path.into())),
            Some(("postgres", url)) if url.starts_with("//") => Ok(Self::Postgres(text.to_owned())),
            Some(("postgres", url)) if !url.is_empty() => Ok(Self::Postgres(url.to_owned())),
            _ => Err("a store is redb:PATH, memory or postgres:URL".to_owned()),
        }
    }
}
