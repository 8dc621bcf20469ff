//! Comparing responses with the patterns of scenarios, and filling captured values into requests.
//! `protocol/README.md` describes the notation.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub(crate) type Captures = BTreeMap<String, Value>;

const OPEN: &str = "{{...}}";

/// The differences between the value and the pattern. Captures the values that the pattern names.
pub(crate) fn differences(
    pattern: &Value,
    value: Option<&Value>,
    captures: &mut Captures,
    at: &str,
) -> Vec<String> {
    if let Some(inner) = pattern.as_str().and_then(placeholder) {
        return compare_placeholder(inner, value, captures, at);
    }
    let shown =
        || value.map_or("nothing".to_owned(), |v| v.to_string().chars().take(300).collect());
    match (pattern, value) {
        (Value::Array(items), Some(Value::Array(values))) if items.len() == values.len() => {
            let each = items.iter().zip(values).enumerate();
            each.flat_map(|(i, (p, v))| differences(p, Some(v), captures, &format!("{at}[{i}]")))
                .collect()
        }
        (Value::Object(fields), Some(Value::Object(values))) => {
            let named = fields.iter().filter(|(key, _)| *key != OPEN);
            let mut wrong: Vec<String> = named
                .flat_map(|(key, p)| {
                    differences(p, values.get(key), captures, &format!("{at}.{key}"))
                })
                .collect();
            if !fields.contains_key(OPEN) {
                let extra = values.iter().filter(|(key, _)| !fields.contains_key(*key));
                wrong.extend(extra.map(|(key, v)| format!("{at}.{key}: unexpected, {v}")));
            }
            wrong
        }
        (pattern, Some(value)) if equal(pattern, value) => Vec::new(),
        _ => vec![format!("{at}: expected {pattern}, got {}", shown())],
    }
}

/// JSON equality that compares numbers as JavaScript does.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

fn placeholder(text: &str) -> Option<&str> {
    text.strip_prefix("{{")?.strip_suffix("}}")
}

fn compare_placeholder(
    inner: &str,
    value: Option<&Value>,
    captures: &mut Captures,
    at: &str,
) -> Vec<String> {
    let (test, name) = match inner.rsplit_once(" as ") {
        Some((test, name)) => (test, Some(name)),
        None => (inner, None),
    };
    let ok = if let Some(other) = test.strip_prefix("!=") {
        !captured(captures, other, value)
    } else if let Some(other) = test.strip_prefix('=') {
        captured(captures, other, value)
    } else {
        let (word, argument) = test.split_once(' ').unwrap_or((test, ""));
        passes(word, argument, value)
    };
    if !ok {
        return vec![format!("{at}: expected {inner}, got {value:?}")];
    }
    if let (Some(name), Some(value)) = (name, value) {
        captures.insert(name.to_owned(), value.clone());
    }
    Vec::new()
}

fn captured(captures: &Captures, name: &str, value: Option<&Value>) -> bool {
    let known = captures.get(name).unwrap_or_else(|| panic!("nothing was captured as {name}"));
    value.is_some_and(|value| equal(known, value))
}

fn passes(word: &str, argument: &str, value: Option<&Value>) -> bool {
    let text = value.and_then(Value::as_str);
    let lower = || text.map(str::to_lowercase);
    let words =
        |list: &str| -> Vec<String> { list.split(',').map(|w| w.trim().to_uppercase()).collect() };
    match word {
        "any" => value.is_some(),
        "absent" => value.is_none(),
        "string" => text.is_some(),
        "nonempty" => text.is_some_and(|t| !t.is_empty()),
        "integer" => value.is_some_and(|v| v.is_i64() || v.is_u64()),
        "ms" => value
            .and_then(Value::as_u64)
            .is_some_and(|ms| (1_500_000_000_000..5_000_000_000_000).contains(&ms)),
        "containing" => lower().is_some_and(|t| t.contains(&argument.to_lowercase())),
        "starting" => lower().is_some_and(|t| t.starts_with(&argument.to_lowercase())),
        "listing" => text.is_some_and(|t| words(argument).iter().all(|w| words(t).contains(w))),
        _ => panic!("unknown placeholder {word}"),
    }
}

/// A request's template with captured values in it.
pub(crate) fn fill(template: &Value, captures: &Captures) -> Value {
    match template {
        Value::String(text) => {
            let whole = placeholder(text)
                .and_then(|inner| inner.strip_prefix('='))
                .filter(|n| !n.contains('|'));
            match whole.and_then(|name| captures.get(name)) {
                Some(value) => value.clone(),
                None => Value::String(fill_text(text, captures)),
            }
        }
        Value::Array(items) => items.iter().map(|item| fill(item, captures)).collect(),
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(k, v)| (k.clone(), fill(v, captures))).collect::<Map<_, _>>(),
        ),
        other => other.clone(),
    }
}

pub(crate) fn fill_text(text: &str, captures: &Captures) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{=") {
        let end = rest[start..].find("}}").map_or(rest.len(), |end| start + end);
        let inner = &rest[start + 3..end];
        let (name, url) = inner.strip_suffix("|url").map_or((inner, false), |name| (name, true));
        let value = captures.get(name).unwrap_or_else(|| panic!("nothing was captured as {name}"));
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        filled.push_str(&rest[..start]);
        if url {
            filled.extend(form_urlencoded::byte_serialize(value.as_bytes()));
        } else {
            filled.push_str(&value);
        }
        rest = &rest[(end + 2).min(rest.len())..];
    }
    filled + rest
}
