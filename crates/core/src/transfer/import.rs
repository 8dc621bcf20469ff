//! Imports one exported session.

use super::ImportError;
use super::line::Line;
use super::steps::{ATTEMPTS, Steps, Stored};
use crate::SessionId;
use crate::env::{Clock, Random};
use crate::store::{SessionStore, StoreError, StoreErrorKind};
use std::fmt;
use std::sync::Arc;

/// When an imported session counts as last used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastUse {
    /// At the time of the import, so that a [sweep](crate::ChatSessions::sweep) does not delete an
    /// old session right after its import.
    #[default]
    Now,
    /// At the recorded time. A sweep may delete the session at once.
    Recorded,
}

/// The clock, the randomness and the settings of an import.
///
/// ```
/// use durable_session::transfer::{ImportOptions, LastUse};
///
/// let options = ImportOptions::default().last_use(LastUse::Recorded);
/// # let _ = options;
/// ```
#[derive(Clone)]
pub struct ImportOptions {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    last_use: LastUse,
}

impl ImportOptions {
    /// Options with this clock and this randomness, and [`LastUse::Now`].
    ///
    /// The clock also decides which recorded times lie in the future. Open replies are opened again
    /// under claims drawn from `random`.
    pub fn new(clock: impl Clock + 'static, random: impl Random + 'static) -> Self {
        Self { clock: Arc::new(clock), random: Arc::new(random), last_use: LastUse::Now }
    }

    /// Sets when an imported session counts as last used.
    pub fn last_use(mut self, last_use: LastUse) -> Self {
        self.last_use = last_use;
        self
    }
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
impl Default for ImportOptions {
    /// Options with the system's clock and randomness, and [`LastUse::Now`].
    fn default() -> Self {
        Self::new(crate::env::SystemClock, crate::env::SystemRandom)
    }
}

impl fmt::Debug for ImportOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportOptions").field("last_use", &self.last_use).finish_non_exhaustive()
    }
}

/// The counts of one imported session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportCounts {
    /// The messages that the import stored.
    pub stored: u64,
    /// The messages that were stored already, by an earlier import.
    pub found: u64,
    /// The chunks of open replies that the import stored.
    pub chunks: u64,
}

/// Imports one line of an export.
///
/// Importing a line twice stores it once. An import that was interrupted continues from there. The
/// messages are stored exactly as given. An open reply is opened again with all its chunks, under a
/// new claim of this opening of the store.
///
/// # Errors
/// [`ImportError`]. The messages that were stored before are unchanged.
///
/// ```
/// use durable_session::transfer::{ImportOptions, import};
/// use durable_session_memory::MemoryStore;
///
/// # futures_executor::block_on(async {
/// let line = r#"{"id":"s-1","state":{"messages":[{"role":"user","content":"hi"}],
///     "createdAt":1763264606917,"lastAccessedAt":1763264606917}}"#;
/// let counts = import(&MemoryStore::new(), line, &ImportOptions::default()).await?;
/// assert_eq!(counts.stored, 1);
/// # Ok::<(), durable_session::transfer::ImportError>(())
/// # }).unwrap();
/// ```
pub async fn import(
    store: &dyn SessionStore,
    line: &str,
    options: &ImportOptions,
) -> Result<ImportCounts, ImportError> {
    import_known(store, line, options).await.map(|(_, counts)| counts)
}

/// Imports one line, and returns the id of its session.
pub(super) async fn import_known(
    store: &dyn SessionStore,
    line: &str,
    options: &ImportOptions,
) -> Result<(SessionId, ImportCounts), ImportError> {
    let now = options.clock.now_ms();
    let line = Line::parse(line, now)?;
    line.check(&store.limits())?;
    let used_at = match options.last_use {
        LastUse::Now => line.last_accessed_at.max(now),
        LastUse::Recorded => line.last_accessed_at,
    };
    let mut steps = Steps::new(store, &line, &*options.random, used_at);
    for _ in 0..ATTEMPTS {
        let mut part = match steps.compare().await? {
            Stored::Part(part) => part,
            Stored::Other => return Err(ImportError::Exists { session: line.id }),
        };
        if steps.store_messages(&mut part).await? && steps.store_chunks(&part).await? {
            let stored = steps.stored;
            let found = line.messages.len() as u64 - stored;
            let counts = ImportCounts { stored, found, chunks: steps.chunks };
            return Ok((line.id, counts));
        }
    }
    let context = "other writers kept changing the session while it was imported";
    Err(StoreError::new(StoreErrorKind::Unavailable, context).in_session(&line.id).into())
}
