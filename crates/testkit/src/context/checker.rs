//! Whether a view is valid, and maximal.

use durable_session::Message;
use durable_session::context::ContextView;
use serde_json::Value;
use std::collections::HashSet;
use std::fmt;

/// Why a view is not the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A provider would refuse it, it exceeds its budget, or it is no view of the history.
    Invalid(String),
    /// It is valid, and a longer one would be, too.
    NotMaximal(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => write!(f, "not valid: {why}"),
            Self::NotMaximal(why) => write!(f, "not maximal: {why}"),
        }
    }
}

impl std::error::Error for Fault {}

/// A place in a history: the message, the field and the item of its array. The field is empty for
/// the whole message.
type Place = (usize, &'static str, usize);

/// Checks a view that was made of `history` with this budget and these functions.
///
/// # Errors
/// The first [`Fault`] that is found.
pub fn check(
    history: &[Message],
    budget: usize,
    count: &dyn Fn(&Message) -> usize,
    pin: &dyn Fn(&Message) -> bool,
    view: &ContextView,
) -> Result<(), Fault> {
    let invalid = |why: String| Err(Fault::Invalid(why));
    acceptable(&view.messages).map_err(Fault::Invalid)?;
    let total = |messages: &[Message]| messages.iter().map(count).sum::<usize>();
    if total(&view.messages) != view.tokens {
        return invalid(format!(
            "{} tokens are counted, not {}",
            total(&view.messages),
            view.tokens
        ));
    }
    if view.fits != (view.tokens <= budget) {
        return invalid(format!("{} tokens of {budget}, fits: {}", view.tokens, view.fits));
    }
    let whole = Reference::of(history, pin);
    let kept = whole.from(history.len());
    if total(&kept) > budget {
        if view.messages == kept && view.start == history.len() {
            return Ok(());
        }
        return invalid("beside kept messages beyond the budget, a view has nothing".into());
    }
    if !view.fits {
        return invalid("the kept messages fit, and the view does not".into());
    }
    let longest = (0..=history.len()).map(|start| whole.from(start));
    let longest = longest.into_iter().find(|messages| total(messages) <= budget);
    if longest.as_ref() == Some(&view.messages) {
        if whole.from(view.start) == view.messages {
            return Ok(());
        }
        return invalid(format!("the tail does not begin at {}", view.start));
    }
    if (0..=history.len()).any(|start| whole.from(start) == view.messages) {
        let longest = longest.map_or(0, |longest| longest.len());
        let has = view.messages.len();
        return Err(Fault::NotMaximal(format!("{has} messages, and {longest} fit")));
    }
    invalid("it is no tail of the history with its kept messages".into())
}

/// Whether providers take these messages.
fn acceptable(messages: &[Message]) -> Result<(), String> {
    let mut open: Vec<String> = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        let message: Value = serde_json::from_str(message.as_json()).map_err(|e| e.to_string())?;
        let assistant = message["role"] == "assistant";
        let mut other = false;
        let mut calls = Vec::new();
        let mut result = |id: &Value, other: bool| {
            let id = id.as_str().unwrap_or_default();
            let at = open.iter().position(|open| open == id).filter(|_| !other);
            let at = at.ok_or_else(|| format!("message {n} has a result without its call"))?;
            open.remove(at);
            Ok::<(), String>(())
        };
        if message["role"] == "tool" {
            result(&message["tool_call_id"], false)?;
            continue;
        }
        for block in message["content"].as_array().into_iter().flatten() {
            match block["type"].as_str() {
                Some("tool_result") => result(&block["tool_use_id"], other)?,
                Some("tool_use") => calls.push(&block["id"]),
                _ => other = true,
            }
        }
        calls
            .extend(message["tool_calls"].as_array().into_iter().flatten().map(|call| &call["id"]));
        let only_results = message["content"]
            .as_array()
            .is_some_and(|blocks| blocks.iter().all(|block| block["type"] == "tool_result"));
        if !only_results && !open.is_empty() {
            return Err(format!("message {n} follows a call without its result"));
        }
        let mut ids = HashSet::new();
        for call in calls {
            if !assistant || !ids.insert(call.to_string()) {
                return Err(format!("message {n} has a call that no message of its kind has"));
            }
            open.push(call.as_str().unwrap_or_default().to_owned());
        }
        let parts = message["parts"].as_array();
        for part in parts.into_iter().flatten().filter(|part| part["toolCallId"].is_string()) {
            if !has_result(part) || !ids.insert(part["toolCallId"].to_string()) {
                return Err(format!("message {n} has a part without the result of its call"));
            }
        }
        let empty = |field: &str| message[field].as_array().is_some_and(Vec::is_empty);
        if empty("content") || empty("tool_calls") || empty("parts") {
            return Err(format!("message {n} is empty"));
        }
    }
    if open.is_empty() { Ok(()) } else { Err("the last call has no result".into()) }
}

fn has_result(part: &Value) -> bool {
    match part["state"].as_str().unwrap_or_default() {
        "output-available" => part["preliminary"] != true,
        "approval-responded" => part["approval"]["approved"] == false,
        state => ["output-error", "output-denied"].contains(&state),
    }
}

/// The views of one history, made without any thought of cost.
struct Reference {
    messages: Vec<Value>,
    /// Each result with its call.
    pairs: Vec<(Place, Place)>,
    kept: Vec<bool>,
}

impl Reference {
    fn of(history: &[Message], pin: &dyn Fn(&Message) -> bool) -> Self {
        let messages: Vec<Value> = history
            .iter()
            .map(|message| serde_json::from_str(message.as_json()).unwrap())
            .collect();
        let mut pairs: Vec<(Place, Place)> = Vec::new();
        for at in 0..messages.len() {
            for (result, id, field) in leading_results(&messages, at) {
                // Back over messages of results alone, to the one with the calls.
                let before = (0..at).rev().find(|&before| !of_results_alone(&messages, before));
                let Some(before) = before else { continue };
                if messages[before]["role"] != "assistant" {
                    continue;
                }
                let calls = messages[before][field].as_array().into_iter().flatten().enumerate();
                let call = calls
                    .filter(|(_, call)| field == "tool_calls" || call["type"] == "tool_use")
                    .find(|(_, call)| call["id"] == *id)
                    .map(|(n, _)| (before, field, n));
                let Some(call) = call else { continue };
                if pairs.iter().all(|(_, taken)| *taken != call) {
                    pairs.push((result, call));
                }
            }
        }
        let mut reference = Self { messages, pairs, kept: vec![false; history.len()] };
        for (at, message) in history.iter().enumerate() {
            let always = ["system", "developer"].contains(&&*message.role()) || pin(message);
            reference.kept[at] = always && reference.shown(at, &|_| true).is_some();
        }
        // The whole unit of a kept message is kept: its call, and all results of this message.
        for at in 0..history.len() {
            let calls = |(result, call): &(Place, Place)| (result.0 == at).then_some(call.0);
            let call = reference.pairs.iter().find_map(calls).unwrap_or(at);
            if reference.kept[at] {
                reference.kept[call] = true;
            }
        }
        for (result, call) in &reference.pairs {
            reference.kept[result.0] |= reference.kept[call.0];
        }
        reference
    }

    /// The view whose tail begins at `start`.
    fn from(&self, start: usize) -> Vec<Message> {
        let is_in = |at: usize| at >= start || self.kept[at];
        let shown = (0..self.messages.len()).filter(|at| is_in(*at));
        shown.filter_map(|at| self.shown(at, &is_in)).collect()
    }

    /// A message, if the messages that `is_in` names are in the view.
    fn shown(&self, at: usize, is_in: &dyn Fn(usize) -> bool) -> Option<Message> {
        let paired = |place: Place| {
            self.pairs.iter().any(|(result, call)| {
                (*result == place && is_in(call.0)) || (*call == place && is_in(result.0))
            })
        };
        let mut message = self.messages[at].clone();
        let before = message.clone();
        if message["role"] == "tool" {
            let message = paired((at, "", 0)).then_some(message)?;
            return Message::from_json(message.to_string()).ok();
        }
        let mut says = message["content"].as_str().is_some_and(|text| !text.is_empty());
        let mut seen = HashSet::new();
        for field in ["tool_calls", "content", "parts"] {
            let Some(items) = message.get_mut(field).and_then(Value::as_array_mut) else {
                continue;
            };
            let mut n = 0;
            items.retain(|item| {
                n += 1;
                let kind = item["type"].as_str().unwrap_or_default();
                let keep = match field {
                    "content" if !["tool_use", "tool_result"].contains(&kind) => true,
                    "parts" if item["toolCallId"].is_null() => true,
                    "parts" => has_result(item) && seen.insert(item["toolCallId"].to_string()),
                    _ => paired((at, field, n - 1)),
                };
                let silent = ["thinking", "step-start", "reasoning"].contains(&kind);
                says |= keep && !silent;
                keep
            });
            if items.is_empty() && field == "tool_calls" {
                message.as_object_mut()?.remove(field);
            }
        }
        if message != before && !says {
            return None;
        }
        Message::from_json(message.to_string()).ok()
    }
}

/// The results before any other content of a message, with the id and the field of their calls.
fn leading_results(messages: &[Value], at: usize) -> Vec<(Place, &Value, &'static str)> {
    let message = &messages[at];
    if message["role"] == "tool" {
        return vec![((at, "", 0), &message["tool_call_id"], "tool_calls")];
    }
    let blocks = message["content"].as_array().into_iter().flatten().enumerate();
    blocks
        .take_while(|(_, block)| block["type"] == "tool_result" && message["role"] == "user")
        .map(|(n, block)| ((at, "content", n), &block["tool_use_id"], "content"))
        .collect()
}

fn of_results_alone(messages: &[Value], at: usize) -> bool {
    let results = leading_results(messages, at).len();
    let blocks = messages[at]["content"].as_array().map_or(0, Vec::len);
    results > 0 && (messages[at]["role"] == "tool" || results == blocks)
}
