//! The format of stored rows, version 1: what the redb and the Durable Object store write, and any other may.
//!
//! Every row carries the format version and a checksum (clause S4). A *message row* also carries the running head as
//! of its commit, so that an append writes its rows and nothing else (S8); a *head row* is written by every commit that
//! does more than append. The current head is derived from the two: see [`HeadRow::current`].
//!
//! ```text
//! number row    1 u8 | session number u64 | checksum u64
//! head row      1 u8 | incarnation 16 | counter u64 | next_seq u64 | messages u64 | bytes u64 | created_at u64 |
//!               last_accessed_at u64 | id length u16 | id … | app state … | checksum u64
//! message row   1 u8 | counter u64 | messages u64 | bytes u64 | last_accessed_at u64 | body … | checksum u64
//! ```
//!
//! A store gives each life of a session a *number* that it never uses again, and keys head and message rows by it.
//! Integers are little-endian. The checksum is XXH3-64 of everything before it, then of where the row belongs: the id
//! for a number row, the number and 0 for a head row, the number and the seq for a message row. A row that was moved
//! to another session, another life of the session or another seq fails it, and rows stay readable without their head.

use crate::SessionId;
use crate::planted::bug;
use crate::store::{Head, Incarnation, StoreError, StoreErrorKind, Version};
use std::cell::RefCell;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The format version that this code writes. It reads all versions up to this one.
pub const FORMAT: u8 = 1;

const NUMBER_ROW: usize = 1 + 8 + CHECKSUM;
const MESSAGE_HEADER: usize = 1 + 4 * 8;
const HEAD_HEADER: usize = 1 + 16 + 6 * 8 + 2;
const CHECKSUM: usize = 8;

/// How many bytes a message row has beyond its body.
pub const MESSAGE_OVERHEAD: usize = MESSAGE_HEADER + CHECKSUM;

/// A decoded head row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadRow<'a> {
    /// The head as of the commit that wrote this row (its `version` and `base` are the same), with touches since.
    pub head: Head,
    /// The app state.
    pub app: &'a [u8],
}

/// A decoded message row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageRow<'a> {
    /// Its seq.
    pub seq: u64,
    /// The counter of the version whose commit appended it, or of the commit that replaced it.
    pub counter: u64,
    /// The session's messages after it was appended.
    pub messages: u64,
    /// The session's bytes after it was appended.
    pub bytes: u64,
    /// The session's `last_accessed_at` after it was appended.
    pub last_accessed_at: u64,
    /// The message body.
    pub body: &'a [u8],
}

impl HeadRow<'_> {
    /// The current head, given the session's last message row: whichever of the two has the higher counter wins.
    ///
    /// Equal counters mean one commit wrote both; they then say the same.
    pub fn current(&self, last: Option<&MessageRow<'_>>) -> Head {
        let mut head = self.head;
        if let Some(row) = last {
            if row.counter > head.version.counter() {
                head.version = Version::new(head.version.incarnation(), row.counter);
                head.next_seq = row.seq + 1;
                head.messages = row.messages;
                head.bytes = row.bytes;
            }
            head.last_accessed_at = head.last_accessed_at.max(row.last_accessed_at);
        }
        head
    }
}

/// Writes the row that maps `id` to its session number.
pub fn encode_number(id: &SessionId, number: u64) -> [u8; NUMBER_ROW] {
    let mut row = [0; NUMBER_ROW];
    row[0] = FORMAT;
    row[1..9].copy_from_slice(&number.to_le_bytes());
    let sum = checksum(&row[..9], id.as_str().as_bytes());
    row[9..].copy_from_slice(&sum.to_le_bytes());
    row
}

/// Reads the row that maps `id` to its session number.
///
/// # Errors
/// [`StoreErrorKind::Corrupt`] naming `id`.
pub fn decode_number(id: &SessionId, row: &[u8]) -> Result<u64, StoreError> {
    let corrupt = |what| corrupt(id, what);
    let (content, sum) = split(row, NUMBER_ROW - CHECKSUM).map_err(corrupt)?;
    if row.len() != NUMBER_ROW || checksum(content, id.as_str().as_bytes()) != sum {
        return Err(corrupt("the checksum of the row with the session's number does not match"));
    }
    Ok(integer(content, 1))
}

/// Writes the row of the message at `seq`; `head` is the running head just after this message was appended (or, for a
/// replaced message, the head after its commit).
pub fn encode_message(number: u64, head: &Head, seq: u64, body: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(MESSAGE_OVERHEAD + body.len());
    row.push(FORMAT);
    for field in [head.version.counter(), head.messages, head.bytes, head.last_accessed_at] {
        row.extend_from_slice(&field.to_le_bytes());
    }
    row.extend_from_slice(body);
    let sum = checksum(&row, &place(number, seq));
    row.extend_from_slice(&sum.to_le_bytes());
    row
}

/// Reads the row at `seq` of session `id`, whose number is `number`.
///
/// # Errors
/// [`StoreErrorKind::Corrupt`] naming `id` and `seq`, for a bad checksum, length or format version.
pub fn decode_message<'a>(
    id: &SessionId,
    number: u64,
    seq: u64,
    row: &'a [u8],
) -> Result<MessageRow<'a>, StoreError> {
    let corrupt = |what| corrupt(id, what).at_seq(seq);
    let (content, sum) = split(row, MESSAGE_HEADER).map_err(corrupt)?;
    if checksum(content, &place(number, seq)) != sum && !bug("drop-the-row-checksum") {
        return Err(corrupt("the message row's checksum does not match"));
    }
    Ok(MessageRow {
        seq,
        counter: integer(content, 1),
        messages: integer(content, 9),
        bytes: integer(content, 17),
        last_accessed_at: integer(content, 25),
        body: &content[MESSAGE_HEADER..],
    })
}

/// The length of the body in a message row of `row_bytes`, without decoding it: what a removal subtracts (S4).
pub fn body_bytes(row_bytes: usize) -> u64 {
    row_bytes.saturating_sub(MESSAGE_OVERHEAD) as u64
}

/// Writes the head row of session `id`.
pub fn encode_head(number: u64, id: &SessionId, head: &Head, app: &[u8]) -> Vec<u8> {
    let id = id.as_str().as_bytes();
    let mut row = Vec::with_capacity(HEAD_HEADER + id.len() + app.len() + CHECKSUM);
    row.push(FORMAT);
    row.extend_from_slice(&head.version.incarnation().to_bytes());
    for field in [
        head.version.counter(),
        head.next_seq,
        head.messages,
        head.bytes,
        head.created_at,
        head.last_accessed_at,
    ] {
        row.extend_from_slice(&field.to_le_bytes());
    }
    // A session id has at most 256 bytes.
    #[allow(clippy::cast_possible_truncation)]
    row.extend_from_slice(&(id.len() as u16).to_le_bytes());
    row.extend_from_slice(id);
    row.extend_from_slice(app);
    let sum = checksum(&row, &place(number, 0));
    row.extend_from_slice(&sum.to_le_bytes());
    row
}

/// Reads the head row of session `id`, whose number is `number`.
///
/// # Errors
/// [`StoreErrorKind::Corrupt`] naming `id`, for a bad checksum, length or format version, and for another session's row.
pub fn decode_head<'a>(number: u64, id: &SessionId, row: &'a [u8]) -> Result<HeadRow<'a>, StoreError> {
    let corrupt = |what| corrupt(id, what);
    let (content, sum) = split(row, HEAD_HEADER).map_err(corrupt)?;
    if checksum(content, &place(number, 0)) != sum {
        return Err(corrupt("the head row's checksum does not match"));
    }
    let id_bytes = usize::from(u16::from_le_bytes([content[HEAD_HEADER - 2], content[HEAD_HEADER - 1]]));
    let stored_id = content.get(HEAD_HEADER..HEAD_HEADER + id_bytes);
    if stored_id != Some(id.as_str().as_bytes()) {
        return Err(corrupt("the head row belongs to another session"));
    }
    let mut incarnation = [0; 16];
    incarnation.copy_from_slice(&content[1..17]);
    let version = Version::new(Incarnation::from_bytes(incarnation), integer(content, 17));
    let head = Head {
        version,
        base: version,
        next_seq: integer(content, 25),
        messages: integer(content, 33),
        bytes: integer(content, 41),
        created_at: integer(content, 49),
        last_accessed_at: integer(content, 57),
    };
    Ok(HeadRow { head, app: &content[HEAD_HEADER + id_bytes..] })
}

/// Separates the checksum, after checking length and format version.
fn split(row: &[u8], header: usize) -> Result<(&[u8], u64), &'static str> {
    match row.first() {
        Some(&FORMAT) => {}
        Some(0) | None => return Err("the row has no format version"),
        Some(_) => return Err("the row has a format version that this release does not know"),
    }
    if row.len() < header + CHECKSUM {
        return Err("the row is too short");
    }
    let (content, _) = row.split_at(row.len() - CHECKSUM);
    Ok((content, integer(row, row.len() - CHECKSUM)))
}

fn integer(bytes: &[u8], at: usize) -> u64 {
    let mut integer = [0; 8];
    integer.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(integer)
}

/// Where a row belongs; no message has seq 0.
fn place(number: u64, seq: u64) -> [u8; 16] {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&number.to_le_bytes());
    place[8..].copy_from_slice(&seq.to_le_bytes());
    place
}

/// Rows up to this length are copied together with their place to be hashed in one go, which takes half the time of
/// hashing them in parts.
const SHORT: usize = 4096;

thread_local! {
    static TOGETHER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn checksum(content: &[u8], place: &[u8]) -> u64 {
    if content.len() > SHORT {
        return checksum_in_parts(content, place);
    }
    // Not there any more only while its thread ends.
    let hashed = TOGETHER.try_with(|together| {
        let mut together = together.borrow_mut();
        together.clear();
        together.extend_from_slice(content);
        together.extend_from_slice(place);
        xxh3_64(&together)
    });
    hashed.unwrap_or_else(|_| checksum_in_parts(content, place))
}

fn checksum_in_parts(content: &[u8], place: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(content);
    hasher.update(place);
    hasher.digest()
}

fn corrupt(id: &SessionId, what: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, what).in_session(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> SessionId {
        SessionId::new("s").unwrap()
    }

    fn head(counter: u64) -> Head {
        let version = Version::new(Incarnation::from_bytes([7; 16]), counter);
        Head {
            version,
            base: version,
            next_seq: 3,
            messages: 2,
            bytes: 5,
            created_at: 10,
            last_accessed_at: 20,
        }
    }

    #[test]
    fn rows_come_back_as_written() {
        let h = head(4);
        let row = encode_head(1, &id(), &h, b"{}");
        assert_eq!(decode_head(1, &id(), &row).unwrap(), HeadRow { head: h, app: b"{}" });
        let row = encode_message(1, &h, 2, b"body");
        assert_eq!(row.len(), MESSAGE_OVERHEAD + 4);
        assert_eq!(body_bytes(row.len()), 4);
        let back = decode_message(&id(), 1, 2, &row).unwrap();
        assert_eq!((back.counter, back.messages, back.bytes, back.body), (4, 2, 5, &b"body"[..]));
        assert_eq!(decode_number(&id(), &encode_number(&id(), 9)).unwrap(), 9);
    }

    #[test]
    fn every_flipped_bit_every_cut_and_every_move_is_seen() {
        let h = head(4);
        let message = encode_message(1, &h, 2, b"body");
        let head_row = encode_head(1, &id(), &h, b"{\"a\":1}");
        let number_row = encode_number(&id(), 1);
        for bit in 0..message.len() * 8 {
            let mut bad = message.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let e = decode_message(&id(), 1, 2, &bad).unwrap_err();
            assert_eq!((e.kind(), e.seq()), (StoreErrorKind::Corrupt, Some(2)));
        }
        for bit in 0..head_row.len() * 8 {
            let mut bad = head_row.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_head(1, &id(), &bad).is_err());
        }
        for bit in 0..number_row.len() * 8 {
            let mut bad = number_row;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_number(&id(), &bad).is_err());
            assert!(decode_number(&id(), &number_row[..bit / 8]).is_err());
        }
        for cut in 0..message.len() {
            assert!(decode_message(&id(), 1, 2, &message[..cut]).is_err());
        }
        for cut in 0..head_row.len() {
            assert!(decode_head(1, &id(), &head_row[..cut]).is_err());
        }
        assert!(decode_message(&id(), 1, 3, &message).is_err());
        assert!(decode_message(&id(), 2, 2, &message).is_err());
        let other = SessionId::new("t").unwrap();
        assert!(decode_head(1, &other, &head_row).is_err());
        assert!(decode_head(2, &id(), &head_row).is_err());
        assert!(decode_number(&other, &number_row).is_err());
    }

    #[test]
    fn a_checksum_in_one_go_is_the_one_in_parts() {
        let content: Vec<u8> = (0..5000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
        for bytes in (0..600).chain(SHORT - 20..SHORT + 20) {
            let content = &content[..bytes];
            for place in [&place(3, 9)[..], b"s", &[b'i'; 256]] {
                assert_eq!(checksum(content, place), checksum_in_parts(content, place), "{bytes}");
            }
        }
    }

    #[test]
    fn the_higher_counter_is_the_head() {
        let h = HeadRow { head: head(4), app: b"" };
        let row = MessageRow { seq: 9, counter: 5, messages: 8, bytes: 90, last_accessed_at: 15, body: b"" };
        let current = h.current(Some(&row));
        assert_eq!((current.version.counter(), current.base.counter()), (5, 4));
        assert_eq!((current.next_seq, current.messages, current.bytes), (10, 8, 90));
        assert_eq!(current.last_accessed_at, 20, "times never move backwards");
        let old = MessageRow { counter: 3, ..row };
        assert_eq!(h.current(Some(&old)), h.head);
        assert_eq!(h.current(None), h.head);
    }
}
