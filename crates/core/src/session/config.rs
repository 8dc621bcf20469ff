//! The settings of a [`ChatSessions`](crate::ChatSessions).

use crate::Message;
use crate::error::{AppStateError, LimitKind};
use crate::reply::{ReplyFormat, TextReply};
use crate::store::{StoreLimits, TailBounds};
use bytestring::ByteString;
use futures_core::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The largest sessions that are served (clause C9). Exceeding one is
/// [`Error::TooLarge`](crate::Error::TooLarge) and changes nothing. A store with smaller limits of
/// its own narrows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message's JSON. Default: 1 MiB.
    pub message_bytes: u64,
    /// Bytes of the app state's JSON. Default: 1 MiB.
    pub app_bytes: u64,
    /// Messages in one session. Default: 1,000,000.
    pub session_messages: u64,
    /// Bytes of all messages of one session. Default: 1 GiB.
    pub session_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 1 << 20,
            app_bytes: 1 << 20,
            session_messages: 1_000_000,
            session_bytes: 1 << 30,
        }
    }
}

/// The tail of a session that stays in memory (clause C9): the longest run of last messages within
/// both bounds, at least one. Messages before it are read from the store when they are wanted, also
/// to compare a retry with them (clause C7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// At most so many messages. Default: 64.
    pub messages: usize,
    /// At most so many bytes of messages. Default: 256 KiB.
    pub bytes: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { messages: 64, bytes: 256 << 10 }
    }
}

impl From<Window> for TailBounds {
    fn from(window: Window) -> Self {
        Self { max_messages: window.messages.max(1), max_bytes: window.bytes }
    }
}

/// How much stays in memory (clause C9). A session that was dropped from memory is read again at
/// its next use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of all live sessions together. Default: 256 MiB.
    pub bytes: u64,
    /// A session unused for so long makes room at the next occasion. Default: 10 minutes.
    pub idle: Duration,
}

impl Default for Memory {
    fn default() -> Self {
        Self { bytes: 256 << 20, idle: Duration::from_mins(10) }
    }
}

/// How replies are made, and when the producer of one counts as gone (clauses C11 and C12).
///
/// ```
/// use durable_session::{ChatSessions, JsonObject, Replies};
/// use durable_session_memory::MemoryStore;
/// use std::time::Duration;
///
/// let replies = Replies::default().abandoned_after(Duration::from_secs(90));
/// let sessions =
///     ChatSessions::<JsonObject>::builder(MemoryStore::new()).replies(replies).build();
/// # let _ = sessions;
/// ```
#[derive(Clone)]
pub struct Replies {
    abandoned_after: Duration,
    /// The last one is that of new replies.
    formats: Vec<Arc<dyn ReplyFormat>>,
}

impl Default for Replies {
    /// The format [`TextReply`], and 60 seconds until a producer counts as gone.
    fn default() -> Self {
        let formats: Vec<Arc<dyn ReplyFormat>> = vec![Arc::new(TextReply)];
        Self { abandoned_after: Duration::from_mins(1), formats }
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let formats: Vec<_> = self.formats.iter().map(|format| format.name()).collect();
        f.debug_struct("Replies")
            .field("abandoned_after", &self.abandoned_after)
            .field("formats", &formats)
            .finish()
    }
}

impl Replies {
    /// Sets after which time without a chunk or a beat a producer on a shared store counts as gone.
    /// On an exclusive store no time decides it.
    pub fn abandoned_after(self, time: Duration) -> Self {
        Self { abandoned_after: time, ..self }
    }

    /// Adds a format and makes it that of new replies. It replaces one of the same name. The other
    /// formats stay, for replies that are stored in them and for
    /// [`NewReply::format`](crate::NewReply::format).
    pub fn format(mut self, format: impl ReplyFormat + 'static) -> Self {
        self.formats.retain(|known| known.name() != format.name());
        self.formats.push(Arc::new(format));
        self
    }

    pub(crate) fn abandoned_after_ms(&self) -> u64 {
        ms(self.abandoned_after)
    }

    /// A quarter of the time after which a producer counts as gone.
    pub(crate) fn beat_every(&self) -> Duration {
        self.abandoned_after / 4
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<dyn ReplyFormat>> {
        self.formats.iter().find(|format| format.name() == name).cloned()
    }

    /// The format of new replies.
    pub(crate) fn standard(&self) -> Option<Arc<dyn ReplyFormat>> {
        self.formats.last().cloned()
    }

    pub(crate) fn formats(&self) -> impl Iterator<Item = &dyn ReplyFormat> {
        self.formats.iter().map(|format| &**format)
    }
}

/// How far [`Reply::pump`](crate::Reply::pump) gathers chunks before it writes them.
pub(crate) struct Gathering {
    pub(crate) bytes: u64,
    pub(crate) pause: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

/// How long a watcher waits before it has a shared store asked again.
pub(crate) struct Watching(pub(crate) Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>);

impl Watching {
    pub(crate) fn begin(&self) -> BoxFuture<'static, ()> {
        (self.0)()
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching").finish_non_exhaustive()
    }
}

impl fmt::Debug for Gathering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathering").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// How current the reads of a shared store are (clause C1). On an exclusive store it changes
/// nothing.
///
/// A store declares by [`Sharing`](crate::store::Sharing) whether others write to it.
///
/// ```
/// use durable_session::{ChatSessions, JsonObject, Reads};
/// use durable_session_memory::MemoryStore;
/// use std::time::Duration;
///
/// let reads = Reads::Cached { at_most: Duration::from_secs(2) };
/// let sessions = ChatSessions::<JsonObject>::builder(MemoryStore::new()).reads(reads).build();
/// # let _ = sessions;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Reads {
    /// A read returns a state that was current at some moment after the read began. It asks the
    /// store for the version, and loads the session only if it has changed. Reads of one session
    /// that begin before the question is sent share it.
    #[default]
    Current,
    /// A read may return a state that is out of date: one that was current at some moment no longer
    /// than `at_most` before the read began. A session whose state in memory was confirmed within
    /// this time is not asked for. A hint ends the time at once. Changes made through the same
    /// `ChatSessions` are seen at once.
    ///
    /// Writers do not rely on such reads: a call that changes nothing, or is refused, asks the
    /// store before it says so.
    Cached {
        /// The longest time.
        at_most: Duration,
    },
}

/// When unused sessions expire, and how often their use is written down (clause C10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    ttl: Option<Duration>,
    touch_interval: Duration,
}

/// A time to live shorter than two touch intervals: a session could expire although it is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "time to live is {ttl:?}; it must be at least two touch intervals ({touch_interval:?} each)"
)]
pub struct InvalidExpiry {
    /// The time to live that was given.
    pub ttl: Duration,
    /// The touch interval that was given.
    pub touch_interval: Duration,
}

impl Expiry {
    /// Sessions never expire; use by reading is written down at most once per `touch_interval`.
    pub const fn never(touch_interval: Duration) -> Self {
        Self { ttl: None, touch_interval }
    }

    /// A sweep deletes sessions that were not used for `ttl`. Use by reading is written down at
    /// most once per `touch_interval`, so a session may expire up to that much early if its last
    /// uses were only reads and nobody could write them down: after a crash, or when it was dropped
    /// from memory or read through another `ChatSessions` since.
    ///
    /// # Errors
    /// [`InvalidExpiry`] if `ttl` is less than two touch intervals.
    pub fn after(ttl: Duration, touch_interval: Duration) -> Result<Self, InvalidExpiry> {
        if ttl < touch_interval.saturating_mul(2) {
            return Err(InvalidExpiry { ttl, touch_interval });
        }
        Ok(Self { ttl: Some(ttl), touch_interval })
    }

    pub(crate) fn ttl_ms(&self) -> Option<u64> {
        self.ttl.map(ms)
    }

    pub(crate) fn touch_ms(&self) -> u64 {
        ms(self.touch_interval)
    }
}

impl Default for Expiry {
    /// Never, with a touch interval of five minutes.
    fn default() -> Self {
        Self::never(Duration::from_mins(5))
    }
}

pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Everything that was set, as the sessions use it.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) greeting: Vec<Message>,
    /// The default app state as JSON, or why the type cannot be one.
    pub(crate) initial_app: Result<ByteString, Arc<AppStateError>>,
    pub(crate) limits: Limits,
    pub(crate) store_limits: StoreLimits,
    pub(crate) window: TailBounds,
    pub(crate) memory: Memory,
    pub(crate) expiry: Expiry,
    pub(crate) replies: Replies,
    pub(crate) gathering: Option<Gathering>,
    /// How current reads are; `None` on an exclusive store, which is not asked.
    pub(crate) reads: Option<Reads>,
    pub(crate) watching: Option<Watching>,
    /// How often a call is tried when other writers come first.
    pub(crate) attempts: u32,
}

impl Config {
    /// Checks one message's size.
    pub(crate) fn check_message(&self, message: &Message) -> Result<(), OverLimit> {
        over(LimitKind::MessageBytes, message.bytes() as u64, self.limits.message_bytes)
    }

    /// Checks the app state's size.
    pub(crate) fn check_app(&self, app: &str) -> Result<(), OverLimit> {
        over(LimitKind::AppBytes, app.len() as u64, self.limits.app_bytes)
    }

    /// Checks the size that a session would have.
    pub(crate) fn check_session(&self, messages: u64, bytes: u64) -> Result<(), OverLimit> {
        over(LimitKind::SessionMessages, messages, self.limits.session_messages)?;
        over(LimitKind::SessionBytes, bytes, self.limits.session_bytes)
    }
}

/// A limit exceeded, before it is known for which session.
#[derive(Debug)]
pub(crate) struct OverLimit {
    pub(crate) limit: LimitKind,
    pub(crate) is: u64,
    pub(crate) max: u64,
}

pub(crate) fn over(limit: LimitKind, is: u64, max: u64) -> Result<(), OverLimit> {
    if is > max { Err(OverLimit { limit, is, max }) } else { Ok(()) }
}

/// Calls gather into one commit up to so many operations and bytes; one call alone may have more.
const GATHER_OPS: usize = 1024;
const GATHER_BYTES: u64 = 1 << 20;

impl Config {
    /// The initial app state; calls refuse one that cannot be an app state before anything is
    /// written, so `{}` is never stored in its place.
    pub(crate) fn app_or_empty(&self) -> ByteString {
        self.initial_app.as_ref().map_or_else(|_| ByteString::from_static("{}"), Clone::clone)
    }

    /// The operations and bytes that the first change of a session writes besides itself.
    pub(crate) fn prelude(&self) -> (usize, u64) {
        let greeting: u64 = self.greeting.iter().map(|m| m.bytes() as u64).sum();
        (self.greeting.len() + 1, greeting + self.app_or_empty().len() as u64)
    }

    /// How far calls may gather into one commit.
    pub(crate) fn batch_bounds(&self) -> (usize, u64) {
        let (ops, bytes) = self.prelude();
        (
            GATHER_OPS.min(self.store_limits.max_commit_ops.saturating_sub(ops)),
            GATHER_BYTES.min(self.store_limits.max_commit_bytes.saturating_sub(bytes)),
        )
    }
}

#[cfg(test)]
impl Config {
    /// A greeting, a window of three messages, and commits that are full soon.
    pub(crate) fn small() -> Self {
        Self {
            greeting: vec![Message::assistant("Hello")],
            initial_app: Ok("{}".into()),
            limits: Limits::default(),
            store_limits: StoreLimits::new(1 << 20, 1 << 20, 1 << 20, 7),
            window: TailBounds::new(3, 1 << 20),
            memory: Memory::default(),
            expiry: Expiry::default(),
            replies: Replies::default(),
            gathering: None,
            reads: None,
            watching: None,
            attempts: 1,
        }
    }
}
