//! Taking in one exported session.

use super::times::{self, TimeError};
use super::{ReadError, recognize};
use crate::env::Clock;
use crate::json::JsonObject;
use crate::pages;
use crate::store::{
    Commit, CommitOutcome, Expect, Head, Op, SessionStore, StoreError, StoreErrorKind, StoreLimits,
    TailBounds,
};
use crate::{Message, SessionId};
use bytes::Bytes;
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

/// What one commit of an import carries at most, if the store takes as much.
const COMMIT_OPS: usize = 1024;
const COMMIT_BYTES: u64 = 1 << 20;
/// How often an import looks again at a session that somebody else changed meanwhile.
const ATTEMPTS: u32 = 32;

/// When an imported session counts as last used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastUse {
    /// At the import, so that a [sweep](crate::ChatSessions::sweep) does not delete at once what
    /// was just imported.
    #[default]
    Now,
    /// When the line says: a sweep may delete it at once.
    Recorded,
}

/// How to import.
#[derive(Clone)]
pub struct ImportOptions {
    clock: Arc<dyn Clock>,
    last_use: LastUse,
}

impl ImportOptions {
    /// Imports count as use, at the time of this clock; it also tells which recorded times lie in
    /// the future.
    pub fn new(clock: impl Clock + 'static) -> Self {
        Self { clock: Arc::new(clock), last_use: LastUse::Now }
    }

    /// Sets when an imported session counts as last used.
    pub fn last_use(mut self, last_use: LastUse) -> Self {
        self.last_use = last_use;
        self
    }
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
impl Default for ImportOptions {
    /// The system's clock; imports count as use.
    fn default() -> Self {
        Self::new(crate::env::SystemClock)
    }
}

impl fmt::Debug for ImportOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportOptions").field("last_use", &self.last_use).finish_non_exhaustive()
    }
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Messages that it stored.
    pub stored: u64,
    /// Messages that were there already, from an earlier import.
    pub found: u64,
}

/// Why a session was not imported. No text shows a message, an app field or a session id.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It is not a line of an export. Nothing was stored.
    #[error("not an exported session: {0}")]
    NotASession(Box<str>),
    /// One of its times is in another unit or not plausible. Nothing was stored.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// The session exists and neither it nor the imported one is the beginning of the other. It is
    /// left as it is.
    #[error("a session with this id exists and has other content; it was left as it is")]
    Exists {
        /// The session.
        session: SessionId,
    },
    /// It could not be read from the input.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store failed. Importing the same line again goes on where this stopped.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ImportError {
    /// Whether it is about more than this one session: the store does not work, or the input cannot
    /// be read on.
    pub fn is_general(&self) -> bool {
        match self {
            Self::Read(e) => e.ends(),
            Self::Store(e) => !matches!(e.kind(), StoreErrorKind::TooLarge | StoreErrorKind::Corrupt),
            Self::NotASession(_) | Self::Time(_) | Self::Exists { .. } => false,
        }
    }
}

/// A session as its line has it.
struct Session {
    id: SessionId,
    messages: Vec<Message>,
    app: String,
    created_at: u64,
    last_accessed_at: u64,
}

/// Takes in one line. Doing so twice stores it once; one that was interrupted goes on where it
/// stopped. The message list is stored exactly as it is given.
///
/// # Errors
/// [`ImportError`]; what was stored before is unchanged.
pub async fn import(
    store: &dyn SessionStore,
    line: &str,
    options: &ImportOptions,
) -> Result<Imported, ImportError> {
    import_known(store, line, options).await.map(|(_, imported)| imported)
}

pub(super) async fn import_known(
    store: &dyn SessionStore,
    line: &str,
    options: &ImportOptions,
) -> Result<(SessionId, Imported), ImportError> {
    let now = options.clock.now_ms();
    let session = Session::parse(line, now)?;
    let limits = store.limits();
    session.check(&limits)?;
    let at = match options.last_use {
        LastUse::Now => session.last_accessed_at.max(now),
        LastUse::Recorded => session.last_accessed_at,
    };
    let mut stored = 0;
    for _ in 0..ATTEMPTS {
        let (expect, found) = match session.present(store).await? {
            Present::Absent => (Expect::Absent { created_at: session.created_at }, 0),
            Present::Begun(head, found) => (Expect::Version(head.version), found),
            Present::Other => return Err(ImportError::Exists { session: session.id }),
        };
        let was = stored;
        if session.append(store, &limits, expect, found, at, &mut stored).await? {
            if stored == was && options.last_use == LastUse::Now {
                store.touch(&session.id, at).await?;
            }
            let all = session.messages.len() as u64;
            return Ok((session.id, Imported { stored, found: all - stored }));
        }
    }
    let context = "other writers kept changing the session while it was imported";
    Err(StoreError::new(StoreErrorKind::Unavailable, context).in_session(&session.id).into())
}

/// How much of an imported session is stored already.
enum Present {
    Absent,
    /// So many of its messages, in order; if they are all, more may follow.
    Begun(Head, usize),
    Other,
}

impl Session {
    fn parse(line: &str, now: u64) -> Result<Self, ImportError> {
        let not = |reason: String| ImportError::NotASession(reason.into());
        let line = line.trim_start_matches('\u{feff}');
        crate::json::check(line).map_err(|e| not(format!("it is not JSON: {e}")))?;
        let shape = |missing: &str| {
            let of = recognize(line).map_or_else(String::new, |shape| format!("; it is {shape}"));
            not(format!("{missing}{of}"))
        };
        let outer = JsonObject::parse_stored(line).map_err(|_| shape("it is not a JSON object"))?;
        let (Some(id), Some(state)) = (outer.get_json("id"), outer.get_json("state")) else {
            return Err(shape("it is not an object with `id` and `state`"));
        };
        let id: String = serde_json::from_str(id).map_err(|_| not("its `id` is not a string".into()))?;
        let id = SessionId::new(id).map_err(|e| not(e.to_string()))?;
        let mut app =
            JsonObject::parse_stored(state).map_err(|_| not("its `state` is not an object".into()))?;
        let field = |name: &str| app.get_json(name).ok_or_else(|| not(format!("its state has no `{name}`")));
        let created_at = times::plausible("createdAt", field("createdAt")?, now)?;
        let last_accessed_at = times::plausible("lastAccessedAt", field("lastAccessedAt")?, now)?;
        let messages: Vec<&RawValue> = serde_json::from_str(field("messages")?)
            .map_err(|_| not("its `messages` are not an array".into()))?;
        let messages = messages
            .into_iter()
            .zip(1..)
            .map(|(raw, place)| {
                Message::from_json(raw.get()).map_err(|e| not(format!("message {place}: {e}")))
            })
            .collect::<Result<_, _>>()?;
        for own in ["messages", "createdAt", "lastAccessedAt"] {
            app.remove(own);
        }
        Ok(Self { id, messages, app: app.to_string(), created_at, last_accessed_at })
    }

    /// Refuses what the store will not take before anything of the session is stored.
    fn check(&self, limits: &StoreLimits) -> Result<(), StoreError> {
        let too_large = |what: fmt::Arguments<'_>, bytes: usize, max: u64| {
            StoreError::new(StoreErrorKind::TooLarge, format!("{what} is {bytes} bytes; the limit is {max}"))
        };
        for (message, place) in self.messages.iter().zip(1u64..) {
            let max = limits.max_body_bytes.min(limits.max_commit_bytes);
            if message.bytes() as u64 > max {
                return Err(too_large(format_args!("message {place}"), message.bytes(), max));
            }
        }
        let max = limits.max_app_bytes.min(limits.max_commit_bytes);
        if self.app.len() as u64 > max {
            return Err(too_large(format_args!("the app state"), self.app.len(), max));
        }
        Ok(())
    }

    /// Compares what is stored with this session.
    async fn present(&self, store: &dyn SessionStore) -> Result<Present, StoreError> {
        for _ in 0..ATTEMPTS {
            let bounds = TailBounds { max_messages: 1, max_bytes: 0 };
            let Some(loaded) = store.load(&self.id, bounds).await? else { return Ok(Present::Absent) };
            let head = loaded.head;
            let app = String::from_utf8_lossy(&loaded.app);
            if head.created_at != self.created_at || !crate::json::equal(&app, &self.app) {
                return Ok(Present::Other);
            }
            // Of a session that is longer, only as much as this one has.
            let last = (head.next_seq - 1).min(self.messages.len() as u64);
            let Some(rows) = pages::rows(store, &self.id, &head, 1, last).await? else { continue };
            let same = rows.len() as u64 == last
                && rows.iter().zip(&self.messages).all(|(row, message)| {
                    std::str::from_utf8(&row.body)
                        .is_ok_and(|text| crate::json::equal(text, message.as_json()))
                });
            return Ok(if same { Present::Begun(head, rows.len()) } else { Present::Other });
        }
        let context = "the session was rewritten faster than it could be read";
        Err(StoreError::new(StoreErrorKind::Unavailable, context).in_session(&self.id))
    }

    /// Stores the messages from `next` on, counting them; `false` if somebody else changed the
    /// session meanwhile.
    async fn append(
        &self,
        store: &dyn SessionStore,
        limits: &StoreLimits,
        mut expect: Expect,
        mut next: usize,
        at: u64,
        stored: &mut u64,
    ) -> Result<bool, StoreError> {
        let max_ops = COMMIT_OPS.min(limits.max_commit_ops).max(1);
        let max_bytes = COMMIT_BYTES.min(limits.max_commit_bytes);
        while next < self.messages.len() || matches!(expect, Expect::Absent { .. }) {
            let mut ops = Vec::new();
            let mut bytes = 0;
            if matches!(expect, Expect::Absent { .. }) {
                let app = Bytes::copy_from_slice(self.app.as_bytes());
                bytes += app.len() as u64;
                ops.push(Op::SetApp(app));
            }
            let mut end = next;
            while let Some(message) = self.messages.get(end) {
                bytes += message.bytes() as u64;
                if !ops.is_empty() && (ops.len() == max_ops || bytes > max_bytes) {
                    break;
                }
                ops.push(Op::Append(message.body()));
                end += 1;
            }
            match store.commit(&self.id, Commit { expect, ops, at }).await? {
                CommitOutcome::Committed(head) => expect = Expect::Version(head.version),
                CommitOutcome::Conflict { .. } | CommitOutcome::NoSuchSeq { .. } => return Ok(false),
            }
            *stored += (end - next) as u64;
            next = end;
        }
        Ok(true)
    }
}
