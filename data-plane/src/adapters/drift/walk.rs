//! Compares one JSON value with the vocabulary, from the outside in, and stops where something is unknown.

use serde_json::Value;

use crate::adapters::drift::vocabulary::{JsonType, Shape, Vocabulary};
use crate::adapters::drift::{Found, Kind, names};

/// Deeper than any dialect; what lies below is not looked at.
const DEEPEST: usize = 32;

/// Adds what of `value` the vocabulary does not know.
pub fn walk(vocabulary: &Vocabulary, value: &Value, found: &mut Found) {
    let mut walker = Walker { vocabulary, found, path: Vec::new() };
    walker.value(vocabulary.root(), value);
}

struct Walker<'a, 'f> {
    vocabulary: &'a Vocabulary,
    found: &'f mut Found,
    /// From the root; list places are [`ITEM`].
    path: Vec<&'a str>,
}

const ITEM: &str = "[]";
const ENTRY: &str = "*";

impl<'a> Walker<'a, '_> {
    fn value(&mut self, shape: Shape<'a>, value: &'a Value) {
        if shape.is_open() || value.is_null() || self.path.len() > DEEPEST {
            return;
        }
        if !shape.may_be(JsonType::of(value)) {
            return self.add(Kind::Type, JsonType::of(value).as_str());
        }
        match value {
            Value::String(word) if !word.is_empty() && !shape.knows_word(word) => {
                self.add(Kind::Word, names::word(word));
            }
            Value::Array(items) => self.items(shape, items),
            Value::Object(members) => {
                members.iter().for_each(|(name, member)| self.member(shape, name, member));
            }
            _ => {}
        }
    }

    fn items(&mut self, shape: Shape<'a>, items: &'a [Value]) {
        for item in items {
            self.path.push(ITEM);
            match shape.item(self.vocabulary) {
                Some(known) => self.value(known, item),
                None => self.add(Kind::Field, JsonType::of(item).as_str()),
            }
            self.path.pop();
        }
    }

    fn member(&mut self, shape: Shape<'a>, name: &'a str, member: &'a Value) {
        let known = shape.member(self.vocabulary, name);
        let told = match &known {
            Some((_, true)) => name,
            Some((_, false)) => ENTRY,
            None => names::key(name),
        };
        self.path.push(told);
        match known {
            Some((known, _)) => self.value(known, member),
            None => self.add(Kind::Field, JsonType::of(member).as_str()),
        }
        self.path.pop();
    }

    fn add(&mut self, kind: Kind, detail: &str) {
        self.found.add(kind, &joined(&self.path), detail);
    }
}

/// `choices[].delta.content`; the root itself is `$`.
fn joined(path: &[&str]) -> String {
    let mut text = String::new();
    for part in path {
        if *part != ITEM && !text.is_empty() {
            text.push('.');
        }
        text.push_str(part);
    }
    if text.is_empty() || text.starts_with(ITEM) {
        text.insert(0, '$');
    }
    text
}
