//! Rows: nothing but what was written decodes, whatever bytes there are (S4).
#![no_main]

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
        Ok(row) => assert_eq!(rows::encode_head(7, &id, &row.head, row.app), data),
        Err(error) => assert_eq!(error.kind(), StoreErrorKind::Corrupt),
    }
});
