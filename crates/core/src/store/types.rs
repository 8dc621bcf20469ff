//! What goes into and comes out of a [`SessionStore`](super::SessionStore).

use super::StoreError;
use bytes::Bytes;
use std::fmt;
use std::str::FromStr;

/// 128 random bits, drawn anew each time a session is created: two lives of one id never share a version.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation([u8; 16]);

impl Incarnation {
    /// Takes 16 random bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Which content a session had: changes with every commit and never repeats for an id (S3).
///
/// Callers compare versions and nothing else. Stores make them: an [`Incarnation`] and a counter that starts at 1
/// and grows with every commit. The text form is 48 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    incarnation: Incarnation,
    counter: u64,
}

impl Version {
    /// The version that a store gives after `counter` commits in this incarnation.
    pub const fn new(incarnation: Incarnation, counter: u64) -> Self {
        Self { incarnation, counter }
    }

    /// The life of the session that this version belongs to.
    pub const fn incarnation(self) -> Incarnation {
        self.incarnation
    }

    /// How many commits this life of the session has seen. For stores; its order means nothing across lives.
    pub const fn counter(self) -> u64 {
        self.counter
    }

    /// The version after one more commit.
    pub const fn next(self) -> Self {
        Self { incarnation: self.incarnation, counter: self.counter + 1 }
    }

    /// 24 bytes: the incarnation, then the counter, big-endian.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&self.incarnation.0);
        bytes[16..].copy_from_slice(&self.counter.to_be_bytes());
        bytes
    }

    /// The reverse of [`to_bytes`](Self::to_bytes).
    pub fn from_bytes(bytes: [u8; 24]) -> Self {
        let mut incarnation = [0; 16];
        incarnation.copy_from_slice(&bytes[..16]);
        let mut counter = [0; 8];
        counter.copy_from_slice(&bytes[16..]);
        Self { incarnation: Incarnation(incarnation), counter: u64::from_be_bytes(counter) }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({self})")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{:016x}", self.incarnation, self.counter)
    }
}

/// The text is not a version: 48 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a version is 48 lower-case hexadecimal digits")]
pub struct InvalidVersion;

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 48 || !text.bytes().all(hex) {
            return Err(InvalidVersion);
        }
        let incarnation = u128::from_str_radix(&text[..32], 16).map_err(|_| InvalidVersion)?;
        let counter = u64::from_str_radix(&text[32..], 16).map_err(|_| InvalidVersion)?;
        Ok(Self { incarnation: Incarnation(incarnation.to_be_bytes()), counter })
    }
}

/// Everything about a session but its messages and app state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The version of the last commit.
    pub version: Version,
    /// The version of the last commit that did not only append: that replaced, removed or set the app state, created the
    /// session, or had no operations. While it stays the same, the session only grew at its end.
    pub base: Version,
    /// The seq that the next appended message gets.
    pub next_seq: u64,
    /// How many messages there are.
    pub messages: u64,
    /// The bytes of all message bodies.
    pub bytes: u64,
    /// When the session was created, Unix milliseconds.
    pub created_at: u64,
    /// When it was last used, Unix milliseconds. Never moves backwards.
    pub last_accessed_at: u64,
}

impl Head {
    /// The head of a session without messages, created and last used at `created_at`, Unix milliseconds.
    pub const fn new(version: Version, created_at: u64) -> Self {
        Self {
            version,
            base: version,
            next_seq: 1,
            messages: 0,
            bytes: 0,
            created_at,
            last_accessed_at: created_at,
        }
    }
}

/// One stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its place in the session's order, from 1.
    pub seq: u64,
    /// The body as it was committed.
    pub body: Bytes,
}

/// How much of the tail a load brings: the longest run of last messages within both bounds, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailBounds {
    /// At most so many messages (0 counts as 1).
    pub max_messages: usize,
    /// At most so many bytes of bodies, unless the last message alone has more.
    pub max_bytes: u64,
}

/// What [`load`](super::SessionStore::load) answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The head.
    pub head: Head,
    /// The app state as it was last committed; empty if none was ever set.
    pub app: Bytes,
    /// The last messages, oldest first.
    pub tail: Vec<Row>,
}

/// The direction of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From low seqs to high.
    Forward,
    /// From high seqs to low.
    Backward,
}

/// Which messages a read wants. Rows come in the order asked for, starting at that end of the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadQuery {
    /// The lowest seq, inclusive.
    pub first: u64,
    /// The highest seq, inclusive. An empty range (`first > last`) yields no rows.
    pub last: u64,
    /// From which end to begin.
    pub order: Order,
    /// At most so many messages (0 counts as 1).
    pub max_messages: usize,
    /// At most so many bytes of bodies, but at least one message.
    pub max_bytes: u64,
}

/// What [`read`](super::SessionStore::read) answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The head at that moment: rows and head are one consistent view.
    pub head: Head,
    /// The messages, in the order asked for.
    pub rows: Vec<Row>,
    /// The range holds more than the bounds let through.
    pub more: bool,
}

/// Something of a session that cannot be read.
#[derive(Debug, Clone)]
pub struct Damage {
    /// The message, or `None` when it is the head (with the app state) that is damaged.
    pub seq: Option<u64>,
    /// What is wrong with it: an error of kind [`Corrupt`](super::StoreErrorKind::Corrupt).
    pub error: StoreError,
}

/// What [`salvage`](super::SessionStore::salvage) answers.
#[derive(Debug, Clone)]
pub struct Salvaged {
    /// The head, if it can be read.
    pub head: Option<Head>,
    /// The app state, if it can be read.
    pub app: Option<Bytes>,
    /// The readable messages of this page, in the order asked for.
    pub rows: Vec<Row>,
    /// What could not be read: the head, and messages of this page.
    pub damage: Vec<Damage>,
    /// The range holds more than the bounds let through.
    pub more: bool,
}

/// What a commit requires of the session before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It must not exist; the commit creates it.
    Absent {
        /// The creation time to record, Unix milliseconds.
        created_at: u64,
    },
    /// It must have exactly this version.
    Version(Version),
}

/// One change within a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Adds a message at the end; it gets the next seq.
    Append(Bytes),
    /// Gives the message at `seq` a new body.
    Replace {
        /// A message that exists at this point of the commit, or nothing of the commit happens.
        seq: u64,
        /// The new body.
        body: Bytes,
    },
    /// Removes the messages from `first` to `last`, both inclusive. Seqs without a message are fine.
    Remove {
        /// The lowest seq.
        first: u64,
        /// The highest seq.
        last: u64,
    },
    /// Sets the app state.
    SetApp(Bytes),
}

/// An ordered list of changes to one session, made whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// What must be so before.
    pub expect: Expect,
    /// The changes, in order. An empty list still makes a new version.
    pub ops: Vec<Op>,
    /// When, Unix milliseconds: raises `last_accessed_at`.
    pub at: u64,
}

impl Commit {
    /// The bytes of all bodies and app states in it: what [`StoreLimits::max_commit_bytes`] bounds.
    pub fn bytes(&self) -> u64 {
        self.ops
            .iter()
            .map(|op| match op {
                Op::Append(body) | Op::Replace { body, .. } | Op::SetApp(body) => body.len() as u64,
                Op::Remove { .. } => 0,
            })
            .sum()
    }
}

/// How a commit ended, if it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is durable; this is the head after it.
    Committed(Head),
    /// The expectation did not hold; nothing changed.
    Conflict {
        /// The version there is, `None` if the session is absent.
        current: Option<Version>,
    },
    /// A [`Op::Replace`] named a seq without a message; nothing changed.
    NoSuchSeq {
        /// That seq.
        seq: u64,
    },
}

/// When a delete may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteIf {
    /// In any case.
    Any,
    /// If the session has this version.
    Version(Version),
    /// If `last_accessed_at` is not later than this, Unix milliseconds.
    IdleSince(u64),
}

/// How a delete ended, if it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// Everything of the session is gone.
    Deleted,
    /// There was nothing.
    Absent,
    /// The condition did not hold; nothing changed.
    Conflict {
        /// The version there is.
        current: Version,
    },
}

/// The largest things a store takes (S7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Bytes of one message body.
    pub max_body_bytes: u64,
    /// Bytes of the app state.
    pub max_app_bytes: u64,
    /// Bytes of all bodies and app states in one commit.
    pub max_commit_bytes: u64,
    /// Operations in one commit.
    pub max_commit_ops: usize,
}

/// What a successful commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing beyond this process.
    Process,
    /// Crash and power loss: it was synced to the disk before success was reported.
    Synced,
    /// What the platform promises: no reply leaves before its storage has confirmed the write.
    Platform,
}

impl StoreLimits {
    /// Checks a commit against these limits, as every store must before it writes anything.
    ///
    /// # Errors
    /// [`StoreErrorKind::TooLarge`](super::StoreErrorKind::TooLarge), saying which limit and by how much.
    pub fn check(&self, id: &crate::SessionId, commit: &Commit) -> Result<(), StoreError> {
        let within = |what: &str, is: u64, unit: &str, max: u64| {
            if is <= max {
                return Ok(());
            }
            let context = format!("{what} {is} {unit}; the limit is {max}");
            Err(StoreError::new(super::StoreErrorKind::TooLarge, context).in_session(id))
        };
        for op in &commit.ops {
            match op {
                Op::Append(body) | Op::Replace { body, .. } => {
                    within("message body is", body.len() as u64, "bytes", self.max_body_bytes)?;
                }
                Op::SetApp(app) => within("app state is", app.len() as u64, "bytes", self.max_app_bytes)?,
                Op::Remove { .. } => {}
            }
        }
        within("commit is", commit.bytes(), "bytes", self.max_commit_bytes)?;
        within("commit has", commit.ops.len() as u64, "operations", self.max_commit_ops as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_a_limit_is_told_with_both_numbers() {
        let limits =
            StoreLimits { max_body_bytes: 10, max_app_bytes: 10, max_commit_bytes: 15, max_commit_ops: 2 };
        let id = crate::SessionId::new("s-1").unwrap();
        let body = |bytes: usize| Bytes::from(vec![b'x'; bytes]);
        let check = |ops: Vec<Op>| {
            let commit = Commit { expect: Expect::Absent { created_at: 1 }, ops, at: 1 };
            limits.check(&id, &commit).map_err(|e| e.to_string())
        };
        let append = |bytes| Op::Append(body(bytes));
        for (ops, text) in [
            (vec![append(20)], "message body is 20 bytes; the limit is 10"),
            (vec![Op::Replace { seq: 1, body: body(11) }], "message body is 11 bytes; the limit is 10"),
            (vec![Op::SetApp(body(11))], "app state is 11 bytes; the limit is 10"),
            (vec![append(8), append(8)], "commit is 16 bytes; the limit is 15"),
            (vec![append(1), append(1), append(1)], "commit has 3 operations; the limit is 2"),
        ] {
            let refused = check(ops).unwrap_err();
            assert!(refused.contains(text), "{refused}");
        }
        assert_eq!(check(vec![append(10), append(5)]), Ok(()));
        assert_eq!(check(vec![Op::SetApp(body(10))]), Ok(()));
    }

    #[test]
    fn a_version_survives_its_text_and_its_bytes() {
        let v = Version::new(Incarnation::from_bytes(*b"0123456789abcdef"), 0x1234);
        assert_eq!(v.to_string().len(), 48);
        assert_eq!(v.to_string().parse::<Version>(), Ok(v));
        assert_eq!(Version::from_bytes(v.to_bytes()), v);
        assert_ne!(v.next(), v);
        for bad in ["", "+1", &"0".repeat(47), &"g".repeat(48), &"A".repeat(48), &"+".repeat(48)] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }
}
