//! Reads conversations one at a time: JSON Lines or one JSON array, plain or gzipped.

use anyhow::{Context, Result, anyhow, bail};
use durable_session::transfer::{Position, Record, Records, recognize};
use durable_session::{Limits, Message, SessionId};
use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::path::Path;

/// One conversation of the file.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// Its number among the readable conversations, from 0.
    pub(crate) number: usize,
    pub(crate) place: Position,
    pub(crate) id: SessionId,
    /// Its messages; of equal messages with one id, the first.
    pub(crate) messages: Vec<Message>,
    /// The places of repeated messages within it, from 1.
    pub(crate) repeated: Vec<usize>,
    /// The first conversation of the file with the same id, if there is one: its number and place.
    pub(crate) earlier: Option<(usize, Position)>,
}

/// A conversation that is not stored. The reason does not quote it, because its text is private.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) place: Position,
    pub(crate) reason: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// The conversations of a file, in its order. Keeps one of them and a hash of each id in memory.
pub(crate) struct Conversations {
    records: Records<'static>,
    read: usize,
    hashers: [RandomState; 2],
    seen: HashMap<[u64; 2], (usize, Position)>,
}

impl Conversations {
    /// Opens a file; `progress` follows the reading of it.
    pub(crate) fn open(path: &Path, progress: &ProgressBar) -> Result<Self> {
        let context = || format!("could not read {}", path.display());
        let file = File::open(path).with_context(context)?;
        let about = file.metadata().with_context(context)?;
        if !about.is_file() {
            bail!(
                "{} is not a regular file: it is read twice, to add and to compare",
                path.display()
            );
        }
        // The time before, such as that of opening the store, does not count for the rate.
        progress.reset();
        progress.set_length(about.len());
        Ok(Self::new(BufReader::new(progress.wrap_read(file))))
    }

    pub(crate) fn new(input: impl BufRead + Send + 'static) -> Self {
        Self {
            records: Records::new(input),
            read: 0,
            hashers: [RandomState::new(), RandomState::new()],
            seen: HashMap::new(),
        }
    }

    /// The first conversation with this id, if this is not it.
    fn earlier(
        &mut self,
        id: &SessionId,
        number: usize,
        place: Position,
    ) -> Option<(usize, Position)> {
        let hash = [self.hashers[0].hash_one(id), self.hashers[1].hash_one(id)];
        let first = *self.seen.entry(hash).or_insert((number, place));
        (first.0 != number).then_some(first)
    }
}

impl Iterator for Conversations {
    type Item = Result<Conversation, Skipped>;

    fn next(&mut self) -> Option<Self::Item> {
        let Record { position: place, text, .. } = self.records.next()?;
        let found = text.map_err(anyhow::Error::from).and_then(|text| conversation(&text));
        Some(match found {
            Ok((id, messages, repeated)) => {
                let number = self.read;
                self.read += 1;
                let earlier = self.earlier(&id, number, place);
                Ok(Conversation { number, place, id, messages, repeated, earlier })
            }
            Err(error) => Err(Skipped { place, reason: format!("{error:#}") }),
        })
    }
}

fn conversation(text: &str) -> Result<(SessionId, Vec<Message>, Vec<usize>)> {
    let fields: HashMap<String, &RawValue> = json(text, "it is not a JSON object")?;
    let (Some(id), Some(messages)) = (fields.get("id"), fields.get("messages")) else {
        let shape = recognize(text).map_or_else(String::new, |shape| format!("; it is {shape}"));
        bail!("it is not an object with `id` and `messages`{shape}");
    };
    let id: String = json(id.get(), "its `id` is not a string")?;
    let id = SessionId::new(id)?;
    let messages: Vec<&RawValue> = json(messages.get(), "its `messages` are not an array")?;
    let messages = messages.into_iter().zip(1..).map(|(message, place)| {
        Message::from_json(message.get()).with_context(|| format!("message {place}"))
    });
    let messages: Vec<_> = messages.collect::<Result<_>>()?;
    check(&messages, &Limits::default())?;
    let (messages, repeated) = once(messages)?;
    Ok((id, messages, repeated))
}

/// Refuses a conversation that is over the sessions' limits, before any of it is stored.
fn check(messages: &[Message], limits: &Limits) -> Result<()> {
    let mut bytes = 0;
    for (message, place) in messages.iter().zip(1..) {
        let size = message.bytes() as u64;
        if size > limits.message_bytes {
            bail!("message {place} is {size} bytes; the limit is {}", limits.message_bytes);
        }
        bytes += size;
    }
    if bytes > limits.session_bytes {
        bail!("its messages are {bytes} bytes; the limit is {}", limits.session_bytes);
    }
    if messages.len() as u64 > limits.session_messages {
        bail!("it has {} messages; the limit is {}", messages.len(), limits.session_messages);
    }
    Ok(())
}

/// Removes messages that are equal to an earlier one with the same id. Returns their places, too.
fn once(messages: Vec<Message>) -> Result<(Vec<Message>, Vec<usize>)> {
    let (mut kept, mut repeated) = (Vec::<Message>::with_capacity(messages.len()), Vec::new());
    // Of each id, where it is in the list and where it was in the file.
    let mut ids: HashMap<String, (usize, usize)> = HashMap::new();
    for (message, place) in messages.into_iter().zip(1..) {
        match message.id().map(|id| ids.entry(id.into_owned())) {
            Some(Entry::Occupied(earlier)) => {
                let (index, first) = *earlier.get();
                if kept[index] != message {
                    bail!("message {place} has the id of message {first} and says something else");
                }
                repeated.push(place);
                continue;
            }
            Some(Entry::Vacant(vacant)) => {
                vacant.insert((kept.len(), place));
            }
            None => {}
        }
        kept.push(message);
    }
    Ok((kept, repeated))
}

/// Decodes JSON. For JSON of another shape, the error is `otherwise`, because serde's would quote
/// the value.
fn json<'a, T: Deserialize<'a>>(text: &'a str, otherwise: &'static str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => anyhow!(otherwise),
        _ => anyhow!("it is not JSON: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::{Conversation, Conversations, Limits, Message, Skipped, check};

    fn parse(text: &str) -> Vec<Result<Conversation, Skipped>> {
        Conversations::new(std::io::Cursor::new(text.to_owned())).collect()
    }

    #[test]
    fn messages_keep_their_json_text() {
        let message = r#"{"role":"user","content":null, "big":12345678901234567890123}"#;
        let text = format!(r#"{{"id":"a","messages":[{message}],"more":1}}"#);
        let messages = parse(&text).remove(0).unwrap().messages;
        assert_eq!(messages[0].as_json(), message);
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
            "{\"messages\":[{\"role\":\"user\",\"content\":\"secret\"}]}\n",
            "{\"id\":\"e\",\"messages\":[]}",
        );
        let (good, bad): (Vec<_>, Vec<_>) = parse(text).into_iter().partition(Result::is_ok);
        let reasons: Vec<_> = bad.into_iter().map(|bad| bad.unwrap_err()).collect();
        assert_eq!(
            reasons.iter().map(|bad| bad.place.line).collect::<Vec<_>>(),
            [2, 4, 5, 6, 7, 8, 10]
        );
        for (bad, reason) in reasons.iter().zip([
            "it is not JSON: expected value",
            "its `id` is not a string",
            "'/'",
            "its `messages` are not an array",
            "message 2: ",
            "it is not a JSON object",
            "it is not an object with `id` and `messages`; it is a fine-tuning example",
        ]) {
            assert!(bad.reason.contains(reason) && !bad.reason.contains("secret"), "{bad}");
        }
        let earlier: Vec<_> = good
            .into_iter()
            .map(|good| good.unwrap().earlier.map(|(_, place)| place.line))
            .collect();
        assert_eq!(earlier, [None, Some(1), None]);
    }

    #[test]
    fn a_conversation_over_a_limit_is_refused() {
        let messages = [Message::user("x"), Message::user("xy")];
        let (one, both) =
            (messages[1].bytes() as u64, (messages[0].bytes() + messages[1].bytes()) as u64);
        let limits = Limits {
            message_bytes: one,
            session_bytes: both,
            session_messages: 2,
            ..Limits::default()
        };
        check(&messages, &limits).unwrap();
        for (limits, reason) in [
            (Limits { message_bytes: one - 1, ..limits }, "message 2 is 30 bytes; the limit is 29"),
            (
                Limits { session_bytes: both - 1, ..limits },
                "its messages are 59 bytes; the limit is 58",
            ),
            (Limits { session_messages: 1, ..limits }, "it has 2 messages; the limit is 1"),
        ] {
            assert_eq!(check(&messages, &limits).unwrap_err().to_string(), reason);
        }
    }

    #[test]
    fn a_repeated_message_is_there_once_and_a_reused_id_is_refused() {
        let message =
            |id: &str, text: &str| format!(r#"{{"role":"user","id":{id},"content":"{text}"}}"#);
        let of = |messages: &[String]| {
            parse(&format!(r#"{{"id":"a","messages":[{}]}}"#, messages.join(","))).remove(0)
        };
        // Far apart, spelled otherwise, and with a number for an id.
        let mut many: Vec<_> = (0..300).map(|n| message(&format!("\"m{n}\""), "x")).collect();
        many.push(r#"{ "content":"\u0078", "id":"m0", "role":"user" }"#.to_owned());
        many.extend([message("7", "y"), message("7", "y"), message("8", "y")]);
        let conversation = of(&many).unwrap();
        assert_eq!((conversation.messages.len(), conversation.repeated), (302, vec![301, 303]));

        many.push(message("\"m1\"", "z"));
        let skipped = of(&many).unwrap_err();
        assert!(skipped.reason.contains("message 305 has the id of message 2"), "{skipped}");
        // Without an id the same words may be said again.
        let same = message("null", "x");
        assert_eq!(of(&[same.clone(), same]).unwrap().messages.len(), 2);
    }
}
