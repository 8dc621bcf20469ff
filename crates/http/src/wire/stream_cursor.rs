//! Cursors of event streams: a place in the session, and one in each reply that is open there.

use crate::wire::cursor::Cursor;
use crate::wire::refusal::Refusal;
use std::fmt;
use std::str::FromStr;

/// The most replies that a cursor names, and so the most that one stream follows.
pub(crate) const MAX_REPLIES: usize = 64;

/// A position in the events of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamCursor {
    pub(crate) place: Cursor,
    /// The replies whose end was not sent, by their seq. The messages of all others up to
    /// `place.seq` were sent whole.
    pub(crate) replies: Vec<ReplyPlace>,
}

/// A position in the chunks of one reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplyPlace {
    pub(crate) seq: u64,
    /// The number of the next chunk; `None` if not even the opening was sent.
    pub(crate) at: Option<u64>,
    /// The reply has opened a message that was there before.
    pub(crate) reopened: bool,
}

impl ReplyPlace {
    /// The place before the opening of a reply.
    pub(crate) fn unsent(seq: u64, reopened: bool) -> Self {
        Self { seq, at: None, reopened }
    }
}

impl fmt::Display for StreamCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)?;
        for ReplyPlace { seq, at, reopened } in &self.replies {
            write!(f, ".{seq:x}{}", if *reopened { "r" } else { "" })?;
            if let Some(at) = at {
                write!(f, "-{at:x}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for StreamCursor {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let parse = || {
            let mut parts = text.split('.');
            let place = parts.next()?.parse().ok()?;
            let replies: Option<Vec<_>> = parts.take(MAX_REPLIES + 1).map(parse_reply).collect();
            let cursor = Self { place, replies: replies? };
            // One text for each cursor, as for that of a page.
            let known = cursor.replies.len() <= MAX_REPLIES && cursor.to_string() == text;
            known.then_some(cursor)
        };
        parse().ok_or_else(Cursor::unknown)
    }
}

fn parse_reply(text: &str) -> Option<ReplyPlace> {
    let (seq, at) = match text.split_once('-') {
        Some((seq, at)) => (seq, Some(u64::from_str_radix(at, 16).ok()?)),
        None => (text, None),
    };
    let (seq, reopened) = match seq.strip_suffix('r') {
        Some(seq) => (seq, true),
        None => (seq, false),
    };
    Some(ReplyPlace { seq: u64::from_str_radix(seq, 16).ok()?, at, reopened })
}

#[cfg(test)]
mod tests {
    use super::{MAX_REPLIES, ReplyPlace, StreamCursor};
    use crate::wire::cursor::Cursor;

    #[test]
    fn a_cursor_is_parsed_from_its_own_text_and_from_no_other() {
        let place = Cursor::new(None, 0, 17);
        let sent = |seq, at, reopened| ReplyPlace { seq, at: Some(at), reopened };
        for replies in [
            vec![],
            vec![ReplyPlace::unsent(3, false)],
            vec![sent(3, 0, true), sent(0x1f, u64::MAX, false), ReplyPlace::unsent(u64::MAX, true)],
        ] {
            let cursor = StreamCursor { place, replies };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for bad in [".", ".x", ".3-", ".3-01", ".+3", ".3r-", ".3-1r", ".-1"] {
            assert!(format!("{place}{bad}").parse::<StreamCursor>().is_err(), "{bad}");
        }
        assert!(format!("{place}{}", ".1".repeat(MAX_REPLIES)).parse::<StreamCursor>().is_ok());
        assert!(
            format!("{place}{}", ".1".repeat(MAX_REPLIES + 1)).parse::<StreamCursor>().is_err()
        );
    }
}
