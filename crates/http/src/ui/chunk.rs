//! The chunks of the AI SDK's UI message stream: the schema `uiMessageChunkSchema` of `ai` 7.

use durable_session::json::JsonObject;
use serde_json::value::RawValue;

/// What a field of a chunk has to be. Only `Any` may be `null`.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Flag,
    Any,
    Object,
    /// An object of objects.
    ProviderMetadata,
    Encoding,
    FinishReason,
    Citations,
    /// Texts and files.
    Parts,
}

use Kind::{Any, Citations, Encoding, FinishReason, Flag, Object, Parts, ProviderMetadata, Text};

type Fields = &'static [(&'static str, Kind)];

const META: (&str, Kind) = ("providerMetadata", ProviderMetadata);
const CALL: (&str, Kind) = ("toolCallId", Text);
const EXECUTED: (&str, Kind) = ("providerExecuted", Flag);
const TOOL_META: (&str, Kind) = ("toolMetadata", Object);
const DYNAMIC: (&str, Kind) = ("dynamic", Flag);
const OUTCOME: [(&str, Kind); 4] = [EXECUTED, META, TOOL_META, DYNAMIC];

/// The fields that a chunk of this type must have, and those that it may have besides. Other fields
/// are allowed. `None` if the client does not know the type.
fn fields(kind: &str) -> Option<(Fields, Fields)> {
    const INPUT: Fields = &[EXECUTED, META, TOOL_META, DYNAMIC, ("title", Text)];
    Some(match kind {
        "text-start" | "reasoning-start" | "reasoning-end" => (&[("id", Text)], &[META]),
        "text-end" => (&[("id", Text)], &[("citations", Citations), META]),
        "text-delta" | "reasoning-delta" => (&[("id", Text), ("delta", Text)], &[META]),
        "error" => (&[("errorText", Text)], &[]),
        "tool-input-start" => (
            &[CALL, ("toolName", Text)],
            &[("inputEncoding", Encoding), EXECUTED, META, TOOL_META, DYNAMIC, ("title", Text)],
        ),
        "tool-input-delta" => (&[CALL, ("inputTextDelta", Text)], &[]),
        "tool-input-available" => (&[CALL, ("toolName", Text), ("input", Any)], INPUT),
        "tool-input-error" => {
            (&[CALL, ("toolName", Text), ("input", Any), ("errorText", Text)], INPUT)
        }
        "tool-approval-request" => (
            &[("approvalId", Text), CALL],
            &[("reason", Text), ("isAutomatic", Flag), ("signature", Text)],
        ),
        "tool-approval-response" => {
            (&[("approvalId", Text), ("approved", Flag)], &[("reason", Text), EXECUTED, META])
        }
        "tool-output-available" => {
            (&[CALL, ("output", Any)], &[EXECUTED, META, TOOL_META, DYNAMIC, ("preliminary", Flag)])
        }
        "tool-output-error" => (&[CALL, ("errorText", Text)], &OUTCOME),
        "tool-output-denied" => (&[CALL], &[]),
        "custom" => (&[("kind", Text)], &[META]),
        "source-url" => (&[("sourceId", Text), ("url", Text)], &[("title", Text), META]),
        "source-document" => (
            &[("sourceId", Text), ("mediaType", Text), ("title", Text)],
            &[("filename", Text), META],
        ),
        "file" | "reasoning-file" => (&[("url", Text), ("mediaType", Text)], &[META]),
        "steering-message" => (&[("id", Text), ("parts", Parts)], &[]),
        "start-step" | "finish-step" | "reset-step" => (&[], &[]),
        "start" => (&[], &[("messageId", Text), ("messageMetadata", Any)]),
        "finish" => (&[], &[("finishReason", FinishReason), ("messageMetadata", Any)]),
        "abort" => (&[], &[("reason", Text)]),
        "message-metadata" => (&[("messageMetadata", Any)], &[]),
        data if data.starts_with("data-") => {
            (&[("data", Any)], &[("id", Text), ("transient", Flag)])
        }
        _ => return None,
    })
}

/// A chunk that the client takes.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) kind: String,
    pub(super) fields: JsonObject,
}

impl Chunk {
    /// Reads a chunk. The error says what the schema wants, and repeats nothing of the chunk.
    pub(super) fn parse(json: &str) -> Result<Self, String> {
        let object: JsonObject =
            json.parse().map_err(|_| "a chunk of a UI message stream is a JSON object")?;
        let kind: Option<String> = object.get("type").ok().flatten();
        let (must, may) = kind
            .as_deref()
            .and_then(fields)
            .ok_or("the `type` of the chunk is none of a UI message stream of `ai` 7")?;
        for (name, kind) in must {
            let value = object.get_json(name);
            if !value.is_some_and(|value| is(value, *kind)) {
                return Err(format!(
                    "`{name}` of the chunk is missing, or is not {}",
                    named(*kind)
                ));
            }
        }
        for (name, kind) in may {
            if object.get_json(name).is_some_and(|value| !is(value, *kind)) {
                return Err(format!("`{name}` of the chunk is not {}", named(*kind)));
            }
        }
        Ok(Self { kind: kind.unwrap_or_default(), fields: object })
    }

    /// A field that is a string.
    pub(super) fn text(&self, field: &str) -> Option<String> {
        self.fields.get(field).ok().flatten()
    }

    pub(super) fn json(&self, field: &str) -> Option<&str> {
        self.fields.get_json(field)
    }

    pub(super) fn is_true(&self, field: &str) -> bool {
        self.json(field) == Some("true")
    }
}

fn is(value: &str, kind: Kind) -> bool {
    match kind {
        Text => value.starts_with('"'),
        Flag => value == "true" || value == "false",
        Any => true,
        Object => value.starts_with('{'),
        ProviderMetadata => value.parse::<JsonObject>().is_ok_and(|all| {
            let mut all = all.iter();
            all.all(|(_, of_one)| of_one.starts_with('{'))
        }),
        Encoding => ["json", "text"].contains(&&*string(value)),
        FinishReason => {
            ["stop", "length", "content-filter", "tool-calls", "error", "interrupted", "other"]
                .contains(&&*string(value))
        }
        Citations => all_of(value, is_citation),
        Parts => all_of(value, |part| {
            let file = [("mediaType", Text), ("url", Text)];
            match part.get_json("type").map(string).as_deref() {
                Some("text") => has(part, &[("text", Text)], &[META]),
                Some("file") => has(part, &file, &[("filename", Text), META]),
                _ => false,
            }
        }),
    }
}

fn is_citation(citation: &JsonObject) -> bool {
    let index = |name| citation.get_json(name).is_none_or(|n| n.parse::<u32>().is_ok());
    let Some(Ok(source)) = citation.get_json("source").map(str::parse::<JsonObject>) else {
        return false;
    };
    let kind = source.get_json("sourceType").map(string);
    let by_kind: (Fields, Fields) = match kind.as_deref() {
        Some("url") => (&[("id", Text), ("url", Text)], &[("title", Text), META]),
        Some("document") => {
            (&[("id", Text), ("mediaType", Text), ("title", Text)], &[("filename", Text), META])
        }
        _ => return false,
    };
    source.get_json("type").map(string).as_deref() == Some("source")
        && has(&source, by_kind.0, by_kind.1)
        && has(citation, &[], &[("citedText", Text)])
        && index("startIndex")
        && index("endIndex")
}

fn has(object: &JsonObject, must: &[(&str, Kind)], may: &[(&str, Kind)]) -> bool {
    let fits = |name: &str, kind| object.get_json(name).map(|value| is(value, kind));
    must.iter().all(|(name, kind)| fits(name, *kind) == Some(true))
        && may.iter().all(|(name, kind)| fits(name, *kind) != Some(false))
}

fn all_of(array: &str, test: impl Fn(&JsonObject) -> bool) -> bool {
    serde_json::from_str::<Vec<&RawValue>>(array).is_ok_and(|items| {
        items.iter().all(|item| item.get().parse::<JsonObject>().is_ok_and(|item| test(&item)))
    })
}

fn string(value: &str) -> String {
    serde_json::from_str(value).unwrap_or_default()
}

fn named(kind: Kind) -> &'static str {
    match kind {
        Text => "a string",
        Flag => "a boolean",
        Any => "there",
        Object => "an object",
        ProviderMetadata => "an object of objects",
        Encoding => "`json` or `text`",
        FinishReason => "a finish reason",
        Citations => "a list of citations",
        Parts => "a list of texts and files",
    }
}

#[cfg(test)]
mod tests {
    use super::Chunk;

    #[test]
    fn a_chunk_is_what_the_schema_says() {
        for good in [
            r#"{"type":"text-delta","id":"0","delta":"a","anything":1}"#,
            r#"{"type":"tool-input-available","toolCallId":"c","toolName":"t","input":null}"#,
            r#"{"type":"data-weather","data":{"a":1},"transient":true}"#,
            r#"{"type":"finish","finishReason":"stop"}"#,
            r#"{"type":"start","messageMetadata":{"a":1}}"#,
            r#"{"type":"text-start","id":"0","providerMetadata":{"x":{"y":null}}}"#,
            r#"{"type":"steering-message","id":"s","parts":[{"type":"text","text":"t"}]}"#,
            r#"{"type":"text-end","id":"0","citations":[{"startIndex":0,
                "source":{"type":"source","sourceType":"url","id":"1","url":"u"}}]}"#,
        ] {
            assert!(Chunk::parse(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("\"text\"", "JSON object"),
            ("{}", "`type`"),
            (r#"{"type":"text"}"#, "`type`"),
            (r#"{"type":"tool-result","toolCallId":"c"}"#, "`type`"),
            (r#"{"type":"text-delta","id":0,"delta":"a"}"#, "`id`"),
            (r#"{"type":"text-delta","id":"0"}"#, "`delta`"),
            (r#"{"type":"text-start","id":"0","providerMetadata":null}"#, "providerMetadata"),
            (r#"{"type":"text-start","id":"0","providerMetadata":{"x":1}}"#, "providerMetadata"),
            (r#"{"type":"finish","finishReason":"done"}"#, "finishReason"),
            (r#"{"type":"tool-output-available","toolCallId":"c"}"#, "`output`"),
            (r#"{"type":"text-end","id":"0","citations":[{}]}"#, "citations"),
            (r#"{"type":"steering-message","id":"s","parts":[{"type":"text"}]}"#, "`parts`"),
        ] {
            let error = Chunk::parse(bad).map(drop).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
