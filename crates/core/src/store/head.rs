//! The head of a session.

use super::{Commit, Expect, Salt, Version};

/// The counts, times and versions of a session; everything but its messages, labels and app state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The version of the last commit.
    pub version: Version,
    /// The version of the last commit that did more than append, close a reply or set labels (see
    /// [`Commit::moves_base`]). While `base` and `closed` stay the same, the session only grows at
    /// its end.
    pub base: Version,
    /// The version of the last commit that closed a reply (S10); the first version before that.
    pub closed: Version,
    /// The seq of the next appended message.
    pub next_seq: u64,
    /// The number of messages.
    pub messages: u64,
    /// The bytes of all message bodies.
    pub bytes: u64,
    /// When the session was created, Unix milliseconds.
    pub created_at: u64,
    /// When the session was last used, Unix milliseconds. Never moves backwards.
    pub last_accessed_at: u64,
    /// When a commit last changed messages or app state, Unix milliseconds (S11). Never moves
    /// backwards. Reads, touches and labels do not move it.
    pub changed_at: u64,
}

impl Head {
    /// The head of a session without messages, created, changed and last used at `created_at`, Unix
    /// milliseconds.
    pub const fn new(version: Version, created_at: u64) -> Self {
        Self {
            version,
            base: version,
            closed: version,
            next_seq: 1,
            messages: 0,
            bytes: 0,
            created_at,
            last_accessed_at: created_at,
            changed_at: created_at,
        }
    }

    /// The head of a session that `commit` creates, before the operations of the commit.
    pub fn created(commit: &Commit, first: Version, created_at: u64) -> Self {
        let mut head = Self::new(first, created_at);
        head.note_times(commit);
        head
    }

    /// The head with the versions and times after `commit`, by the rules of S2, S3, S10 and S11.
    /// The store updates `next_seq`, `messages` and `bytes` itself.
    #[must_use]
    pub fn advanced(mut self, commit: &Commit) -> Self {
        self.version = self.version.next();
        if commit.only_appends() {
            // The most frequent case skips the checks below.
            self.last_accessed_at = self.last_accessed_at.max(commit.at);
            self.changed_at = self.changed_at.max(commit.at);
            return self;
        }
        if commit.moves_base() {
            self.base = self.version;
        }
        if commit.closes_replies() {
            self.closed = self.version;
        }
        self.note_times(commit);
        self
    }

    fn note_times(&mut self, commit: &Commit) {
        self.last_accessed_at = self.last_accessed_at.max(commit.at);
        if commit.changes_content() {
            self.changed_at = self.changed_at.max(commit.at);
        }
    }

    /// The expectation of a commit on top of this head.
    ///
    /// ```
    /// use durable_session::store::{Commit, Expect, Head, Incarnation, Op, Version};
    ///
    /// let first = Version::new(Incarnation::from_bytes([7; 16]), 1);
    /// let head = Head::new(first, 1_763_264_606_917);
    /// let ops = vec![Op::append("a body".into())];
    /// let commit = Commit::new(head.expect(), ops, 1_763_264_606_918);
    /// assert_eq!(head.advanced(&commit).version, first.next());
    /// ```
    pub const fn expect(&self) -> Expect {
        Expect::Version { version: self.version, next_seq: self.next_seq }
    }

    /// The head with its versions mixed with `salt`. A store returns this for a stored head.
    #[must_use]
    pub fn salted(self, salt: Salt) -> Self {
        Self {
            version: self.version.salted(salt),
            base: self.base.salted(salt),
            closed: self.closed.salted(salt),
            ..self
        }
    }
}
