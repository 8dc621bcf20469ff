//! The app state: a typed view of a JSON object. Fields that the type does not know are kept
//! (clause C6).

use crate::error::AppStateError;
use crate::json::{self, JsonError, JsonObject};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type that an app keeps beside the messages: it serializes to a JSON object.
///
/// Every suitable type implements it. The session reserves the field names `messages`, `createdAt`
/// and `lastAccessedAt`; app state with one of them is refused with [`AppStateError::Reserved`].
///
/// ```
/// use durable_session::ChatSession;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Tutoring {
///     step: String,
/// }
///
/// async fn advance(chat: &ChatSession<Tutoring>) -> Result<(), durable_session::Error> {
///     chat.update(|app| app.step = "classes".to_owned()).await
/// }
/// ```
pub trait AppState: Serialize + DeserializeOwned + Default + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Default + Send + Sync + 'static> AppState for T {}

/// The field names that the session reserves.
pub(crate) const RESERVED: [&str; 3] = ["messages", "createdAt", "lastAccessedAt"];

/// Converts a value of the app's type to a JSON object.
pub(crate) fn encode<A: Serialize>(app: &A) -> Result<JsonObject, AppStateError> {
    let text =
        serde_json::to_string(app).map_err(|e| AppStateError::Encode(JsonError::unwritable(e)))?;
    if !text.starts_with('{') {
        return Err(AppStateError::NotAnObject);
    }
    let object = text.parse::<JsonObject>().map_err(|_| AppStateError::NotAnObject)?;
    check(&object)?;
    Ok(object)
}

/// Refuses an object with a reserved field.
pub(crate) fn check(object: &JsonObject) -> Result<(), AppStateError> {
    match RESERVED.iter().find(|name| object.contains(name)) {
        Some(field) => Err(AppStateError::Reserved { field }),
        None => Ok(()),
    }
}

/// Converts stored app state to the app's type.
pub(crate) fn decode<A: AppState>(stored: &str) -> Result<A, AppStateError> {
    serde_json::from_str(stored).map_err(|e| AppStateError::Decode {
        field: unfit_field::<A>(stored, &e),
        source: e.into(),
    })
}

/// The field of `A` that could not be decoded. Only names that `A` itself writes are returned:
/// other keys are data.
fn unfit_field<A: AppState>(stored: &str, e: &serde_json::Error) -> Option<Box<str>> {
    let known = encode(&A::default()).ok()?;
    let mut names = known.iter().map(|(name, _)| name);
    let message = e.to_string();
    if let Some(missing) = message.strip_prefix("missing field `") {
        return names
            .find(|name| missing.strip_prefix(name).is_some_and(|rest| rest.starts_with('`')))
            .map(Box::from);
    }
    let line =
        stored.split_inclusive('\n').take(e.line().checked_sub(1)?).map(str::len).sum::<usize>();
    let at = line + e.column();
    let holds = |name: &&str| {
        let Some(value) = json::field(stored, name) else { return false };
        let begin = value.as_ptr().addr() - stored.as_ptr().addr();
        (begin..=begin + value.len()).contains(&at)
    };
    names.find(holds).map(Box::from)
}

/// The stored object after the typed view changed from `before` to `after`; `None` if the object
/// stays the same.
///
/// The merge writes a key whose value changed or that was not stored yet, and removes a key that
/// the type no longer produces. All other fields stay as they were stored, and so do unknown fields
/// inside an unchanged value.
pub(crate) fn merge(
    stored: &JsonObject,
    before: &JsonObject,
    after: &JsonObject,
) -> Option<JsonObject> {
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
    use super::{AppStateError, JsonObject, decode, encode, merge};
    use serde::Serialize;

    fn object(text: &str) -> JsonObject {
        text.parse().unwrap()
    }

    #[test]
    fn a_change_writes_only_the_changed_keys() {
        let stored = object(r#"{"old":1,"known":{"a":1,"hidden":2},"step":"x","gone":0}"#);
        let before = object(r#"{"known":{"a":1},"step":"x","gone":0}"#);
        let after = object(r#"{"known":{"a":1},"step":"y","new":true}"#);
        let merged = merge(&stored, &before, &after).unwrap();
        assert_eq!(
            merged.to_string(),
            r#"{"old":1,"known":{"a":1,"hidden":2},"step":"y","new":true}"#
        );
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
        let first = |text: &str| {
            format!("{{\"other\":\"x\",\"first\":{text},\n \"nested\":{{}},\"list\":[]}}")
        };
        for text in ["\"secret\"", "1.5", "null", "[1,2]", "{\"list\":[]}", "300", "true"] {
            assert_eq!(unfit(&first(text)).as_deref(), Some("first"), "{text}");
        }
        let nested = "{\"first\":1,\n\"nested\":{\"secret\":\"secret\"},\"list\":[]}";
        assert_eq!(unfit(nested).as_deref(), Some("nested"));
        assert_eq!(
            unfit("{\"first\":1,\"nested\":{},\n\"list\":[1,2,\"x\"]}").as_deref(),
            Some("list")
        );
        assert_eq!(unfit("{\"first\":1,\"list\":[]}").as_deref(), Some("nested"));
        assert_eq!(unfit("[]"), None);
        // A map's keys are data.
        let error = decode::<std::collections::BTreeMap<String, u8>>("{\"secret\":\"secret\"}")
            .unwrap_err();
        assert_eq!(error.to_string(), "app state does not fit the app's type");
    }

    #[test]
    fn reserved_names_and_non_objects_are_refused() {
        #[derive(Serialize)]
        struct Bad {
            messages: u8,
        }
        assert!(matches!(
            encode(&Bad { messages: 1 }),
            Err(AppStateError::Reserved { field: "messages" })
        ));
        assert!(matches!(encode(&1), Err(AppStateError::NotAnObject)));
        assert!(matches!(encode(&Option::<u8>::None), Err(AppStateError::NotAnObject)));
    }
}
