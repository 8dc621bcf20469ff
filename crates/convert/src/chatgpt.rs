//! A conversation of a `ChatGPT` export: a tree of messages, of which one branch is current.

use crate::ConvertError;
use crate::draft::{Draft, Time, message, quoted};
use durable_session::transfer::TimeUnit;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    conversation_id: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    create_time: Option<f64>,
    #[serde(default)]
    update_time: Option<f64>,
    #[serde(default)]
    current_node: Option<String>,
    mapping: BTreeMap<String, Node>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    message: Option<Said>,
    #[serde(default)]
    parent: Option<String>,
    #[serde(default)]
    children: Vec<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    id: Option<String>,
    author: Author,
    #[serde(default)]
    create_time: Option<f64>,
    content: Content,
}

#[derive(Deserialize)]
struct Author {
    role: String,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(rename = "content_type", default)]
    kind: String,
    #[serde(default)]
    parts: Vec<Value>,
    #[serde(default)]
    text: Option<String>,
}

/// The current branch, and with `all` each other one.
pub(crate) fn drafts(record: &str, all: bool) -> Result<Vec<Draft>, ConvertError> {
    let record: Record = serde_json::from_str(record)
        .map_err(ConvertError::json("it is not an object with a tree `mapping`"))?;
    let newest_leaf = || {
        let leaves = record.mapping.iter().filter(|(_, node)| node.children.is_empty());
        let time = |node: &Node| node.message.as_ref().and_then(|said| said.create_time);
        leaves.max_by(|a, b| time(a.1).partial_cmp(&time(b.1)).unwrap_or(std::cmp::Ordering::Equal))
    };
    let current = match &record.current_node {
        Some(current) if record.mapping.contains_key(current) => Some(current),
        _ => newest_leaf().map(|(id, _)| id),
    };
    let Some(current) = current else {
        return Err(ConvertError::shape("its `mapping` has no node"));
    };
    let id = record.id.clone().or_else(|| record.conversation_id.clone());
    let mut drafts = vec![branch(&record, current, id.clone())?];
    let leaves = record.mapping.iter().filter(|(_, node)| node.children.is_empty());
    let others: Vec<_> = leaves.map(|(leaf, _)| leaf).filter(|leaf| *leaf != current).collect();
    if all {
        for leaf in others {
            let id = id.as_ref().map_or_else(|| leaf.clone(), |id| format!("{id}-{leaf}"));
            drafts.push(branch(&record, leaf, Some(id))?);
        }
    } else if !others.is_empty() {
        let told = format!("{} other branches, which are taken only on request", others.len());
        drafts[0].leave(0, told);
    }
    Ok(drafts)
}

/// The messages from the root to a node.
fn branch(record: &Record, leaf: &str, id: Option<String>) -> Result<Draft, ConvertError> {
    let time = |field, value: Option<f64>| {
        value.map(|value| Time { field, value, unit: TimeUnit::Seconds })
    };
    let mut draft = Draft {
        id,
        title: record.title.clone(),
        created: time("create_time", record.create_time),
        changed: time("update_time", record.update_time),
        ..Draft::default()
    };
    let mut path = Vec::new();
    let mut seen = HashSet::new();
    let mut at = Some(leaf);
    while let Some(id) = at {
        if !seen.insert(id) {
            return Err(ConvertError::shape("its `mapping` has a circle"));
        }
        let node = record.mapping.get(id);
        let node = node.ok_or(ConvertError::shape("its `mapping` lacks a parent"))?;
        path.push(node);
        at = node.parent.as_deref();
    }
    let said = path.iter().rev().filter_map(|node| node.message.as_ref());
    for (said, number) in said.zip(1..) {
        let Some(text) = text(said, number, &mut draft) else { continue };
        let fields = [
            ("id", said.id.as_deref().map(quoted)),
            ("name", said.author.name.as_deref().map(quoted)),
            ("timestamp", said.create_time.map(|seconds| format!("{:.0}", seconds * 1_000.0))),
        ];
        let made = message(&said.author.role, Some(&text), &fields);
        draft.messages.push(made.map_err(|source| ConvertError::Message { number, source })?);
    }
    Ok(draft)
}

/// The text of a message; `None` if it has none. What is not text is noted.
fn text(said: &Said, number: usize, draft: &mut Draft) -> Option<String> {
    let Content { kind, parts, text } = &said.content;
    match kind.as_str() {
        "text" | "multimodal_text" | "code" | "execution_output" | "tether_quote" => {}
        other => {
            draft.leave(number, format!("content of the type {other:?}"));
            return None;
        }
    }
    let mut texts: Vec<&str> = text.as_deref().into_iter().collect();
    for part in parts {
        match part {
            Value::String(text) => texts.push(text),
            Value::Object(part) => {
                let kind = part.get("content_type").and_then(Value::as_str).unwrap_or("unknown");
                match (kind, part.get("text").and_then(Value::as_str)) {
                    ("audio_transcription", Some(text)) => texts.push(text),
                    _ => draft.leave(number, format!("a part of the type {kind:?}")),
                }
            }
            _ => draft.leave(number, "a part that is no text"),
        }
    }
    let text = texts.join("\n");
    (!text.is_empty()).then_some(text)
}
