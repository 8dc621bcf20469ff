//! `ShareGPT`: `{"conversations":[{"from":"human","value":"…"}]}`.

use crate::ConvertError;
use crate::draft::{Draft, message};
use serde::Deserialize;

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    title: Option<String>,
    conversations: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    value: Option<String>,
}

pub(crate) fn draft(record: &str) -> Result<Draft, ConvertError> {
    let record: Record = serde_json::from_str(record).map_err(ConvertError::json(
        "it is not an object with an array `conversations` of `from` and `value`",
    ))?;
    let mut draft = Draft { id: record.id, title: record.title, ..Draft::default() };
    for (entry, number) in record.conversations.into_iter().zip(1..) {
        let Some(text) = entry.value else {
            draft.leave(number, "an entry without a text `value`");
            continue;
        };
        let role = match entry.from.as_deref() {
            Some("gpt" | "chatgpt" | "bing" | "bard" | "assistant" | "model" | "function_call") => {
                "assistant"
            }
            Some("system") => "system",
            Some("tool" | "observation" | "function_response") => "tool",
            _ => "user",
        };
        let made = message(role, Some(&text), &[]);
        draft.messages.push(made.map_err(|source| ConvertError::Message { number, source })?);
    }
    Ok(draft)
}
