//! JSON inside a body whose numbers a `Value` cannot hold: many digits, beyond 64 bits.
//!
//! serde_json could keep every number as text (`arbitrary_precision`), but then all JSON of the process pays for it, and
//! numbers read through a tagged or flattened type break. So the few objects that need it travel as text, marked, and
//! are printed as they were written.

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// The one member of an object that stands for JSON text. A caller who writes it himself gets printed what he wrote.
const MARK: &str = "\u{0}switchyard.exact";

/// The object of this JSON text, exact in every digit; None where it is none.
pub fn object(text: &str) -> Option<Value> {
    if !text.trim_start().starts_with('{') || !is_json(text) {
        return None;
    }
    if is_kept(text) {
        return serde_json::from_str(text).ok();
    }
    Some(Value::Object(Map::from_iter([(MARK.to_owned(), text.into())])))
}

/// JSON text without what means nothing, or as it is where its numbers would suffer; None where it is no JSON.
pub fn compact(text: &str) -> Option<String> {
    if !is_json(text) {
        return None;
    }
    if !is_kept(text) {
        return Some(text.to_owned());
    }
    serde_json::from_str(text).ok().map(|value: Value| value.to_string())
}

/// A body as it is sent.
pub fn print(body: &Map<String, Value>) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    let printed = Members(body).serialize(&mut serde_json::Serializer::new(&mut out));
    printed.expect("values are always JSON");
    out.into()
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Whether every number of a JSON text is the same after it was read and printed.
fn is_kept(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (mut at, mut in_string) = (0, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'-' | b'0'..=b'9' if !in_string => {
                let is_digit = |byte: &&u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let length = bytes[at..].iter().take_while(is_digit).count();
                if !is_same(&text[at..at + length]) {
                    return false;
                }
                at += length;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    true
}

fn is_same(number: &str) -> bool {
    serde_json::from_str::<Number>(number).is_ok_and(|read| read.to_string() == number)
}

struct Members<'a>(&'a Map<String, Value>);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match text(self.0) {
            Some(raw) => raw.serialize(serializer),
            None => serializer.collect_map(self.0.iter().map(|(name, value)| (name, Exact(value)))),
        }
    }
}

struct Exact<'a>(&'a Value);

impl Serialize for Exact<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => Members(members).serialize(serializer),
            Value::Array(list) => serializer.collect_seq(list.iter().map(Exact)),
            other => other.serialize(serializer),
        }
    }
}

fn text(members: &Map<String, Value>) -> Option<Box<RawValue>> {
    let text = members.get(MARK).filter(|_| members.len() == 1)?.as_str()?;
    RawValue::from_string(text.to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_in_every_digit() {
        for (text, expected) in [
            (r#"{ "a": 1 }"#, r#"{"a":1}"#),
            (r#"{"a": 12345678901234567890123}"#, r#"{"a": 12345678901234567890123}"#),
            (r#"{"a":[-9223372036854775809]}"#, r#"{"a":[-9223372036854775809]}"#),
            (r#"{"a":0.1234567890123456789}"#, r#"{"a":0.1234567890123456789}"#),
            (r#"{"a":1.10}"#, r#"{"a":1.10}"#),
            (r#"{"a":1e999}"#, r#"{"a":1e999}"#),
            (r#"{"a": 18446744073709551615, "b": -0.5}"#, r#"{"a":18446744073709551615,"b":-0.5}"#),
            (r#"{"a": "\"1.10"}"#, r#"{"a":"\"1.10"}"#),
        ] {
            let body = Map::from_iter([("x".to_owned(), Value::Array(vec![object(text).unwrap()]))]);
            assert_eq!(print(&body), format!(r#"{{"x":[{expected}]}}"#), "{text}");
            assert_eq!(compact(text).as_deref(), Some(expected));
        }
        for text in ["[1]", "1", "{", r#"{"a":1} x"#] {
            assert_eq!(object(text), None, "{text}");
        }
    }

    #[test]
    fn a_mark_that_a_caller_wrote_prints_json_or_itself() {
        let marked = |text: &str| Map::from_iter([(MARK.to_owned(), Value::from(text))]);
        assert_eq!(print(&marked("[1]")), "[1]");
        assert_eq!(print(&marked("1,2")), Value::Object(marked("1,2")).to_string());
    }
}
