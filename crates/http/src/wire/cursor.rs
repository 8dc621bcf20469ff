//! Cursors: positions in a session that clients store and send back. Opaque to clients.

use crate::wire::refusal::Refusal;
use durable_session::store::{Incarnation, Version};
use http::StatusCode;
use std::fmt;
use std::str::FromStr;

/// A position in one incarnation of a session: after the message `seq`, where every commit since
/// `base` has only appended messages and closed replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// All zeros for a session that does not exist.
    pub(crate) incarnation: Incarnation,
    /// The counter of the last commit before this position that did more; 0 in a cursor that no
    /// stream resumes from.
    pub(crate) base: u64,
    /// The last seq before this position.
    pub(crate) seq: u64,
}

const ABSENT: Incarnation = Incarnation::from_bytes([0; 16]);

impl Cursor {
    /// The position after `seq` in the incarnation of `version`.
    pub(crate) fn new(version: Option<Version>, base: u64, seq: u64) -> Self {
        Self { incarnation: version.map_or(ABSENT, Version::incarnation), base, seq }
    }

    /// Whether the session did not exist when the cursor was made.
    pub(crate) fn is_absent(&self) -> bool {
        self.incarnation == ABSENT
    }

    /// Whether the cursor and `version` are of the same incarnation.
    pub(crate) fn belongs_to(&self, version: Option<Version>) -> bool {
        self.incarnation == version.map_or(ABSENT, Version::incarnation)
    }

    /// The refusal of a text that is no cursor.
    pub(crate) fn unknown() -> Refusal {
        Refusal::bad_request("this is not a cursor of this service")
    }

    /// The refusal of a cursor from another incarnation: a response would have a gap that the
    /// client cannot see.
    pub(crate) fn gone(&self) -> Refusal {
        let reason = if self.is_absent() {
            "the session did not exist when this cursor was given; begin again without it"
        } else {
            "the session was deleted since this cursor was given; begin again without it"
        };
        Refusal::new(StatusCode::GONE, reason)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:032x}-{:x}-{:x}",
            u128::from_be_bytes(self.incarnation.to_bytes()),
            self.base,
            self.seq
        )
    }
}

impl FromStr for Cursor {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let parse = || {
            let (incarnation, rest) = text.split_at_checked(32)?;
            let (base, seq) = rest.strip_prefix('-')?.split_once('-')?;
            let cursor = Self {
                incarnation: Incarnation::from_bytes(
                    u128::from_str_radix(incarnation, 16).ok()?.to_be_bytes(),
                ),
                base: u64::from_str_radix(base, 16).ok()?,
                seq: u64::from_str_radix(seq, 16).ok()?,
            };
            // One text for each cursor: no signs, capitals or leading zeros.
            (cursor.to_string() == text).then_some(cursor)
        };
        parse().ok_or_else(Self::unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::Cursor;
    use durable_session::store::{Incarnation, Version};

    #[test]
    fn a_cursor_is_parsed_from_its_own_text_and_from_no_other() {
        let version = Version::new(Incarnation::from_bytes(*b"0123456789abcdef"), 9);
        for cursor in [Cursor::new(Some(version), 7, u64::MAX), Cursor::new(None, 0, 0)] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        let zeros = "0".repeat(32);
        for bad in [
            "",
            "x",
            &zeros,
            &format!("{zeros}-1"),
            &format!("{zeros}-01-1"),
            &format!("{zeros}-+1-1"),
        ] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
        assert!(format!("é{zeros}").parse::<Cursor>().is_err());
    }
}
