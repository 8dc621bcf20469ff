//! The format of plain text.

use super::end::ReplyEnd;
use super::format::{FormatError, ReplyFormat};
use crate::Message;
use crate::json::{JsonError, JsonObject};
use std::borrow::Cow;

const STATUS: &str = "status";
const DETAILS: &str = "incomplete_details";

/// The most bytes of the JSON text of a reason that a message keeps.
const REASON_BYTES: usize = 512;

/// The format of text: a chunk is a JSON string, and all chunks are joined into `content`.
///
/// The marks are those of the `OpenAI` responses. An open message has the `status` `in_progress`.
/// If the reply was stopped, failed or interrupted, the `status` is `incomplete`, and
/// `incomplete_details` has the `reason` (`stopped`, `failed` or `interrupted`), and for a failed
/// reply the text of the producer as `error`, cut to about 500 bytes. A finished message has
/// neither field.
///
/// ```
/// use durable_session::{Message, ReplyEnd, ReplyFormat, TextReply};
///
/// let opened = TextReply.open(Message::assistant(""))?;
/// let chunks = ["\"Life\"", "\"times\""];
/// let closed = TextReply.close(&opened, &mut chunks.into_iter(), ReplyEnd::Finished, None)?;
/// assert_eq!(closed.as_json(), r#"{"role":"assistant","content":"Lifetimes"}"#);
/// # Ok::<(), durable_session::FormatError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextReply;

impl ReplyFormat for TextReply {
    fn name(&self) -> &'static str {
        "text"
    }

    fn open(&self, message: Message) -> Result<Message, FormatError> {
        content(&message)?;
        let mut object = JsonObject::parse_stored(message.as_json())?;
        object.remove(DETAILS);
        object.set(STATUS, "in_progress")?;
        Ok(Message::from_object(&object)?)
    }

    fn check(&self, chunk: &str) -> Result<(), FormatError> {
        string(chunk).map(drop)
    }

    fn close(
        &self,
        opened: &Message,
        chunks: &mut dyn Iterator<Item = &str>,
        how: ReplyEnd,
        reason: Option<&str>,
    ) -> Result<Message, FormatError> {
        let mut text = content(opened)?.into_owned();
        let mut grew = false;
        for chunk in chunks {
            text.push_str(&string(chunk)?);
            grew = true;
        }
        let mut object = JsonObject::parse_stored(opened.as_json())?;
        if grew {
            object.set("content", &text)?;
        }
        object.remove(STATUS);
        object.remove(DETAILS);
        if how != ReplyEnd::Finished {
            let mut details = JsonObject::new();
            details.set("reason", how.as_str())?;
            if let Some(reason) = reason {
                details.set_json("error", &cut(reason)?)?;
            }
            object.set(STATUS, "incomplete")?;
            object.set(DETAILS, &details)?;
        }
        Ok(Message::from_object(&object)?)
    }

    fn ended(&self, message: &Message) -> Option<ReplyEnd> {
        if message.extra::<String>(STATUS).ok()??.as_str() != "incomplete" {
            return None;
        }
        let details = message.extra::<JsonObject>(DETAILS).ok()??;
        match details.get::<String>("reason").ok()??.as_str() {
            "stopped" => Some(ReplyEnd::Stopped),
            "failed" => Some(ReplyEnd::Failed),
            "interrupted" => Some(ReplyEnd::Interrupted),
            _ => None,
        }
    }

    fn rest(&self, message: &Message, at: u64) -> Option<Vec<String>> {
        if at > 0 {
            return None;
        }
        Some(vec![serde_json::to_string(&*message.text()?).ok()?])
    }
}

/// The text that the chunks go on with.
fn content(message: &Message) -> Result<Cow<'_, str>, FormatError> {
    match (message.content(), message.text()) {
        (_, Some(text)) => Ok(text),
        (None | Some("null"), None) => Ok(Cow::Borrowed("")),
        (Some(_), None) => Err("`content` of a message in the format `text` is not text".into()),
    }
}

fn string(chunk: &str) -> Result<Cow<'_, str>, FormatError> {
    // A borrowed string has no escapes.
    if let Ok(text) = serde_json::from_str::<&str>(chunk) {
        return Ok(Cow::Borrowed(text));
    }
    match serde_json::from_str::<String>(chunk) {
        Ok(text) => Ok(Cow::Owned(text)),
        Err(_) => Err("a chunk in the format `text` is not a JSON string".into()),
    }
}

/// The beginning of `text` as JSON of at most [`REASON_BYTES`].
fn cut(text: &str) -> Result<String, JsonError> {
    let mut bytes = 2;
    let mut end = 0;
    for (at, c) in text.char_indices() {
        bytes += match c {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            c if c < ' ' => 6,
            c => c.len_utf8(),
        };
        if bytes > REASON_BYTES {
            break;
        }
        end = at + c.len_utf8();
    }
    serde_json::to_string(&text[..end]).map_err(JsonError::unwritable)
}

#[cfg(test)]
mod tests {
    use super::{ReplyEnd, ReplyFormat, TextReply};
    use crate::Message;
    use crate::store::StoreLimits;
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    fn closed(opened: &Message, chunks: &[&str], how: ReplyEnd) -> Message {
        TextReply.close(opened, &mut chunks.iter().copied(), how, None).unwrap()
    }

    #[test]
    fn an_open_message_is_marked_and_a_finished_one_is_not() {
        let opened = TextReply.open(Message::assistant("So: ").with_id("r")).unwrap();
        assert_eq!(
            opened.as_json(),
            r#"{"role":"assistant","content":"So: ","id":"r","status":"in_progress"}"#
        );
        assert_eq!(
            closed(&opened, &["\"a\\n\"", "\"b\""], ReplyEnd::Finished).as_json(),
            r#"{"role":"assistant","content":"So: a\nb","id":"r"}"#
        );
        let null = Message::from_json(r#"{"role":"assistant","content":null}"#).unwrap();
        let null = TextReply.open(null).unwrap();
        assert_eq!(closed(&null, &[], ReplyEnd::Finished).content(), Some("null"));
    }

    #[test]
    fn the_marks_tell_how_a_reply_ended() {
        let opened = TextReply.open(Message::assistant("")).unwrap();
        assert_eq!(TextReply.ended(&opened), None);
        assert_eq!(TextReply.ended(&closed(&opened, &[], ReplyEnd::Finished)), None);
        for how in [ReplyEnd::Stopped, ReplyEnd::Failed, ReplyEnd::Interrupted] {
            let message = closed(&opened, &["\"a\""], how);
            assert_eq!(TextReply.ended(&message), Some(how));
            assert_eq!(message.text().as_deref(), Some("a"));
        }
        let failed = TextReply.close(&opened, &mut [].into_iter(), ReplyEnd::Failed, Some("why"));
        assert!(
            failed.unwrap().as_json().ends_with(r#"{"reason":"failed","error":"why"}}"#),
            "the producer's reason"
        );
    }

    #[test]
    fn other_content_and_other_chunks_are_refused() {
        let list = Message::from_json(r#"{"role":"assistant","content":[]}"#).unwrap();
        assert!(TextReply.open(list).is_err());
        for chunk in ["1", "null", "{}", "\"a", "\"\\ud83d\"", ""] {
            assert!(TextReply.check(chunk).is_err(), "{chunk}");
        }
        assert!(TextReply.check("\"\\ud83d\\ude00\"").is_ok());
    }

    #[test]
    fn the_rest_is_made_from_the_first_chunk_on_only() {
        let message = Message::assistant("a\"b");
        assert_eq!(TextReply.rest(&message, 0), Some(vec!["\"a\\\"b\"".to_owned()]));
        assert_eq!(TextReply.rest(&message, 1), None);
    }

    proptest! {
        #[test]
        fn a_closed_message_fits_into_the_reserved_bytes(
            chunks in prop::collection::vec(any::<String>(), 0..8), reason in any::<String>(),
            long in 0..3_usize,
        ) {
            let opened = TextReply.open(Message::assistant("x").with_id("an id")).unwrap();
            let chunks: Vec<_> =
                chunks.iter().map(|chunk| serde_json::to_string(chunk).unwrap()).collect();
            let reason = reason.repeat(1 << (long * 6));
            let close = |how, reason| {
                TextReply.close(&opened, &mut chunks.iter().map(String::as_str), how, reason)
            };
            let before = opened.bytes() + chunks.iter().map(String::len).sum::<usize>();
            let reserve = usize::try_from(StoreLimits::REPLY_RESERVE).unwrap();
            for how in [ReplyEnd::Finished, ReplyEnd::Stopped, ReplyEnd::Failed] {
                let message = close(how, Some(&reason)).unwrap();
                prop_assert!(message.bytes() <= before + reserve);
                prop_assert!(message.id().as_deref() == Some("an id"));
                prop_assert_eq!(TextReply.ended(&message).unwrap_or(ReplyEnd::Finished), how);
            }
        }
    }
}
