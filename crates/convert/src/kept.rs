//! Messages that stay as they are.

use crate::draft::{Draft, Time, quoted};
use crate::{Conversation, ConvertError};
use durable_session::transfer::TimeUnit;
use durable_session::{JsonObject, Message, SessionId};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default, alias = "conversation_id", alias = "thread_id", alias = "chatId")]
    other_id: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default, alias = "created_at", alias = "created")]
    #[serde(rename = "createdAt")]
    created: Option<Value>,
    #[serde(default, alias = "updated_at")]
    #[serde(rename = "updatedAt")]
    updated: Option<Value>,
    /// The system message of a request to Anthropic.
    #[serde(default, borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
}

pub(crate) fn draft(record: &str) -> Result<Draft, ConvertError> {
    let record: Record<'_> = serde_json::from_str(record)
        .map_err(ConvertError::json("it is not an object with an array `messages`"))?;
    let mut draft =
        Draft { id: record.id.or(record.other_id), title: record.title, ..Draft::default() };
    draft.created = time("createdAt", record.created, &mut draft);
    draft.changed = time("updatedAt", record.updated, &mut draft);
    if let Some(system) = record.system.filter(|system| system.get() != "null") {
        let json = format!("{{\"role\":\"system\",\"content\":{}}}", system.get());
        let message = Message::from_json(json);
        draft.messages.push(message.map_err(|source| ConvertError::Message { number: 0, source })?);
    }
    for (raw, number) in record.messages.into_iter().zip(1..) {
        let message = Message::from_json(with_role(raw.get()));
        draft.messages.push(message.map_err(|source| ConvertError::Message { number, source })?);
    }
    Ok(draft)
}

/// Times of these records have no agreed unit. Milliseconds are this library's.
fn time(field: &'static str, value: Option<Value>, draft: &mut Draft) -> Option<Time> {
    let value = value.filter(|value| !value.is_null())?;
    let Some(value) = value.as_f64() else {
        draft.leave(0, format!("`{field}`, which is no number"));
        return None;
    };
    Some(Time { field, value, unit: TimeUnit::Milliseconds })
}

/// The message, with a role by the rule if it has none.
fn with_role(json: &str) -> String {
    let Ok(mut object) = json.parse::<JsonObject>() else { return json.to_owned() };
    if object.contains("role") {
        return json.to_owned();
    }
    let role = if object.contains("tool_calls") {
        "assistant"
    } else if object.contains("tool_call_id") {
        "tool"
    } else {
        "user"
    };
    match object.set_json("role", &quoted(role)) {
        Ok(()) => object.to_string(),
        Err(_) => json.to_owned(),
    }
}

/// A line of an export.
pub(crate) fn line(record: &str) -> Result<Conversation, ConvertError> {
    #[derive(Deserialize)]
    struct Line {
        id: String,
    }
    let line: Line = serde_json::from_str(record)
        .map_err(ConvertError::json("it is not an object with a string `id`"))?;
    let id = SessionId::new(line.id).map_err(|_| ConvertError::shape("its `id` is not valid"))?;
    Ok(Conversation { id, line: record.to_owned(), not_taken: Vec::new() })
}
