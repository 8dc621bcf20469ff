//! The format of UI messages.

use super::chunk::Chunk;
use super::parts::{Parts, array, set, set_json, text_of};
use durable_session::json::JsonObject;
use durable_session::store::StoreLimits;
use durable_session::{FormatError, Message, ReplyEnd, ReplyFormat};

/// The name of the format.
pub(crate) const NAME: &str = "ui-message";

const METADATA: &str = "metadata";
const STATUS: &str = "status";
const DETAILS: &str = "incomplete_details";

/// The format of the AI SDK: a chunk is one of its UI message stream, and all chunks make the
/// `parts` and the `metadata` of a UI message, as the client makes them.
///
/// A chunk is checked against the schema of `ai` 7. A chunk that does not follow from those before
/// it, such as a delta of a text that never began, is left out.
///
/// The marks are in `metadata`. An open message has the `status` `in_progress`. If the reply was
/// stopped, failed or interrupted, the `status` is `incomplete`, and `incomplete_details` has the
/// `reason`. A finished message has neither. The reason that a producer gives for a failure is not
/// stored.
///
/// ```
/// use durable_session::{Message, ReplyEnd, ReplyFormat};
/// use durable_session_http::UiMessageReply;
///
/// let opened = UiMessageReply.open(Message::assistant(""))?;
/// let chunks = [
///     r#"{"type":"text-start","id":"0"}"#,
///     r#"{"type":"text-delta","id":"0","delta":"Life"}"#,
///     r#"{"type":"text-delta","id":"0","delta":"times"}"#,
///     r#"{"type":"text-end","id":"0"}"#,
/// ];
/// let closed = UiMessageReply.close(&opened, &mut chunks.into_iter(), ReplyEnd::Finished, None)?;
/// let parts = r#"[{"type":"text","text":"Lifetimes","state":"done"}]"#;
/// assert_eq!(closed.as_json(), format!(r#"{{"role":"assistant","parts":{parts}}}"#));
/// # Ok::<(), durable_session::FormatError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UiMessageReply;

impl ReplyFormat for UiMessageReply {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&self, message: Message) -> Result<Message, FormatError> {
        let mut object: JsonObject = message.as_json().parse()?;
        match object.get_json("parts") {
            Some(parts) if parts.starts_with('[') => {}
            Some(_) => return Err("`parts` of a UI message is not an array".into()),
            None => {
                if !matches!(object.get_json("content"), None | Some("null"))
                    && message.text().is_none()
                {
                    return Err("`content` of a message without `parts` is not text".into());
                }
                let (parts, _) = Parts::of(&message).finish();
                object.remove("content");
                object.set_json("parts", &array(&parts))?;
            }
        }
        let mut metadata = metadata(&object);
        metadata.remove(DETAILS);
        set(&mut metadata, STATUS, "in_progress");
        object.set(METADATA, &metadata)?;
        Ok(Message::from_object(&object)?)
    }

    fn check(&self, chunk: &str) -> Result<(), FormatError> {
        Ok(Chunk::parse(chunk).map(drop)?)
    }

    fn close(
        &self,
        opened: &Message,
        chunks: &mut dyn Iterator<Item = &str>,
        how: ReplyEnd,
        _: Option<&str>,
    ) -> Result<Message, FormatError> {
        let mut object: JsonObject = opened.as_json().parse()?;
        let mut parts = Parts::of(opened);
        let mut bytes = opened.bytes();
        for chunk in chunks {
            bytes += chunk.len();
            parts.take(&Chunk::parse(chunk)?);
        }
        let (mut parts, made) = parts.finish();
        if let Some(made) = made {
            object.set_json(METADATA, &made)?;
        }
        mark(&mut object, how)?;
        object.set_json("parts", &array(&parts))?;
        let limit = bytes + usize::try_from(StoreLimits::REPLY_RESERVE).unwrap_or(usize::MAX);
        loop {
            let message = Message::from_object(&object)?;
            if message.bytes() <= limit {
                return Ok(message);
            }
            // A part may be some bytes longer than its chunk. Beyond hundreds of such parts in one
            // message, those that say least are left out.
            let mut excess = message.bytes() - limit;
            while excess > 0 {
                let Some(least) = least(&parts) else { return Ok(message) };
                excess = excess.saturating_sub(parts.remove(least).to_string().len() + 1);
            }
            object.set_json("parts", &array(&parts))?;
        }
    }

    fn ended(&self, message: &Message) -> Option<ReplyEnd> {
        let metadata = metadata(&message.as_json().parse().ok()?);
        if text_of(&metadata, STATUS) != "incomplete" {
            return None;
        }
        let details: JsonObject = metadata.get(DETAILS).ok()??;
        match &*text_of(&details, "reason") {
            "stopped" => Some(ReplyEnd::Stopped),
            "failed" => Some(ReplyEnd::Failed),
            "interrupted" => Some(ReplyEnd::Interrupted),
            _ => None,
        }
    }

    fn rest(&self, message: &Message, at: u64) -> Option<Vec<String>> {
        (at == 0).then(|| Parts::default().towards(&Parts::of(message)))
    }
}

/// The marks of a reply that was not finished.
pub(super) fn marks(how: ReplyEnd) -> JsonObject {
    let (mut marks, mut details) = (JsonObject::new(), JsonObject::new());
    set(&mut details, "reason", how.as_str());
    set(&mut marks, STATUS, "incomplete");
    set_json(&mut marks, DETAILS, &details.to_string());
    marks
}

/// The metadata with which a client begins to read an open message: that of the message without its
/// mark. If the metadata that the client has is marked as incomplete, the marks become `null`.
pub(super) fn begun(opened: &Message, client: Option<&str>) -> JsonObject {
    let mut begun = metadata(&opened.as_json().parse().unwrap_or_default());
    let had: JsonObject = client.and_then(|json| json.parse().ok()).unwrap_or_default();
    for mark in [STATUS, DETAILS] {
        begun.remove(mark);
        if had.contains(mark) {
            set_json(&mut begun, mark, "null");
        }
    }
    begun
}

/// Sets the marks of a closed message.
fn mark(object: &mut JsonObject, how: ReplyEnd) -> Result<(), FormatError> {
    let mut metadata = metadata(object);
    metadata.remove(STATUS);
    metadata.remove(DETAILS);
    if how != ReplyEnd::Finished {
        for (mark, value) in marks(how).iter() {
            metadata.set_json(mark, value)?;
        }
    }
    if metadata.is_empty() {
        object.remove(METADATA);
    } else {
        object.set(METADATA, &metadata)?;
    }
    Ok(())
}

fn metadata(object: &JsonObject) -> JsonObject {
    object.get(METADATA).ok().flatten().unwrap_or_default()
}

/// The part that says least: a step or an empty text, the name of a call, then the last that is no
/// text.
fn least(parts: &[JsonObject]) -> Option<usize> {
    let says = |part: &JsonObject| match &*text_of(part, "type") {
        "step-start" => 0,
        "text" | "reasoning" if text_of(part, "text").is_empty() => 0,
        "text" | "reasoning" => 3,
        _ if text_of(part, "state") == "input-streaming" && !part.contains("rawInput") => 1,
        _ => 2,
    };
    let (at, least) = parts.iter().enumerate().rev().min_by_key(|(_, part)| says(part))?;
    (says(least) < 3).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::{Message, ReplyEnd, ReplyFormat, StoreLimits, UiMessageReply};
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    /// A chunk of each kind, as short as it can be.
    const CHUNKS: [&str; 16] = [
        r#"{"type":"text-start","id":""}"#,
        r#"{"type":"text-delta","id":"","delta":"a"}"#,
        r#"{"type":"text-end","id":""}"#,
        r#"{"type":"reasoning-start","id":""}"#,
        r#"{"type":"reasoning-end","id":""}"#,
        r#"{"type":"tool-input-start","toolCallId":"a","toolName":""}"#,
        r#"{"type":"tool-input-start","toolCallId":"b","toolName":"","dynamic":true}"#,
        r#"{"type":"tool-input-delta","toolCallId":"a","inputTextDelta":"{"}"#,
        r#"{"type":"tool-input-available","toolCallId":"a","toolName":"","input":1}"#,
        r#"{"type":"tool-output-available","toolCallId":"a","output":1}"#,
        r#"{"type":"tool-approval-request","approvalId":"","toolCallId":"a"}"#,
        r#"{"type":"tool-approval-response","approvalId":"","approved":true}"#,
        r#"{"type":"start-step"}"#,
        r#"{"type":"reset-step"}"#,
        r#"{"type":"file","url":"","mediaType":""}"#,
        r#"{"type":"message-metadata","messageMetadata":{"a":1}}"#,
    ];

    proptest! {
        /// A message of any chunks, broken off anywhere, can be stored: a close never fails for a
        /// limit.
        #[test]
        fn a_closed_message_fits_into_the_reserved_bytes(
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
            times in prop::sample::select(vec![1_usize, 2, 1500]),
        ) {
            let opened = UiMessageReply.open(Message::assistant("").with_id("an id")).unwrap();
            let one = picks.iter().map(|pick| *pick.get(&CHUNKS));
            let chunks: Vec<_> = if times == 1500 {
                // One kind over and over, which adds up what it costs.
                picks.first().map_or_else(Vec::new, |pick| vec![*pick.get(&CHUNKS); times])
            } else {
                one.collect::<Vec<_>>().repeat(times)
            };
            let before = opened.bytes() + chunks.iter().map(|chunk| chunk.len()).sum::<usize>();
            let reserve = usize::try_from(StoreLimits::REPLY_RESERVE).unwrap();
            for how in [ReplyEnd::Finished, ReplyEnd::Interrupted] {
                let closed = UiMessageReply.close(&opened, &mut chunks.iter().copied(), how, None);
                let closed = closed.unwrap();
                prop_assert!(closed.bytes() <= before + reserve);
                prop_assert!(closed.id().as_deref() == Some("an id"));
                prop_assert_eq!(UiMessageReply.ended(&closed).unwrap_or(ReplyEnd::Finished), how);
            }
        }
    }
}
