//! Messages of `LangChain`, alone or in a state of `LangGraph`, which become messages in the shape
//! of `OpenAI` chat.
//!
//! A message is written in one of three ways: as its fields with a `type`; as `type` and `data`
//! (`messages_to_dict`); or as a constructor with `kwargs` (`dumpd`).

use crate::ConvertError;
use crate::draft::{Draft, message, quoted};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

type Object<'a> = BTreeMap<&'a str, &'a RawValue>;

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
    #[serde(default)]
    tool_call_id: Option<String>,
}

#[derive(Deserialize)]
struct Call<'a> {
    name: String,
    #[serde(borrow)]
    args: &'a RawValue,
    #[serde(default)]
    id: Option<String>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    text: Option<String>,
}

/// The messages of a record: its own, or those of the state of a graph.
fn messages<'a>(object: &Object<'a>) -> Option<Vec<&'a RawValue>> {
    for name in ["values", "channel_values", "state", "checkpoint"] {
        let inner = object.get(name).and_then(|raw| serde_json::from_str(raw.get()).ok());
        if let Some(messages) = inner.as_ref().and_then(messages) {
            return Some(messages);
        }
    }
    serde_json::from_str(object.get("messages")?.get()).ok()
}

/// Whether the record has messages with a `type` and without a role.
pub(crate) fn has_messages(object: &Object<'_>) -> bool {
    let Some(first) = messages(object).and_then(|messages| messages.first().copied()) else {
        return false;
    };
    serde_json::from_str::<Object<'_>>(first.get())
        .is_ok_and(|first| first.contains_key("type") && !first.contains_key("role"))
}

/// The id of a thread, wherever a graph keeps it.
fn thread_id(object: &Object<'_>) -> Option<String> {
    for name in ["id", "thread_id"] {
        if let Some(id) = object.get(name).and_then(|raw| serde_json::from_str(raw.get()).ok()) {
            return Some(id);
        }
    }
    ["config", "configurable"].iter().find_map(|name| {
        let inner: Object<'_> = serde_json::from_str(object.get(name)?.get()).ok()?;
        thread_id(&inner)
    })
}

pub(crate) fn draft(record: &str) -> Result<Draft, ConvertError> {
    let object: Object<'_> =
        serde_json::from_str(record).map_err(ConvertError::json("it is not an object"))?;
    let list = messages(&object).ok_or(ConvertError::shape("it has no array `messages`"))?;
    let mut draft = Draft { id: thread_id(&object), ..Draft::default() };
    for (raw, number) in list.into_iter().zip(1..) {
        add(raw.get(), number, &mut draft)?;
    }
    Ok(draft)
}

fn add(json: &str, number: usize, draft: &mut Draft) -> Result<(), ConvertError> {
    let shape = ConvertError::json("a message has no `type` and `content`");
    let outer: Object<'_> = serde_json::from_str(json).map_err(&shape)?;
    let inner = outer.get("data").or(outer.get("kwargs")).map_or(json, |inner| inner.get());
    let said: Said<'_> = serde_json::from_str(inner).map_err(&shape)?;
    let kind = if outer.contains_key("kwargs") {
        // The last name of the class: ["langchain", "schema", "messages", "HumanMessage"].
        let path: Vec<String> = outer
            .get("id")
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        path.last().cloned().unwrap_or_default()
    } else {
        let named = outer.get("type").and_then(|raw| serde_json::from_str(raw.get()).ok());
        named.or(said.kind.clone()).unwrap_or_default()
    };
    let role = match kind.trim_end_matches("Chunk").trim_end_matches("Message") {
        "human" | "Human" => "user",
        "ai" | "AI" => "assistant",
        "system" | "System" => "system",
        "tool" | "Tool" | "function" | "Function" => "tool",
        "remove" | "Remove" => {
            draft.leave(number, "an instruction to remove a message");
            return Ok(());
        }
        _ if said.tool_calls.is_some() => "assistant",
        _ if said.tool_call_id.is_some() => "tool",
        _ => "user",
    };
    let calls = said.tool_calls.as_deref().unwrap_or_default();
    let calls: Vec<String> = calls.iter().map(call).collect();
    let calls = (!calls.is_empty()).then(|| format!("[{}]", calls.join(",")));
    let text = text(said.content, number, draft);
    if text.is_none() && calls.is_none() && role != "tool" {
        return Ok(());
    }
    let fields = [
        ("id", said.id.as_deref().map(quoted)),
        ("name", said.name.as_deref().map(quoted)),
        ("tool_calls", calls),
        ("tool_call_id", said.tool_call_id.as_deref().map(quoted)),
    ];
    let made = message(role, text.as_deref(), &fields);
    draft.messages.push(made.map_err(|source| ConvertError::Message { number, source })?);
    Ok(())
}

fn call(call: &Call<'_>) -> String {
    let id = quoted(call.id.as_deref().unwrap_or_default());
    let (name, arguments) = (quoted(&call.name), quoted(call.args.get()));
    format!(
        "{{\"id\":{id},\"type\":\"function\",\"function\":{{\"name\":{name},\
         \"arguments\":{arguments}}}}}"
    )
}

/// The text of a message; `None` if it has none. Other parts are noted.
fn text(content: Option<&RawValue>, number: usize, draft: &mut Draft) -> Option<String> {
    let json = content?.get();
    if let Ok(text) = serde_json::from_str::<String>(json) {
        return (!text.is_empty()).then_some(text);
    }
    let parts = serde_json::from_str::<Vec<&RawValue>>(json).unwrap_or_default();
    let mut texts = Vec::new();
    for part in parts {
        let text = serde_json::from_str::<String>(part.get());
        let part = serde_json::from_str::<Part>(part.get());
        match (text, part) {
            (Ok(text), _) | (_, Ok(Part { text: Some(text), .. })) => texts.push(text),
            // The calls are in `tool_calls`, too.
            (_, Ok(Part { kind, .. })) if kind == "tool_use" => {}
            (_, Ok(Part { kind, .. })) => {
                draft.leave(number, format!("a part of the type {kind:?}"));
            }
            (_, Err(_)) => draft.leave(number, "a part that is no text"),
        }
    }
    let text = texts.join("\n");
    (!text.is_empty()).then_some(text)
}
