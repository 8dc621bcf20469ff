//! Converts conversations of other systems to the lines that
//! [`transfer::import`](durable_session::transfer::import) stores.
//!
//! ```
//! use durable_session::transfer;
//! use durable_session_convert::{Format, Options, convert};
//! use durable_session_memory::MemoryStore;
//!
//! # futures_executor::block_on(async {
//! let record = r#"{"id":"42","conversations":[
//!     {"from":"human","value":"What is a lifetime?"},
//!     {"from":"gpt","value":"The time for which a reference is valid."}]}"#;
//! let format = Format::recognize(record).ok_or("unknown")?;
//! assert_eq!(format, Format::ShareGpt);
//!
//! let options = Options::at(1_763_264_606_917);
//! for conversation in convert(format, record, &options)? {
//!     for left in &conversation.not_taken {
//!         eprintln!("{left}");
//!     }
//!     let import = transfer::ImportOptions::default();
//!     transfer::import(&MemoryStore::new(), &conversation.line, &import).await?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Formats
//! - [`Lines`](Format::Lines): `id` and `state`, as an export writes it. They stay as they are.
//! - [`Messages`](Format::Messages): an object with `messages` of `OpenAI` chat, Anthropic or the
//!   AI SDK. They stay as they are.
//! - [`Responses`](Format::Responses): items of the `OpenAI` Responses API.
//! - [`ChatGpt`](Format::ChatGpt): a tree under `mapping`.
//! - [`LangChain`](Format::LangChain): messages with a `type`, alone or in a `LangGraph` state.
//! - [`ShareGpt`](Format::ShareGpt): `conversations` with `from` and `value`.
//!
//! The messages of the last four become messages in the shape of `OpenAI` chat.
//!
//! # Rules
//! - **Ids.** An id that is a valid session id stays as it is. For any other, the session id is
//!   `import-` and 32 hexadecimal digits of the SHA-256 of the id; without an id, of the record. So
//!   a record always gives the same session id. The id of the other system is in the app state:
//!   `importedFrom` has `format` and `id`.
//! - **Roles.** A message without a role gets one: `assistant` if it has calls of tools, `tool` if
//!   it names the call that it answers, `user` otherwise.
//! - **Times.** Numbers are taken in the unit of the format (`ChatGPT` and Responses: seconds;
//!   `messages`: milliseconds), or in [`Options::time_unit`]. Texts are not taken. Without a time,
//!   [`Options::at`] is the time of creation.
//! - **What is not taken** is named in [`Conversation::not_taken`]: images and other files,
//!   thoughts, calls of tools that only the provider can make. A message without any content is
//!   left out silently.

mod chatgpt;
mod draft;
mod error;
mod kept;
mod langchain;
mod responses;
mod sharegpt;

pub use error::{ConvertError, NotTaken};

use draft::Draft;
use durable_session::SessionId;
use durable_session::transfer::TimeUnit;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A format of conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A line of an export of this library.
    Lines,
    /// An object with `messages`, each an object with a `role`: requests to `OpenAI` chat or to
    /// Anthropic (with `system`), and UI messages of the AI SDK.
    Messages,
    /// Items of the `OpenAI` Responses API: an object with `input`, `output` or `items`.
    Responses,
    /// A conversation of a `ChatGPT` export: an object with `mapping`.
    ChatGpt,
    /// Messages of `LangChain` with a `type`, or a state or checkpoint of `LangGraph` that has
    /// them.
    LangChain,
    /// An object with `conversations`, whose entries have `from` and `value`.
    ShareGpt,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 6] = [
        Self::Lines,
        Self::Messages,
        Self::Responses,
        Self::ChatGpt,
        Self::LangChain,
        Self::ShareGpt,
    ];

    /// The name of the format, such as `chatgpt`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Messages => "messages",
            Self::Responses => "responses",
            Self::ChatGpt => "chatgpt",
            Self::LangChain => "langchain",
            Self::ShareGpt => "sharegpt",
        }
    }

    /// The format of a record, by its keys; `None` if it is none of these.
    ///
    /// ```
    /// use durable_session_convert::Format;
    ///
    /// let record = r#"{"id":"c-1","title":"Rust","mapping":{},"current_node":null}"#;
    /// assert_eq!(Format::recognize(record), Some(Format::ChatGpt));
    /// assert_eq!(Format::recognize("[1]"), None);
    /// ```
    pub fn recognize(record: &str) -> Option<Self> {
        let object: BTreeMap<&str, &RawValue> = serde_json::from_str(record).ok()?;
        let has = |key: &str| object.contains_key(key);
        if has("id") && has("state") {
            Some(Self::Lines)
        } else if has("mapping") {
            Some(Self::ChatGpt)
        } else if has("conversations") {
            Some(Self::ShareGpt)
        } else if langchain::has_messages(&object) {
            Some(Self::LangChain)
        } else if has("messages") {
            Some(Self::Messages)
        } else if has("input") || has("output") || has("items") {
            Some(Self::Responses)
        } else {
            None
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or(UnknownFormat)
    }
}

/// There is no format of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a format is lines, messages, responses, chatgpt, langchain or sharegpt")]
pub struct UnknownFormat;

/// How records are converted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The time of creation of a conversation that has none, Unix milliseconds.
    pub at: u64,
    /// The unit of all times; that of the format if `None`.
    pub time_unit: Option<TimeUnit>,
    /// Takes every branch of a `ChatGPT` conversation, and not only the current one. Each other
    /// branch is a conversation of its own.
    pub all_branches: bool,
    /// The owner of the sessions.
    pub owner: Option<String>,
}

impl Options {
    /// Conversations without a time were created at this time, Unix milliseconds. Give the same
    /// time in each run.
    pub fn at(at: u64) -> Self {
        Self { at, time_unit: None, all_branches: false, owner: None }
    }

    /// All times are in this unit.
    #[must_use]
    pub fn time_unit(self, unit: TimeUnit) -> Self {
        Self { time_unit: Some(unit), ..self }
    }

    /// Whether to take every branch.
    #[must_use]
    pub fn all_branches(self, all_branches: bool) -> Self {
        Self { all_branches, ..self }
    }

    /// Sets the owner of the sessions.
    #[must_use]
    pub fn owner(self, owner: impl Into<String>) -> Self {
        Self { owner: Some(owner.into()), ..self }
    }
}

/// A conversation to import.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Conversation {
    /// The session id.
    pub id: SessionId,
    /// The line for [`transfer::import`](durable_session::transfer::import).
    pub line: String,
    /// What is not in the line.
    pub not_taken: Vec<NotTaken>,
}

/// Converts a record. It has one conversation, unless it is a tree of which all branches are taken.
///
/// # Errors
/// [`ConvertError`] if the record is not of this format, or if a time is not plausible.
pub fn convert(
    format: Format,
    record: &str,
    options: &Options,
) -> Result<Vec<Conversation>, ConvertError> {
    let drafts = match format {
        Format::Lines => return kept::line(record).map(|conversation| vec![conversation]),
        Format::Messages => vec![kept::draft(record)?],
        Format::Responses => vec![responses::draft(record)?],
        Format::ChatGpt => chatgpt::drafts(record, options.all_branches)?,
        Format::LangChain => vec![langchain::draft(record)?],
        Format::ShareGpt => vec![sharegpt::draft(record)?],
    };
    drafts.into_iter().map(|draft: Draft| draft.finish(format, record, options)).collect()
}
