//! The tool calls and results in one message, in the three shapes.

use crate::json::{self, JsonObject};
use crate::{Message, role};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Where a piece is in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The whole message.
    Whole,
    /// An item of the array in this field.
    Item(&'static str, usize),
}

/// The id of a call, with its shape: a result has the shape of its call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallId(&'static str, String);

/// What a message has of calls and results.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pub(super) calls: Vec<(Place, CallId)>,
    /// The results at the beginning of the message.
    pub(super) results: Vec<(Place, CallId)>,
    /// What no view has: incomplete parts, and calls and results in a wrong place.
    pub(super) invalid: Vec<Place>,
    /// Whether the message has nothing but `results`.
    pub(super) only_results: bool,
}

const TOOL_CALLS: &str = "tool_calls";
const CONTENT: &str = "content";
const PARTS: &str = "parts";

impl Pieces {
    pub(super) fn of(message: &Message) -> Self {
        let mut pieces = Self::default();
        // The names of all fields and types contain this word, which escapes could hide.
        if !message.as_json().contains("tool") && !message.as_json().contains("\\u") {
            return pieces;
        }
        let role = message.role();
        if role == role::TOOL {
            match text_of(message.as_json(), "tool_call_id") {
                Some(id) => {
                    pieces.results.push((Place::Whole, CallId(TOOL_CALLS, id)));
                    pieces.only_results = true;
                }
                None => pieces.invalid.push(Place::Whole),
            }
            return pieces;
        }
        for (n, call) in items(message, TOOL_CALLS).iter().enumerate() {
            pieces.call(&role, Place::Item(TOOL_CALLS, n), TOOL_CALLS, text_of(call.get(), "id"));
        }
        let blocks = items(message, CONTENT);
        for (n, block) in blocks.iter().enumerate() {
            let place = Place::Item(CONTENT, n);
            match text_of(block.get(), "type").as_deref() {
                Some("tool_use") => {
                    pieces.call(&role, place, CONTENT, text_of(block.get(), "id"));
                }
                Some("tool_result") => match text_of(block.get(), "tool_use_id") {
                    Some(id) if role == role::USER && n == pieces.results.len() => {
                        pieces.results.push((place, CallId(CONTENT, id)));
                    }
                    _ => pieces.invalid.push(place),
                },
                _ => {}
            }
        }
        pieces.only_results = !blocks.is_empty() && pieces.results.len() == blocks.len();
        let mut seen = Vec::new();
        for (n, part) in items(message, PARTS).iter().enumerate() {
            if let Some(id) = part_of_call(part.get()) {
                if seen.contains(&id) || !is_complete(part.get()) {
                    pieces.invalid.push(Place::Item(PARTS, n));
                } else {
                    seen.push(id);
                }
            }
        }
        pieces
    }

    fn call(&mut self, role: &str, place: Place, shape: &'static str, id: Option<String>) {
        match id.map(|id| CallId(shape, id)) {
            Some(id)
                if role == role::ASSISTANT && self.calls.iter().all(|(_, known)| *known != id) =>
            {
                self.calls.push((place, id));
            }
            _ => self.invalid.push(place),
        }
    }
}

/// The id of the call in a part of the AI SDK; `None` if it is another part.
fn part_of_call(part: &str) -> Option<String> {
    let kind = text_of(part, "type")?;
    if !kind.starts_with("tool-") && kind != "dynamic-tool" {
        return None;
    }
    text_of(part, "toolCallId")
}

fn is_complete(part: &str) -> bool {
    match text_of(part, "state").as_deref() {
        Some("output-available") => json::field(part, "preliminary") != Some("true"),
        Some("output-error" | "output-denied") => true,
        Some("approval-responded") => json::field(part, "approval")
            .is_some_and(|approval| json::field(approval, "approved") == Some("false")),
        _ => false,
    }
}

/// The message without these pieces; `None` if nothing remains that a provider takes.
pub(super) fn without(message: &Message, left_out: &[Place]) -> Option<Message> {
    if left_out.is_empty() {
        return Some(message.clone());
    }
    if left_out.contains(&Place::Whole) {
        return None;
    }
    let mut object = JsonObject::parse_stored(message.as_json()).ok()?;
    let mut remains = message.text().is_some_and(|text| !text.is_empty());
    for field in [TOOL_CALLS, CONTENT, PARTS] {
        let all = items(message, field);
        let kept =
            all.iter().enumerate().filter(|(n, _)| !left_out.contains(&Place::Item(field, *n)));
        let kept: Vec<_> = kept.map(|(_, item)| item.get()).collect();
        remains |= kept.iter().any(|item| field == TOOL_CALLS || says_something(item));
        if kept.len() == all.len() {
            continue;
        }
        if kept.is_empty() && field == TOOL_CALLS {
            object.remove(field);
        } else {
            object.set_json(field, &format!("[{}]", kept.join(","))).ok()?;
        }
    }
    if remains { Message::from_object(&object).ok() } else { None }
}

/// Whether a block or part can be alone in a message. Thoughts and data for pages cannot.
fn says_something(item: &str) -> bool {
    let Some(kind) = text_of(item, "type") else { return true };
    match &*kind {
        "text" => json::field(item, "text") != Some("\"\""),
        "thinking" | "redacted_thinking" | "step-start" => false,
        kind => !["reasoning", "source-", "data-"].iter().any(|begin| kind.starts_with(begin)),
    }
}

/// The items of an array; none if the field is no array.
fn items<'a>(message: &'a Message, field: &str) -> Vec<&'a RawValue> {
    let array = json::field(message.as_json(), field).filter(|value| value.starts_with('['));
    array.and_then(|array| serde_json::from_str(array).ok()).unwrap_or_default()
}

/// A field that is a string; `None` if `object` is no object.
fn text_of(object: &str, field: &str) -> Option<String> {
    let value = json::field(object, field)?;
    serde_json::from_str::<Cow<'_, str>>(value).ok().map(Cow::into_owned)
}
