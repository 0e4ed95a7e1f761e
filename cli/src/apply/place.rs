//! Where in a file something is wrong: the line of a field's path.
//!
//! YAML values do not carry their lines, but errors while reading them do: a reader that walks down the path and
//! then fails on purpose learns the line.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::apply::variables;

/// A place in a file, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    pub line: Option<usize>,
    /// Path of the field, e.g. `models[0].endpoints[1].price.input`; may be empty.
    pub field: String,
}

/// Something in a file that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub place: Place,
    pub reason: String,
}

impl Fault {
    /// A field of a file's text that cannot be taken.
    pub fn at(text: &str, field: impl Into<String>, reason: impl Into<String>) -> Self {
        let field = field.into();
        Self { place: Place { line: line_of(text, &field), field }, reason: reason.into() }
    }

    /// From the reader; the texts that it quotes may be secrets, so they are cut out.
    pub fn of_yaml(error: &serde_yaml_ng::Error) -> Self {
        let line = error.location().map(|location| location.line());
        let text = variables::unveil(&error.to_string());
        let text = text.split_once(" at line ").map_or(text.as_str(), |(message, _)| message);
        let (field, reason) = match text.split_once(": ") {
            Some((field, reason)) if is_path(field) => (field, reason),
            _ => ("", text),
        };
        Self { place: Place { line, field: field.to_owned() }, reason: without_value(reason) }
    }
}

/// `12: models[0].id: …`; to follow the file's name and a colon.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.place.line {
            write!(f, "{line}: ")?;
        }
        if !self.place.field.is_empty() {
            write!(f, "{}: ", self.place.field)?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Fault {}

fn is_path(text: &str) -> bool {
    !text.contains(char::is_whitespace) && text.starts_with(|first: char| first.is_ascii_lowercase())
}

/// ``invalid type: string "…", expected …`` without what is quoted.
fn without_value(reason: &str) -> String {
    match (reason.split_once("string \""), reason.rsplit_once("\", expected")) {
        (Some((before, _)), Some((_, after))) => format!("{before}text, expected{after}"),
        _ => reason.to_owned(),
    }
}

/// The line (from 1) of the field with this path, or of the nearest thing around it that the file has.
pub fn line_of(text: &str, path: &str) -> Option<usize> {
    let (text, path) = (variables::veil(text), steps(path));
    let error = Walk { path: &path }.deserialize(serde_yaml_ng::Deserializer::from_str(&text)).err()?;
    error.location().map(|location| location.line())
}

/// A path's field names and indices.
fn steps(path: &str) -> Vec<String> {
    path.split(['.', '['])
        .map(|step| step.trim_end_matches(']').to_owned())
        .filter(|step| !step.is_empty())
        .collect()
}

/// Reads down a path and fails at its end.
#[derive(Clone, Copy)]
struct Walk<'a> {
    path: &'a [String],
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the end of the path")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((name, path)) = self.path.split_first() else { return Err(here()) };
        while let Some(key) = map.next_key::<String>()? {
            if key == *name {
                return map.next_value_seed(Walk { path });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Err(here())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((index, path)) = self.path.split_first() else { return Err(here()) };
        let index: usize = index.parse().map_err(|_| here())?;
        for _ in 0..index {
            items.next_element::<IgnoredAny>()?.ok_or_else(here)?;
        }
        items.next_element_seed(Walk { path })?.ok_or_else(here)
    }
}

/// The error that the reader gives its place to; scalars fail by themselves, as nothing was expected of them.
fn here<E: de::Error>() -> E {
    E::custom("here")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
models:
  - id: a/b
    endpoints:
      - provider: one
        price: {input: \"1\"}

      - provider: two
        price:
          input: cheap
tenants:
  - id: acme
    keys: [{name: ci, limit: {usd: x}}]
";

    #[test]
    fn paths_lead_to_their_lines() {
        for (path, line) in [
            ("models", 3),
            ("models[0].id", 3),
            ("models[0].endpoints[0].price.input", 6),
            ("models[0].endpoints[1].provider", 8),
            ("models[0].endpoints[1].price.input", 10),
            ("tenants[0].keys[0].limit.usd", 13),
        ] {
            assert_eq!(line_of(TEXT, path), Some(line), "{path}");
        }
    }

    #[test]
    fn a_field_that_is_missing_has_the_line_of_what_lacks_it() {
        for (path, line) in [
            ("models[0].endpoints[1].upstream_id", 8),
            ("models[0].endpoints[1].price.output", 10),
            ("tenants[0].keys[0].secret", 13),
        ] {
            assert_eq!(line_of(TEXT, path), Some(line), "{path}");
        }
    }

    #[test]
    fn quoted_texts_are_cut_out() {
        type Numbers = std::collections::HashMap<String, u32>;
        let error = serde_yaml_ng::from_str::<Numbers>("a: sk-canary").unwrap_err();
        let fault = Fault::of_yaml(&error);
        assert_eq!(fault.to_string(), "1: a: invalid type: text, expected u32");
    }
}
