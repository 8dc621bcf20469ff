//! Messages: JSON objects kept as they came, with a typed view on top.

use crate::json::own::{CONTENT, NOT_AN_OBJECT, NOT_JSON, ROLE};
use crate::json::{self, JsonError, JsonObject};
use bytes::Bytes;
use bytestring::ByteString;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The usual roles. Any other string is a role, too.
pub mod role {
    /// A person.
    pub const USER: &str = "user";
    /// The service's side of the conversation.
    pub const ASSISTANT: &str = "assistant";
    /// Instructions to a model.
    pub const SYSTEM: &str = "system";
    /// The result of a tool call.
    pub const TOOL: &str = "tool";
}

/// One message of a chat: a JSON object with at least a `role`.
///
/// It keeps its JSON text, so whatever comes in comes out: `content: null`, unknown fields, key
/// order, big integers. The accessors read the text when asked. What makes an object a message:
/// `role` is a string; `content`, if there, is a string, `null`, an array or an object. A string or
/// number under `id` lets a retry find it (clause C7).
///
/// Cheap to clone. Equality is [JSON equality](crate::json::equal). `Debug` shows no contents.
///
/// ```
/// use durable_session::Message;
///
/// let message = Message::user("I want help with python").with_id("m-1").with("lang", "en")?;
/// assert_eq!(message.as_json(), r#"{"role":"user","content":"I want help with python","id":"m-1","lang":"en"}"#);
/// assert_eq!(message.role(), "user");
/// assert_eq!(message.text().as_deref(), Some("I want help with python"));
/// assert_eq!(message.extra::<String>("lang")?.as_deref(), Some("en"));
/// # Ok::<(), durable_session::json::JsonError>(())
/// ```
#[derive(Clone)]
pub struct Message {
    json: ByteString,
}

/// Why something is not a message. Its text repeats nothing of what was given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// Not JSON that can be kept: malformed, nested too deep, or with a lone surrogate (half of a character that a
    /// JavaScript `slice` cut in two).
    #[error("{NOT_JSON}")]
    Json(#[source] JsonError),
    /// JSON, but not an object.
    #[error("{NOT_AN_OBJECT}")]
    NotAnObject,
    /// `role` is missing or not a string.
    #[error("{ROLE}")]
    Role,
    /// `content` is a number or a boolean.
    #[error("{CONTENT}")]
    Content,
}

impl Message {
    /// A message with this role and text.
    pub fn new(role: &str, content: &str) -> Self {
        let mut json = String::with_capacity(role.len() + content.len() + 32);
        json.push_str("{\"role\":");
        push_string(&mut json, role);
        json.push_str(",\"content\":");
        push_string(&mut json, content);
        json.push('}');
        Self { json: json.into() }
    }

    /// What a person says.
    pub fn user(content: impl AsRef<str>) -> Self {
        Self::new(role::USER, content.as_ref())
    }

    /// What the service says.
    pub fn assistant(content: impl AsRef<str>) -> Self {
        Self::new(role::ASSISTANT, content.as_ref())
    }

    /// Instructions to a model.
    pub fn system(content: impl AsRef<str>) -> Self {
        Self::new(role::SYSTEM, content.as_ref())
    }

    /// Takes a message given as JSON text, as it is.
    ///
    /// # Errors
    /// [`InvalidMessage`] says what is wrong with it.
    pub fn from_json(text: impl Into<String>) -> Result<Self, InvalidMessage> {
        let text = text.into();
        json::check(&text).map_err(InvalidMessage::Json)?;
        let text = match text.trim() {
            trimmed if trimmed.len() == text.len() => text,
            trimmed => trimmed.to_owned(),
        };
        if !text.starts_with('{') {
            return Err(InvalidMessage::NotAnObject);
        }
        match json::field(&text, "role") {
            Some(role) if role.starts_with('"') => {}
            _ => return Err(InvalidMessage::Role),
        }
        match json::field(&text, "content") {
            None => {}
            Some(content) if content.starts_with(['"', '[', '{', 'n']) => {}
            Some(_) => return Err(InvalidMessage::Content),
        }
        Ok(Self { json: text.into() })
    }

    /// Takes a message given as an object.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub fn from_object(object: &JsonObject) -> Result<Self, InvalidMessage> {
        Self::from_json(
            serde_json::to_string(object).map_err(|e| InvalidMessage::Json(JsonError::unwritable(e)))?,
        )
    }

    /// Takes a body that was a message when it was stored; `None` if it is not even UTF-8.
    pub(crate) fn from_stored(body: Bytes) -> Option<Self> {
        ByteString::try_from(body).ok().map(|json| Self { json })
    }

    /// The body to store, shared with this message.
    pub(crate) fn body(&self) -> Bytes {
        self.json.as_bytes().clone()
    }

    /// The same message with another field, at the end if it is new.
    ///
    /// # Errors
    /// `value` cannot be written as JSON, or would make `role` or `content` something a message cannot have.
    pub fn with<T: Serialize + ?Sized>(self, key: &str, value: &T) -> Result<Self, JsonError> {
        let mut object = JsonObject::parse_stored(&self.json)?;
        object.set(key, value)?;
        Self::from_object(&object).map_err(|e| JsonError::from(serde_json::Error::custom(e)))
    }

    /// The same message with an `id`: added again while it is among the last messages, it is found
    /// and not stored again (clause C7).
    pub fn with_id(self, id: impl AsRef<str>) -> Self {
        self.with("id", id.as_ref()).unwrap_or_else(|e| unreachable_for_text(&e))
    }

    /// The same message with a `timestamp`, Unix milliseconds. Data only: order is by seq.
    pub fn with_timestamp(self, ms: u64) -> Self {
        self.with("timestamp", &ms).unwrap_or_else(|e| unreachable_for_text(&e))
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        &self.json
    }

    /// Its size in bytes, as stored and as limits count it.
    pub fn bytes(&self) -> usize {
        self.json.len()
    }

    /// Who says it.
    pub fn role(&self) -> Cow<'_, str> {
        self.string("role").unwrap_or_default()
    }

    /// The content's JSON text, if there is a `content` at all.
    pub fn content(&self) -> Option<&str> {
        json::field(&self.json, "content")
    }

    /// The content, if it is a string.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        self.string("content")
    }

    /// The `id`: a string as it is, a number as its JSON text. Empty strings and anything else are no id.
    pub fn id(&self) -> Option<Cow<'_, str>> {
        // A key can be spelled otherwise only with an escape in it. Most messages without an id are done here.
        if !self.json.contains("\"id\"") && !self.json.as_bytes().contains(&b'\\') {
            return None;
        }
        let raw = json::field(&self.json, "id")?;
        match raw.as_bytes().first()? {
            b'"' => self.string("id").filter(|id| !id.is_empty()),
            b'-' | b'0'..=b'9' => Some(Cow::Borrowed(raw)),
            _ => None,
        }
    }

    /// Any field as a `T`; `None` if there is no such field.
    ///
    /// # Errors
    /// The value does not fit `T`.
    pub fn extra<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, JsonError> {
        Ok(json::field(&self.json, key).map(serde_json::from_str).transpose()?)
    }

    fn string(&self, key: &str) -> Option<Cow<'_, str>> {
        let raw = json::field(&self.json, key)?;
        let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') {
            serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inner))
        }
    }
}

/// Text and integers can always be written as JSON and are no `role` or `content`.
fn unreachable_for_text(e: &JsonError) -> Message {
    debug_assert!(false, "{e}");
    Message::new(role::SYSTEM, "")
}

fn push_string(json: &mut String, text: &str) {
    // Most text is JSON as it is. Looking at all of it at once lets the compiler look at many bytes at a time.
    let escapes = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    if !text.bytes().fold(false, |any, byte| any | escapes(byte)) {
        json.push('"');
        json.push_str(text);
        json.push('"');
        return;
    }
    // Writing a string into memory cannot fail.
    json.push_str(&serde_json::to_string(text).unwrap_or_default());
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        json::equal(&self.json, &other.json)
    }
}

impl fmt::Debug for Message {
    /// Size, and role if it is a usual one: the rest may be the users' own words, and these stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = [role::USER, role::ASSISTANT, role::SYSTEM, role::TOOL];
        let own = self.role();
        let shown = usual.into_iter().find(|usual| *usual == own).unwrap_or("other role");
        write!(f, "Message({shown}, {} bytes)", self.bytes())
    }
}

impl std::str::FromStr for Message {
    type Err = InvalidMessage;

    fn from_str(text: &str) -> Result<Self, InvalidMessage> {
        Self::from_json(text)
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.json).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_json(Box::<str>::from(raw)).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorChain;

    #[test]
    fn a_message_keeps_everything_as_it_came() {
        let text = r#"{"content":null,"x":{"b":1,"a":12345678901234567890},"role":"tool","id":null,"tool_calls":[]}"#;
        let message = Message::from_json(text).unwrap();
        assert_eq!(message.as_json(), text);
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        assert_eq!(serde_json::from_str::<Message>(text).unwrap().as_json(), text);
        assert_eq!(
            (message.role().as_ref(), message.content(), message.text(), message.id()),
            ("tool", Some("null"), None, None)
        );
    }

    #[test]
    fn text_is_written_as_serde_json_writes_it() {
        for text in ["", "plain", "\"", "\\", "a\nb", "\u{0}", "\u{1f}", "\u{20}\u{7f}é🙂", "/ </script>"]
        {
            let json = format!(r#"{{"role":"user","content":{}}}"#, serde_json::to_string(text).unwrap());
            assert_eq!(Message::user(text).as_json(), json);
        }
    }

    #[test]
    fn ids_are_strings_and_numbers() {
        let id = |json: &str| Message::from_json(json).unwrap().id().map(Cow::into_owned);
        assert_eq!(id(r#"{"role":"user","id":"a\"b"}"#).as_deref(), Some("a\"b"));
        assert_eq!(id(r#"{"role":"user","id":1763264606917}"#).as_deref(), Some("1763264606917"));
        for none in [
            r#"{"role":"user"}"#,
            r#"{"role":"user","id":""}"#,
            r#"{"role":"user","id":[1]}"#,
            r#"{"role":"user","id":true}"#,
        ] {
            assert_eq!(id(none), None, "{none}");
        }
        assert_eq!(Message::user("x").with_id("i").id().as_deref(), Some("i"));
        assert_eq!(id(r#"{"role":"user","\u0069d":"spelled"}"#).as_deref(), Some("spelled"));
        assert_eq!(id(r#"{"role":"user","content":"\"id\"","x":{"id":1}}"#), None);
    }

    #[test]
    fn what_is_not_a_message_says_why() {
        let error = |json: &str| ErrorChain(&Message::from_json(json).unwrap_err()).to_string();
        assert_eq!(error("{"), "message is not valid JSON: EOF while parsing an object at line 1 column 1");
        assert!(error(r#"{"role":"user","content":"\ud83d"}"#).contains("surrogate"));
        assert!(error("[1]").contains("object"));
        for json in ["{}", r#"{"role":1}"#, r#"{"role":null}"#, r#"{"role":"a","role":1}"#] {
            assert!(error(json).contains("`role`"), "{json}");
        }
        for json in [r#"{"role":"user","content":1}"#, r#"{"role":"user","content":true}"#] {
            assert!(error(json).contains("`content`"), "{json}");
        }
        assert!(Message::user("x").with("role", &1).is_err());
    }

    #[test]
    fn debug_shows_no_contents() {
        assert_eq!(format!("{:?}", Message::user("secret")), "Message(user, 34 bytes)");
        assert_eq!(format!("{:?}", Message::new("secret", "")), "Message(other role, 30 bytes)");
    }
}
