//! Places in a session that clients hold on to. Opaque to them.

use crate::errors;
use crate::refusal::Refusal;
use durable_session::store::{Incarnation, Version};
use durable_session::{AppState, ChatSession, MessageQuery};
use http::StatusCode;
use std::fmt;
use std::str::FromStr;

/// A place in one life of a session: after the message at `seq`, with nothing but appending since the commit `base`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Which life of the session; all zeros while it does not exist.
    pub(crate) life: Incarnation,
    /// The counter of the last commit before it that did more than append; 0 where that is not over yet.
    pub(crate) base: u64,
    /// The last seq before it.
    pub(crate) seq: u64,
}

const NOWHERE: Incarnation = Incarnation::from_bytes([0; 16]);

impl Cursor {
    /// The place after `seq` in the life of `version`.
    pub(crate) fn new(version: Option<Version>, base: u64, seq: u64) -> Self {
        Self { life: version.map_or(NOWHERE, Version::incarnation), base, seq }
    }

    /// Whether the session did not exist.
    pub(crate) fn is_absent(&self) -> bool {
        self.life == NOWHERE
    }

    /// Whether it is a place in the life that has `version` now.
    pub(crate) fn belongs_to(&self, version: Option<Version>) -> bool {
        self.life == version.map_or(NOWHERE, Version::incarnation)
    }

    /// The refusal of this cursor, which is from another life: an answer would have a gap that
    /// nobody sees.
    pub(crate) fn gone(&self) -> Refusal {
        let reason = if self.is_absent() {
            "the session did not exist when this cursor was given; begin again without it"
        } else {
            "the session was deleted since this cursor was given; begin again without it"
        };
        Refusal::new(StatusCode::GONE, reason)
    }

    /// Refuses the cursor as a place in a page of the session at `version`, unless the message that
    /// it names is there. The place before the first message is there as long as the session lives.
    pub(crate) async fn check<A: AppState>(
        &self,
        chat: &ChatSession<A>,
        version: Option<Version>,
    ) -> Result<(), Refusal> {
        if !self.belongs_to(version) {
            return Err(self.gone());
        }
        if self.seq == 0 {
            return Ok(());
        }
        // Read by itself, as it may be as large as a page can be.
        let at = chat.messages(MessageQuery::at(self.seq)).await;
        let at = at.map_err(|e| errors::refusal(chat.id(), &e))?;
        if !self.belongs_to(at.version) {
            return Err(self.gone());
        }
        if at.messages.is_empty() {
            let reason = "the message that this cursor names was removed; begin again without it";
            return Err(Refusal::new(StatusCode::GONE, reason));
        }
        Ok(())
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{:x}-{:x}", u128::from_be_bytes(self.life.to_bytes()), self.base, self.seq)
    }
}

impl FromStr for Cursor {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let parse = || {
            let (life, rest) = text.split_at_checked(32)?;
            let (base, seq) = rest.strip_prefix('-')?.split_once('-')?;
            let cursor = Self {
                life: Incarnation::from_bytes(u128::from_str_radix(life, 16).ok()?.to_be_bytes()),
                base: u64::from_str_radix(base, 16).ok()?,
                seq: u64::from_str_radix(seq, 16).ok()?,
            };
            // One text for each cursor: no signs, capitals or leading zeros.
            (cursor.to_string() == text).then_some(cursor)
        };
        parse().ok_or_else(|| Refusal::bad_request("this is not a cursor that was given here"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_nothing_else_is_one() {
        let version = Version::new(Incarnation::from_bytes(*b"0123456789abcdef"), 9);
        for cursor in [Cursor::new(Some(version), 7, u64::MAX), Cursor::new(None, 0, 0)] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        let zeros = "0".repeat(32);
        for bad in
            ["", "x", &zeros, &format!("{zeros}-1"), &format!("{zeros}-01-1"), &format!("{zeros}-+1-1")]
        {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
        assert!(format!("é{zeros}").parse::<Cursor>().is_err());
    }
}
