//! Rows: bytes that were never written as a row do not decode (S4).
#![no_main]

use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::StoreErrorKind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(id) = SessionId::new("fuzzed") else { return };
    if let Ok(number) = rows::decode_number(&id, data) {
        assert_eq!(rows::encode_number(&id, number), data);
    }
    match rows::decode_message(&id, 7, 9, data) {
        Ok(row) => assert_eq!(row.body.len() as u64, rows::body_bytes(data.len())),
        Err(error) => assert_eq!((error.kind(), error.seq()), (StoreErrorKind::Corrupt, Some(9))),
    }
    match rows::decode_head(7, &id, data) {
        Ok(row) => assert_eq!(rows::encode_head(7, &id, &row.head, &row.labels(), row.app), data),
        Err(error) => assert_eq!(error.kind(), StoreErrorKind::Corrupt),
    }
    match rows::decode_tag(&id, 7, 9, data) {
        Ok(tag) => assert_eq!(rows::encode_tag(7, 9, tag), data),
        Err(error) => assert_eq!((error.kind(), error.seq()), (StoreErrorKind::Corrupt, Some(9))),
    }
    match rows::decode_reply(&id, 7, 9, data) {
        Ok(row) => assert_eq!(rows::encode_reply(7, 9, &row), data),
        Err(error) => assert_eq!((error.kind(), error.seq()), (StoreErrorKind::Corrupt, Some(9))),
    }
    match rows::decode_chunks(&id, 7, 9, 3, &Bytes::copy_from_slice(data)) {
        Ok(row) => assert_eq!(rows::encode_chunks(7, 9, 3, row.bytes, &row.chunks), data),
        Err(error) => {
            let named = (error.kind(), error.seq(), error.chunk());
            assert_eq!(named, (StoreErrorKind::Corrupt, Some(9), Some(3)));
        }
    }
});
