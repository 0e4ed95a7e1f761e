//! What providers send, read as leniently as their habits demand.
//!
//! A member of the wrong type counts as absent, so that a new habit costs that member and not the answer.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::adapters::shared::lenient::lenient;
pub use crate::adapters::shared::lenient::{Number, Text};

/// A streamed chunk or a whole answer: the two differ in `delta` and `message`.
#[derive(Debug, Deserialize)]
pub struct Body<'a> {
    #[serde(borrow, default)]
    pub id: Text<'a>,
    #[serde(borrow, default)]
    pub object: Text<'a>,
    #[serde(borrow, default)]
    pub model: Text<'a>,
    #[serde(default)]
    pub created: Number,
    #[serde(borrow, default)]
    pub service_tier: Text<'a>,
    #[serde(borrow, default)]
    pub system_fingerprint: Text<'a>,
    #[serde(borrow, default)]
    pub choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default)]
    pub usage: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub x_groq: Option<XGroq<'a>>,
    /// Links that the answer rests on, and what is known of them.
    #[serde(borrow, default)]
    pub citations: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub search_results: Option<&'a RawValue>,
    /// The outcome, told apart from the status.
    #[serde(borrow, default)]
    pub base_resp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    /// Errors without an envelope are recognised by it.
    #[serde(borrow, default)]
    pub message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub detail: Option<&'a RawValue>,
}

/// What a usage object may say beside its counts.
#[derive(Debug, Deserialize)]
struct Served<'a> {
    #[serde(borrow, default)]
    service_tier: Text<'a>,
}

impl<'a> Body<'a> {
    /// The tier that served, wherever the provider says it.
    pub fn tier(&self) -> Option<Cow<'_, str>> {
        let counted = || {
            let served: Served<'a> = serde_json::from_str(self.usage?.get()).ok()?;
            (!served.service_tier.0.is_empty()).then_some(served.service_tier.0)
        };
        self.service_tier.get().map(Cow::Borrowed).or_else(counted)
    }

    /// The usage, wherever the provider puts it.
    pub fn usage(&self) -> Option<&'a RawValue> {
        let groq = || self.x_groq.as_ref().and_then(|groq| groq.usage);
        let choice = || self.choices.iter().flatten().find_map(|choice| choice.usage);
        self.usage.or_else(groq).or_else(choice)
    }
}

/// Groq's side channel.
#[derive(Debug, Deserialize)]
pub struct XGroq<'a> {
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub struct Choice<'a> {
    #[serde(default)]
    pub index: Number,
    #[serde(borrow, default)]
    pub delta: Option<Message<'a>>,
    #[serde(borrow, default)]
    pub message: Option<Message<'a>>,
    #[serde(borrow, default)]
    pub finish_reason: Text<'a>,
    #[serde(borrow, default)]
    pub native_finish_reason: Text<'a>,
    #[serde(borrow, default)]
    pub logprobs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    /// Moonshot's last chunk.
    #[serde(borrow, default)]
    pub usage: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Message<'a> {
    #[serde(borrow, default)]
    pub content: Content<'a>,
    #[serde(borrow, default)]
    pub refusal: Text<'a>,
    #[serde(borrow, default)]
    pub reasoning: Text<'a>,
    #[serde(borrow, default)]
    pub reasoning_content: Text<'a>,
    #[serde(default)]
    pub reasoning_details: List<Value>,
    #[serde(borrow, default)]
    pub tool_calls: List<Call<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub function_call: Option<Invocation<'a>>,
    #[serde(default)]
    pub annotations: List<Value>,
    #[serde(default)]
    pub images: List<Value>,
    #[serde(default)]
    pub audio: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub struct Call<'a> {
    #[serde(default)]
    pub index: Number,
    #[serde(borrow, default)]
    pub id: Text<'a>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub function: Option<Invocation<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub custom: Option<Invocation<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Invocation<'a> {
    #[serde(borrow, default)]
    pub name: Text<'a>,
    #[serde(borrow, default)]
    arguments: Arguments<'a>,
    #[serde(borrow, default)]
    input: Arguments<'a>,
}

impl<'a> Invocation<'a> {
    /// What the call is given, under either name.
    pub fn arguments(&self) -> &Arguments<'a> {
        match self.arguments {
            Arguments::Missing | Arguments::Odd => &self.input,
            _ => &self.arguments,
        }
    }
}

/// A list of objects; whatever else it holds, or stands in its place, counts as absent.
#[derive(Debug)]
pub struct List<T> {
    pub items: Vec<T>,
    /// Whether something was left out, so that the source may not be shown.
    pub is_odd: bool,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { items: Vec::new(), is_odd: false }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(raw) else {
            return Ok(Self { items: Vec::new(), is_odd: raw != "null" });
        };
        let expected = list.len();
        let objects = list.into_iter().map(RawValue::get).filter(|item| item.starts_with('{'));
        let items: Vec<T> = objects.filter_map(|item| serde_json::from_str(item).ok()).collect();
        Ok(Self { is_odd: items.len() < expected, items })
    }
}

/// `content`: a string, or a list of parts as Mistral sends it.
#[derive(Debug, Default)]
pub enum Content<'a> {
    /// Not there at all.
    #[default]
    Missing,
    Null,
    Text(Cow<'a, str>),
    Parts(Vec<Value>),
    /// Neither, so as good as missing.
    Odd,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;
        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of parts")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Content<'de>, E> {
                Ok(Content::Null)
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Content<'de>, E> {
                Ok(Content::Odd)
            }
            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Content<'de>, E> {
                Ok(Content::Odd)
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Content<'de>, E> {
                Ok(Content::Odd)
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Content<'de>, E> {
                Ok(Content::Odd)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Content<'de>, A::Error> {
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Content::Odd)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content<'de>, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = list.next_element()? {
                    parts.push(part);
                }
                Ok(Content::Parts(parts))
            }
        }
        deserializer.deserialize_any(ContentVisitor)
    }
}

/// A call's arguments: JSON text in a string, or the JSON itself.
#[derive(Debug, Default)]
pub enum Arguments<'a> {
    #[default]
    Missing,
    Text(Cow<'a, str>),
    Json(Value),
    /// JSON that is no object, so as good as missing.
    Odd,
}

impl Arguments<'_> {
    /// The JSON text.
    pub fn to_text(&self) -> String {
        match self {
            Self::Missing | Self::Odd => String::new(),
            Self::Text(text) => text.clone().into_owned(),
            Self::Json(value) => value.to_string(),
        }
    }

    /// Whether the source has the canonical form.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Missing | Self::Text(_))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ArgumentsVisitor;
        impl<'de> Visitor<'de> for ArgumentsVisitor {
            type Value = Arguments<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an object")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Arguments<'de>, E> {
                Ok(Arguments::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Arguments<'de>, E> {
                Ok(Arguments::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Arguments<'de>, E> {
                Ok(Arguments::Missing)
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Arguments<'de>, E> {
                Ok(Arguments::Odd)
            }
            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Arguments<'de>, E> {
                Ok(Arguments::Odd)
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Arguments<'de>, E> {
                Ok(Arguments::Odd)
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Arguments<'de>, E> {
                Ok(Arguments::Odd)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Arguments<'de>, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Arguments::Odd)
            }
            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Arguments<'de>, A::Error> {
                Value::deserialize(de::value::MapAccessDeserializer::new(members)).map(Arguments::Json)
            }
        }
        deserializer.deserialize_any(ArgumentsVisitor)
    }
}
