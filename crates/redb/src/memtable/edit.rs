//! Edits as they are in the payload of a batch.
//!
//! ```text
//! a row          table u8      | key | row length u32 | row …
//! a key removed  table + 16 u8 | key
//! a range        table + 32 u8 | first key | last key
//! ```
//!
//! A key is integers of 8 bytes or, for a name, its length u16 and its bytes. Integers are
//! little-endian. A batch has a checksum over all of them, and each row its own.

use crate::tables::{Table, TableKey, Visit, visit};
use std::ops::Range;

const REMOVED: u8 = 16;
const RANGE: u8 = 32;

/// A batch that is whole and does not hold edits: written by a program with a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("edit {number} of the batch cannot be decoded: {text}")]
pub(crate) struct BadEdits {
    /// From 1.
    pub(crate) number: u32,
    pub(crate) text: &'static str,
}

/// Takes the edits of a batch in their order.
pub(super) trait EditSink {
    /// `row`: where it is in the payload.
    fn put<T: Table>(&mut self, key: T::Key, row: Range<usize>) -> Result<(), &'static str>;

    fn remove<T: Table>(&mut self, first: T::Key, last: T::Key);
}

/// Writes a put; returns where the row is.
pub(super) fn write_put<T: Table>(
    out: &mut Vec<u8>,
    key: &T::Key,
    row: impl FnOnce(&mut Vec<u8>),
) -> Range<usize> {
    out.push(T::ID);
    key.write(out);
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let start = out.len();
    row(out);
    // The largest row is little more than the largest body.
    #[allow(clippy::cast_possible_truncation)]
    let length = ((out.len() - start) as u32).to_le_bytes();
    out[length_at..start].copy_from_slice(&length);
    start..out.len()
}

/// Writes the removal of all keys from `first` to `last`.
pub(super) fn write_removal<T: Table>(out: &mut Vec<u8>, first: &T::Key, last: &T::Key) {
    if first == last {
        out.push(T::ID + REMOVED);
        first.write(out);
    } else {
        out.push(T::ID + RANGE);
        first.write(out);
        last.write(out);
    }
}

/// Reads the edits of a payload.
pub(super) fn read(payload: &[u8], count: u32, sink: &mut impl EditSink) -> Result<(), BadEdits> {
    let mut one = One { kind: 0, all: payload.len(), rest: payload, sink };
    let mut number = 0;
    while let Some((&kind, rest)) = one.rest.split_first() {
        number += 1;
        (one.kind, one.rest) = (kind & !15, rest);
        let read = visit(kind & 15, &mut one).unwrap_or(Err("there is no such table"));
        read.map_err(|text| BadEdits { number, text })?;
    }
    if number != count {
        return Err(BadEdits { number, text: "the batch says another number of edits" });
    }
    Ok(())
}

/// The edit that is being read.
struct One<'a, S> {
    kind: u8,
    /// The bytes of the payload.
    all: usize,
    rest: &'a [u8],
    sink: &'a mut S,
}

impl<S: EditSink> Visit for One<'_, S> {
    type Error = &'static str;

    fn table<T: Table>(&mut self) -> Result<(), &'static str> {
        const SHORT: &str = "the batch ends within it";
        let key = T::Key::read(&mut self.rest).ok_or(SHORT)?;
        match self.kind {
            0 => {
                let length = read_length(&mut self.rest).ok_or(SHORT)?;
                let start = self.all - self.rest.len();
                self.rest = self.rest.get(length..).ok_or(SHORT)?;
                self.sink.put::<T>(key, start..start + length)
            }
            REMOVED => {
                self.sink.remove::<T>(key.clone(), key);
                Ok(())
            }
            RANGE => {
                let last = T::Key::read(&mut self.rest).ok_or(SHORT)?;
                if last < key {
                    return Err("the range ends before it begins");
                }
                self.sink.remove::<T>(key, last);
                Ok(())
            }
            _ => Err("there is no such kind of edit"),
        }
    }
}

fn read_length(bytes: &mut &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    usize::try_from(u32::from_le_bytes(*length)).ok()
}

#[cfg(test)]
mod tests {
    use super::{BadEdits, EditSink, Range, Table, read, write_put, write_removal};
    use crate::tables::{Chunks, Heads, Ids, Lists, Name, Replies, Rows, Tags};
    use bytes::Bytes;
    use durable_session::SessionId;
    use durable_session::rows::{self, ReplyRow};
    use durable_session::store::{
        Claim, Head, IdTag, Incarnation, Labels, ReplyOpening, StoreError, Version,
    };
    use std::fmt::Debug;

    /// An edit as text, and the row of a put.
    type Seen = (String, Option<Vec<u8>>);

    struct Record<'a>(&'a [u8], Vec<Seen>);

    impl EditSink for Record<'_> {
        fn put<T: Table>(&mut self, key: T::Key, row: Range<usize>) -> Result<(), &'static str> {
            self.1.push((format!("{} {key:?}", T::NAME), Some(self.0[row].to_vec())));
            Ok(())
        }

        fn remove<T: Table>(&mut self, first: T::Key, last: T::Key) {
            self.1.push((format!("{} {first:?} to {last:?}", T::NAME), None));
        }
    }

    fn decoded(payload: &[u8], count: u32) -> Result<Vec<Seen>, BadEdits> {
        let mut record = Record(payload, Vec::new());
        read(payload, count, &mut record)?;
        Ok(record.1)
    }

    fn name(text: &str) -> Name {
        text.as_bytes().into()
    }

    fn put<T: Table>(out: &mut Vec<u8>, key: &T::Key, row: &[u8]) -> Seen
    where
        T::Key: Debug,
    {
        let place = write_put::<T>(out, key, |out| out.extend_from_slice(row));
        assert_eq!(&out[place], row);
        (format!("{} {key:?}", T::NAME), Some(row.to_vec()))
    }

    #[test]
    fn edits_come_out_as_they_went_in() {
        let mut payload = vec![7; 5];
        let mut expected = vec![
            put::<Ids>(&mut payload, &name("s"), b"number"),
            put::<Heads>(&mut payload, &u64::MAX, &[1; 70_000]),
            put::<Rows>(&mut payload, &(1, 2), b"row"),
            put::<Tags>(&mut payload, &(1, 2), b""),
            put::<Replies>(&mut payload, &(3, 0), b"reply"),
            put::<Chunks>(&mut payload, &(1, 2, 3), b"chunk"),
            put::<Lists>(&mut payload, &name(""), b""),
        ];
        write_removal::<Rows>(&mut payload, &(1, 2), &(1, 2));
        write_removal::<Rows>(&mut payload, &(1, 2), &(1, u64::MAX));
        write_removal::<Lists>(&mut payload, &name("list"), &name("list"));
        let removed =
            ["rows (1, 2) to (1, 2)".to_owned(), format!("rows (1, 2) to (1, {})", u64::MAX)];
        expected.extend(removed.map(|edit| (format!("durable-session.{edit}"), None)));
        let list = format!("durable-session.lists {0:?} to {0:?}", name("list"));
        expected.push((list, None));
        let payload = &payload[5..];
        assert_eq!(decoded(payload, 10).unwrap(), expected);
        assert_eq!(decoded(b"", 0).unwrap(), []);
        let another = decoded(payload, 11).unwrap_err();
        assert_eq!(another.text, "the batch says another number of edits");
        for end in 1..payload.len() {
            assert!(decoded(&payload[..end], 10).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn a_payload_that_holds_no_edits_says_where() {
        let mut payload = Vec::new();
        put::<Heads>(&mut payload, &1, b"head");
        let good = payload.len();
        for (bytes, text) in [
            (&[0][..], "there is no such table"),
            (&[8], "there is no such table"),
            (&[0xF2, 0, 0, 0, 0, 0, 0, 0, 0], "there is no such kind of edit"),
            (&[2, 0, 0], "the batch ends within it"),
            (&[1, 1, 0, b's', 5, 0, 0, 0, 1], "the batch ends within it"),
            (&[0x21, 1, 0, b'b', 1, 0, b'a'], "the range ends before it begins"),
        ] {
            payload.truncate(good);
            payload.extend_from_slice(bytes);
            assert_eq!(decoded(&payload, 2).unwrap_err(), BadEdits { number: 2, text });
        }
    }

    /// The batch has a checksum; this is what is left of the damage that it overlooks.
    #[test]
    fn a_flipped_bit_of_a_put_is_an_error_or_meets_the_checksum_of_its_row() {
        let id = SessionId::new("s").unwrap();
        let head = Head::new(Version::new(Incarnation::from_bytes([7; 16]), 1), 5);
        let message = rows::encode_message(3, &head, 4, IdTag::of("m"), b"a body");
        let reply = ReplyRow {
            opening: ReplyOpening::new(Claim::from_bytes([1; 32]), "text"),
            body_bytes: 6,
            beats: 0,
        };
        let mut payload = Vec::new();
        let written = [
            put::<Ids>(&mut payload, &name("s"), &rows::encode_number(&id, 3)),
            put::<Heads>(&mut payload, &3, &rows::encode_head(3, &id, &head, &Labels::NONE, b"a")),
            put::<Rows>(&mut payload, &(3, 4), &message),
            put::<Tags>(&mut payload, &(3, 4), &rows::encode_tag(3, 4, IdTag::of("m"))),
            put::<Replies>(&mut payload, &(3, 4), &rows::encode_reply(3, 4, &reply)),
            put::<Chunks>(
                &mut payload,
                &(3, 4, 0),
                &rows::encode_chunks(3, 4, 0, 1, &[Bytes::from_static(b"c")]),
            ),
        ];
        assert_eq!(decoded(&payload, 6).unwrap(), written);
        for bit in 0..payload.len() * 8 {
            let mut bad = payload.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let Ok(found) = decoded(&bad, 6) else { continue };
            // The session is found by its id, and everything else by its number and seqs.
            let changed = found.iter().zip(&written).filter(|(found, written)| found != written);
            for ((key, row), (old_key, _)) in changed {
                let Some(row) = row else { continue };
                if key == old_key {
                    assert!(check(&id, key, row).is_err(), "bit {bit} of {key}");
                } else {
                    assert!(check_at(&id, key, row).is_none_or(|row| row.is_err()), "bit {bit}");
                }
            }
        }
    }

    fn check(id: &SessionId, key: &str, row: &[u8]) -> Result<(), StoreError> {
        check_at(id, key, row).unwrap()
    }

    /// Reads the row as a reader would who comes to this key.
    fn check_at(id: &SessionId, key: &str, row: &[u8]) -> Option<Result<(), StoreError>> {
        let (table, key) = key.strip_prefix("durable-session.")?.split_once(' ')?;
        let key = key.trim_matches(|c| "()[]".contains(c));
        let mut numbers = key.split(", ").filter_map(|number| number.parse::<u64>().ok());
        let mut next = || numbers.next();
        Some(match table {
            "ids" => {
                let name: Vec<u8> = key.split(", ").filter_map(|byte| byte.parse().ok()).collect();
                let id = SessionId::new(String::from_utf8(name).ok()?).ok()?;
                rows::decode_number(&id, row).map(drop)
            }
            "heads" => rows::decode_head(next()?, id, row).map(drop),
            "rows" => rows::decode_message(id, next()?, next()?, row).map(drop),
            "tags" => rows::decode_tag(id, next()?, next()?, row).map(drop),
            "replies" => rows::decode_reply(id, next()?, next()?, row).map(drop),
            "chunks" => {
                let row = Bytes::copy_from_slice(row);
                rows::decode_chunks(id, next()?, next()?, next()?, &row).map(drop)
            }
            _ => return None,
        })
    }
}
