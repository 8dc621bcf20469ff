//! The limits and guarantees that a store declares.

use super::{Commit, Extension, Labels, Op, ReplyOpening, StoreError, StoreErrorKind};
use crate::SessionId;

/// The limits of a store (S7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreLimits {
    /// The most bytes of one message body.
    pub max_body_bytes: u64,
    /// The most bytes of the app state.
    pub max_app_bytes: u64,
    /// The most bytes of all bodies and app states in one commit, and of all chunks in one
    /// extension.
    pub max_commit_bytes: u64,
    /// The most operations in one commit, and the most chunks in one extension.
    pub max_commit_ops: usize,
}

/// The failures that a successful commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// None: the commit is lost when the process ends.
    Process,
    /// The end of this process only: the commit is with a server that did not sync it. A crash of
    /// the server or of its machine loses the last commits.
    Unsynced,
    /// Crash and power loss: the commit is synced to the disk before the store reports success.
    Synced,
    /// The failures that the platform survives: it sends no answer before its storage confirms the
    /// write.
    Platform,
}

/// Whether another opening of the store, such as that of another process, may write to the sessions
/// (S12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sharing {
    /// No: this opening of the store is the only writer. Loaded state stays current until this
    /// process changes it.
    Exclusive,
    /// Other processes may write: loaded state may be out of date.
    Shared,
}

impl StoreLimits {
    /// The bytes of a message body that an open reply must leave free, so that the closing commit
    /// never exceeds a limit (S10).
    pub const REPLY_RESERVE: u64 = 1024;

    /// Limits with these values, in the order of the fields.
    ///
    /// ```
    /// use durable_session::store::StoreLimits;
    ///
    /// let limits = StoreLimits::new(1 << 20, 1 << 20, 16 << 20, 1024);
    /// assert_eq!(limits.max_commit_ops, 1024);
    /// ```
    pub const fn new(
        max_body_bytes: u64,
        max_app_bytes: u64,
        max_commit_bytes: u64,
        max_commit_ops: usize,
    ) -> Self {
        Self { max_body_bytes, max_app_bytes, max_commit_bytes, max_commit_ops }
    }

    /// Checks a commit against these limits. Every store must call it before it writes anything.
    ///
    /// # Errors
    /// [`StoreErrorKind::TooLarge`] with the value and the limit.
    ///
    /// ```
    /// use durable_session::store::{Commit, Expect, Op, StoreLimits};
    ///
    /// let limits = StoreLimits::new(10, 10, 100, 5);
    /// let commit = Commit::new(Expect::absent(1), vec![Op::append(vec![b'x'; 20].into())], 1);
    /// let error = limits.check(&"s-1".parse()?, &commit).unwrap_err();
    /// assert!(error.to_string().contains("message body is 20 bytes; the limit is 10"));
    /// # Ok::<(), durable_session::InvalidSessionId>(())
    /// ```
    pub fn check(&self, id: &SessionId, commit: &Commit) -> Result<(), StoreError> {
        for op in &commit.ops {
            match op {
                Op::Append(message) | Op::Replace { message, .. } | Op::Close { message, .. } => {
                    let bytes = message.body.len() as u64;
                    within(id, "message body is", bytes, "bytes", self.max_body_bytes)?;
                    if let Some(opens) = &message.opens {
                        let format = opens.format.len() as u64;
                        let max = ReplyOpening::MAX_FORMAT_BYTES as u64;
                        within(id, "name of the reply's format is", format, "bytes", max)?;
                        self.check_reply(id, bytes)?;
                    }
                }
                Op::SetApp(app) => {
                    within(id, "app state is", app.len() as u64, "bytes", self.max_app_bytes)?;
                }
                Op::SetLabels(labels) => {
                    let (owner, title) = (labels.get_owner(), labels.get_title());
                    let bytes = |label: Option<&str>| label.map_or(0, str::len) as u64;
                    within(id, "owner is", bytes(owner), "bytes", Labels::MAX_OWNER_BYTES as u64)?;
                    within(id, "title is", bytes(title), "bytes", Labels::MAX_TITLE_BYTES as u64)?;
                }
                Op::Remove { .. } => {}
            }
        }
        within(id, "commit is", commit.bytes(), "bytes", self.max_commit_bytes)?;
        within(id, "commit has", commit.ops.len() as u64, "operations", self.max_commit_ops as u64)
    }

    /// Checks the size of an extension. Every store must call it before it writes anything.
    ///
    /// # Errors
    /// [`StoreErrorKind::TooLarge`] with the value and the limit.
    pub fn check_extension(&self, id: &SessionId, extension: &Extension) -> Result<(), StoreError> {
        within(id, "extension is", extension.bytes(), "bytes", self.max_commit_bytes)?;
        within(
            id,
            "extension has",
            extension.chunks.len() as u64,
            "chunks",
            self.max_commit_ops as u64,
        )
    }

    /// Checks the bytes of a message's body and all chunks of its reply together. Every store must
    /// call it before it writes an extension.
    ///
    /// # Errors
    /// [`StoreErrorKind::TooLarge`]: the message would leave no room for
    /// [`REPLY_RESERVE`](Self::REPLY_RESERVE).
    pub fn check_reply(&self, id: &SessionId, bytes: u64) -> Result<(), StoreError> {
        let max = self.max_body_bytes.saturating_sub(Self::REPLY_RESERVE);
        within(id, "message with its reply is", bytes, "bytes", max)
    }
}

fn within(id: &SessionId, subject: &str, is: u64, unit: &str, max: u64) -> Result<(), StoreError> {
    if is <= max {
        return Ok(());
    }
    let context = format!("{subject} {is} {unit}; the limit is {max}");
    Err(StoreError::new(StoreErrorKind::TooLarge, context).in_session(id))
}

#[cfg(test)]
mod tests {
    use super::StoreLimits;
    use crate::SessionId;
    use crate::store::{Claim, Commit, Expect, Extension, Labels, NewMessage, Op, ReplyOpening};
    use bytes::Bytes;

    #[test]
    fn an_exceeded_limit_is_named_with_the_value_and_the_limit() {
        let limits = StoreLimits::new(10, 10, 15, 2);
        let id = SessionId::new("s-1").unwrap();
        let body = |bytes: usize| Bytes::from(vec![b'x'; bytes]);
        let check = |ops: Vec<Op>| {
            let commit = Commit::new(Expect::absent(1), ops, 1);
            limits.check(&id, &commit).map_err(|e| e.to_string())
        };
        let append = |bytes| Op::append(body(bytes));
        let claim = Claim::from_bytes([1; 32]);
        let opening =
            |format: &str| NewMessage::plain(body(1)).opening(ReplyOpening::new(claim, format));
        for (ops, text) in [
            (vec![append(20)], "message body is 20 bytes; the limit is 10"),
            (vec![Op::replace(1, body(11))], "message body is 11 bytes; the limit is 10"),
            (vec![Op::SetApp(body(11))], "app state is 11 bytes; the limit is 10"),
            (vec![append(8), append(8)], "commit is 16 bytes; the limit is 15"),
            (vec![append(1), append(1), append(1)], "commit has 3 operations; the limit is 2"),
            (
                vec![Op::SetLabels(Labels::owner("o".repeat(257)))],
                "owner is 257 bytes; the limit is 256",
            ),
            (
                vec![Op::SetLabels(Labels::NONE.title("t".repeat(1025)))],
                "title is 1025 bytes; the limit is 1024",
            ),
            (vec![Op::Append(opening(&"f".repeat(65)))], "format is 65 bytes; the limit is 64"),
            (
                vec![Op::Append(opening("text"))],
                "message with its reply is 1 bytes; the limit is 0",
            ),
        ] {
            let refused = check(ops).unwrap_err();
            assert!(refused.contains(text), "{refused}");
        }
        assert_eq!(check(vec![append(10), append(5)]), Ok(()));
        assert_eq!(check(vec![Op::SetApp(body(10))]), Ok(()));
    }

    #[test]
    fn an_extension_is_checked_against_the_limits() {
        let limits = StoreLimits::new(2_000, 10, 15, 2);
        let id = SessionId::new("s-1").unwrap();
        let extension = |chunks: &[&'static str]| {
            let chunks = chunks.iter().copied().map(Bytes::from).collect();
            Extension::new(1, Claim::from_bytes([1; 32]), 0, chunks)
        };
        let check = |chunks: &[&'static str]| {
            limits.check_extension(&id, &extension(chunks)).map_err(|e| e.to_string())
        };
        let refused = check(&["0123456789", "012345"]).unwrap_err();
        assert!(refused.contains("extension is 16 bytes; the limit is 15"), "{refused}");
        let refused = check(&["a", "b", "c"]).unwrap_err();
        assert!(refused.contains("extension has 3 chunks; the limit is 2"), "{refused}");
        assert_eq!(check(&["0123456789", "01234"]), Ok(()));
        assert!(limits.check_reply(&id, 976).is_ok() && limits.check_reply(&id, 977).is_err());
    }
}
