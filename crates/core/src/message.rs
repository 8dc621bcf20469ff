//! Messages: JSON objects kept as text, with a typed view.

use crate::json::own::{CONTENT, NOT_AN_OBJECT, NOT_JSON, ROLE};
use crate::json::{self, JsonError, JsonObject};
use bytes::Bytes;
use bytestring::ByteString;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The usual roles. Any other string is allowed as a role, too.
pub mod role {
    /// A person.
    pub const USER: &str = "user";
    /// The service.
    pub const ASSISTANT: &str = "assistant";
    /// Instructions to a model.
    pub const SYSTEM: &str = "system";
    /// The result of a tool call.
    pub const TOOL: &str = "tool";
}

/// One message of a chat: a JSON object with at least a `role`.
///
/// A message keeps its JSON text with `content: null`, unknown fields, key order and big integers.
/// The accessors parse the text on each call. `role` must be a string; `content`, if present, must
/// be a string, `null`, an array or an object. With a string or a number under `id`, a retry finds
/// the stored message (clause C7).
///
/// Cheap to clone. Equality is [JSON equality](crate::json::equal). `Debug` shows size and role
/// only.
///
/// ```
/// use durable_session::Message;
///
/// let message = Message::user("I want help with python").with_id("m-1").with("lang", "en")?;
/// assert_eq!(
///     message.as_json(),
///     r#"{"role":"user","content":"I want help with python","id":"m-1","lang":"en"}"#
/// );
/// assert_eq!(message.role(), "user");
/// assert_eq!(message.text().as_deref(), Some("I want help with python"));
/// assert_eq!(message.extra::<String>("lang")?.as_deref(), Some("en"));
/// # Ok::<(), durable_session::json::JsonError>(())
/// ```
#[derive(Clone)]
pub struct Message {
    json: ByteString,
}

/// The given JSON is not a message. The error's text repeats nothing of the JSON.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// The text is not valid JSON, is nested more than 127 deep, or has a lone surrogate (half of a
    /// character that a JavaScript `slice` cut in two).
    #[error("{NOT_JSON}")]
    Json(#[source] JsonError),
    /// The JSON is not an object.
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
    /// A message with this role and this text as its content.
    ///
    /// ```
    /// use durable_session::{Message, role};
    ///
    /// let message = Message::new(role::TOOL, "3 tutors found");
    /// assert_eq!(message.role(), "tool");
    /// ```
    pub fn new(role: &str, content: &str) -> Self {
        let mut json = String::with_capacity(role.len() + content.len() + 32);
        json.push_str("{\"role\":");
        push_string(&mut json, role);
        json.push_str(",\"content\":");
        push_string(&mut json, content);
        json.push('}');
        Self { json: json.into() }
    }

    /// A message with the role `user`.
    ///
    /// ```
    /// use durable_session::Message;
    ///
    /// assert_eq!(Message::user("hi").as_json(), r#"{"role":"user","content":"hi"}"#);
    /// ```
    pub fn user(content: impl AsRef<str>) -> Self {
        Self::new(role::USER, content.as_ref())
    }

    /// A message with the role `assistant`.
    ///
    /// ```
    /// use durable_session::Message;
    ///
    /// assert_eq!(Message::assistant("Hello!").role(), "assistant");
    /// ```
    pub fn assistant(content: impl AsRef<str>) -> Self {
        Self::new(role::ASSISTANT, content.as_ref())
    }

    /// A message with the role `system`.
    ///
    /// ```
    /// use durable_session::Message;
    ///
    /// assert_eq!(Message::system("Answer briefly.").role(), "system");
    /// ```
    pub fn system(content: impl AsRef<str>) -> Self {
        Self::new(role::SYSTEM, content.as_ref())
    }

    /// A message with this JSON text, kept without the white space around it.
    ///
    /// # Errors
    /// [`InvalidMessage`] names the rule that the text breaks.
    ///
    /// ```
    /// use durable_session::Message;
    ///
    /// let message = Message::from_json(r#"{"role":"user","content":null,"n":1.0}"#)?;
    /// assert_eq!(message.as_json(), r#"{"role":"user","content":null,"n":1.0}"#);
    /// assert!(Message::from_json(r#"{"content":"no role"}"#).is_err());
    /// # Ok::<(), durable_session::InvalidMessage>(())
    /// ```
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

    /// A message with the fields of this object.
    ///
    /// # Errors
    /// Like [`from_json`](Self::from_json).
    ///
    /// ```
    /// use durable_session::{JsonObject, Message};
    ///
    /// let object: JsonObject = r#"{"role":"user","content":"hi"}"#.parse()?;
    /// assert_eq!(Message::from_object(&object)?, Message::user("hi"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_object(object: &JsonObject) -> Result<Self, InvalidMessage> {
        Self::from_json(
            serde_json::to_string(object)
                .map_err(|e| InvalidMessage::Json(JsonError::unwritable(e)))?,
        )
    }

    /// A message with a body that was checked before it was stored; `None` if the body is not
    /// UTF-8.
    pub(crate) fn from_stored(body: Bytes) -> Option<Self> {
        ByteString::try_from(body).ok().map(|json| Self { json })
    }

    /// The body to store. It shares the memory of this message.
    pub(crate) fn body(&self) -> Bytes {
        self.json.as_bytes().clone()
    }

    /// The message with the field `key` set to `value`. A new field is added at the end.
    ///
    /// # Errors
    /// [`JsonError`] if `value` cannot be written as JSON or is not allowed for `role` or
    /// `content`.
    ///
    /// ```
    /// use durable_session::Message;
    ///
    /// let message = Message::user("hi").with("lang", "en")?;
    /// assert_eq!(message.as_json(), r#"{"role":"user","content":"hi","lang":"en"}"#);
    /// # Ok::<(), durable_session::json::JsonError>(())
    /// ```
    pub fn with<T: Serialize + ?Sized>(self, key: &str, value: &T) -> Result<Self, JsonError> {
        let mut object = JsonObject::parse_stored(&self.json)?;
        object.set(key, value)?;
        Self::from_object(&object).map_err(|e| JsonError::from(serde_json::Error::custom(e)))
    }

    /// The message with this `id`. While it is among the last 64 messages of its session, a retry
    /// finds it and does not store it again (clause C7).
    ///
    /// ```
    /// use durable_session::Message;
    ///
    /// assert_eq!(Message::user("hi").with_id("m-1").id().as_deref(), Some("m-1"));
    /// ```
    pub fn with_id(self, id: impl AsRef<str>) -> Self {
        self.with("id", id.as_ref()).unwrap_or_else(|e| unreachable_for_text(&e))
    }

    /// The message with this `timestamp`, Unix milliseconds. The session keeps it and does not use
    /// it: messages are ordered by seq.
    ///
    /// ```
    /// use durable_session::Message;
    ///
    /// let message = Message::user("hi").with_timestamp(1_763_264_606_917);
    /// assert_eq!(message.extra::<u64>("timestamp")?, Some(1_763_264_606_917));
    /// # Ok::<(), durable_session::json::JsonError>(())
    /// ```
    pub fn with_timestamp(self, ms: u64) -> Self {
        self.with("timestamp", &ms).unwrap_or_else(|e| unreachable_for_text(&e))
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        &self.json
    }

    /// The bytes of the JSON text, which the store keeps and limits count.
    ///
    /// ```
    /// use durable_session::Message;
    ///
    /// let message = Message::user("hi");
    /// assert_eq!(message.bytes(), message.as_json().len());
    /// ```
    pub fn bytes(&self) -> usize {
        self.json.len()
    }

    /// The `role`.
    pub fn role(&self) -> Cow<'_, str> {
        self.string("role").unwrap_or_default()
    }

    /// The JSON text of `content`; `None` without this field.
    ///
    /// ```
    /// use durable_session::Message;
    ///
    /// let message = Message::from_json(r#"{"role":"tool","content":["a", 1]}"#)?;
    /// assert_eq!(message.content(), Some(r#"["a", 1]"#));
    /// assert_eq!(message.text(), None);
    /// # Ok::<(), durable_session::InvalidMessage>(())
    /// ```
    pub fn content(&self) -> Option<&str> {
        json::field(&self.json, "content")
    }

    /// The `content`, if it is a string.
    ///
    /// ```
    /// use durable_session::Message;
    ///
    /// assert_eq!(Message::user("hi").text().as_deref(), Some("hi"));
    /// ```
    pub fn text(&self) -> Option<Cow<'_, str>> {
        self.string("content")
    }

    /// The `id`: a string, or the JSON text of a number. An empty string or any other value counts
    /// as no id.
    pub fn id(&self) -> Option<Cow<'_, str>> {
        // Without `"id"` the key can only be written with an escape. Most messages without an id
        // return here.
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

    /// The field `key` as a `T`; `None` if the message has no such field.
    ///
    /// # Errors
    /// [`JsonError`] if the value does not fit `T`.
    ///
    /// ```
    /// use durable_session::Message;
    ///
    /// let message = Message::user("hi").with("tokens", &17)?;
    /// assert_eq!(message.extra::<u32>("tokens")?, Some(17));
    /// assert_eq!(message.extra::<u32>("cost")?, None);
    /// # Ok::<(), durable_session::json::JsonError>(())
    /// ```
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

/// For fields other than `role` and `content`: text and integers can always be written as JSON.
fn unreachable_for_text(e: &JsonError) -> Message {
    debug_assert!(false, "{e}");
    Message::new(role::SYSTEM, "")
}

fn push_string(json: &mut String, text: &str) {
    // Most text needs no escapes. Without an early exit the compiler checks many bytes at a time.
    let escapes = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    if !text.bytes().fold(false, |any, byte| any | escapes(byte)) {
        json.push('"');
        json.push_str(text);
        json.push('"');
        return;
    }
    // Writing a string to memory cannot fail.
    json.push_str(&serde_json::to_string(text).unwrap_or_default());
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        json::equal(&self.json, &other.json)
    }
}

impl fmt::Debug for Message {
    /// Shows the size, and the role if it is a usual role. Everything else may be the users' own
    /// words, which stay out of logs.
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
    use super::Message;
    use crate::ErrorChain;
    use std::borrow::Cow;

    #[test]
    fn a_message_keeps_its_json_text() {
        let text = concat!(
            r#"{"content":null,"x":{"b":1,"a":12345678901234567890},"#,
            r#""role":"tool","id":null,"tool_calls":[]}"#,
        );
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
        for text in
            ["", "plain", "\"", "\\", "a\nb", "\u{0}", "\u{1f}", "\u{20}\u{7f}é🙂", "/ </script>"]
        {
            let json =
                format!(r#"{{"role":"user","content":{}}}"#, serde_json::to_string(text).unwrap());
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
    fn json_that_is_not_a_message_is_refused_with_a_reason() {
        let error = |json: &str| ErrorChain(&Message::from_json(json).unwrap_err()).to_string();
        assert_eq!(
            error("{"),
            "message is not valid JSON: EOF while parsing an object at line 1 column 1"
        );
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
    fn debug_shows_size_and_usual_role_only() {
        assert_eq!(format!("{:?}", Message::user("secret")), "Message(user, 34 bytes)");
        assert_eq!(format!("{:?}", Message::new("secret", "")), "Message(other role, 30 bytes)");
    }
}
