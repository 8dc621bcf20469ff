//! What is wrong with a JSON text, told without repeating any of it.

use serde_json::error::Category;
use std::fmt;

/// A text is not the JSON that is wanted, or a value cannot be written as JSON.
///
/// It says what is wrong and where, and repeats nothing of the text: the JSON here is users' own words, and errors go
/// into logs. An error of `serde_json` quotes the value that it found, and an app's own `Deserialize` may put anything
/// into one. This error is therefore made [`From`] one and does not keep it as its source: syntax errors keep their
/// text, which `serde_json` fixes; everything else is told in words of this crate.
///
/// ```
/// use durable_session::{JsonObject, json::JsonError};
///
/// let app: JsonObject = r#"{"age":"I am 12"}"#.parse()?;
/// let error = app.get::<u32>("age").unwrap_err();
/// assert_eq!(error.to_string(), "found a string, expected u32 at line 1 column 9");
///
/// let error = JsonError::from(serde_json::from_str::<bool>("maybe").unwrap_err());
/// assert_eq!(error.to_string(), "expected value at line 1 column 1");
/// # Ok::<(), JsonError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    problem: Box<str>,
    /// Line and column, both from 1, if there is a text that they are in.
    at: Option<(usize, usize)>,
}

/// The sentences that this crate's own types give to serde. They hold no values, so they are kept.
pub(crate) mod own {
    pub(crate) const NOT_AN_OBJECT: &str = "message is not a JSON object";
    pub(crate) const ROLE: &str = "message has no `role` that is a string";
    pub(crate) const CONTENT: &str =
        "message `content` is a number or a boolean; it must be a string, null, an array or an object";
    pub(crate) const NOT_JSON: &str = "message is not valid JSON";
    pub(super) const ALL: [&str; 11] = [
        NOT_AN_OBJECT,
        ROLE,
        CONTENT,
        NOT_JSON,
        "`createdAt` must be whole Unix milliseconds, from 0 on",
        "`lastAccessedAt` must be whole Unix milliseconds, from 0 on",
        "missing field `messages`",
        "missing field `createdAt`",
        "missing field `lastAccessedAt`",
        "missing field `id`",
        "missing field `state`",
    ];
}

/// How serde begins its messages, and how to say the same without the name or value that follows.
const BEGINNINGS: [(&str, &str); 5] = [
    ("missing field `", "missing field"),
    ("unknown field `", "unknown field"),
    ("duplicate field `", "duplicate field"),
    ("unknown variant `", "unknown variant"),
    ("invalid length ", "wrong number of elements"),
];

/// How serde names what it found.
const FOUND: [(&str, &str); 10] = [
    ("string ", "a string"),
    ("character ", "a string"),
    ("integer ", "a number"),
    ("floating point ", "a number"),
    ("number", "a number"),
    ("boolean ", "a boolean"),
    ("null", "null"),
    ("unit value", "null"),
    ("sequence", "an array"),
    ("map", "an object"),
];

/// How serde names its own types. What an app's type says that it expects is left out.
const EXPECTED: [&str; 19] = [
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "usize",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "isize",
    "f32",
    "f64",
    "a boolean",
    "a string",
    "a character",
    "a sequence",
    "a map",
];

impl JsonError {
    /// The error of writing a value, whose `Serialize` may put anything into its message.
    pub fn unwritable(e: serde_json::Error) -> Self {
        match e.classify() {
            Category::Data => Self { problem: "its `Serialize` refused".into(), at: None },
            _ => e.into(),
        }
    }

    pub(crate) fn lone_surrogate(source: &serde_json::Error) -> Self {
        let problem = "lone surrogate (half of a character that was cut in two)".into();
        Self { problem, at: position(source) }
    }
}

fn position(e: &serde_json::Error) -> Option<(usize, usize)> {
    (e.line() > 0).then(|| (e.line(), e.column()))
}

impl From<serde_json::Error> for JsonError {
    fn from(e: serde_json::Error) -> Self {
        let at = position(&e);
        let text = e.to_string();
        let problem = match e.classify() {
            // Fixed texts, followed by the position.
            Category::Syntax | Category::Eof => {
                text.rsplit_once(" at line ").map_or(&*text, |(problem, _)| problem).into()
            }
            Category::Io => "reading or writing failed".into(),
            Category::Data => unfit(&text).into(),
        };
        Self { problem, at }
    }
}

/// A message of serde without names and values. Whatever it does not begin like is an app's own, and left out whole.
fn unfit(message: &str) -> String {
    if let Some(own) = own::ALL.iter().find(|own| message.starts_with(**own)) {
        return (*own).to_owned();
    }
    if let Some((_, told)) = BEGINNINGS.iter().find(|(beginning, _)| message.starts_with(beginning)) {
        return (*told).to_owned();
    }
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let value = ["invalid type: ", "invalid value: "].iter().find_map(|p| message.strip_prefix(p));
    let found = value.and_then(|value| FOUND.iter().find(|(name, _)| value.starts_with(name)));
    let Some((_, found)) = found else { return "value does not fit the type".to_owned() };
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
    match expected.filter(|expected| EXPECTED.contains(expected)) {
        Some(expected) => format!("found {found}, expected {expected}"),
        None => format!("found {found} that does not fit the type"),
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)?;
        match self.at {
            Some((line, column)) => write!(f, " at line {line} column {column}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for JsonError {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    fn error<T: DeserializeOwned>(text: &str) -> String {
        JsonError::from(serde_json::from_str::<T>(text).err().unwrap()).to_string()
    }

    #[test]
    fn serdes_messages_lose_their_values() {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code)]
        struct Strict {
            n: u8,
        }
        #[derive(Deserialize)]
        enum Step {
            One,
        }
        assert_eq!(error::<u32>("\"secret\""), "found a string, expected u32 at line 1 column 8");
        assert_eq!(error::<u8>("9876543"), "found a number, expected u8 at line 1 column 7");
        assert_eq!(error::<String>("9876543.5"), "found a number, expected a string at line 1 column 9");
        assert_eq!(error::<Vec<u8>>("{}"), "found an object, expected a sequence at line 1 column 0");
        assert_eq!(error::<Strict>("[true]"), "found a boolean, expected u8 at line 1 column 5");
        assert_eq!(error::<Strict>("{}"), "missing field at line 1 column 2");
        assert_eq!(error::<Strict>(r#"{"secret":1}"#), "unknown field at line 1 column 9");
        assert_eq!(error::<Strict>(r#"{"n":1,"n":2}"#), "duplicate field at line 1 column 10");
        assert_eq!(error::<Step>("\"secret\""), "unknown variant at line 1 column 8");
        assert_eq!(error::<Step>("9876543"), "expected value at line 1 column 1");
        assert_eq!(error::<[u8; 2]>("[1]"), "wrong number of elements at line 1 column 3");
        assert_eq!(error::<u8>(""), "EOF while parsing a value at line 1 column 0");
        let _ = Step::One;
    }

    #[test]
    fn a_value_that_ends_like_an_expectation_is_not_taken_for_one() {
        for text in ["\"x, expected secret\"", "\"secret, expected u32 at line 1 column 2\""] {
            let told = error::<bool>(text);
            assert!(told.starts_with("found a string, expected a boolean at line 1 column "), "{told}");
        }
    }

    #[test]
    fn an_apps_own_words_are_left_out() {
        struct Own;
        impl<'de> Deserialize<'de> for Own {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                Err(serde::de::Error::custom(format_args!("{text} is no day")))
            }
        }
        assert_eq!(error::<Own>("\"secret\""), "value does not fit the type");
        assert_eq!(error::<Vec<Own>>("[\"secret\"]"), "value does not fit the type at line 1 column 10");
    }
}
