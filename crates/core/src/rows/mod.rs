//! A format for stored rows, version 2. The redb store and the Durable Object store write it; any
//! other store may.
//!
//! Every row carries the format version and a checksum (clause S4). A *message row* also carries
//! the running head as of its commit, so an append writes message rows and nothing else (S8). Every
//! commit that does more than append writes the *head row*. [`HeadRow::current`] derives the
//! current head from the two.
//!
//! ```text
//! number row    2 u8 | session number u64 | checksum u64
//! head row      2 u8 | incarnation 16 | counter u64 | base u64 | closed u64 | next_seq u64 |
//!               messages u64 | bytes u64 | created_at u64 | last_accessed_at u64 |
//!               changed_at u64 | id length u16 | owner length u16 | title length u16 | id … |
//!               owner … | title … | app state … | checksum u64
//! app row       2 u8 | app state … | checksum u64
//! message row   2 u8 | counter u64 | messages u64 | bytes u64 | last_accessed_at u64 |
//!               changed_at u64 | id tag u64 | body … | checksum u64
//! tag row       2 u8 | id tag u64 | checksum u64
//! reply row     2 u8 | claim 32 | body bytes u64 | beats u64 | format name … | checksum u64
//! chunk row     2 u8 | chunks u32 | bytes of all chunks so far u64 |
//!               length of each chunk u32 … | each chunk … | checksum u64
//! ```
//!
//! Integers are little-endian. A store gives each life of a session a *number* that it never uses
//! again, and keys all rows but the number row by it.
//!
//! The checksum is XXH3-64 of the bytes before it, followed by the row's *address*:
//!
//! | row | address |
//! |---|---|
//! | number row | the session id |
//! | head row | number, 0 |
//! | message row | number, seq |
//! | reply row | number, seq, 2⁶⁴ − 1 |
//! | tag row | number, seq, 2⁶⁴ − 2 |
//! | app row | number, 0, 2⁶⁴ − 3 |
//! | chunk row | number, seq, offset of the first chunk |
//!
//! So the checksum of a row that was moved to another session, life, seq or offset does not match,
//! and a row can be read without its head.
//!
//! A load returns the tags of 64 messages, however large these messages are (C7). The tag is in the
//! message row. A store in which a large row is costly to read keeps a tag row beside each message
//! with a body of more than [`LARGE_BODY`] bytes and reads that instead.
//!
//! A store that changes a head row far more often than the app state, or cannot change a part of a
//! row, leaves the app state in the head row empty and keeps an app row beside it.
//!
//! Rows hold stored versions, without the store's [salt](crate::store::Salt).
//!
//! ```
//! use durable_session::rows::{decode_message, encode_message};
//! use durable_session::store::{Head, IdTag, Incarnation, Version};
//!
//! let version = Version::new(Incarnation::from_bytes([7; 16]), 1);
//! let head = Head::new(version, 1_763_264_606_917);
//! let mut row = encode_message(1, &head, 5, IdTag::of("m-1"), b"a body");
//! let id = "s-1".parse()?;
//! assert_eq!(decode_message(&id, 1, 5, &row)?.body, b"a body");
//! row[3] ^= 1;
//! assert_eq!(decode_message(&id, 1, 5, &row).unwrap_err().seq(), Some(5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod app;
mod chunk;
mod frame;
mod head;
mod message;
mod number;
mod reply;
#[cfg(test)]
mod tests;

pub use app::{decode_app, encode_app};
pub use chunk::{ChunkRow, decode_chunks, encode_chunks, write_chunks};
pub use frame::FORMAT;
pub use head::{HeadRow, MAX_HEAD_OVERHEAD, decode_head, encode_head, write_head};
pub use message::{
    LARGE_BODY, MESSAGE_OVERHEAD, MessageRow, body_bytes, decode_message, decode_tag,
    encode_message, encode_tag, write_message,
};
pub use number::{decode_number, encode_number};
pub use reply::{ReplyRow, decode_reply, encode_reply};
