//! Session ids, and how to name a session without giving it away.

use crate::env::{Clock, Random, RandomError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest session id, in bytes.
pub const MAX_ID_BYTES: usize = 256;

/// Names one session: 1–256 visible ASCII characters without `/ \ ? # %`, and neither `.` nor `..`.
///
/// These rules keep an id one path segment in a URL as it stands, with no encoding that could hide another
/// path. The id is also the capability to the conversation: knowing it is enough to read and write it, so make ids with
/// [`SessionId::generate`] or with as much randomness of your own.
///
/// For the same reason an id is not printed by accident: it has no `Display`, and its `Debug` shows its
/// [fingerprint](Self::fingerprint), as do all errors. The id itself comes from [`as_str`](Self::as_str) only, and from
/// serde, which writes data.
///
/// Cheap to clone.
///
/// ```
/// use durable_session::SessionId;
///
/// let id = SessionId::new("session-1763264606917-w2j2kfd45")?;
/// assert_eq!(id.as_str(), "session-1763264606917-w2j2kfd45");
/// assert!(SessionId::new("a/b").is_err());
/// # Ok::<(), durable_session::InvalidSessionId>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// Checks and takes an id.
    ///
    /// # Errors
    /// [`InvalidSessionId`] says which rule the text breaks.
    pub fn new(id: impl AsRef<str>) -> Result<Self, InvalidSessionId> {
        let id = id.as_ref();
        check(id)?;
        Ok(Self(Arc::from(id)))
    }

    /// Makes a fresh id, `session-{unix ms}-{random}`, with 130 random bits from the system.
    ///
    /// # Errors
    /// [`RandomError`] when the system has no entropy to give.
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    pub fn generate() -> Result<Self, RandomError> {
        Self::generate_with(&crate::env::SystemClock, &crate::env::SystemRandom)
    }

    /// Makes a fresh id from the given clock and randomness, for targets without their own and for tests.
    ///
    /// # Errors
    /// [`RandomError`] when `random` fails.
    pub fn generate_with(clock: &dyn Clock, random: &dyn Random) -> Result<Self, RandomError> {
        // 26 characters of 5 bits each carry 130 bits, taken from 26 independent bytes.
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut bytes = [0; 26];
        random.fill(&mut bytes)?;
        let suffix: String = bytes.iter().map(|b| char::from(ALPHABET[usize::from(b & 31)])).collect();
        Ok(Self(Arc::from(format!("session-{}-{suffix}", clock.now_ms()))))
    }

    /// The id as text, for URLs, keys and answers to its owner. Logs and errors take the
    /// [fingerprint](Self::fingerprint).
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Names the session in a log without giving it away.
    pub fn fingerprint(&self) -> Fingerprint {
        let digest = Sha256::digest(self.0.as_bytes());
        Fingerprint(digest.iter().take(8).fold(0, |bits, byte| (bits << 8) | u64::from(*byte)))
    }
}

/// Names a session in logs and errors: 16 lower-case hexadecimal digits, the beginning of the SHA-256 of its id.
///
/// The same id has the same fingerprint in every process and release. An operator who was given an id finds its lines
/// with `printf %s "$ID" | sha256sum | cut -c1-16`.
///
/// There is no key in it. An id with at least 64 random bits, such as [`SessionId::generate`] makes, cannot be found from
/// its fingerprint; an id that can be guessed (a user's number, an e-mail address) can be confirmed with it, and is no
/// capability anyway.
///
/// ```
/// use durable_session::SessionId;
///
/// let id = SessionId::new("session-1763264606917-w2j2kfd45")?;
/// assert_eq!(id.fingerprint().to_string(), "03772da38ebbfa9f");
/// assert_eq!(format!("{id:?}"), "SessionId(03772da38ebbfa9f)");
/// # Ok::<(), durable_session::InvalidSessionId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn check(id: &str) -> Result<(), InvalidSessionId> {
    if id.is_empty() {
        return Err(InvalidSessionId::Empty);
    }
    if id.len() > MAX_ID_BYTES {
        return Err(InvalidSessionId::TooLong { bytes: id.len() });
    }
    if id == "." || id == ".." {
        return Err(InvalidSessionId::DotSegment);
    }
    let allowed = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '\\' | '?' | '#' | '%');
    match id.char_indices().find(|&(_, c)| !allowed(c)) {
        Some((at, found)) => Err(InvalidSessionId::Character { at, found }),
        None => Ok(()),
    }
}

/// Why a text is not a session id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSessionId {
    /// No characters at all.
    #[error("session id is empty")]
    Empty,
    /// Longer than [`MAX_ID_BYTES`].
    #[error("session id is {bytes} bytes; the limit is {MAX_ID_BYTES}")]
    TooLong {
        /// The length found.
        bytes: usize,
    },
    /// `.` or `..`, which a URL would resolve away.
    #[error("session id is `.` or `..`, which a URL resolves away")]
    DotSegment,
    /// A character outside visible ASCII, or one of `/ \ ? # %`.
    #[error("session id has {found:?} at byte {at}; use visible ASCII without / \\ ? # %")]
    Character {
        /// Byte offset of the character.
        at: usize,
        /// The character.
        found: char,
    },
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({})", self.fingerprint())
    }
}

impl AsRef<str> for SessionId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for SessionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_one_path_segment() {
        for good in ["a", "session-1763264606917-w2j2kfd45", "...", "a.b", "~!@$&*()_+-=", &"x".repeat(256)] {
            assert_eq!(SessionId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "a\\b", "a?b", "a#b", "a%2fb", "a b", "é", "a\u{7f}", "a\n", "\0"]
        {
            assert!(SessionId::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(SessionId::new("x".repeat(257)), Err(InvalidSessionId::TooLong { bytes: 257 }));
        assert_eq!(SessionId::new("ab/c"), Err(InvalidSessionId::Character { at: 2, found: '/' }));
    }

    #[test]
    fn generated_ids_carry_the_time_and_never_repeat() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| SessionId::generate().unwrap()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            let parts: Vec<_> = id.as_str().splitn(3, '-').collect();
            assert_eq!(parts[0], "session");
            assert!(parts[1].parse::<u64>().unwrap() > 1_700_000_000_000);
            assert_eq!(parts[2].len(), 26);
            assert_eq!(SessionId::new(id.as_str()), Ok(id.clone()));
        }
    }

    #[test]
    fn serde_checks_the_rules() {
        let id: SessionId = serde_json::from_str("\"abc\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"abc\"");
        assert!(serde_json::from_str::<SessionId>("\"a/b\"").is_err());
    }
}
