//! What cannot be converted.

use std::fmt;

/// A record was not converted. The text shows nothing of its content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The record is not of the format.
    #[error("it is no record of this format: {what}")]
    Shape {
        /// What is missing or not as it should be.
        what: &'static str,
        /// The error of the parser.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// A message is not valid.
    #[error("message {number} is not valid")]
    Message {
        /// The number of the message, from 1.
        number: usize,
        /// What is wrong with it.
        #[source]
        source: durable_session::InvalidMessage,
    },
    /// A time is not plausible in its unit.
    #[error(
        "`{field}` is {value}, which is not plausible in {unit}; name its unit \
         (Options::time_unit)"
    )]
    Time {
        /// The field.
        field: &'static str,
        /// Its value.
        value: Box<str>,
        /// The unit in which it was taken.
        unit: durable_session::transfer::TimeUnit,
    },
}

impl ConvertError {
    pub(crate) fn shape(what: &'static str) -> Self {
        Self::Shape { what, source: None }
    }

    pub(crate) fn json(what: &'static str) -> impl Fn(serde_json::Error) -> Self {
        move |source| Self::Shape { what, source: Some(source) }
    }
}

/// A part of a conversation that is not in the line. It shows nothing of the part's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTaken {
    /// The number of the message or item in its record, from 1.
    pub number: usize,
    /// What it is, and why it was not taken.
    pub what: String,
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "item {}: {}", self.number, self.what)
    }
}
