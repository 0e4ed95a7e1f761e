//! How a conversation begins, read from its source bytes without reading the rest.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::request::ChatRequest;

/// Hashes the first instructions and the first message that is none; nothing if there is no such message.
pub fn hash(messages: &[u8], hash: &mut impl Hasher) -> Option<()> {
    let mut opening = Opening::default();
    let mut source = serde_json::Deserializer::from_slice(messages);
    // Ends with an error where the list goes on: what is needed is there by then.
    drop(Seed(&mut opening).deserialize(&mut source));
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

struct Seed<'o, 'a>(&'o mut Opening<'a>);

impl<'a> DeserializeSeed<'a> for Seed<'_, 'a> {
    type Value = ();
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Seed<'_, 'a> {
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
