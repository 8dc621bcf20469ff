//! Versions, incarnations and salts (S3, S12).

use crate::env::{Random, RandomError};
use std::fmt;
use std::str::FromStr;

/// One creation of a session: 128 random bits, drawn each time a session is created. So two lives
/// of one id never share a version.
///
/// A store returns the first 8 bytes mixed with its [`Salt`] and the last 8 bytes as stored.
/// [`life`](Self::life) is the last 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation([u8; 16]);

impl Incarnation {
    /// An incarnation of these 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Draws a new incarnation: 128 random bits.
    ///
    /// # Errors
    /// [`RandomError`] if the source of randomness fails.
    pub fn draw(random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = [0; 16];
        random.fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The 16 bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The 64 random bits that no [`Salt`] changes. A copy of the session's rows has the same, so
    /// encryption can bind rows to it.
    pub fn life(self) -> u64 {
        u64::from_le_bytes(half(&self.0[8..]))
    }

    /// The incarnation mixed with `salt`. Mixing twice with one salt gives the same incarnation
    /// again.
    #[must_use]
    pub fn salted(self, salt: Salt) -> Self {
        let mut bytes = self.0;
        let mixed = u64::from_le_bytes(half(&bytes[..8])) ^ salt.0;
        bytes[..8].copy_from_slice(&mixed.to_le_bytes());
        Self(bytes)
    }
}

fn half(bytes: &[u8]) -> [u8; 8] {
    let mut half = [0; 8];
    half.copy_from_slice(bytes);
    half
}

/// A number that a store mixes into its versions, one for each history of the store (S12).
///
/// A restored backup continues from an earlier state and uses the same version counters again; so
/// does a server that took over without the last commits. Each gets a new salt, so that no version
/// equals a version of the lost history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Salt(u64);

impl Salt {
    /// The salt of a store that was never restored: versions are returned as stored.
    pub const NONE: Self = Self(0);

    /// A salt of these 64 bits: random bits, or a hash that identifies the history.
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// The version of a session. Every commit changes it, and it never repeats for an id (S3).
///
/// Callers only compare versions. A store makes them from an [`Incarnation`] and a counter that
/// starts at 1 and grows by 1 with every commit. The text form is 48 hexadecimal digits.
///
/// ```
/// use durable_session::store::Version;
///
/// let text = "30313233343536373839616263646566000000000000002a";
/// let version: Version = text.parse()?;
/// assert_eq!(version.to_string(), text);
/// assert_eq!(version.counter(), 42);
/// # Ok::<(), durable_session::store::InvalidVersion>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    incarnation: Incarnation,
    counter: u64,
}

impl Version {
    /// The version after `counter` commits in this incarnation.
    pub const fn new(incarnation: Incarnation, counter: u64) -> Self {
        Self { incarnation, counter }
    }

    /// The incarnation of the session.
    pub const fn incarnation(self) -> Incarnation {
        self.incarnation
    }

    /// The number of commits in this incarnation. For stores: counters of two incarnations cannot
    /// be compared.
    pub const fn counter(self) -> u64 {
        self.counter
    }

    /// The version after one more commit.
    pub const fn next(self) -> Self {
        Self { incarnation: self.incarnation, counter: self.counter + 1 }
    }

    /// The version mixed with `salt`: converts a stored version to a returned one, and back.
    ///
    /// ```
    /// use durable_session::store::{Incarnation, Salt, Version};
    ///
    /// let stored = Version::new(Incarnation::from_bytes([7; 16]), 1);
    /// let salt = Salt::new(42);
    /// assert_ne!(stored.salted(salt), stored);
    /// assert_eq!(stored.salted(salt).salted(salt), stored);
    /// ```
    #[must_use]
    pub fn salted(self, salt: Salt) -> Self {
        Self { incarnation: self.incarnation.salted(salt), counter: self.counter }
    }

    /// The version as 24 bytes: the incarnation, then the counter, big-endian.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&self.incarnation.0);
        bytes[16..].copy_from_slice(&self.counter.to_be_bytes());
        bytes
    }

    /// The version of these bytes, as [`to_bytes`](Self::to_bytes) makes them.
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

/// The text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("version is not 48 lower-case hexadecimal digits")]
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

#[cfg(test)]
mod tests {
    use super::{Incarnation, Salt, Version};

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

    #[test]
    fn a_salt_changes_the_version_and_keeps_the_life() {
        let stored = Version::new(Incarnation::from_bytes(*b"0123456789abcdef"), 7);
        let (a, b) = (stored.salted(Salt::new(5)), stored.salted(Salt::new(6)));
        assert!(a != b && a != stored && b != stored);
        assert_eq!(
            a.salted(Salt::new(5)),
            stored,
            "applied again it gives the stored version back"
        );
        assert_eq!(stored.salted(Salt::NONE), stored);
        assert_eq!(a.incarnation().life(), stored.incarnation().life());
        assert_eq!(a.counter(), 7);
    }
}
