//! Sealing a text for its place, and opening it only there.

use crate::defect::Defect;
use bytes::{BufMut, Bytes, BytesMut};
use durable_session::SessionId;
use durable_session::store::{Claim, IdTag};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Bytes added to every stored text: half of the incarnation and a checksum.
pub(crate) const ADDED: u64 = 16;

/// The place of a text in its session.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) enum Place {
    Message {
        life: u64,
        seq: u64,
    },
    App {
        life: u64,
    },
    /// An extension does not name an incarnation, but its claim belongs to one only.
    Chunk {
        claim: Claim,
        seq: u64,
        offset: u64,
    },
}

impl Place {
    fn life(self) -> u64 {
        match self {
            Self::Message { life, .. } | Self::App { life } => life,
            Self::Chunk { .. } => 0,
        }
    }

    /// The place that a wrapper with the defect binds the text to.
    fn as_bound_by(self, defect: Option<Defect>) -> Self {
        match (defect, self) {
            (Some(Defect::BindsNoSession), Self::Message { seq, .. }) => {
                Self::Message { life: 0, seq }
            }
            (Some(Defect::BindsNoSession), Self::App { .. }) => Self::App { life: 0 },
            (Some(Defect::BindsNoSeq), Self::Message { life, .. }) => {
                Self::Message { life, seq: 0 }
            }
            _ => self,
        }
    }
}

pub(crate) fn seal(defect: Option<Defect>, id: &SessionId, place: Place, text: &Bytes) -> Bytes {
    let place = place.as_bound_by(defect);
    let mut sealed = BytesMut::with_capacity(text.len() + 16);
    sealed.put_u64(place.life());
    sealed.put_u64(checksum(defect, id, place, text));
    sealed.put_slice(text);
    sealed.freeze()
}

/// The text that was sealed for this place; `None` if it was sealed for another or changed.
pub(crate) fn open(
    defect: Option<Defect>,
    id: &SessionId,
    place: Place,
    sealed: &Bytes,
) -> Option<Bytes> {
    let place = place.as_bound_by(defect);
    let (life, sum) = (integer(sealed, 0)?, integer(sealed, 8)?);
    let text = sealed.slice(16..);
    (life == place.life() && sum == checksum(defect, id, place, &text)).then_some(text)
}

/// The incarnation that a sealed text names. Salvage needs it when the head is damaged.
pub(crate) fn claimed_life(sealed: &Bytes) -> u64 {
    integer(sealed, 0).unwrap_or_default()
}

/// Masks a tag for the inner store, and unmasks it again: the core compares the tags that a load
/// returns.
pub(crate) fn masked(id: &SessionId, seq: u64, tag: IdTag) -> IdTag {
    let mut hasher = DefaultHasher::new();
    ("tag", id.as_str(), seq).hash(&mut hasher);
    IdTag::from_bits(tag.to_bits() ^ hasher.finish())
}

fn checksum(defect: Option<Defect>, id: &SessionId, place: Place, text: &Bytes) -> u64 {
    let mut hasher = DefaultHasher::new();
    if defect != Some(Defect::BindsNoSession) {
        id.as_str().hash(&mut hasher);
    }
    place.hash(&mut hasher);
    text.hash(&mut hasher);
    hasher.finish()
}

fn integer(sealed: &Bytes, at: usize) -> Option<u64> {
    let bytes = sealed.get(at..at + 8)?;
    Some(bytes.iter().fold(0, |integer, byte| integer << 8 | u64::from(*byte)))
}
