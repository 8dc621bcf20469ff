//! The app's state: a typed view on a JSON object that keeps what the type does not know (clause C6).

use crate::error::AppStateError;
use crate::json::{self, JsonError, JsonObject};
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
    let text = serde_json::to_string(app).map_err(|e| AppStateError::Encode(JsonError::unwritable(e)))?;
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
pub(crate) fn decode<A: AppState>(stored: &str) -> Result<A, AppStateError> {
    serde_json::from_str(stored)
        .map_err(|e| AppStateError::Decode { field: unfit_field::<A>(stored, &e), source: e.into() })
}

/// The field of `A` that an error of decoding is about. Only names that `A` itself writes are told: other keys are data.
fn unfit_field<A: AppState>(stored: &str, e: &serde_json::Error) -> Option<Box<str>> {
    let known = encode(&A::default()).ok()?;
    let mut names = known.iter().map(|(name, _)| name);
    let message = e.to_string();
    if let Some(missing) = message.strip_prefix("missing field `") {
        return names
            .find(|name| missing.strip_prefix(name).is_some_and(|rest| rest.starts_with('`')))
            .map(Box::from);
    }
    let line = stored.split_inclusive('\n').take(e.line().checked_sub(1)?).map(str::len).sum::<usize>();
    let at = line + e.column();
    let holds = |name: &&str| {
        let Some(value) = json::field(stored, name) else { return false };
        let begin = value.as_ptr().addr() - stored.as_ptr().addr();
        (begin..=begin + value.len()).contains(&at)
    };
    names.find(holds).map(Box::from)
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
    fn a_field_that_does_not_fit_is_named_if_the_type_has_it() {
        #[derive(Debug, Default, Serialize, serde::Deserialize)]
        struct App {
            first: u8,
            nested: std::collections::BTreeMap<String, u8>,
            list: Vec<u8>,
        }
        let unfit = |stored: &str| match decode::<App>(stored).unwrap_err() {
            AppStateError::Decode { field, .. } => field.map(String::from),
            other => panic!("{other}"),
        };
        let first =
            |text: &str| format!("{{\"other\":\"x\",\"first\":{text},\n \"nested\":{{}},\"list\":[]}}");
        for text in ["\"secret\"", "1.5", "null", "[1,2]", "{\"list\":[]}", "300", "true"] {
            assert_eq!(unfit(&first(text)).as_deref(), Some("first"), "{text}");
        }
        let nested = "{\"first\":1,\n\"nested\":{\"secret\":\"secret\"},\"list\":[]}";
        assert_eq!(unfit(nested).as_deref(), Some("nested"));
        assert_eq!(unfit("{\"first\":1,\"nested\":{},\n\"list\":[1,2,\"x\"]}").as_deref(), Some("list"));
        assert_eq!(unfit("{\"first\":1,\"list\":[]}").as_deref(), Some("nested"));
        assert_eq!(unfit("[]"), None);
        // A map's keys are data.
        let error = decode::<std::collections::BTreeMap<String, u8>>("{\"secret\":\"secret\"}").unwrap_err();
        assert_eq!(error.to_string(), "app state does not fit the app's type");
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
