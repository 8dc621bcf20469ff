//! UI messages as the messages of `OpenAI`'s chat completions.

use durable_session::{JsonObject, Message, role};
use serde_json::{Value, json};

/// The messages of a prompt. Texts and tool calls with their results are taken, files are not.
pub(crate) fn messages<'a>(view: impl IntoIterator<Item = &'a Message>) -> Vec<Value> {
    let mut prompt = Vec::new();
    for message in view {
        let parts = parts_of(message);
        if message.role() != role::ASSISTANT {
            let text: String = parts.iter().filter_map(text_of).collect();
            prompt.push(json!({"role": message.role(), "content": text}));
            continue;
        }
        let mut step = Step::default();
        for part in &parts {
            let kind = string(part, "type");
            match &*kind {
                "step-start" => step.end(&mut prompt),
                "text" => {
                    if !step.calls.is_empty() {
                        step.end(&mut prompt);
                    }
                    step.text.push_str(&string(part, "text"));
                }
                "dynamic-tool" => step.call(&string(part, "toolName"), part),
                kind => {
                    if let Some(name) = kind.strip_prefix("tool-") {
                        step.call(name, part);
                    }
                }
            }
        }
        step.end(&mut prompt);
    }
    prompt
}

/// A turn of the model: a text, then calls.
#[derive(Default)]
struct Step {
    text: String,
    calls: Vec<Value>,
    results: Vec<Value>,
}

impl Step {
    fn call(&mut self, name: &str, part: &JsonObject) {
        let id = string(part, "toolCallId");
        let input = part.get_json("input").unwrap_or("{}");
        let function = json!({"name": name, "arguments": input});
        self.calls.push(json!({"id": id, "type": "function", "function": function}));
        let result = match &*string(part, "state") {
            "output-available" => part.get_json("output").unwrap_or("null").to_owned(),
            "output-error" => string(part, "errorText"),
            _ => "The user denied this call.".to_owned(),
        };
        self.results.push(json!({"role": "tool", "tool_call_id": id, "content": result}));
    }

    fn end(&mut self, prompt: &mut Vec<Value>) {
        let Self { text, calls, results } = std::mem::take(self);
        let mut message = json!({"role": role::ASSISTANT, "content": text});
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        } else if text.is_empty() {
            return;
        }
        prompt.push(message);
        prompt.extend(results);
    }
}

/// The parts of a message. The text of a message in another format is one part.
fn parts_of(message: &Message) -> Vec<JsonObject> {
    message.extra("parts").ok().flatten().unwrap_or_else(|| {
        let mut part = JsonObject::new();
        let text = message.text().unwrap_or_default();
        // A string can be written.
        let _ = part.set("type", "text").and_then(|()| part.set("text", &text));
        vec![part]
    })
}

fn text_of(part: &JsonObject) -> Option<String> {
    (string(part, "type") == "text").then(|| string(part, "text"))
}

/// A field that is a string; empty if it is none.
fn string(object: &JsonObject, field: &str) -> String {
    object.get(field).ok().flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::messages;
    use durable_session::Message;
    use durable_session::context::Context;
    use serde_json::json;

    #[test]
    fn a_prompt_has_texts_and_calls_with_their_results_and_no_open_call() {
        let history = [
            r#"{"role":"system","content":"Be short."}"#,
            r#"{"role":"user","parts":[{"type":"text","text":"Weather?"}]}"#,
            r#"{"role":"assistant","parts":[
                {"type":"step-start"},
                {"type":"text","text":"I look.","state":"done"},
                {"type":"tool-weather","toolCallId":"c1","state":"output-available",
                 "input":{"city":"Berlin"},"output":{"sky":"clear"}},
                {"type":"tool-weather","toolCallId":"c2","state":"output-denied",
                 "input":{"city":"Bonn"},"approval":{"id":"a","approved":false}},
                {"type":"tool-weather","toolCallId":"c3","state":"approval-requested",
                 "input":{"city":"Köln"},"approval":{"id":"b"}},
                {"type":"text","text":"Clear."}]}"#,
        ];
        let history = history.map(|json| Message::from_json(json).unwrap());
        let view = Context::budget(1_000).view(&history);
        let call = |id, city| {
            let arguments = format!(r#"{{"city":"{city}"}}"#);
            json!({"id": id, "type": "function",
                "function": {"name": "weather", "arguments": arguments}})
        };
        let result = |id, content| json!({"role": "tool", "tool_call_id": id, "content": content});
        let expected = [
            json!({"role": "system", "content": "Be short."}),
            json!({"role": "user", "content": "Weather?"}),
            json!({"role": "assistant", "content": "I look.",
                "tool_calls": [call("c1", "Berlin"), call("c2", "Bonn")]}),
            result("c1", r#"{"sky":"clear"}"#),
            result("c2", "The user denied this call."),
            json!({"role": "assistant", "content": "Clear."}),
        ];
        assert_eq!(messages(&view.messages), expected);
    }
}
