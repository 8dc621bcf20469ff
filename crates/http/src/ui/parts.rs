//! The parts of a message that chunks make, as the client of `ai` 7 makes them.

use super::chunk::Chunk;
use durable_session::Message;
use durable_session::json::JsonObject;
use serde_json::value::RawValue;
use std::fmt::Write;

/// Field names that a merge of metadata leaves out, as the client does.
const UNSAFE: [&str; 3] = ["__proto__", "constructor", "prototype"];

/// A message while chunks make it.
#[derive(Debug, Default)]
pub(super) struct Parts {
    list: Vec<JsonObject>,
    metadata: Option<String>,
    /// Texts, thoughts and inputs that go on.
    growing: Vec<Growing>,
}

#[derive(Debug)]
struct Growing {
    /// The type of its part; of an input, `input`.
    kind: &'static str,
    id: String,
    part: usize,
    /// The text of the part so far.
    text: String,
}

const TEXT: &str = "text";
const REASONING: &str = "reasoning";
const INPUT: &str = "input";

impl Parts {
    /// The parts of a message. The text of a message in another format is one part.
    pub(super) fn of(message: &Message) -> Self {
        let object: JsonObject = message.as_json().parse().unwrap_or_default();
        let parts = match object.get_json("parts") {
            Some(parts) => objects(parts),
            None => message.text().filter(|text| !text.is_empty()).map_or_else(Vec::new, |text| {
                let mut part = of_type(TEXT);
                set(&mut part, "text", &text);
                vec![part]
            }),
        };
        let metadata = object.get_json("metadata").filter(|json| *json != "null");
        Self { list: parts, metadata: metadata.map(str::to_owned), growing: Vec::new() }
    }

    /// Takes a chunk in. `false` if the client would fail on it, such as at the rest of a text that
    /// never began; the chunk changes nothing then.
    pub(super) fn take(&mut self, chunk: &Chunk) -> bool {
        match &*chunk.kind {
            "text-start" => self.begin(TEXT, chunk),
            "reasoning-start" => self.begin(REASONING, chunk),
            "text-delta" => return self.grow(TEXT, chunk, "id", "delta"),
            "reasoning-delta" => return self.grow(REASONING, chunk, "id", "delta"),
            "text-end" => return self.end(TEXT, chunk),
            "reasoning-end" => return self.end(REASONING, chunk),
            "tool-input-start" => {
                let part = self.call(chunk, "input-streaming");
                copy(&mut self.list[part], chunk, &[("inputEncoding", "inputEncoding")]);
                let id = chunk.text("toolCallId").unwrap_or_default();
                self.growing.retain(|growing| growing.kind != INPUT || growing.id != id);
                self.growing.push(Growing { kind: INPUT, id, part, text: String::new() });
            }
            "tool-input-delta" => return self.grow(INPUT, chunk, "toolCallId", "inputTextDelta"),
            "tool-input-available" => {
                let part = self.call(chunk, "input-available");
                copy(&mut self.list[part], chunk, &[("input", "input")]);
            }
            "tool-input-error" => {
                let part = self.call(chunk, "output-error");
                let fields = ["input", "errorText"].map(|field| (field, field));
                copy(&mut self.list[part], chunk, &fields);
            }
            "tool-approval-request" => return self.ask(chunk),
            "tool-approval-response" => return self.answer(chunk),
            "tool-output-denied" => {
                let Some(part) = self.called(chunk) else { return false };
                set(part, "state", "output-denied");
            }
            "tool-output-available" => return self.outcome(chunk, "output-available", "output"),
            "tool-output-error" => return self.outcome(chunk, "output-error", "errorText"),
            "start-step" => self.list.push(of_type("step-start")),
            "reset-step" => {
                let step = self.step();
                self.list.truncate(step);
                self.growing.clear();
            }
            "start" | "finish" | "message-metadata" => {
                if let Some(more) = chunk.json("messageMetadata").filter(|json| *json != "null") {
                    self.metadata = Some(match &self.metadata {
                        Some(metadata) => merged(metadata, more),
                        None => more.to_owned(),
                    });
                }
            }
            "file" | "reasoning-file" | "source-url" | "source-document" | "custom"
            | "steering-message" => self.list.push(chunk.fields.clone()),
            data if data.starts_with("data-") && !chunk.is_true("transient") => self.data(chunk),
            _ => {}
        }
        true
    }

    /// The parts and the metadata, with the texts so far.
    pub(super) fn finish(mut self) -> (Vec<JsonObject>, Option<String>) {
        for growing in std::mem::take(&mut self.growing) {
            self.write(&growing);
        }
        (self.list, self.metadata)
    }

    /// The chunks that make these parts those of `message`, whatever made them so far. Texts that
    /// go on are ended.
    pub(super) fn towards(&self, message: &Self) -> Vec<String> {
        let mut chunks = Vec::new();
        for (n, part) in message.list.iter().enumerate() {
            let kind = text_of(part, "type");
            let shown = self.list.get(n).filter(|shown| text_of(shown, "type") == kind);
            let growing = self.growing.iter().find(|growing| growing.part == n);
            match &*kind {
                TEXT | REASONING => text(&kind, n, part, shown, growing, &mut chunks),
                "dynamic-tool" => tool(part, shown, &mut chunks),
                kind if kind.starts_with("tool-") => tool(part, shown, &mut chunks),
                "step-start" if shown.is_none() => chunks.push(of_type("start-step").to_string()),
                kind if kind.starts_with("data-") && shown != Some(part) => {
                    chunks.push(part.to_string());
                }
                "file" | "reasoning-file" | "source-url" | "source-document" | "custom"
                | "steering-message"
                    if shown.is_none() =>
                {
                    chunks.push(part.to_string());
                }
                _ => {}
            }
        }
        chunks.retain(|chunk| Chunk::parse(chunk).is_ok());
        chunks
    }

    pub(super) fn metadata(&self) -> Option<&str> {
        self.metadata.as_deref()
    }

    fn begin(&mut self, kind: &'static str, chunk: &Chunk) {
        let id = chunk.text("id").unwrap_or_default();
        if let Some(at) = self.find(kind, &id) {
            let before = self.growing.remove(at);
            self.write(&before);
        }
        let mut part = of_type(kind);
        if kind == REASONING {
            set(&mut part, "id", &id);
        }
        set(&mut part, "text", "");
        copy(&mut part, chunk, &[("providerMetadata", "providerMetadata")]);
        self.growing.push(Growing { kind, id, part: self.list.len(), text: String::new() });
        self.list.push(part);
    }

    fn grow(&mut self, kind: &'static str, chunk: &Chunk, id: &str, delta: &str) -> bool {
        let Some(at) = self.find(kind, &chunk.text(id).unwrap_or_default()) else { return false };
        let growing = &mut self.growing[at];
        growing.text.push_str(&chunk.text(delta).unwrap_or_default());
        copy(&mut self.list[growing.part], chunk, &[("providerMetadata", "providerMetadata")]);
        true
    }

    fn end(&mut self, kind: &'static str, chunk: &Chunk) -> bool {
        let Some(at) = self.find(kind, &chunk.text("id").unwrap_or_default()) else { return false };
        let growing = self.growing.remove(at);
        self.write(&growing);
        let part = &mut self.list[growing.part];
        set(part, "state", "done");
        copy(part, chunk, &[("citations", "citations"), ("providerMetadata", "providerMetadata")]);
        true
    }

    fn find(&self, kind: &str, id: &str) -> Option<usize> {
        self.growing.iter().position(|growing| growing.kind == kind && growing.id == id)
    }

    /// Writes a text into its part.
    fn write(&mut self, growing: &Growing) {
        let part = &mut self.list[growing.part];
        match growing.kind {
            INPUT if growing.text.is_empty() => {}
            INPUT => set(part, "rawInput", &growing.text),
            _ => set(part, "text", &growing.text),
        }
    }

    /// Where the current step begins.
    fn step(&self) -> usize {
        let start = self.list.iter().rposition(|part| text_of(part, "type") == "step-start");
        start.map_or(0, |start| start + 1)
    }

    /// The part of a call of the current step, which is made unless it is there.
    fn call(&mut self, chunk: &Chunk, state: &str) -> usize {
        let id = chunk.text("toolCallId").unwrap_or_default();
        let name = chunk.text("toolName").unwrap_or_default();
        let step = self.step();
        let any_kind = chunk.kind == "tool-input-error";
        let dynamic = chunk.is_true("dynamic");
        let known = self.list[step..].iter().position(|part| {
            let same_kind = any_kind || dynamic == (text_of(part, "type") == "dynamic-tool");
            is_call(part) && same_kind && text_of(part, "toolCallId") == id
        });
        let at = known.map_or(self.list.len(), |known| step + known);
        if known.is_none() {
            let mut part = of_type(if dynamic { "dynamic-tool" } else { "tool-" });
            set(&mut part, "toolCallId", &id);
            self.list.push(part);
        }
        self.growing.retain(|growing| growing.kind != INPUT || growing.part != at);
        let part = &mut self.list[at];
        if text_of(part, "type") == "dynamic-tool" {
            set(part, "toolName", &name);
        } else {
            set(part, "type", &format!("tool-{name}"));
        }
        set(part, "state", state);
        for old in ["input", "output", "errorText", "rawInput", "inputEncoding", "preliminary"] {
            part.remove(old);
        }
        let metadata = if state == "output-error" { "resultProviderMetadata" } else { CALL_META };
        copy(part, chunk, &[("providerMetadata", metadata)]);
        copy(part, chunk, &OF_CALL.map(|field| (field, field)));
        at
    }

    /// The part of the call that a chunk names.
    fn called(&mut self, chunk: &Chunk) -> Option<&mut JsonObject> {
        let id = chunk.text("toolCallId")?;
        let calls = self.list.iter().enumerate().rev().filter(|(_, part)| is_call(part));
        let at = calls.into_iter().find(|(_, part)| text_of(part, "toolCallId") == id)?.0;
        // An input that has a result does not go on.
        if let Some(n) = self.growing.iter().position(|g| g.kind == INPUT && g.part == at) {
            let input = self.growing.remove(n);
            self.write(&input);
        }
        self.list.get_mut(at)
    }

    fn ask(&mut self, chunk: &Chunk) -> bool {
        let Some(part) = self.called(chunk) else { return false };
        let mut approval = JsonObject::new();
        let fields = [
            ("approvalId", "id"),
            ("approvalDescriptor", "descriptor"),
            ("inputSchemaInput", "inputSchemaInput"),
            ("reason", "requestReason"),
            ("isAutomatic", "isAutomatic"),
            ("signature", "signature"),
        ];
        copy(&mut approval, chunk, &fields);
        set(part, "state", "approval-requested");
        set_json(part, "approval", &approval.to_string());
        true
    }

    fn answer(&mut self, chunk: &Chunk) -> bool {
        let id = chunk.text("approvalId").unwrap_or_default();
        let of_part = |part: &JsonObject| part.get::<JsonObject>("approval").ok().flatten();
        let asked = |part: &&mut JsonObject| {
            is_call(part) && of_part(part).is_some_and(|approval| text_of(&approval, "id") == id)
        };
        let Some(part) = self.list.iter_mut().find(asked) else { return false };
        let mut approval = of_part(part).unwrap_or_default();
        copy(&mut approval, chunk, &[("approved", "approved"), ("reason", "reason")]);
        set(part, "state", "approval-responded");
        set_json(part, "approval", &approval.to_string());
        let fields = [("providerExecuted", "providerExecuted"), ("providerMetadata", CALL_META)];
        copy(part, chunk, &fields);
        true
    }

    fn outcome(&mut self, chunk: &Chunk, state: &str, field: &'static str) -> bool {
        let Some(part) = self.called(chunk) else { return false };
        set(part, "state", state);
        for old in ["output", "errorText", "preliminary", "inputEncoding"] {
            part.remove(old);
        }
        if state == "output-available" {
            part.remove("rawInput");
        }
        let fields = [
            (field, field),
            ("preliminary", "preliminary"),
            ("providerExecuted", "providerExecuted"),
            ("toolMetadata", "toolMetadata"),
            ("providerMetadata", "resultProviderMetadata"),
        ];
        copy(part, chunk, &fields);
        true
    }

    fn data(&mut self, chunk: &Chunk) {
        let id = chunk.json("id");
        let known = self.list.iter_mut().find(|part| {
            id.is_some() && part.get_json("id") == id && text_of(part, "type") == chunk.kind
        });
        match known {
            Some(part) => copy(part, chunk, &[("data", "data")]),
            None => self.list.push(chunk.fields.clone()),
        }
    }
}

const CALL_META: &str = "callProviderMetadata";
const OF_CALL: [&str; 3] = ["title", "toolMetadata", "providerExecuted"];

/// The chunks of a text or a thought from what is shown of it on.
fn text(
    kind: &str,
    n: usize,
    part: &JsonObject,
    shown: Option<&JsonObject>,
    growing: Option<&Growing>,
    chunks: &mut Vec<String>,
) {
    let whole = text_of(part, "text");
    let id = growing.map_or_else(|| format!("{kind}-{n}"), |growing| growing.id.clone());
    let mut push = |what: &str, delta: Option<&str>| {
        let mut chunk = of_type(&format!("{kind}-{what}"));
        set(&mut chunk, "id", &id);
        if let Some(delta) = delta {
            set(&mut chunk, "delta", delta);
        } else if let Some(metadata) = part.get_json("providerMetadata") {
            set_json(&mut chunk, "providerMetadata", metadata);
        }
        if what == "end"
            && let Some(citations) = part.get_json("citations")
        {
            set_json(&mut chunk, "citations", citations);
        }
        chunks.push(chunk.to_string());
    };
    let rest = match (growing, shown) {
        (Some(growing), _) => whole.strip_prefix(&*growing.text).unwrap_or_default(),
        // It has ended.
        (None, Some(_)) => return,
        (None, None) => {
            push("start", None);
            &*whole
        }
    };
    if !rest.is_empty() {
        push("delta", Some(rest));
    }
    push("end", None);
}

/// The chunks that make the part of a call what it is.
fn tool(part: &JsonObject, shown: Option<&JsonObject>, chunks: &mut Vec<String>) {
    if shown == Some(part) {
        return;
    }
    let (kind, state) = (text_of(part, "type"), text_of(part, "state"));
    let chunk = |kind: &str| {
        let mut chunk = of_type(kind);
        set_json(&mut chunk, "toolCallId", part.get_json("toolCallId").unwrap_or("\"\""));
        chunk
    };
    let with = |mut chunk: JsonObject, fields: &[(&str, &str)]| {
        for (from, to) in fields {
            if let Some(value) = part.get_json(from) {
                set_json(&mut chunk, to, value);
            }
        }
        chunk
    };
    let call = |kind_of_chunk: &str| {
        let mut call = chunk(kind_of_chunk);
        if let Some(name) = kind.strip_prefix("tool-") {
            set(&mut call, "toolName", name);
        } else {
            call = with(call, &[("toolName", "toolName")]);
            set_json(&mut call, "dynamic", "true");
        }
        let fields = OF_CALL.map(|field| (field, field));
        with(with(call, &fields), &[(CALL_META, "providerMetadata")])
    };
    if state == "input-streaming" {
        let start = with(call("tool-input-start"), &[("inputEncoding", "inputEncoding")]);
        chunks.push(start.to_string());
        if let Some(raw) = part.get_json("rawInput") {
            let mut delta = chunk("tool-input-delta");
            set_json(&mut delta, "inputTextDelta", raw);
            chunks.push(delta.to_string());
        }
        return;
    }
    let mut available = call("tool-input-available");
    let input = part.get_json("input").or(part.get_json("rawInput")).unwrap_or("null");
    set_json(&mut available, "input", input);
    chunks.push(available.to_string());
    if let Some(approval) = part.get::<JsonObject>("approval").ok().flatten() {
        let fields = [
            ("id", "approvalId"),
            ("descriptor", "approvalDescriptor"),
            ("inputSchemaInput", "inputSchemaInput"),
            ("requestReason", "reason"),
            ("isAutomatic", "isAutomatic"),
            ("signature", "signature"),
        ];
        chunks.push(renamed(chunk("tool-approval-request"), &approval, &fields).to_string());
        if approval.contains("approved") {
            let fields = [("id", "approvalId"), ("approved", "approved"), ("reason", "reason")];
            let response = renamed(of_type("tool-approval-response"), &approval, &fields);
            chunks.push(response.to_string());
        }
    }
    let fields =
        [("providerExecuted", "providerExecuted"), ("resultProviderMetadata", "providerMetadata")];
    match &*state {
        "output-available" => {
            let output = with(chunk("tool-output-available"), &fields);
            let output = with(output, &[("preliminary", "preliminary"), ("output", "output")]);
            chunks.push(output.to_string());
        }
        "output-error" => {
            let error = with(chunk("tool-output-error"), &fields);
            chunks.push(with(error, &[("errorText", "errorText")]).to_string());
        }
        "output-denied" => chunks.push(chunk("tool-output-denied").to_string()),
        _ => {}
    }
}

fn renamed(mut chunk: JsonObject, from: &JsonObject, fields: &[(&str, &str)]) -> JsonObject {
    for (name, new) in fields {
        if let Some(value) = from.get_json(name) {
            set_json(&mut chunk, new, value);
        }
    }
    chunk
}

/// Whether a message is a UI message.
pub(super) fn has_parts(message: &Message) -> bool {
    let object: JsonObject = message.as_json().parse().unwrap_or_default();
    object.get_json("parts").is_some_and(|parts| parts.starts_with('['))
}

/// Whether a part is one of a tool call.
pub(super) fn is_call(part: &JsonObject) -> bool {
    let kind = text_of(part, "type");
    kind == "dynamic-tool" || kind.starts_with("tool-")
}

/// A field that is a string; empty if it is none.
pub(super) fn text_of(object: &JsonObject, field: &str) -> String {
    object.get(field).ok().flatten().unwrap_or_default()
}

/// The objects of an array.
pub(super) fn objects(array: &str) -> Vec<JsonObject> {
    let items: Vec<&RawValue> = serde_json::from_str(array).unwrap_or_default();
    items.iter().filter_map(|item| item.get().parse().ok()).collect()
}

/// The JSON text of a list of parts.
pub(super) fn array(parts: &[JsonObject]) -> String {
    let mut text = String::from("[");
    for (n, part) in parts.iter().enumerate() {
        // Writing into memory cannot fail.
        let _ = write!(text, "{}{part}", if n == 0 { "" } else { "," });
    }
    text.push(']');
    text
}

fn of_type(kind: &str) -> JsonObject {
    let mut object = JsonObject::new();
    set(&mut object, "type", kind);
    object
}

/// Sets a string, which can always be written as JSON.
pub(super) fn set(object: &mut JsonObject, field: &str, text: &str) {
    let written = object.set(field, text);
    debug_assert!(written.is_ok(), "a string can be written");
}

/// Sets a value that was taken from JSON.
pub(super) fn set_json(object: &mut JsonObject, field: &str, json: &str) {
    let written = object.set_json(field, json);
    debug_assert!(written.is_ok(), "the value is JSON");
}

/// Copies the fields that the chunk has, under other names.
fn copy(object: &mut JsonObject, chunk: &Chunk, fields: &[(&str, &str)]) {
    for (from, to) in fields {
        if let Some(value) = chunk.json(from) {
            set_json(object, to, value);
        }
    }
}

/// Merges metadata as the client does: objects deeply, all else is replaced.
fn merged(base: &str, more: &str) -> String {
    let (Ok(mut base), Ok(more)) = (base.parse::<JsonObject>(), more.parse::<JsonObject>()) else {
        return more.to_owned();
    };
    for (key, value) in more.iter().filter(|(key, _)| !UNSAFE.contains(key)) {
        let value = match base.get_json(key) {
            Some(before) if value.starts_with('{') => merged(before, value),
            _ => value.to_owned(),
        };
        set_json(&mut base, key, &value);
    }
    base.to_string()
}
