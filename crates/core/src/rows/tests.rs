//! Rows as they are written and read back, and damaged ones.

use super::chunk::HEADER;
use super::frame::{CHECKSUM, SHORT, address, address_beside, checksum, checksum_in_parts};
use super::{
    ChunkRow, HeadRow, MESSAGE_OVERHEAD, MessageRow, ReplyRow, body_bytes, decode_app,
    decode_chunks, decode_head, decode_message, decode_number, decode_reply, decode_tag,
    encode_app, encode_chunks, encode_head, encode_message, encode_number, encode_reply,
    encode_tag,
};
use crate::SessionId;
use crate::store::{
    Claim, Head, IdTag, Incarnation, Labels, ReplyCounts, ReplyOpening, StoreErrorKind, Version,
};
use bytes::Bytes;

fn id() -> SessionId {
    SessionId::new("s").unwrap()
}

fn head(counter: u64) -> Head {
    let version = Version::new(Incarnation::from_bytes([7; 16]), counter);
    Head {
        version,
        base: Version::new(version.incarnation(), 3),
        closed: Version::new(version.incarnation(), 2),
        next_seq: 3,
        messages: 2,
        bytes: 5,
        created_at: 10,
        last_accessed_at: 20,
        changed_at: 18,
    }
}

fn reply() -> ReplyRow {
    ReplyRow {
        opening: ReplyOpening::new(Claim::from_bytes([5; 32]), "text"),
        body_bytes: 7,
        beats: 3,
    }
}

fn chunks() -> Vec<Bytes> {
    ["\"Li\"", "", "\"fe\""].into_iter().map(Bytes::from).collect()
}

#[test]
fn rows_come_back_as_written() {
    let h = head(4);
    for labels in [
        Labels::NONE,
        Labels::owner("u-42"),
        Labels::NONE.title("Li"),
        Labels::owner("u").title("é"),
    ] {
        let row = encode_head(1, &id(), &h, &labels, b"{}");
        let back = decode_head(1, &id(), &row).unwrap();
        assert_eq!((back.head, back.labels(), back.app), (h, labels, &b"{}"[..]));
    }
    let tag = IdTag::of("m-1");
    let row = encode_message(1, &h, 2, tag, b"body");
    assert_eq!(row.len(), MESSAGE_OVERHEAD + 4);
    assert_eq!(body_bytes(row.len()), 4);
    let back = decode_message(&id(), 1, 2, &row).unwrap();
    assert_eq!((back.counter, back.messages, back.bytes, back.body), (4, 2, 5, &b"body"[..]));
    assert_eq!((back.changed_at, back.tag), (18, tag));
    assert_eq!(decode_number(&id(), &encode_number(&id(), 9)).unwrap(), 9);
    for app in [&b"{}"[..], b""] {
        assert_eq!(decode_app(&id(), 1, &encode_app(1, app)).unwrap(), app);
    }
    assert_eq!(decode_tag(&id(), 1, 2, &encode_tag(1, 2, tag)).unwrap(), tag);
    assert_eq!(decode_reply(&id(), 1, 2, &encode_reply(1, 2, &reply())).unwrap(), reply());
    let row = Bytes::from(encode_chunks(1, 2, 40, 99, &chunks()));
    let back = decode_chunks(&id(), 1, 2, 40, &row).unwrap();
    assert_eq!(back, ChunkRow { offset: 40, bytes: 99, chunks: chunks() });
    let open = reply().open_reply(2, Some(&back));
    assert_eq!((open.counts, open.bytes), (ReplyCounts { chunks: 43, beats: 3 }, 99));
    assert_eq!(reply().open_reply(2, None).counts, ReplyCounts { chunks: 0, beats: 3 });
}

#[test]
fn a_chunk_row_with_wrong_lengths_is_corrupt() {
    let sound = encode_chunks(1, 2, 0, 8, &chunks());
    let content = &sound[..sound.len() - CHECKSUM];
    for (at, value) in [(1, 0_u32), (1, 1), (1, 4), (1, u32::MAX), (HEADER, 5), (HEADER, u32::MAX)]
    {
        let mut row = content.to_vec();
        row[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let sum = checksum(&row, &address_beside(1, 2, 0));
        row.extend_from_slice(&sum.to_le_bytes());
        let e = decode_chunks(&id(), 1, 2, 0, &row.into()).unwrap_err();
        assert_eq!((e.kind(), e.seq(), e.chunk()), (StoreErrorKind::Corrupt, Some(2), Some(0)));
    }
}

#[test]
fn a_flipped_bit_a_cut_and_a_moved_row_are_corrupt() {
    let h = head(4);
    let message = encode_message(1, &h, 2, IdTag::NONE, b"body");
    let head_row = encode_head(1, &id(), &h, &Labels::owner("u").title("t"), b"{\"a\":1}");
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
    let reply_row = encode_reply(1, 2, &reply());
    let chunk_row = Bytes::from(encode_chunks(1, 2, 40, 99, &chunks()));
    let tag_row = encode_tag(1, 2, IdTag::of("m-1"));
    for bit in 0..reply_row.len() * 8 {
        let mut bad = reply_row.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let e = decode_reply(&id(), 1, 2, &bad).unwrap_err();
        assert_eq!((e.kind(), e.seq()), (StoreErrorKind::Corrupt, Some(2)));
        assert!(decode_reply(&id(), 1, 2, &reply_row[..bit / 8]).is_err());
    }
    for bit in 0..chunk_row.len() * 8 {
        let mut bad = chunk_row.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        let e = decode_chunks(&id(), 1, 2, 40, &bad.into()).unwrap_err();
        assert_eq!((e.kind(), e.seq(), e.chunk()), (StoreErrorKind::Corrupt, Some(2), Some(40)));
        assert!(decode_chunks(&id(), 1, 2, 40, &chunk_row.slice(..bit / 8)).is_err());
    }
    for bit in 0..tag_row.len() * 8 {
        let mut bad = tag_row;
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_tag(&id(), 1, 2, &bad).is_err());
        assert!(decode_tag(&id(), 1, 2, &tag_row[..bit / 8]).is_err());
    }
    let app_row = encode_app(1, b"{\"a\":1}");
    for bit in 0..app_row.len() * 8 {
        let mut bad = app_row.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let e = decode_app(&id(), 1, &bad).unwrap_err();
        assert_eq!((e.kind(), e.seq()), (StoreErrorKind::Corrupt, None));
        assert!(decode_app(&id(), 1, &app_row[..bit / 8]).is_err());
    }
    assert!(decode_app(&id(), 2, &app_row).is_err());
    for (number, seq, offset) in [(2, 2, 40), (1, 3, 40), (1, 2, 41)] {
        assert!(decode_chunks(&id(), number, seq, offset, &chunk_row).is_err());
        let moved = (number, seq) != (1, 2);
        assert_eq!(decode_reply(&id(), number, seq, &reply_row).is_err(), moved);
        assert_eq!(decode_tag(&id(), number, seq, &tag_row).is_err(), moved);
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
fn hashing_at_once_and_in_parts_gives_one_checksum() {
    let content: Vec<u8> = (0..5000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    for bytes in (0..600).chain(SHORT - 20..SHORT + 20) {
        let content = &content[..bytes];
        for address in [&address(3, 9)[..], b"s", &[b'i'; 256]] {
            assert_eq!(checksum(content, address), checksum_in_parts(content, address), "{bytes}");
        }
    }
}

#[test]
fn the_row_with_the_higher_counter_is_the_current_head() {
    let h = HeadRow { head: head(4), owner: "", title: "", app: b"" };
    let row = MessageRow {
        seq: 9,
        counter: 5,
        messages: 8,
        bytes: 90,
        last_accessed_at: 15,
        changed_at: 19,
        tag: IdTag::NONE,
        body: b"",
    };
    let current = h.current(Some(&row));
    assert_eq!(
        (current.version.counter(), current.base.counter(), current.closed.counter()),
        (5, 3, 2)
    );
    assert_eq!(current.changed_at, 19);
    assert_eq!((current.next_seq, current.messages, current.bytes), (10, 8, 90));
    assert_eq!(current.last_accessed_at, 20, "times never move backwards");
    let old = MessageRow { counter: 3, changed_at: 1, ..row };
    assert_eq!(h.current(Some(&old)), h.head);
    assert_eq!(h.current(None), h.head);
}
