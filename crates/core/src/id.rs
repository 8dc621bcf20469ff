//! Session ids, and the fingerprints that name sessions in logs.

use crate::env::{Clock, Random, RandomError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest session id, in bytes.
pub const MAX_ID_BYTES: usize = 256;

/// The id of a session: 1–256 visible ASCII characters without `/ \ ? # %`, and neither `.` nor
/// `..`.
///
/// With these rules an id is one path segment of a URL without any encoding. The id is also the
/// capability to the conversation: anybody who knows it can read and write the session. Make ids
/// with [`SessionId::generate`] or with as much randomness of your own.
///
/// So that no id is printed by accident, `SessionId` has no `Display`, and its `Debug` shows the
/// [fingerprint](Self::fingerprint), as all errors do. Only [`as_str`](Self::as_str) and serde give
/// the id itself.
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
    /// Checks the text and makes it an id.
    ///
    /// # Errors
    /// [`InvalidSessionId`] names the rule that the text breaks.
    ///
    /// ```
    /// use durable_session::{InvalidSessionId, SessionId};
    ///
    /// assert!(SessionId::new("s-1").is_ok());
    /// assert_eq!(SessionId::new(""), Err(InvalidSessionId::Empty));
    /// ```
    pub fn new(id: impl AsRef<str>) -> Result<Self, InvalidSessionId> {
        let id = id.as_ref();
        check(id)?;
        Ok(Self(Arc::from(id)))
    }

    /// Makes a new id, `session-{Unix ms}-{random}`, with 130 random bits from the system.
    ///
    /// # Errors
    /// [`RandomError`] if the system's source of randomness fails.
    ///
    /// ```
    /// use durable_session::SessionId;
    ///
    /// let id = SessionId::generate()?;
    /// assert!(id.as_str().starts_with("session-"));
    /// # Ok::<(), durable_session::env::RandomError>(())
    /// ```
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    pub fn generate() -> Result<Self, RandomError> {
        Self::generate_with(&crate::env::SystemClock, &crate::env::SystemRandom)
    }

    /// Makes a new id from the given clock and randomness: for tests, and for targets that have
    /// none.
    ///
    /// # Errors
    /// [`RandomError`] if `random` fails.
    pub fn generate_with(clock: &dyn Clock, random: &dyn Random) -> Result<Self, RandomError> {
        // 26 characters of 5 bits each carry 130 bits, taken from 26 independent bytes.
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut bytes = [0; 26];
        random.fill(&mut bytes)?;
        let suffix: String =
            bytes.iter().map(|b| char::from(ALPHABET[usize::from(b & 31)])).collect();
        Ok(Self(Arc::from(format!("session-{}-{suffix}", clock.now_ms()))))
    }

    /// The id as text, for URLs, keys and answers to the session's owner. In logs and errors use
    /// the [fingerprint](Self::fingerprint).
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the session for logs and errors, from which a random id cannot be found.
    ///
    /// ```
    /// use durable_session::SessionId;
    ///
    /// let id = SessionId::new("session-1763264606917-w2j2kfd45")?;
    /// println!("session {} was deleted", id.fingerprint());
    /// # Ok::<(), durable_session::InvalidSessionId>(())
    /// ```
    pub fn fingerprint(&self) -> Fingerprint {
        let digest = Sha256::digest(self.0.as_bytes());
        Fingerprint(digest.iter().take(8).fold(0, |bits, byte| (bits << 8) | u64::from(*byte)))
    }
}

/// The name of a session in logs and errors: the first 64 bits of the SHA-256 of its id, as 16
/// lower-case hexadecimal digits.
///
/// An id has the same fingerprint in every process and release. Given an id, an operator finds its
/// log lines with `printf %s "$ID" | sha256sum | cut -c1-16`.
///
/// The hash has no key. An id with at least 64 random bits, such as [`SessionId::generate`] makes,
/// cannot be found from its fingerprint. An id that can be guessed (a user's number, an e-mail
/// address) can be confirmed with it; such an id is no capability anyway.
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

/// The text is not a session id. `Display` and `Debug` repeat at most one character of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSessionId {
    /// The text is empty.
    #[error("session id is empty")]
    Empty,
    /// The text is longer than [`MAX_ID_BYTES`].
    #[error("session id is {bytes} bytes; the limit is {MAX_ID_BYTES}")]
    TooLong {
        /// The length of the text.
        bytes: usize,
    },
    /// The text is `.` or `..`, which URLs treat as relative paths.
    #[error("session id is `.` or `..`; URLs treat these as relative paths")]
    DotSegment,
    /// The text has a character outside visible ASCII, or one of `/ \ ? # %`.
    #[error("session id has {found:?} at byte {at}; use visible ASCII without / \\ ? # %")]
    Character {
        /// The byte offset of the character.
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
    use super::{InvalidSessionId, SessionId};

    #[test]
    fn an_id_is_one_path_segment() {
        for good in
            ["a", "session-1763264606917-w2j2kfd45", "...", "a.b", "~!@$&*()_+-=", &"x".repeat(256)]
        {
            assert_eq!(SessionId::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "", ".", "..", "a/b", "a\\b", "a?b", "a#b", "a%2fb", "a b", "é", "a\u{7f}", "a\n", "\0",
        ] {
            assert!(SessionId::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(SessionId::new("x".repeat(257)), Err(InvalidSessionId::TooLong { bytes: 257 }));
        assert_eq!(SessionId::new("ab/c"), Err(InvalidSessionId::Character { at: 2, found: '/' }));
    }

    #[test]
    fn generated_ids_have_the_time_and_never_repeat() {
        let ids: std::collections::HashSet<_> =
            (0..1000).map(|_| SessionId::generate().unwrap()).collect();
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
    fn deserialization_checks_the_rules() {
        let id: SessionId = serde_json::from_str("\"abc\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"abc\"");
        assert!(serde_json::from_str::<SessionId>("\"a/b\"").is_err());
    }
}
