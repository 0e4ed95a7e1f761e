//! Strings and numbers read as leniently as providers' habits demand.
//!
//! A member of the wrong type counts as absent, so that a new habit costs that member and not the answer.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A string; empty where there is none or something else.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Text<'_> {
    /// The string unless it is empty.
    pub fn get(&self) -> Option<&str> {
        if self.0.is_empty() { None } else { Some(&self.0) }
    }

    /// The same as an id: some servers write `null` in quotes.
    pub fn id(&self) -> Option<&str> {
        self.get().filter(|id| *id != "null")
    }

    /// The same, owned.
    pub fn owned(&self) -> Option<String> {
        self.get().map(str::to_owned)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient).map(|any| match any {
            Any::Text(text) => Self(text),
            Any::Number(_) | Any::Other => Self::default(),
        })
    }
}

/// A whole number that is not negative; None where there is none or something else.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Number(pub Option<u64>);

impl Number {
    /// The number, 0 if absent.
    pub fn get(self) -> u64 {
        self.0.unwrap_or(0)
    }

    /// The number, another's if absent.
    pub fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient).map(|any| match any {
            Any::Number(number) => Self(Some(number)),
            Any::Text(text) => Self(text.parse().ok()),
            Any::Other => Self(None),
        })
    }
}

enum Any<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Other,
}

/// Takes whatever comes.
struct Lenient;

impl<'de> Visitor<'de> for Lenient {
    type Value = Any<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }
    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Any<'de>, E> {
        Ok(Any::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Any<'de>, E> {
        Ok(Any::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Any<'de>, E> {
        Ok(Any::Number(number))
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Any<'de>, E> {
        Ok(u64::try_from(number).map_or(Any::Other, Any::Number))
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Any<'de>, E> {
        Ok(if number >= 0.0 { Any::Number(number as u64) } else { Any::Other })
    }
    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Any<'de>, E> {
        Ok(Any::Other)
    }
    fn visit_unit<E: de::Error>(self) -> Result<Any<'de>, E> {
        Ok(Any::Other)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Any<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Any::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Any<'de>, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Any::Other)
    }
}

/// Reads a word that is kept; None where there is none or something else.
pub fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Text::deserialize(deserializer).map(|text| text.owned())
}

/// Reads a member of a type of its own; one that does not fit counts as absent.
pub fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok())
}
