//! Checks whether a text is JSON that a session can keep.

use super::JsonError;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Checks that `text` is well-formed JSON, is nested at most 127 deep, has no lone surrogates in
/// its strings, and has only numbers within the range of a double.
///
/// A `RawValue` guarantees only that its text is well-formed.
pub(crate) fn check(text: &str) -> Result<(), JsonError> {
    match serde_json::from_str::<Valid>(text) {
        Ok(_) => Ok(()),
        Err(e) if has_lone_surrogate(text) => Err(JsonError::lone_surrogate(&e)),
        Err(e) => Err(e.into()),
    }
}

/// Whether an escape in `text` is half of a surrogate pair. Called only for text that failed the
/// check.
fn has_lone_surrogate(text: &str) -> bool {
    let unit = |at: usize| {
        let hex = text.as_bytes().get(at..at + 6)?.strip_prefix(b"\\u")?;
        u32::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
    };
    let mut at = 0;
    while let Some(found) =
        text.as_bytes().get(at..).and_then(|rest| rest.iter().position(|&b| b == b'\\'))
    {
        at += found;
        match unit(at) {
            Some(0xD800..=0xDBFF) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => at += 12,
            Some(0xD800..=0xDFFF) => return true,
            _ => at += 2,
        }
    }
    false
}

struct Valid;

impl<'de> Deserialize<'de> for Valid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValidVisitor)
    }
}

struct ValidVisitor;

impl<'de> Visitor<'de> for ValidVisitor {
    type Value = Valid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Valid, E> {
        Ok(Valid)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Valid, E> {
        Ok(Valid)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Valid, E> {
        Ok(Valid)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Valid, E> {
        Ok(Valid)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Valid, E> {
        Ok(Valid)
    }

    fn visit_unit<E: Error>(self) -> Result<Valid, E> {
        Ok(Valid)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Valid, S::Error> {
        while seq.next_element::<Valid>()?.is_some() {}
        Ok(Valid)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Valid, M::Error> {
        while map.next_entry::<Key<'de>, Valid>()?.is_some() {}
        Ok(Valid)
    }
}

/// A key that is decoded, so that its escapes are checked, and dropped.
#[derive(serde::Deserialize)]
struct Key<'a>(
    #[serde(borrow)]
    #[allow(dead_code)]
    Cow<'a, str>,
);

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_lone_surrogate_is_named_in_the_error() {
        for bad in [
            "\"\\ud83d\"",
            "\"\\ud83d\\n\"",
            "{\"a\":\"\\ude00x\"}",
            "\"\\\\\\ud83d\\ud83d\\ude00\"",
        ] {
            assert!(check(bad).unwrap_err().to_string().contains("lone surrogate"), "{bad}");
        }
        for other in ["\"\\\\ud83d", "\"\\ud83d\\ude00", "{"] {
            assert!(!check(other).unwrap_err().to_string().contains("lone surrogate"), "{other}");
        }
    }

    #[test]
    fn json_of_bounded_depth_in_valid_unicode_passes() {
        for good in [
            "null",
            " {\"a\":[1,2.5,-0,1e300,\"\\ud83d\\ude00\",true]} ",
            "123456789012345678901234567890",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for bad in [
            "",
            "{",
            "{}{}",
            "nul",
            "[1,]",
            "\"\\ud83d\"",
            "{\"\\ud83d\":1}",
            "[[\"\\udc00\"]]",
            "01",
            &deep,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
