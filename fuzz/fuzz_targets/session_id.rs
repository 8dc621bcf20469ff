//! Session ids: an accepted id follows the rules and is kept as it came.
#![no_main]

use durable_session::{MAX_ID_BYTES, SessionId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let plain = |b: u8| (0x21..0x7f).contains(&b) && !b"/\\?#%".contains(&b);
    let valid = (1..=MAX_ID_BYTES).contains(&text.len())
        && text.bytes().all(plain)
        && text != "."
        && text != "..";
    match SessionId::new(text) {
        Ok(id) => assert!(valid && id.as_str() == text, "{text:?} was taken"),
        Err(_) => assert!(!valid, "{text:?} was refused"),
    }
});
