//! JSON errors that repeat nothing of the text.

use serde_json::error::Category;
use std::fmt;

/// A text is not the expected JSON, or a value cannot be written as JSON.
///
/// The error names the problem and its position and repeats nothing of the text: the JSON may be
/// the users' own words, and errors go into logs. An error of `serde_json` quotes the value, and an
/// app's own `Deserialize` may put anything into one. So the conversion [`From`] a `serde_json`
/// error does not keep it as the source. A syntax error keeps its fixed text; other errors get a
/// text of this crate.
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
    /// Line and column in the text, both from 1; `None` if a value could not be written.
    at: Option<(usize, usize)>,
}

/// The texts that this crate's own types pass to serde. They hold no values, so errors keep them.
pub(crate) mod own {
    pub(crate) const NOT_AN_OBJECT: &str = "message is not a JSON object";
    pub(crate) const ROLE: &str = "message has no `role` that is a string";
    pub(crate) const CONTENT: &str = "message `content` is a number or a boolean; \
                                      it must be a string, null, an array or an object";
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

/// How serde's messages begin, and the replacements without the name or value that follows.
const BEGINNINGS: [(&str, &str); 5] = [
    ("missing field `", "missing field"),
    ("unknown field `", "unknown field"),
    ("duplicate field `", "duplicate field"),
    ("unknown variant `", "unknown variant"),
    ("invalid length ", "wrong number of elements"),
];

/// How serde names the kind of a value, and the replacements without the value.
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

/// The expectations of serde's own types. The expectation of an app's type is left out.
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
    /// An error of writing a value. Its text leaves out the message of the value's `Serialize`.
    pub fn unwritable(e: serde_json::Error) -> Self {
        match e.classify() {
            Category::Data => Self {
                problem: "the `Serialize` implementation of the value failed".into(),
                at: None,
            },
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
            // These texts are fixed. The position follows them.
            Category::Syntax | Category::Eof => {
                text.rsplit_once(" at line ").map_or(&*text, |(problem, _)| problem).into()
            }
            Category::Io => "reading or writing failed".into(),
            Category::Data => unfit(&text).into(),
        };
        Self { problem, at }
    }
}

/// A message of serde without names and values. A message with an unknown beginning comes from an
/// app's type and is left out whole.
fn unfit(message: &str) -> String {
    if let Some(own) = own::ALL.iter().find(|own| message.starts_with(**own)) {
        return (*own).to_owned();
    }
    if let Some((_, told)) = BEGINNINGS.iter().find(|(beginning, _)| message.starts_with(beginning))
    {
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
    use super::JsonError;
    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    fn error<T: DeserializeOwned>(text: &str) -> String {
        JsonError::from(serde_json::from_str::<T>(text).err().unwrap()).to_string()
    }

    #[test]
    fn the_values_in_the_messages_of_serde_are_left_out() {
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
        assert_eq!(
            error::<String>("9876543.5"),
            "found a number, expected a string at line 1 column 9"
        );
        assert_eq!(
            error::<Vec<u8>>("{}"),
            "found an object, expected a sequence at line 1 column 0"
        );
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
    fn a_value_that_ends_like_an_expectation_is_left_out() {
        for text in ["\"x, expected secret\"", "\"secret, expected u32 at line 1 column 2\""] {
            let told = error::<bool>(text);
            assert!(
                told.starts_with("found a string, expected a boolean at line 1 column "),
                "{told}"
            );
        }
    }

    #[test]
    fn the_message_of_an_apps_own_type_is_left_out() {
        struct Own;
        impl<'de> Deserialize<'de> for Own {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                Err(serde::de::Error::custom(format_args!("{text} is no day")))
            }
        }
        assert_eq!(error::<Own>("\"secret\""), "value does not fit the type");
        assert_eq!(
            error::<Vec<Own>>("[\"secret\"]"),
            "value does not fit the type at line 1 column 10"
        );
    }
}
