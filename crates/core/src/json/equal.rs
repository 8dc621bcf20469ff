//! Equality of JSON texts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// Deeper than all JSON that passes the check. Deeper texts are equal to nothing.
const MAX_DEPTH: usize = 160;

/// Whether two JSON texts are *JSON-equal*. A retry must be JSON-equal to the stored message
/// (clause C7).
///
/// - White space outside strings does not matter.
/// - Objects are equal if they have the same keys with equal values, in any order. Of a repeated
///   key the last value counts, as in JavaScript.
/// - Arrays are equal if they have equal elements in the same order.
/// - Strings are equal if they have the same code points after unescaping; there is no Unicode
///   normalization.
/// - Numbers are equal if they are exactly the same number: `1`, `1.0` and `10e-1` are equal, `-0`
///   equals `0`, and `9007199254740993` differs from `9007199254740992` although both round to the
///   same double.
/// - All else differs: `null` differs from an absent key, `"1"` differs from `1`.
///
/// A text that is not JSON is equal only to itself.
///
/// ```
/// use durable_session::json;
///
/// assert!(json::equal(r#"{"a":1,"b":"é"}"#, r#"{ "b":"\u00e9", "a":1.0 }"#));
/// assert!(!json::equal(r#"{"a":null}"#, "{}"));
/// ```
pub fn equal(a: &str, b: &str) -> bool {
    a == b || matches!((parse(a), parse(b)), (Some(a), Some(b)) if a == b)
}

/// Feeds a JSON text to `hasher`. JSON-equal texts have equal hashes.
pub(crate) fn hash(text: &str, hasher: &mut impl Hasher) {
    match parse(text) {
        Some(node) => node.hash(hasher),
        None => text.hash(hasher),
    }
}

#[derive(PartialEq, Hash)]
enum Node<'a> {
    Null,
    Bool(bool),
    Number(Decimal),
    String(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    Object(BTreeMap<Cow<'a, str>, Node<'a>>),
}

/// `±0.digits × 10^exponent` with no zero at either end of `digits`. Each number has one such form.
#[derive(PartialEq, Hash)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

fn parse(text: &str) -> Option<Node<'_>> {
    let mut parser = Parser { text, at: 0 };
    let node = parser.node(0)?;
    parser.space();
    (parser.at == text.len()).then_some(node)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(token.as_bytes());
        if found {
            self.at += token.len();
        }
        found
    }

    fn node(&mut self, depth: usize) -> Option<Node<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.space();
        match self.peek()? {
            b'n' => self.eat("null").then_some(Node::Null),
            b't' => self.eat("true").then_some(Node::Bool(true)),
            b'f' => self.eat("false").then_some(Node::Bool(false)),
            b'"' => self.string().map(Node::String),
            b'[' => self.array(depth),
            b'{' => self.object(depth),
            _ => self.number().map(Node::Number),
        }
    }

    fn array(&mut self, depth: usize) -> Option<Node<'a>> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        if self.eat("]") {
            return Some(Node::Array(items));
        }
        loop {
            items.push(self.node(depth + 1)?);
            self.space();
            if self.eat("]") {
                return Some(Node::Array(items));
            }
            self.eat(",").then_some(())?;
        }
    }

    fn object(&mut self, depth: usize) -> Option<Node<'a>> {
        let mut fields = BTreeMap::new();
        self.at += 1;
        self.space();
        if self.eat("}") {
            return Some(Node::Object(fields));
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.eat(":").then_some(())?;
            let value = self.node(depth + 1)?;
            fields.insert(key, value);
            self.space();
            if self.eat("}") {
                return Some(Node::Object(fields));
            }
            self.eat(",").then_some(())?;
        }
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        self.eat("\"").then_some(())?;
        let mut escaped = false;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let token = self.text.get(start..self.at)?;
        if escaped {
            serde_json::from_str(token).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(&token[1..token.len() - 1]))
        }
    }

    fn number(&mut self) -> Option<Decimal> {
        let negative = self.eat("-");
        let mut digits = self.digits().to_vec();
        if digits.is_empty() {
            return None;
        }
        let mut exponent = i64::try_from(digits.len()).ok()?;
        if self.eat(".") {
            digits.extend_from_slice(self.digits());
        }
        if self.eat("e") || self.eat("E") {
            let minus = self.eat("-");
            if !minus {
                self.eat("+");
            }
            let power = std::str::from_utf8(self.digits()).ok()?.parse::<i64>().ok()?;
            exponent =
                if minus { exponent.checked_sub(power)? } else { exponent.checked_add(power)? };
        }
        let leading = digits.iter().take_while(|&&d| d == b'0').count();
        digits.drain(..leading);
        exponent = exponent.checked_sub(i64::try_from(leading).ok()?)?;
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Decimal { negative: false, digits, exponent: 0 });
        }
        Some(Decimal { negative, digits, exponent })
    }

    fn digits(&mut self) -> &'a [u8] {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        &self.text.as_bytes()[start..self.at]
    }
}

#[cfg(test)]
mod tests {
    use super::equal;

    #[test]
    fn numbers_are_compared_exactly() {
        for (a, b) in [
            ("1", "1.0"),
            ("1", "10e-1"),
            ("100", "1E+2"),
            ("-0", "0"),
            ("0.10", "1e-1"),
            ("0e5", "0"),
            ("12345678901234567890123", "1.2345678901234567890123e22"),
        ] {
            assert!(equal(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("1", "-1"),
            ("9007199254740993", "9007199254740992"),
            ("0.1", "0.10000000000000001"),
            ("1", "\"1\""),
            ("10", "1"),
            ("1", "true"),
        ] {
            assert!(!equal(a, b), "{a} {b}");
        }
    }

    #[test]
    fn key_order_and_white_space_do_not_matter_but_array_order_does() {
        assert!(equal(
            r#"{"a":[1,{"b":null}],"c":""}"#,
            "{ \"c\" : \"\" ,\n\"a\":[ 1,{\"b\":null} ] }"
        ));
        assert!(equal(r#"{"a":1,"a":2}"#, r#"{"a":2}"#));
        assert!(equal(r#""\u0041\n\ud83d\ude00""#, "\"A\\n😀\""));
        assert!(!equal("[1,2]", "[2,1]"));
        assert!(!equal(r#"{"a":null}"#, "{}"));
        assert!(!equal("\"é\"", "\"e\u{301}\""));
        assert!(equal("[]", "[ ]") && equal("{}", "{ }"));
    }

    #[test]
    fn text_that_is_not_json_is_equal_only_to_itself() {
        for bad in ["", "{", "[1", "\"", "\"\\", "-", "1e", "{\"a\"}", "[1 2]", "1 1", "é", "\"\\é"]
        {
            assert!(equal(bad, bad));
            assert!(!equal(bad, &format!("{bad} ")), "{bad}");
        }
    }
}
