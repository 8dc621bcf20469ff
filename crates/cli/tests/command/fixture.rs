//! Stores to look into, and runs of the program.

use durable_session::store::Labels;
use durable_session::{ChatSessions, Message, SessionId};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A folder with a store.
pub(crate) struct Pair {
    pub(crate) folder: TempDir,
    pub(crate) file: PathBuf,
}

/// What the program printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i32,
}

impl Pair {
    /// A folder without a store.
    pub(crate) fn none() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chat.redb");
        Self { folder, file }
    }

    /// Three sessions, of which two belong to `u-1`. The store was closed.
    pub(crate) fn new() -> Self {
        let pair = Self::none();
        let store = pair.fill();
        block_on(store.close()).unwrap();
        pair
    }

    /// The same, with the files as a crash leaves them.
    pub(crate) fn crashed() -> Self {
        let (pair, crashed) = (Self::none(), Self::none());
        let store = pair.fill();
        for (path, bytes) in pair.files() {
            std::fs::write(crashed.folder.path().join(path.file_name().unwrap()), bytes).unwrap();
        }
        block_on(store.close()).unwrap();
        crashed
    }

    /// The same, and the store is open.
    pub(crate) fn fill(&self) -> RedbStore {
        let store = RedbStore::open(&self.file).unwrap();
        let sessions: ChatSessions =
            ChatSessions::builder(store.clone()).listing(store.clone()).build();
        block_on(async {
            for (id, owner, title, messages) in [
                ("a-1", "u-1", "Lifetimes", 3),
                ("a-2", "u-1", "Traits\u{1b}[2J", 2),
                ("b-1", "u-2", "Macros", 300),
            ] {
                let labels = Labels::owner(owner).title(title);
                let chat = sessions.create(id.parse().unwrap(), labels).await.unwrap();
                for n in 0..messages {
                    chat.add_message(Message::user(format!("{id} says {n}"))).await.unwrap();
                }
            }
            sessions.close().await.unwrap();
        });
        store
    }

    pub(crate) fn store(&self) -> String {
        format!("redb:{}", self.file.display())
    }

    /// Runs the program on the store.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        run(&[&["--store", &*self.store()], arguments].concat())
    }

    /// Runs it, and checks that it changes no file.
    pub(crate) fn only_read(&self, arguments: &[&str]) -> Ran {
        let before = self.files();
        let ran = self.run(arguments);
        assert!(self.files() == before, "{arguments:?} changed a file: {ran:?}");
        ran
    }

    /// All files of the folder.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        entries
            .map(|entry| {
                let path = entry.unwrap().path();
                let bytes = std::fs::read(&path).unwrap();
                (path, bytes)
            })
            .collect()
    }

    /// Alters a byte of a text in the store's file.
    pub(crate) fn damage(&self, text: &str) {
        let mut bytes = std::fs::read(&self.file).unwrap();
        let places: Vec<_> = bytes
            .windows(text.len())
            .enumerate()
            .filter(|(_, window)| *window == text.as_bytes())
            .map(|(at, _)| at)
            .collect();
        assert!(!places.is_empty(), "the text is not in the file");
        for at in places {
            bytes[at] ^= 1;
        }
        std::fs::write(&self.file, bytes).unwrap();
    }

    /// The texts of a session, read by the library.
    pub(crate) fn texts(&self, id: &str) -> Vec<String> {
        let store = RedbStore::open(&self.file).unwrap();
        let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
        let id = SessionId::new(id).unwrap();
        let state = block_on(sessions.session(id).get_state()).unwrap();
        block_on(store.close()).unwrap();
        state.messages.iter().map(|m| m.text().unwrap_or_default().into_owned()).collect()
    }
}

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_durable-session"));
    command.env_remove("DURABLE_SESSION_STORE");
    command
}

pub(crate) fn run(arguments: &[&str]) -> Ran {
    ended(program().args(arguments).output().unwrap())
}

pub(crate) fn ended(output: Output) -> Ran {
    Ran {
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap(),
    }
}

impl Ran {
    /// Standard output, if it went well.
    pub(crate) fn fine(self) -> String {
        assert_eq!((self.code, &*self.err), (0, ""), "{}", self.out);
        self.out
    }

    /// It failed with this code, and says this.
    pub(crate) fn failed(self, code: i32, told: &str) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.contains(told), "{self:?}");
        self
    }
}

/// Writes a file beside the store.
pub(crate) fn write(pair: &Pair, name: &str, text: &str) -> String {
    let path = pair.folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// The path of a file beside the store.
pub(crate) fn beside(pair: &Pair, name: &str) -> String {
    pair.folder.path().join(name).display().to_string()
}

pub(crate) fn exists(path: &str) -> bool {
    Path::new(path).exists()
}
