//! The app's state: a typed view on a JSON object that keeps what the type does not know (clause C6).

use crate::error::AppStateError;
use crate::json::JsonObject;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What an app may keep beside the messages: any type that serializes to a JSON object.
///
/// Implemented by itself for every type that can be. The fields `messages`, `createdAt` and `lastAccessedAt` belong to
/// the session; a type that produces one of them is refused with [`AppStateError::Reserved`].
pub trait AppState: Serialize + DeserializeOwned + Default + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Default + Send + Sync + 'static> AppState for T {}

/// The state's own fields, which no app may use.
pub(crate) const RESERVED: [&str; 3] = ["messages", "createdAt", "lastAccessedAt"];

/// The app state as an object.
pub(crate) fn encode<A: Serialize>(app: &A) -> Result<JsonObject, AppStateError> {
    let text = serde_json::to_string(app).map_err(AppStateError::Encode)?;
    if !text.starts_with('{') {
        return Err(AppStateError::NotAnObject);
    }
    let object = text.parse::<JsonObject>().map_err(|_| AppStateError::NotAnObject)?;
    check(&object)?;
    Ok(object)
}

/// Refuses objects with reserved fields.
pub(crate) fn check(object: &JsonObject) -> Result<(), AppStateError> {
    match RESERVED.iter().find(|name| object.contains(name)) {
        Some(field) => Err(AppStateError::Reserved { field }),
        None => Ok(()),
    }
}

/// The stored app state as the app's type.
pub(crate) fn decode<A: DeserializeOwned>(stored: &str) -> Result<A, AppStateError> {
    serde_json::from_str(stored).map_err(AppStateError::Decode)
}

/// The stored object after a change of the typed view from `before` to `after`; `None` if nothing changed.
///
/// Only what the change touched is written: keys whose value it changed or that were not stored yet, and it removes
/// keys that the type no longer produces. Everything else, nested unknown fields included, stays as it was stored.
pub(crate) fn merge(stored: &JsonObject, before: &JsonObject, after: &JsonObject) -> Option<JsonObject> {
    let mut merged = stored.clone();
    let mut changed = false;
    for (key, _) in before.iter().filter(|(key, _)| !after.contains(key)) {
        changed |= merged.remove(key);
    }
    for (key, value) in after.raw() {
        if before.get_json(key) != Some(value.get()) || !stored.contains(key) {
            merged.set_raw(key, value.to_owned());
            changed = true;
        }
    }
    changed.then_some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> JsonObject {
        text.parse().unwrap()
    }

    #[test]
    fn a_change_writes_only_what_it_touched() {
        let stored = object(r#"{"old":1,"known":{"a":1,"hidden":2},"step":"x","gone":0}"#);
        let before = object(r#"{"known":{"a":1},"step":"x","gone":0}"#);
        let after = object(r#"{"known":{"a":1},"step":"y","new":true}"#);
        let merged = merge(&stored, &before, &after).unwrap();
        assert_eq!(merged.to_string(), r#"{"old":1,"known":{"a":1,"hidden":2},"step":"y","new":true}"#);
        assert!(merge(&merged, &after, &after).is_none());
    }

    #[test]
    fn reserved_names_and_non_objects_are_refused() {
        #[derive(Serialize)]
        struct Bad {
            messages: u8,
        }
        assert!(matches!(encode(&Bad { messages: 1 }), Err(AppStateError::Reserved { field: "messages" })));
        assert!(matches!(encode(&1), Err(AppStateError::NotAnObject)));
        assert!(matches!(encode(&Option::<u8>::None), Err(AppStateError::NotAnObject)));
    }
}
