//! How a conversation begins, read from the request's source bytes up to its first message.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::request::ChatRequest;

/// Hashes the first instructions and the first message that is none; nothing if there is no such message.
pub fn hash(body: &[u8], hash: &mut impl Hasher) -> Option<()> {
    let mut opening = Opening::default();
    let mut source = serde_json::Deserializer::from_slice(body);
    // Ends with an error where the list goes on: what is needed is there by then.
    drop(source.deserialize_map(Body(&mut opening)));
    opening.first.map(|first| (opening.instructions.map(RawValue::get), first.get()).hash(hash))
}

/// Whether the request wants its prompt kept for an hour.
pub fn asks_for_an_hour(request: &ChatRequest) -> bool {
    let ttl = |control: &Value| control.get("ttl").and_then(Value::as_str) == Some("1h");
    request.cache_control.as_ref().is_some_and(ttl)
        || (request.facts.cache_breakpoints > 0
            && memchr::memmem::find(request.messages.raw(), br#""1h""#).is_some())
}

#[derive(Default)]
struct Opening<'a> {
    instructions: Option<&'a RawValue>,
    first: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Role<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
}

/// The request up to its messages.
struct Body<'o, 'a>(&'o mut Opening<'a>);

impl<'a> Visitor<'a> for Body<'_, 'a> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a request")
    }
    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<Cow<'a, str>>()? {
            if name == "messages" {
                return members.next_value_seed(Messages(self.0));
            }
            members.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

struct Messages<'o, 'a>(&'o mut Opening<'a>);

impl<'a> DeserializeSeed<'a> for Messages<'_, 'a> {
    type Value = ();
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Messages<'_, 'a> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of messages")
    }
    fn visit_seq<A: SeqAccess<'a>>(self, mut messages: A) -> Result<(), A::Error> {
        while let Some(message) = messages.next_element::<&RawValue>()? {
            let role = serde_json::from_str::<Role<'_>>(message.get()).map(|role| role.role);
            if matches!(role.as_deref(), Ok("system" | "developer")) {
                self.0.instructions.get_or_insert(message);
            } else {
                self.0.first = Some(message);
                break;
            }
        }
        Ok(())
    }
}
