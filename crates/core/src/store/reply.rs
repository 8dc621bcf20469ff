//! Replies: messages that still grow (S10).

use super::shown::Chunks;
use crate::env::{Random, RandomError};
use crate::sync::{Arc as SharedArc, Mutex};
use bytes::Bytes;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// One opening of a store by a process (S12). A store draws it when it is opened; clones are equal.
///
/// Clones share the list of the claims that somebody holds (C12), so a store returns clones of one
/// value.
#[derive(Clone)]
pub struct Opening(SharedArc<Shared>);

struct Shared {
    id: [u8; 16],
    /// The claims of live replies, and of calls that are opening one.
    held: Mutex<HashSet<Claim>>,
    /// One more reference for each `ChatSessions` over the opening.
    users: Arc<()>,
}

impl Opening {
    /// Draws 128 random bits.
    ///
    /// # Errors
    /// [`RandomError`] if the source of randomness fails.
    pub fn draw(random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = [0; 16];
        random.fill(&mut bytes)?;
        Ok(Self(SharedArc::new(Shared {
            id: bytes,
            held: Mutex::default(),
            users: Arc::default(),
        })))
    }

    /// The 16 random bytes, by which openings differ.
    pub fn id(&self) -> [u8; 16] {
        self.0.id
    }

    /// Draws a new claim of this opening.
    ///
    /// # Errors
    /// [`RandomError`] if the source of randomness fails.
    pub fn claim(&self, random: &dyn Random) -> Result<Claim, RandomError> {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.0.id);
        random.fill(&mut bytes[16..])?;
        Ok(Claim(bytes))
    }

    /// One more `ChatSessions` uses the opening, as long as it keeps the value.
    pub(crate) fn used(&self) -> Arc<()> {
        Arc::clone(&self.0.users)
    }

    /// Somebody holds `claim` from now on, until it is let go.
    pub(crate) fn hold(&self, claim: Claim) {
        self.0.held.lock().insert(claim);
    }

    /// Nobody holds `claim` any more.
    pub(crate) fn let_go(&self, claim: &Claim) {
        self.0.held.lock().remove(claim);
    }

    /// Whether somebody holds `claim`.
    pub(crate) fn is_held(&self, claim: &Claim) -> bool {
        self.0.held.lock().contains(claim)
    }
}

impl PartialEq for Opening {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Opening {}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opening({:032x})", u128::from_be_bytes(self.id()))
    }
}

/// The right to extend and close a reply: the id of the store's opening and 128 random bits, drawn
/// for each reply. The store keeps it with the reply. `Debug` shows a part of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim([u8; 32]);

impl Claim {
    /// A claim of these 32 bytes, as they were stored.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The id of the opening, then the random bits.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Whether the claim was drawn in this opening of the store.
    pub fn is_of(&self, opening: &Opening) -> bool {
        self.0[..16] == opening.id()
    }
}

impl fmt::Debug for Claim {
    /// Shows half of the random bits: enough to tell claims apart in a log, too few to use one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = [0; 8];
        shown.copy_from_slice(&self.0[16..24]);
        write!(f, "Claim({:016x}…)", u64::from_be_bytes(shown))
    }
}

/// An opening of a reply, which begins one life of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyOpening {
    /// The claim that extends the reply.
    pub claim: Claim,
    /// The name of the chunks' format, at most [`MAX_FORMAT_BYTES`](Self::MAX_FORMAT_BYTES) long.
    pub format: Arc<str>,
}

impl ReplyOpening {
    /// The longest name of a format, in bytes of UTF-8.
    pub const MAX_FORMAT_BYTES: usize = 64;

    /// Opens a reply under `claim` with chunks in the format of this name.
    pub fn new(claim: Claim, format: impl Into<Arc<str>>) -> Self {
        Self { claim, format: format.into() }
    }
}

/// The counts of a reply's chunks and beats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplyCounts {
    /// The number of chunks.
    pub chunks: u64,
    /// The number of beats: extensions without chunks, which show that the writer is alive.
    pub beats: u64,
}

/// An open reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReply {
    /// The seq of the reply's message.
    pub seq: u64,
    /// The claim that extends the reply.
    pub claim: Claim,
    /// The name of the chunks' format.
    pub format: Arc<str>,
    /// The counts of its chunks and beats.
    pub counts: ReplyCounts,
    /// The bytes of all its chunks.
    pub bytes: u64,
}

/// Chunks to add to an open reply, or a beat (S10). `Debug` shows the number and the bytes of the
/// chunks only.
///
/// ```
/// use durable_session::store::{Claim, Extension};
///
/// let claim = Claim::from_bytes([7; 32]);
/// let extension = Extension::new(3, claim, 10, vec!["a".into(), "b".into()]);
/// assert_eq!(extension.news(11), Some(&["b".into()][..]), "chunk 10 is stored already");
/// assert_eq!(extension.news(9), None, "chunk 9 is missing");
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extension {
    /// The seq of the reply's message.
    pub seq: u64,
    /// The claim of the reply.
    pub claim: Claim,
    /// The offset of the first chunk; chunks are numbered from 0. The store skips chunks that the
    /// reply already has, so an extension can be sent again.
    pub offset: u64,
    /// The chunks. Without chunks the extension is a beat and the offset is ignored.
    pub chunks: Vec<Bytes>,
}

impl Extension {
    /// An extension by these chunks. The first has the number `offset`.
    pub const fn new(seq: u64, claim: Claim, offset: u64, chunks: Vec<Bytes>) -> Self {
        Self { seq, claim, offset, chunks }
    }

    /// A beat: an extension without chunks.
    pub const fn beat(seq: u64, claim: Claim) -> Self {
        Self::new(seq, claim, 0, Vec::new())
    }

    /// The bytes of the chunks.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// The chunks that are new to a reply of `chunks` chunks; `None` if chunks in between are
    /// missing.
    pub fn news(&self, chunks: u64) -> Option<&[Bytes]> {
        let known = usize::try_from(chunks.checked_sub(self.offset)?).unwrap_or(usize::MAX);
        Some(self.chunks.get(known..).unwrap_or_default())
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, claim, offset, chunks } = self;
        f.debug_struct("Extension")
            .field("seq", seq)
            .field("claim", claim)
            .field("offset", offset)
            .field("chunks", &Chunks(chunks))
            .finish()
    }
}

/// The outcome of an extension that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtendOutcome {
    /// The extension is durable. These are the counts of the reply after it.
    Extended(ReplyCounts),
    /// No reply with this claim is open on the message; nothing changed.
    Ended,
    /// The offset is beyond the reply's last chunk; nothing changed.
    Gap(ReplyCounts),
}

/// A query for a page of the chunks of an open reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChunkQuery {
    /// The seq of the reply's message.
    pub seq: u64,
    /// The offset of the first chunk, from 0.
    pub offset: u64,
    /// The most chunks (0 counts as 1).
    pub max_chunks: usize,
    /// The most bytes of chunks. The page has at least one chunk.
    pub max_bytes: u64,
}

impl ChunkQuery {
    /// Reads all chunks from `offset` on.
    pub const fn from(seq: u64, offset: u64) -> Self {
        Self { seq, offset, max_chunks: usize::MAX, max_bytes: u64::MAX }
    }

    /// The query with at most so many chunks.
    #[must_use]
    pub const fn max_chunks(self, max_chunks: usize) -> Self {
        Self { max_chunks, ..self }
    }

    /// The query with at most so many bytes of chunks. The page has at least one chunk.
    #[must_use]
    pub const fn max_bytes(self, max_bytes: u64) -> Self {
        Self { max_bytes, ..self }
    }
}

/// The answer of [`read_chunks`](super::SessionStore::read_chunks): chunks of an open reply.
/// `Debug` shows the number and the bytes of the chunks only.
#[derive(Clone, PartialEq, Eq)]
pub struct ChunkPage {
    /// The reply at that moment. If its last chunks are damaged, it ends before them.
    pub reply: OpenReply,
    /// The chunks from the query's offset on; empty if the reply ends before it.
    pub chunks: Vec<Bytes>,
    /// The reply has more chunks than the bounds allow.
    pub more: bool,
}

impl fmt::Debug for ChunkPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reply, chunks, more } = self;
        f.debug_struct("ChunkPage")
            .field("reply", reply)
            .field("chunks", &Chunks(chunks))
            .field("more", more)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Claim, Extension};

    #[test]
    fn an_extension_skips_stored_chunks_and_detects_a_gap() {
        let claim = Claim::from_bytes([7; 32]);
        let chunks: Vec<Bytes> = ["a", "b", "c"].into_iter().map(Bytes::from).collect();
        let extension = Extension::new(1, claim, 2, chunks.clone());
        assert_eq!(extension.news(1), None, "a gap");
        assert_eq!(extension.news(2), Some(&chunks[..]));
        assert_eq!(extension.news(4), Some(&chunks[2..]));
        assert_eq!(extension.news(5), Some(&[][..]), "all known");
        assert_eq!(extension.news(9), Some(&[][..]), "and more");
        assert_eq!(extension.bytes(), 3);
    }
}
