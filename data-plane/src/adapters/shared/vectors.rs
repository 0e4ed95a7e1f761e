//! Vectors and rankings in the shapes that several dialects share.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::adapters::tasks::counted;
use crate::adapters::{Failure, tasks};
use crate::model::response::ChatResponse;
use crate::model::task::{Product, Ranked};
use crate::model::usage::Usage;

/// A vector as it is printed.
#[derive(Debug, Clone, PartialEq)]
pub enum Printed<'a> {
    Numbers(Vec<f32>),
    Text(Cow<'a, str>),
}

impl Printed<'_> {
    /// The numbers; text is read where base64 was asked for, since some print other things in it.
    ///
    /// # Errors
    /// [`Failure`] for text that is something else.
    pub fn read(self, base64: bool) -> Result<Vec<f32>, Failure> {
        match self {
            Self::Numbers(numbers) => Ok(numbers),
            Self::Text(text) if base64 => tasks::from_base64(&text),
            Self::Text(_) => Err(Failure::malformed("a vector in an encoding that nobody asked for")),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Printed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PrintedVisitor)
    }
}

struct PrintedVisitor;

impl<'de> Visitor<'de> for PrintedVisitor {
    type Value = Printed<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vector")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut numbers = Vec::with_capacity(list.size_hint().unwrap_or(1_024));
        while let Some(number) = list.next_element()? {
            numbers.push(number);
        }
        Ok(Printed::Numbers(numbers))
    }
    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Printed::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Printed::Text(Cow::Owned(text.to_owned())))
    }
}

/// A vector with its place.
#[derive(Debug, Deserialize)]
pub struct Item<'a> {
    #[serde(default)]
    pub index: Option<usize>,
    #[serde(borrow)]
    pub embedding: Printed<'a>,
}

/// The vectors in the order of their inputs.
///
/// # Errors
/// [`Failure`] for places that are not those of so many inputs.
pub fn in_order(mut items: Vec<Item<'_>>, base64: bool) -> Result<Vec<Vec<f32>>, Failure> {
    if items.iter().any(|item| item.index.is_some()) {
        items.sort_by_key(|item| item.index);
        if items.iter().enumerate().any(|(at, item)| item.index != Some(at)) {
            return Err(Failure::malformed("vectors whose places are not those of the inputs"));
        }
    }
    items.into_iter().map(|item| item.embedding.read(base64)).collect()
}

/// An answer that holds vectors.
pub fn vectors(vectors: Vec<Vec<f32>>, usage: Option<Usage>) -> ChatResponse {
    ChatResponse { product: Product::Vectors(vectors), usage, ..ChatResponse::default() }
}

/// A ranking as Cohere prints it and those who follow it, with the names that some give its parts.
#[derive(Debug, Deserialize)]
pub struct Ranking {
    #[serde(alias = "data")]
    pub results: Option<Vec<Place>>,
    #[serde(default)]
    meta: Option<Meta>,
}

/// A document's place.
#[derive(Debug, Deserialize)]
pub struct Place {
    index: usize,
    #[serde(alias = "score")]
    relevance_score: f64,
}

#[derive(Debug, Default, Deserialize)]
struct Meta {
    #[serde(default)]
    billed_units: Option<Units>,
    #[serde(default)]
    tokens: Option<Units>,
}

/// Counts are whole numbers, at times with a point.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub struct Units {
    #[serde(default)]
    pub input_tokens: Option<f64>,
    #[serde(default)]
    pub image_tokens: Option<f64>,
    #[serde(default)]
    pub search_units: Option<f64>,
}

impl Ranking {
    /// What was counted: by Cohere's own bill, else by what `usage` says of tokens.
    pub fn counted(&self, tokens: Option<u64>) -> Option<Usage> {
        let meta = self.meta.as_ref();
        let billed = meta.and_then(|meta| meta.billed_units).unwrap_or_default();
        let real = meta.and_then(|meta| meta.tokens).unwrap_or_default();
        let said = real.input_tokens.or(billed.input_tokens).and_then(count).or(tokens);
        counted(said, billed.search_units.and_then(count))
    }
}

/// An answer that holds a ranking.
pub fn ranking(places: Vec<Place>, usage: Option<Usage>) -> ChatResponse {
    let places = places.into_iter().map(|place| Ranked { index: place.index, score: place.relevance_score });
    ChatResponse { product: Product::Ranking(places.collect()), usage, ..ChatResponse::default() }
}

/// A count, whole.
pub fn count(number: f64) -> Option<u64> {
    (number.is_finite() && number >= 0.0).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_numbers_and_base64_only_where_it_was_asked_for() {
        let read = |json: &str, base64| serde_json::from_str::<Printed<'_>>(json).unwrap().read(base64);
        for base64 in [true, false] {
            assert_eq!(read("[0.5, -1, 2e0]", base64).unwrap(), [0.5, -1.0, 2.0]);
        }
        assert_eq!(read("\"AAAAPwAAgL8=\"", true).unwrap(), [0.5, -1.0]);
        assert!(read("\"AAAAPwAAgL8=\"", false).is_err(), "an encoding of somebody's own");
        assert!(read("\"AAAAPw\"", true).is_err() && read("\"AAAAPwAA\"", true).is_err(), "cut short");
        for broken in ["[1, null]", "[\"1\"]", "{}", "[NaN]"] {
            assert!(serde_json::from_str::<Printed<'_>>(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn places_say_the_order_where_they_are_given() {
        let items = |json: &str| in_order(serde_json::from_str(json).unwrap(), false);
        let swapped = r#"[{"index":1,"embedding":[2]},{"index":0,"embedding":[1]}]"#;
        assert_eq!(items(swapped).unwrap(), [[1.0], [2.0]]);
        assert_eq!(items(r#"[{"embedding":[3]},{"embedding":[1]}]"#).unwrap(), [[3.0], [1.0]]);
        assert!(items(r#"[{"index":0,"embedding":[2]},{"index":0,"embedding":[1]}]"#).is_err());
        assert!(items(r#"[{"index":0,"embedding":[2]},{"embedding":[1]}]"#).is_err());
    }
}
