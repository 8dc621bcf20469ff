//! Random histories in the three shapes, most of them damaged in some way.

use durable_session::Message;
use fastrand::Rng;
use serde_json::{Value, json};

/// Who defined the shape of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `tool_calls` and messages with the role `tool`.
    OpenAi,
    /// Blocks `tool_use` and `tool_result`.
    Anthropic,
    /// Parts `tool-…` and `dynamic-tool`.
    AiSdk,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::AiSdk];
}

/// A history of up to `length` turns. Each message has an `id` of its own.
pub fn history(shape: Shape, length: usize, rng: &mut Rng) -> Vec<Message> {
    let mut messages = Vec::new();
    if rng.u8(..3) == 0 {
        messages.push(text(shape, "system", rng));
    }
    for _ in 0..length {
        match rng.u8(..10) {
            0..=2 => messages.push(text(shape, "user", rng)),
            3 | 4 => messages.push(text(shape, "assistant", rng)),
            5 if rng.u8(..4) == 0 => messages.push(text(shape, "system", rng)),
            5 => {
                let result = ids(rng);
                messages.extend(results(shape, &result, rng));
            }
            _ => {
                let calls = ids(rng);
                let mut turn = vec![call(shape, &calls, rng)];
                turn.extend(results(shape, &calls, rng));
                damage(&mut turn, shape, rng);
                messages.extend(turn);
            }
        }
    }
    messages.into_iter().enumerate().map(|(n, message)| named(message, n, rng)).collect()
}

/// Few ids, so that several calls of a history have the same one.
fn ids(rng: &mut Rng) -> Vec<String> {
    (0..rng.usize(1..4)).map(|_| format!("call-{}", rng.u8(..6))).collect()
}

fn damage(turn: &mut Vec<Value>, shape: Shape, rng: &mut Rng) {
    match rng.u8(..8) {
        0 => drop(turn.pop()),
        1 => drop(turn.remove(0)),
        2 => {
            let at = rng.usize(..=turn.len());
            turn.insert(at, text(shape, "user", rng));
        }
        3 => {
            let from = rng.usize(..turn.len());
            let moved = turn.remove(from);
            turn.insert(rng.usize(..=turn.len()), moved);
        }
        4 => {
            let twice = turn[rng.usize(..turn.len())].clone();
            turn.push(twice);
        }
        _ => {}
    }
}

fn named(mut message: Value, n: usize, rng: &mut Rng) -> Message {
    message["id"] = json!(format!("m-{n}"));
    if rng.u8(..12) == 0 {
        message["pinned"] = json!(true);
    }
    Message::from_json(message.to_string()).unwrap()
}

fn words(rng: &mut Rng) -> String {
    "word ".repeat(rng.usize(1..20))
}

fn text(shape: Shape, role: &str, rng: &mut Rng) -> Value {
    let text = words(rng);
    match shape {
        Shape::Anthropic if role != "system" && rng.bool() => {
            json!({"role": role, "content": [{"type": "text", "text": text}]})
        }
        Shape::AiSdk => json!({"role": role, "parts": [{"type": "text", "text": text}]}),
        _ => json!({"role": role, "content": text}),
    }
}

fn call(shape: Shape, ids: &[String], rng: &mut Rng) -> Value {
    match shape {
        Shape::OpenAi => {
            let calls: Vec<_> = ids
                .iter()
                .map(|id| json!({"id": id, "type": "function", "function": {"name": "f"}}))
                .collect();
            let content = if rng.bool() { Value::Null } else { json!(words(rng)) };
            json!({"role": "assistant", "content": content, "tool_calls": calls})
        }
        Shape::Anthropic => {
            let mut blocks = Vec::new();
            match rng.u8(..4) {
                0 => blocks.push(json!({"type": "thinking", "thinking": words(rng)})),
                1 | 2 => blocks.push(json!({"type": "text", "text": words(rng)})),
                _ => {}
            }
            let calls = ids
                .iter()
                .map(|id| json!({"type": "tool_use", "id": id, "name": "f", "input": {}}));
            blocks.extend(calls);
            json!({"role": "assistant", "content": blocks})
        }
        Shape::AiSdk => {
            let mut parts = vec![json!({"type": "step-start"})];
            if rng.bool() {
                parts.push(json!({"type": "reasoning", "text": words(rng)}));
            }
            parts.extend(ids.iter().map(|id| part(id, rng)));
            if rng.bool() {
                parts.push(json!({"type": "text", "text": words(rng)}));
            }
            json!({"role": "assistant", "parts": parts})
        }
    }
}

fn part(id: &str, rng: &mut Rng) -> Value {
    let kind = if rng.bool() { "tool-f" } else { "dynamic-tool" };
    let mut part = json!({"type": kind, "toolName": "f", "toolCallId": id, "input": {}});
    let state = match rng.u8(..9) {
        0 => "input-streaming",
        1 => "input-available",
        2 => "approval-requested",
        3 => {
            part["approval"] = json!({"id": "a", "approved": rng.bool()});
            "approval-responded"
        }
        4 => {
            part["preliminary"] = json!(rng.bool());
            "output-available"
        }
        5 => "output-error",
        6 => "output-denied",
        _ => "output-available",
    };
    part["state"] = json!(state);
    part["output"] = json!(words(rng));
    part
}

fn results(shape: Shape, ids: &[String], rng: &mut Rng) -> Vec<Value> {
    let mut ids = ids.to_vec();
    if rng.u8(..3) == 0 {
        rng.shuffle(&mut ids);
    }
    if rng.u8(..4) == 0 {
        ids.pop();
    }
    let block = |id: &String| json!({"type": "tool_result", "tool_use_id": id, "content": "done"});
    match shape {
        Shape::OpenAi => ids
            .iter()
            .map(|id| json!({"role": "tool", "tool_call_id": id, "content": words(rng)}))
            .collect(),
        Shape::Anthropic => {
            let split = if rng.u8(..4) == 0 { rng.usize(..=ids.len()) } else { 0 };
            let (first, second) = ids.split_at(split);
            let mut messages = Vec::new();
            for ids in [first, second] {
                let mut blocks: Vec<_> = ids.iter().map(block).collect();
                if rng.u8(..3) == 0 {
                    let at = if rng.u8(..4) == 0 { 0 } else { blocks.len() };
                    blocks.insert(at, json!({"type": "text", "text": words(rng)}));
                }
                if !blocks.is_empty() {
                    messages.push(json!({"role": "user", "content": blocks}));
                }
            }
            messages
        }
        Shape::AiSdk => Vec::new(),
    }
}
