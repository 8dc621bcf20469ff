//! What the sessions are to have, by seq: the same in the server, in its followers and in their
//! parent.

use anyhow::Result;
use durable_session::{Error, FormatError, Message, ReplyEnd, ReplyFormat, SessionId, TextReply};
use fastrand::Rng;

pub(super) const SESSIONS: usize = 6;
/// Its replies are written until the server is killed.
pub(super) const ENDLESS: usize = 0;
/// Two replies of it are written at a time.
pub(super) const PAIRS: usize = 1;
/// Its replies are written from streams.
pub(super) const PUMPED: usize = 2;

/// Why a reply failed, as its producer says.
pub(super) const REASON: &str = "the model is gone";

pub(super) fn id(session: usize) -> Result<SessionId, Error> {
    SessionId::new(format!("followed-{session}")).map_err(Error::rejected)
}

/// The message 1 is there from the beginning. A question has an even seq, its answer the next one.
pub(super) fn is_reply(seq: u64) -> bool {
    seq > 1 && seq % 2 == 1
}

/// The message as it is added, or as the reply opens it.
pub(super) fn message(session: usize, seq: u64) -> Result<Message, FormatError> {
    if is_reply(seq) {
        TextReply.open(Message::assistant("").with_id(format!("reply-0-to-m-{}", seq - 1)))
    } else {
        Ok(Message::user(format!("{session}.{seq}")).with_id(format!("m-{seq}")))
    }
}

/// How a reply is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) chunks: u64,
    pub(super) end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Never,
    Finish,
    Fail,
    Stop,
    Drop,
    /// Its producer finishes it while somebody stops it.
    Race,
}

pub(super) fn plan(session: usize, seq: u64) -> Plan {
    if session == ENDLESS {
        return Plan { chunks: u64::MAX, end: End::Never };
    }
    let mut rng = Rng::with_seed(seq.wrapping_mul(0x9e37_79b9) ^ session as u64);
    let ends = [End::Finish, End::Finish, End::Fail, End::Stop, End::Drop, End::Race];
    Plan { chunks: rng.u64(0..16), end: ends[rng.usize(0..ends.len())] }
}

impl Plan {
    /// Whether the reply may end so. A kill interrupts any.
    pub(super) fn may_end(self, how: ReplyEnd) -> bool {
        match how {
            ReplyEnd::Finished => matches!(self.end, End::Finish | End::Race),
            ReplyEnd::Failed => self.end == End::Fail,
            ReplyEnd::Stopped => matches!(self.end, End::Stop | End::Race),
            ReplyEnd::Interrupted => true,
            _ => false,
        }
    }
}

const END: char = ';';

/// A chunk, as its producer pushes it. No two are equal.
pub(super) fn chunk(session: usize, seq: u64, at: u64) -> String {
    let more = Rng::with_seed(seq << 20 ^ at << 4 ^ session as u64).u8(0..32);
    let more = if more == 0 { 3_000 } else { usize::from(more) };
    format!("{session}.{seq}.{at} {}{END}", "y".repeat(more))
}

/// A chunk, as it is stored and sent.
pub(super) fn chunk_json(session: usize, seq: u64, at: u64) -> String {
    format!("\"{}\"", chunk(session, seq, at))
}

/// The chunks that a text was made from.
pub(super) fn chunks_of(text: &str) -> Vec<&str> {
    text.split_inclusive(END).collect()
}

/// The message of a reply with so many chunks that ended so.
pub(super) fn ended(
    session: usize,
    seq: u64,
    chunks: u64,
    how: ReplyEnd,
) -> Result<Message, FormatError> {
    let chunks: Vec<_> = (0..chunks).map(|at| chunk_json(session, seq, at)).collect();
    let reason = (how == ReplyEnd::Failed).then_some(REASON);
    let opened = message(session, seq)?;
    TextReply.close(&opened, &mut chunks.iter().map(String::as_str), how, reason)
}
