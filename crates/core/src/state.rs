//! The whole state of a session, as clients read it.

use crate::Message;
use crate::app::{self, AppState};
use crate::json::JsonObject;
use crate::transfer::whole_number;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// The whole state of a session: its messages, the app state and two times.
///
/// The JSON is flat: `messages`, then the app's fields, then `createdAt` and `lastAccessedAt`.
/// (De)serialization works with `serde_json` only: serde's derived `flatten` would lose key order
/// and nulls and fail on big integers. `Debug` leaves out the app state.
///
/// ```
/// use durable_session::{ChatSessionState, Message};
///
/// let state: ChatSessionState = serde_json::from_str(
///     r#"{"messages":[{"role":"user","content":"hi"}],"step":1,
///         "createdAt":5,"lastAccessedAt":6}"#,
/// )?;
/// assert_eq!(state.messages, [Message::user("hi")]);
/// assert_eq!(state.app.get_json("step"), Some("1"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct ChatSessionState<A = JsonObject> {
    /// All messages, in order.
    pub messages: Vec<Message>,
    /// The app state.
    pub app: A,
    /// When the session was created, Unix milliseconds.
    pub created_at: u64,
    /// When the session was last used, Unix milliseconds.
    pub last_accessed_at: u64,
}

impl<A> ChatSessionState<A> {
    /// A state of these parts; times in Unix milliseconds.
    ///
    /// ```
    /// use durable_session::{ChatSessionState, JsonObject, Message};
    ///
    /// let messages = vec![Message::user("hi")];
    /// let state = ChatSessionState::new(messages, JsonObject::new(), 5, 6);
    /// assert_eq!(
    ///     serde_json::to_string(&state)?,
    ///     r#"{"messages":[{"role":"user","content":"hi"}],"createdAt":5,"lastAccessedAt":6}"#
    /// );
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn new(messages: Vec<Message>, app: A, created_at: u64, last_accessed_at: u64) -> Self {
        Self { messages, app, created_at, last_accessed_at }
    }
}

impl<A> fmt::Debug for ChatSessionState<A> {
    /// Leaves out the app state: it may hold the users' own words, which stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatSessionState")
            .field("messages", &self.messages)
            .field("created_at", &self.created_at)
            .field("last_accessed_at", &self.last_accessed_at)
            .finish_non_exhaustive()
    }
}

impl<A: Serialize> Serialize for ChatSessionState<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let app = app::encode(&self.app).map_err(S::Error::custom)?;
        let mut map = serializer.serialize_map(Some(app.len() + 3))?;
        map.serialize_entry("messages", &self.messages)?;
        for (key, value) in app.raw() {
            map.serialize_entry(key, value)?;
        }
        map.serialize_entry("createdAt", &self.created_at)?;
        map.serialize_entry("lastAccessedAt", &self.last_accessed_at)?;
        map.end()
    }
}

impl<'de, A: AppState> Deserialize<'de> for ChatSessionState<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StateVisitor(PhantomData))
    }
}

struct StateVisitor<A>(PhantomData<A>);

impl<'de, A: AppState> Visitor<'de> for StateVisitor<A> {
    type Value = ChatSessionState<A>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a chat session's state")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let (mut messages, mut created_at, mut last_accessed_at) = (None, None, None);
        let mut app = JsonObject::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "messages" => messages = Some(map.next_value()?),
                "createdAt" => created_at = Some(time(&mut map, "createdAt")?),
                "lastAccessedAt" => last_accessed_at = Some(time(&mut map, "lastAccessedAt")?),
                _ => {
                    let value = map.next_value::<Box<RawValue>>()?;
                    app.set_json(&key, value.get()).map_err(M::Error::custom)?;
                }
            }
        }
        Ok(ChatSessionState {
            messages: messages.ok_or_else(|| M::Error::missing_field("messages"))?,
            app: app::decode(&app.to_string()).map_err(M::Error::custom)?,
            created_at: created_at.ok_or_else(|| M::Error::missing_field("createdAt"))?,
            last_accessed_at: last_accessed_at
                .ok_or_else(|| M::Error::missing_field("lastAccessedAt"))?,
        })
    }
}

/// Reads a time, also a whole number with a fraction of zeros, such as `1763264606917.0`.
fn time<'de, M: MapAccess<'de>>(map: &mut M, field: &str) -> Result<u64, M::Error> {
    let raw = map.next_value::<Box<RawValue>>()?;
    whole_number(raw.get()).ok_or_else(|| {
        M::Error::custom(format!("`{field}` must be whole Unix milliseconds, from 0 on"))
    })
}

/// Writes the JSON of a state from parts that are JSON already, without parsing a message.
///
/// # Errors
/// The first error among `messages`.
pub(crate) fn write_json<E>(
    messages: impl Iterator<Item = Result<impl AsRef<str>, E>>,
    bytes_hint: usize,
    app: &str,
    created_at: u64,
    last_accessed_at: u64,
) -> Result<String, E> {
    let mut json = String::with_capacity(bytes_hint + app.len() + 128);
    json.push_str(OPENING);
    push_list(&mut json, messages)?;
    close_json(&mut json, app, created_at, last_accessed_at);
    Ok(json)
}

/// Appends messages, separated by commas.
pub(crate) fn push_list<E>(
    json: &mut String,
    messages: impl Iterator<Item = Result<impl AsRef<str>, E>>,
) -> Result<(), E> {
    for (i, message) in messages.enumerate() {
        if i > 0 {
            json.push(',');
        }
        json.push_str(message?.as_ref());
    }
    Ok(())
}

/// The beginning of the JSON of a state. The messages follow, separated by commas.
pub(crate) const OPENING: &str = "{\"messages\":[";

/// Appends the end of the JSON of a state after its messages, without parsing.
pub(crate) fn close_json(json: &mut String, app: &str, created_at: u64, last_accessed_at: u64) {
    json.push(']');
    // The app state is an object. Its fields without the braces belong here.
    let fields =
        app.trim().strip_prefix('{').and_then(|a| a.strip_suffix('}')).unwrap_or_default().trim();
    if !fields.is_empty() {
        json.push(',');
        json.push_str(fields);
    }
    json.push_str(",\"createdAt\":");
    json.push_str(&created_at.to_string());
    json.push_str(",\"lastAccessedAt\":");
    json.push_str(&last_accessed_at.to_string());
    json.push('}');
}

#[cfg(test)]
mod tests {
    use super::{ChatSessionState, write_json};
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Tutoring {
        pending_match: Option<u8>,
        available_tutors_list: Vec<u8>,
    }

    const JSON: &str = concat!(
        r#"{"messages":[{"role":"user","content":null,"n":12345678901234567890123}],"#,
        r#""pendingMatch":null,"availableTutorsList":[],"#,
        r#""createdAt":1763264606917,"lastAccessedAt":1763267948600}"#,
    );

    #[test]
    fn the_state_json_is_flat_and_lossless() {
        let typed: ChatSessionState<Tutoring> = serde_json::from_str(JSON).unwrap();
        assert_eq!(serde_json::to_string(&typed).unwrap(), JSON);
        let open: ChatSessionState = serde_json::from_str(JSON).unwrap();
        assert_eq!(serde_json::to_string(&open).unwrap(), JSON);
        let parts = write_json(
            open.messages.iter().map(|message| Ok::<_, ()>(message.as_json())),
            0,
            &open.app.to_string(),
            open.created_at,
            open.last_accessed_at,
        );
        assert_eq!(parts.unwrap(), JSON);
    }

    #[test]
    fn an_app_field_with_a_reserved_name_is_an_error() {
        #[derive(Serialize)]
        struct Bad {
            #[serde(rename = "createdAt")]
            created_at: u8,
        }
        #[derive(Serialize)]
        struct Fine {
            created_at: u8,
        }
        let state = ChatSessionState::new(vec![], Bad { created_at: 1 }, 0, 0);
        assert!(serde_json::to_string(&state).unwrap_err().to_string().contains("createdAt"));
        // A field that merely looks alike is the app's.
        let state = ChatSessionState::new(vec![], Fine { created_at: 1 }, 0, 0);
        assert_eq!(
            serde_json::to_string(&state).unwrap(),
            r#"{"messages":[],"created_at":1,"createdAt":0,"lastAccessedAt":0}"#
        );
    }

    #[test]
    fn an_incomplete_state_is_an_error() {
        for bad in [
            "{}",
            r#"{"messages":[],"createdAt":1}"#,
            r#"{"messages":{},"createdAt":1,"lastAccessedAt":1}"#,
        ] {
            assert!(serde_json::from_str::<ChatSessionState>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_a_whole_number_however_it_is_written() {
        let read = |time: &str| {
            let json = format!(r#"{{"messages":[],"createdAt":{time},"lastAccessedAt":{time}}}"#);
            serde_json::from_str::<ChatSessionState>(&json)
                .map(|s| (s.created_at, s.last_accessed_at))
        };
        for time in ["1763264606917", "1763264606917.0", "1.763264606917e12"] {
            assert_eq!(read(time).unwrap(), (1_763_264_606_917, 1_763_264_606_917), "{time}");
        }
        assert_eq!(read("18446744073709551615").unwrap().0, u64::MAX);
        for time in ["1763264606917.5", "-1", "\"1763264606917\"", "null", "18446744073709551616"] {
            let error = read(time).unwrap_err().to_string();
            assert!(
                error.contains("`createdAt` must be whole Unix milliseconds"),
                "{time}: {error}"
            );
        }
    }
}
