//! Recognizes other formats and shapes, so that a refusal can name them.

use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Formats by their first bytes, each with the way to convert it.
const FORMATS: [(&[u8], &str); 12] = [
    (b"\xff\xfe\0\0", "UTF-32 text; convert it to UTF-8"),
    (b"\0\0\xfe\xff", "UTF-32 text; convert it to UTF-8"),
    (b"\xff\xfe", "UTF-16 text; convert it to UTF-8"),
    (b"\xfe\xff", "UTF-16 text; convert it to UTF-8"),
    (b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (b"PK\x05\x06", "a ZIP archive without files"),
    (b"\x1f\x8b", "compressed with gzip; uncompress it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; uncompress it first"),
    (b"BZh", "compressed with bzip2; uncompress it first"),
    (b"\xfd7zXZ\0", "compressed with xz; uncompress it first"),
    (b"PAR1", "a Parquet file; convert it to JSON Lines"),
    (b"SQLite format 3\0", "an SQLite database; export it as JSON Lines"),
];

/// The number of first bytes that [`format`] needs.
pub(super) const FORMAT_BYTES: usize = 16;

/// The format of an input that is not UTF-8 text, recognized by its first bytes.
pub(super) fn format(start: &[u8]) -> Option<&'static str> {
    if let Some((_, format)) = FORMATS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Some(format);
    }
    // Text without a byte order mark: JSON begins with two ASCII characters.
    let zero: Vec<bool> = start.iter().take(4).map(|&byte| byte == 0).collect();
    match zero[..] {
        [true, true, true, false] | [false, true, true, true] => {
            Some("UTF-32 text; convert it to UTF-8")
        }
        [true, false, true, false] | [false, true, false, true] => {
            Some("UTF-16 text; convert it to UTF-8")
        }
        _ => None,
    }
}

/// Shapes by their keys, the most specific first.
const SHAPES: [(&[&str], &str); 7] = [
    (&["mapping"], "a conversation of a ChatGPT export (a tree under `mapping`)"),
    (&["chat_messages"], "a conversation of a Claude export (`chat_messages`)"),
    (&["conversations"], "a ShareGPT conversation (`conversations` with `from` and `value`)"),
    (&["id", "state"], "a session as `transfer::export` writes it (`id` and `state`)"),
    (&["id", "messages"], "a recorded conversation (`id` and `messages`)"),
    (&["messages"], "a fine-tuning example (`messages` without an `id`)"),
    (&["role"], "a single message, not a conversation"),
];

/// Names the shape of a conversation in another system, recognized by its keys; `None` for an
/// unknown shape.
///
/// ```
/// use durable_session::transfer::recognize;
///
/// let shape = recognize(r#"{"conversations":[{"from":"human","value":"hi"}]}"#);
/// assert!(shape.is_some_and(|shape| shape.contains("ShareGPT")));
/// assert_eq!(recognize(r#"{"answer":42}"#), None);
/// ```
pub fn recognize(json: &str) -> Option<&'static str> {
    let object: BTreeMap<String, &RawValue> = serde_json::from_str(json).ok()?;
    let has = |keys: &[&str]| keys.iter().all(|key| object.contains_key(*key));
    SHAPES.iter().find(|(keys, _)| has(keys)).map(|(_, shape)| *shape)
}

#[cfg(test)]
mod tests {
    use super::{format, recognize};

    #[test]
    fn a_format_is_recognized_by_its_first_bytes() {
        let utf16 = |order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "{\"a\"".encode_utf16().flat_map(order).collect()
        };
        let with_mark = |order: fn(u16) -> [u8; 2]| [&order(0xfeff)[..], &utf16(order)].concat();
        for (start, expected) in [
            (utf16(u16::to_le_bytes), "UTF-16"),
            (utf16(u16::to_be_bytes), "UTF-16"),
            (with_mark(u16::to_le_bytes), "UTF-16"),
            (with_mark(u16::to_be_bytes), "UTF-16"),
            (b"{\0\0\0\"\0\0\0".to_vec(), "UTF-32"),
            (b"\xff\xfe\0\0{\0\0\0".to_vec(), "UTF-32"),
            (b"PK\x03\x04rest".to_vec(), "ZIP"),
            (b"\x1f\x8b\x08".to_vec(), "gzip"),
            (b"SQLite format 3\0".to_vec(), "SQLite"),
        ] {
            assert!(
                format(&start).is_some_and(|format| format.contains(expected)),
                "{expected}: {start:?}"
            );
        }
        for text in ["", "{", "{\"id\":", "[", "\u{feff}{", "PK", "é", "\0"] {
            assert_eq!(format(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_shape_is_recognized_by_its_keys() {
        for (json, expected) in [
            (r#"{"id":"x","title":"t","mapping":{},"current_node":"n"}"#, "ChatGPT"),
            (r#"{"uuid":"x","chat_messages":[]}"#, "Claude"),
            (r#"{"id":"x","conversations":[]}"#, "ShareGPT"),
            (r#"{"id":"x","state":{}}"#, "export"),
            (r#"{"id":"x","messages":[]}"#, "recorded"),
            (r#"{"messages":[]}"#, "fine-tuning"),
            (r#"{"role":"user","content":"hi"}"#, "single message"),
        ] {
            assert!(recognize(json).is_some_and(|shape| shape.contains(expected)), "{json}");
        }
        for json in ["", "{}", "[]", "{\"x\":1}", "{\"mapping\"", "\"mapping\""] {
            assert_eq!(recognize(json), None, "{json}");
        }
    }
}
