//! A conversation that is being put together.

use crate::{Conversation, ConvertError, Format, NotTaken, Options};
use durable_session::transfer::{EARLIEST_MS, TimeUnit};
use durable_session::{JsonObject, Message, SessionId};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The parts of a conversation.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// The id in the other system.
    pub(crate) id: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) created: Option<Time>,
    pub(crate) changed: Option<Time>,
    pub(crate) messages: Vec<Message>,
    pub(crate) not_taken: Vec<NotTaken>,
}

/// A time as a record has it.
#[derive(Debug, Clone)]
pub(crate) struct Time {
    pub(crate) field: &'static str,
    pub(crate) value: f64,
    /// The unit of the format.
    pub(crate) unit: TimeUnit,
}

/// 3 March 5138: the same number in the next unit is a plausible time of today.
const LATEST_MS: f64 = 100_000_000_000_000.0;

impl Time {
    /// Unix milliseconds.
    fn ms(&self, options: &Options) -> Result<u64, ConvertError> {
        let unit = options.time_unit.unwrap_or(self.unit);
        let factor = match unit {
            TimeUnit::Seconds => 1_000.0,
            TimeUnit::Microseconds => 0.001,
            TimeUnit::Nanoseconds => 0.000_001,
            _ => 1.0,
        };
        let ms = (self.value * factor).round();
        #[allow(clippy::cast_precision_loss, reason = "the bound is a power of ten")]
        let plausible = ms >= EARLIEST_MS as f64 && ms < LATEST_MS;
        if !plausible {
            let value = self.value.to_string().into();
            return Err(ConvertError::Time { field: self.field, value, unit });
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is within these bounds"
        )]
        Ok(ms as u64)
    }
}

/// The app state: where the conversation comes from.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImportedFrom<'a> {
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

#[derive(Serialize)]
struct Labels<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
}

/// The most bytes of a title that a store takes.
const TITLE_BYTES: usize = durable_session::store::Labels::MAX_TITLE_BYTES;

impl Draft {
    /// Notes a part that is not taken.
    pub(crate) fn leave(&mut self, number: usize, what: impl Into<String>) {
        self.not_taken.push(NotTaken { number, what: what.into() });
    }

    pub(crate) fn finish(
        self,
        format: Format,
        record: &str,
        options: &Options,
    ) -> Result<Conversation, ConvertError> {
        let id = session_id(self.id.as_deref(), record);
        let created = self.created.as_ref().map_or(Ok(options.at), |time| time.ms(options))?;
        let changed = self.changed.as_ref().map_or(Ok(created), |time| time.ms(options))?;
        let changed = changed.max(created);
        let written = ConvertError::json("it cannot be written");
        let labels = Labels {
            owner: options.owner.as_deref(),
            title: self.title.as_deref().map(shortened).filter(|title| !title.is_empty()),
        };
        let labels = if labels.owner.is_none() && labels.title.is_none() {
            String::new()
        } else {
            format!(",\"labels\":{}", serde_json::to_string(&labels).map_err(&written)?)
        };
        let from = ImportedFrom { format: format.name(), id: self.id.as_deref() };
        let from = serde_json::to_string(&from).map_err(&written)?;
        let name = serde_json::to_string(id.as_str()).map_err(&written)?;
        let messages: Vec<_> = self.messages.iter().map(one_line).collect();
        let line = format!(
            "{{\"id\":{name},\"changedAt\":{changed}{labels},\"state\":{{\"messages\":[{}],\
             \"createdAt\":{created},\"lastAccessedAt\":{changed},\"importedFrom\":{from}}}}}",
            messages.join(",")
        );
        Ok(Conversation { id, line, not_taken: self.not_taken })
    }
}

/// Valid JSON has line ends only as white space between tokens.
fn one_line(message: &Message) -> String {
    message.as_json().replace(['\n', '\r'], " ")
}

/// The title, cut at a character if it is too long for a store.
fn shortened(title: &str) -> &str {
    &title[..title.floor_char_boundary(TITLE_BYTES)]
}

/// The id itself if a session may have it, else one that is made of it, or of the whole record.
fn session_id(id: Option<&str>, record: &str) -> SessionId {
    if let Some(id) = id.and_then(|id| SessionId::new(id).ok()) {
        return id;
    }
    let digest = Sha256::digest(id.unwrap_or(record));
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    let digits: String =
        digest[..16].iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    // Letters, digits and a hyphen are a valid id.
    match SessionId::new(format!("import-{digits}")) {
        Ok(id) => id,
        Err(_) => unreachable!("hexadecimal digits are a valid id"),
    }
}

/// A message of a converted format, with fields that may be missing.
pub(crate) fn message(
    role: &str,
    content: Option<&str>,
    fields: &[(&str, Option<String>)],
) -> Result<Message, durable_session::InvalidMessage> {
    let mut object = JsonObject::new();
    let string = |text: &str| serde_json::Value::from(text).to_string();
    let mut all = vec![("role", Some(string(role)))];
    all.push(("content", Some(content.map_or("null".to_owned(), string))));
    all.extend(fields.iter().cloned());
    for (key, json) in all {
        if let Some(json) = json {
            // JSON that was parsed, or written from a string.
            object.set_json(key, &json).map_err(durable_session::InvalidMessage::Json)?;
        }
    }
    Message::from_object(&object)
}

/// The JSON text of a string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
