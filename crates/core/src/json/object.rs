//! A JSON object that keeps the JSON text of its values.

use super::JsonError;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A JSON object: its fields in order, each value as JSON text.
///
/// Key order, big integers and `null`s are kept. `JsonObject` is the default app state of a
/// session, for apps without a type of their own. (De)serialization works with `serde_json` only.
///
/// Equality is [JSON equality](crate::json::equal). `Display` writes the JSON; `Debug` shows the
/// size only.
///
/// ```
/// use durable_session::json::JsonObject;
///
/// let mut app: JsonObject = r#"{"step":"classes","big":12345678901234567890123}"#.parse()?;
/// app.set("step", "complete")?;
/// assert_eq!(app.to_string(), r#"{"step":"complete","big":12345678901234567890123}"#);
/// assert_eq!(app.get::<String>("step")?.as_deref(), Some("complete"));
/// # Ok::<(), durable_session::json::JsonError>(())
/// ```
#[derive(Clone, Default)]
pub struct JsonObject {
    fields: Vec<(Box<str>, Box<RawValue>)>,
}

impl JsonObject {
    /// An object without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// The field `key` as a `T`; `None` if the object has no such field.
    ///
    /// # Errors
    /// [`JsonError`] if the value does not fit `T`.
    ///
    /// ```
    /// use durable_session::JsonObject;
    ///
    /// let app: JsonObject = r#"{"step":3}"#.parse()?;
    /// assert_eq!(app.get::<u8>("step")?, Some(3));
    /// assert!(app.get::<bool>("step").is_err());
    /// # Ok::<(), durable_session::json::JsonError>(())
    /// ```
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, JsonError> {
        self.get_json(key).map(serde_json::from_str).transpose().map_err(JsonError::from)
    }

    /// The JSON text of the field `key`; `None` if the object has no such field.
    ///
    /// ```
    /// use durable_session::JsonObject;
    ///
    /// let app: JsonObject = r#"{"price":10.50}"#.parse()?;
    /// assert_eq!(app.get_json("price"), Some("10.50"));
    /// # Ok::<(), durable_session::json::JsonError>(())
    /// ```
    pub fn get_json(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(k, _)| **k == *key).map(|(_, v)| v.get())
    }

    /// Sets the field `key`. A known field keeps its place; a new field is added at the end.
    ///
    /// # Errors
    /// [`JsonError`] if `value` cannot be written as JSON.
    ///
    /// ```
    /// use durable_session::JsonObject;
    ///
    /// let mut app = JsonObject::new();
    /// app.set("step", "classes")?;
    /// assert_eq!(app.to_string(), r#"{"step":"classes"}"#);
    /// # Ok::<(), durable_session::json::JsonError>(())
    /// ```
    pub fn set<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), JsonError> {
        let raw = serde_json::value::to_raw_value(value).map_err(JsonError::unwritable)?;
        self.set_raw(key, raw);
        Ok(())
    }

    /// Sets the field `key` to a value given as JSON text.
    ///
    /// # Errors
    /// [`JsonError`] if `json` is not valid JSON.
    ///
    /// ```
    /// use durable_session::JsonObject;
    ///
    /// let mut app = JsonObject::new();
    /// app.set_json("price", "10.50")?;
    /// assert_eq!(app.get_json("price"), Some("10.50"));
    /// # Ok::<(), durable_session::json::JsonError>(())
    /// ```
    pub fn set_json(&mut self, key: &str, json: &str) -> Result<(), JsonError> {
        super::check(json)?;
        let raw = RawValue::from_string(json.trim().to_owned())?;
        self.set_raw(key, raw);
        Ok(())
    }

    pub(crate) fn set_raw(&mut self, key: &str, raw: Box<RawValue>) {
        match self.fields.iter_mut().find(|(k, _)| **k == *key) {
            Some((_, v)) => *v = raw,
            None => self.fields.push((key.into(), raw)),
        }
    }

    /// Removes the field `key`; `false` if the object has no such field.
    ///
    /// ```
    /// use durable_session::JsonObject;
    ///
    /// let mut app: JsonObject = r#"{"step":1}"#.parse()?;
    /// assert!(app.remove("step") && !app.remove("step"));
    /// # Ok::<(), durable_session::json::JsonError>(())
    /// ```
    pub fn remove(&mut self, key: &str) -> bool {
        let before = self.fields.len();
        self.fields.retain(|(k, _)| **k != *key);
        self.fields.len() != before
    }

    /// The fields in order: key and JSON text of the value.
    ///
    /// ```
    /// use durable_session::JsonObject;
    ///
    /// let app: JsonObject = r#"{"b":1,"a":[2]}"#.parse()?;
    /// assert_eq!(app.iter().collect::<Vec<_>>(), [("b", "1"), ("a", "[2]")]);
    /// # Ok::<(), durable_session::json::JsonError>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(k, v)| (&**k, v.get()))
    }

    /// Whether the object has the field `key`.
    pub fn contains(&self, key: &str) -> bool {
        self.get_json(key).is_some()
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether the object has no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Parses text that was checked before it was stored.
    pub(crate) fn parse_stored(text: &str) -> Result<Self, JsonError> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let object = deserializer.deserialize_map(FieldsVisitor)?;
        deserializer.end()?;
        Ok(object)
    }

    pub(crate) fn raw(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.fields.iter().map(|(k, v)| (&**k, &**v))
    }
}

impl std::str::FromStr for JsonObject {
    type Err = JsonError;

    fn from_str(text: &str) -> Result<Self, JsonError> {
        super::check(text)?;
        Self::parse_stored(text)
    }
}

impl fmt::Display for JsonObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for JsonObject {
    /// Shows sizes only: keys and values may be the users' own words, which stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.iter().map(|(key, value)| key.len() + value.len()).sum();
        write!(f, "JsonObject({} fields, {bytes} bytes)", self.len())
    }
}

impl PartialEq for JsonObject {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .all(|(key, value)| other.get_json(key).is_some_and(|v| super::equal(value, v)))
    }
}

impl Serialize for JsonObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (key, value) in &self.fields {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = deserializer.deserialize_map(FieldsVisitor)?;
        for (_, value) in &object.fields {
            super::check(value.get()).map_err(D::Error::custom)?;
        }
        Ok(object)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = JsonObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<JsonObject, M::Error> {
        let mut object = JsonObject::new();
        while let Some((key, value)) = map.next_entry::<Cow<'de, str>, Box<RawValue>>()? {
            object.set_raw(&key, value);
        }
        Ok(object)
    }
}

/// The JSON text of one top-level field of an object, without building the object. Of a repeated
/// key the last value counts.
pub(crate) fn field<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    struct Find<'k>(&'k str);

    impl<'de> Visitor<'de> for Find<'_> {
        type Value = Option<&'de str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                if key == self.0 {
                    found = Some(map.next_value::<&'de RawValue>()?.get());
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }

    serde_json::Deserializer::from_str(object).deserialize_map(Find(key)).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::{JsonObject, field};

    #[test]
    fn an_object_keeps_order_nulls_and_big_numbers() {
        let text =
            r#"{"z":1.0,"a":null,"big":123456789012345678901234567890,"n":{"y":[],"x":"é"}}"#;
        let object: JsonObject = text.parse().unwrap();
        assert_eq!(object.to_string(), text);
        assert_eq!(serde_json::from_str::<JsonObject>(text).unwrap().to_string(), text);
        assert_eq!(object.get::<f64>("z").unwrap(), Some(1.0));
        assert_eq!(object.get::<u8>("none").unwrap(), None);
        assert!(object.get::<u8>("n").is_err());
    }

    #[test]
    fn a_repeated_key_has_its_last_value_at_its_first_place() {
        let object: JsonObject = r#"{"a":1,"b":2,"a":3}"#.parse().unwrap();
        assert_eq!(object.to_string(), r#"{"a":3,"b":2}"#);
        assert_eq!(field(r#"{"a":1,"b":2,"a":3}"#, "a"), Some("3"));
    }

    #[test]
    fn text_that_is_not_a_valid_object_is_an_error() {
        for bad in ["[]", "1", "{", r#"{"a":"\ud83d"}"#, "{} {}"] {
            assert!(bad.parse::<JsonObject>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<JsonObject>(r#"{"a":["\ud83d"]}"#).is_err());
        assert!(JsonObject::new().set_json("a", "{").is_err());
    }

    #[test]
    fn debug_shows_sizes_only() {
        let object: JsonObject = r#"{"name":"secret"}"#.parse().unwrap();
        assert_eq!(format!("{object:?}"), "JsonObject(1 fields, 12 bytes)");
    }
}
