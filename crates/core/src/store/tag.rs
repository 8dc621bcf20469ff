//! Tags of message ids, by which a retry is found (C7).

use crate::Message;
use std::fmt;

/// The number of last messages whose tags a [load](super::Loaded::tags) returns: the window of C7.
pub const TAGGED_MESSAGES: usize = 64;

/// A 64-bit hash of a message's `id`, kept with the message (C7).
///
/// A store returns it in a [load](super::Loaded::tags) and does not interpret it. A matching tag
/// only finds the candidate: the session then compares the messages.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdTag(u64);

impl IdTag {
    /// The tag of a message without an `id`.
    pub const NONE: Self = Self(0);

    /// The tag of a message whose id was not read yet.
    pub(crate) const UNREAD: Self = Self(1);

    /// The tag of this `id`.
    ///
    /// ```
    /// use durable_session::Message;
    /// use durable_session::store::IdTag;
    ///
    /// let message = Message::user("hi").with_id("m-1");
    /// assert_eq!(IdTag::of_message(&message), IdTag::of("m-1"));
    /// assert_eq!(IdTag::of_message(&Message::user("hi")), IdTag::NONE);
    /// ```
    pub fn of(id: &str) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(id.as_bytes()).max(2))
    }

    /// The tag of the message's `id`.
    pub fn of_message(message: &Message) -> Self {
        message.id().map_or(Self::NONE, |id| Self::of(&id))
    }

    /// The 64 bits to store.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The tag of these stored bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for IdTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A message and the tag of its `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tagged {
    /// The message's seq.
    pub seq: u64,
    /// The tag that was written with the message.
    pub tag: IdTag,
}
