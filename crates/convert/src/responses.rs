//! Items of the `OpenAI` Responses API, which become messages in the shape of `OpenAI` chat.

use crate::ConvertError;
use crate::draft::{Draft, Time, message, quoted};
use durable_session::transfer::TimeUnit;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    created_at: Option<f64>,
    #[serde(default)]
    instructions: Option<String>,
    #[serde(default, borrow)]
    input: Option<&'a RawValue>,
    #[serde(default, borrow)]
    items: Vec<&'a RawValue>,
    #[serde(default, borrow)]
    output: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
    #[serde(default, borrow)]
    output: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

pub(crate) fn draft(record: &str) -> Result<Draft, ConvertError> {
    let record: Record<'_> = serde_json::from_str(record)
        .map_err(ConvertError::json("it is not an object with `input`, `items` or `output`"))?;
    let mut draft = Draft {
        id: record.id,
        title: record.title,
        created: record.created_at.map(|value| Time {
            field: "created_at",
            value,
            unit: TimeUnit::Seconds,
        }),
        ..Draft::default()
    };
    let invalid = |number| move |source| ConvertError::Message { number, source };
    if let Some(instructions) = &record.instructions {
        draft.messages.push(message("system", Some(instructions), &[]).map_err(invalid(0))?);
    }
    let mut items = Vec::new();
    if let Some(input) = record.input.map(RawValue::get) {
        if input.starts_with('"') {
            let text: String =
                serde_json::from_str(input).map_err(ConvertError::json("`input`"))?;
            draft.messages.push(message("user", Some(&text), &[]).map_err(invalid(0))?);
        } else if input != "null" {
            let list: Vec<&RawValue> = serde_json::from_str(input)
                .map_err(ConvertError::json("its `input` is neither a text nor an array"))?;
            items.extend(list);
        }
    }
    items.extend(record.items);
    items.extend(record.output);
    let mut calls = Calls::default();
    for (raw, number) in items.into_iter().zip(1..) {
        let item: Item<'_> = serde_json::from_str(raw.get())
            .map_err(ConvertError::json("an item is not an object"))?;
        if item.kind.as_deref() == Some("function_call") {
            calls.add(item);
            continue;
        }
        calls.end(&mut draft, number)?;
        match item.kind.as_deref() {
            None | Some("message") => {
                let Some(text) = content(&item, number, &mut draft) else { continue };
                let role = item.role.as_deref().unwrap_or("user");
                let fields = [("id", item.id.as_deref().map(quoted))];
                let made = message(role, Some(&text), &fields);
                draft.messages.push(made.map_err(invalid(number))?);
            }
            Some("function_call_output") => {
                // A text, or parts that stay as they are.
                let output = item.output.map_or("\"\"", RawValue::get).to_owned();
                let fields = [
                    ("content", Some(output)),
                    ("tool_call_id", item.call_id.as_deref().map(quoted)),
                ];
                draft.messages.push(message("tool", None, &fields).map_err(invalid(number))?);
            }
            Some(other) => draft.leave(number, format!("an item of the type {other:?}")),
        }
    }
    calls.end(&mut draft, 0)?;
    Ok(draft)
}

/// Calls that come together: one message has them all.
#[derive(Default)]
struct Calls {
    json: Vec<String>,
}

impl Calls {
    fn add(&mut self, item: Item<'_>) {
        let id = quoted(&item.call_id.or(item.id).unwrap_or_default());
        let name = quoted(&item.name.unwrap_or_default());
        let arguments = quoted(&item.arguments.unwrap_or_default());
        self.json.push(format!(
            "{{\"id\":{id},\"type\":\"function\",\"function\":{{\"name\":{name},\
             \"arguments\":{arguments}}}}}"
        ));
    }

    fn end(&mut self, draft: &mut Draft, number: usize) -> Result<(), ConvertError> {
        if self.json.is_empty() {
            return Ok(());
        }
        let calls = format!("[{}]", std::mem::take(&mut self.json).join(","));
        let made = message("assistant", None, &[("tool_calls", Some(calls))]);
        draft.messages.push(made.map_err(|source| ConvertError::Message { number, source })?);
        Ok(())
    }
}

/// The text of a message item; `None` if it has none. Other parts are noted.
fn content(item: &Item<'_>, number: usize, draft: &mut Draft) -> Option<String> {
    let json = item.content?.get();
    if let Ok(text) = serde_json::from_str::<String>(json) {
        return (!text.is_empty()).then_some(text);
    }
    let Ok(parts) = serde_json::from_str::<Vec<Part>>(json) else {
        draft.leave(number, "a message whose content is neither a text nor parts");
        return None;
    };
    let mut texts = Vec::new();
    for part in parts {
        match (part.text.or(part.refusal), part.kind) {
            (Some(text), _) => texts.push(text),
            (None, kind) => draft.leave(number, format!("a part of the type {kind:?}")),
        }
    }
    let text = texts.join("\n");
    (!text.is_empty()).then_some(text)
}
