//! Reading conversations: JSON Lines, plain or gzipped.

use anyhow::{Context, Result};
use durable_session::{Message, SessionId};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;

/// One line of the file.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) id: SessionId,
    pub(crate) messages: Vec<Message>,
}

/// A line that is not a conversation. The reason never quotes the line: it may be somebody's words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) line: usize,
    pub(crate) reason: String,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Input {
    pub(crate) conversations: Vec<Conversation>,
    pub(crate) malformed: Vec<Malformed>,
}

/// Reads a file; gzip is recognised by its first bytes, whatever the name.
pub(crate) fn read(path: &Path) -> Result<Input> {
    let context = || format!("could not read {}", path.display());
    let mut file = File::open(path).with_context(context)?;
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic).with_context(context)?;
    file.rewind().with_context(context)?;
    if magic == [0x1f, 0x8b] {
        parse(BufReader::new(MultiGzDecoder::new(file)))
    } else {
        parse(BufReader::new(file))
    }
    .with_context(context)
}

fn parse(mut reader: impl BufRead) -> Result<Input> {
    let mut input = Input::default();
    let mut seen = HashMap::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes).with_context(|| format!("line {line}"))? == 0 {
            break;
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        match conversation(&bytes) {
            Ok(conversation) => {
                if let Some(first) = seen.insert(conversation.id.clone(), line) {
                    seen.insert(conversation.id, first);
                    let reason = format!("its session is already on line {first}");
                    input.malformed.push(Malformed { line, reason });
                } else {
                    input.conversations.push(conversation);
                }
            }
            Err(error) => input.malformed.push(Malformed { line, reason: format!("{error:#}") }),
        }
    }
    Ok(input)
}

fn conversation(bytes: &[u8]) -> Result<Conversation> {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
        #[serde(borrow)]
        messages: &'a RawValue,
    }
    let text = std::str::from_utf8(bytes).context("it is not UTF-8")?;
    let line: Line<'_> = json(text, "it is not an object with id and messages")?;
    let id: String = json(line.id.get(), "its id is not a string")?;
    let id = SessionId::new(id)?;
    let messages: Vec<&RawValue> = json(line.messages.get(), "its messages are not an array")?;
    let messages = messages
        .iter()
        .enumerate()
        .map(|(index, message)| {
            Message::from_json(message.get()).with_context(|| format!("its message {} is none", index + 1))
        })
        .collect::<Result<_>>()?;
    Ok(Conversation { id, messages })
}

/// Decodes; where the text is JSON of another shape, `otherwise` is the reason, since serde's would quote the value.
fn json<'a, T: Deserialize<'a>>(text: &'a str, otherwise: &'static str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => anyhow::anyhow!(otherwise),
        _ => anyhow::anyhow!("it is not JSON: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn reasons(text: &str) -> Vec<(usize, String)> {
        parse(text.as_bytes()).unwrap().malformed.into_iter().map(|bad| (bad.line, bad.reason)).collect()
    }

    #[test]
    fn messages_keep_their_json_text() {
        let text = r#"{"id":"a","messages":[{"role":"user","content":null, "big":12345678901234567890123}],"more":1}"#;
        let input = parse(text.as_bytes()).unwrap();
        assert!(input.malformed.is_empty());
        assert_eq!(
            input.conversations[0].messages[0].as_json(),
            r#"{"role":"user","content":null, "big":12345678901234567890123}"#
        );
    }

    #[test]
    fn every_bad_line_is_named_with_its_reason_and_the_others_are_kept() {
        let text = concat!(
            "{\"id\":\"a\",\"messages\":[]}\n",
            "secret words\n",
            "\n",
            "{\"id\":7,\"messages\":[]}\n",
            "{\"id\":\"a/b\",\"messages\":[]}\n",
            "{\"id\":\"c\",\"messages\":\"secret\"}\n",
            "{\"id\":\"d\",\"messages\":[{\"role\":\"user\"},5]}\n",
            "[\"secret\"]\n",
            "{\"id\":\"a\",\"messages\":[]}\n",
            "{\"id\":\"e\",\"messages\":[]}",
        );
        let reasons = reasons(text);
        assert_eq!(reasons.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 4, 5, 6, 7, 8, 9]);
        assert!(reasons[0].1.starts_with("it is not JSON"), "{reasons:?}");
        assert_eq!(reasons[1].1, "its id is not a string");
        assert_eq!(reasons[3].1, "its messages are not an array");
        assert_eq!(reasons[4].1, "its message 2 is none: a message must be a JSON object");
        assert_eq!(reasons[6].1, "its session is already on line 1");
        assert!(reasons.iter().all(|(_, reason)| !reason.contains("secret")), "{reasons:?}");
        assert_eq!(parse(text.as_bytes()).unwrap().conversations.len(), 2);
    }

    #[test]
    fn gzip_is_recognised_and_a_truncated_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any.name");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        for n in 0..500 {
            writeln!(encoder, r#"{{"id":"s{n}","messages":[{{"role":"user","content":"{n}"}}]}}"#).unwrap();
        }
        let bytes = encoder.finish().unwrap();
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&path).unwrap().conversations.len(), 500);
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(read(&path).is_err());
    }
}
