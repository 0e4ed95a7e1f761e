//! One look at a prompt: checks its types and measures it without keeping any of its text.
//!
//! Same-dialect requests never need more than this; others type the messages in `messages.rs`.

mod parts;
mod tools;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::api::openai_chat::explain::about;
use crate::api::openai_chat::scan::parts::PartScan;
pub use crate::api::openai_chat::scan::tools::ToolsScan;
use crate::api::openai_chat::scan::tools::{CallsScan, FunctionScan};
use crate::model::facts::Facts;
use crate::model::message::Role;

/// A member's name or a short string, borrowed where it has no escapes.
#[derive(Debug, Default)]
pub struct Word<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for Word<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordVisitor;
        impl<'de> Visitor<'de> for WordVisitor {
            type Value = Word<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Word(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Word(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(WordVisitor)
    }
}

/// The length of a string in bytes; null counts as empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextLen(pub u64);

impl<'de> Deserialize<'de> for TextLen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Length;
        impl<'de> Visitor<'de> for Length {
            type Value = TextLen;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<TextLen, E> {
                Ok(TextLen(text.len() as u64))
            }
            fn visit_unit<E: de::Error>(self) -> Result<TextLen, E> {
                Ok(TextLen(0))
            }
        }
        deserializer.deserialize_any(Length)
    }
}

/// Reads `messages` and adds what it finds to the facts.
pub struct MessagesScan<'f>(pub &'f mut Facts);

impl<'de> DeserializeSeed<'de> for MessagesScan<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for MessagesScan<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of messages")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut messages: A) -> Result<(), A::Error> {
        while let Some(shape) = messages.next_element_seed(MessageScan(self.0))? {
            self.0.messages += 1;
            self.0.prefill = shape.role == Some(Role::Assistant) && !shape.calls;
        }
        Ok(())
    }
}

/// Reads one message.
struct MessageScan<'f>(&'f mut Facts);

/// What is known of a message after its last member.
#[derive(Default)]
struct MessageShape {
    role: Option<Role>,
    content: bool,
    calls: bool,
    answers: bool,
}

impl<'de> DeserializeSeed<'de> for MessageScan<'_> {
    type Value = MessageShape;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<MessageShape, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageScan<'_> {
    type Value = MessageShape;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<MessageShape, A::Error> {
        let facts = self.0;
        let mut shape = MessageShape::default();
        while let Some(Word(key)) = members.next_key()? {
            match key.as_ref() {
                "role" => shape.role = Some(members.next_value::<RoleName>()?.0),
                "content" => shape.content = members.next_value_seed(ContentScan(facts))?,
                "tool_calls" => shape.calls |= members.next_value_seed(CallsScan(facts))?,
                "function_call" => {
                    let call: Option<FunctionScan> = members.next_value()?;
                    shape.calls |= call.is_some();
                    facts.text_bytes += call.map_or(0, |call| call.text_len());
                }
                "tool_call_id" => {
                    let id: TextLen = members.next_value()?;
                    shape.answers = id.0 > 0;
                    facts.text_bytes += id.0;
                }
                "name" | "reasoning" | "reasoning_content" | "refusal" => {
                    facts.text_bytes += members.next_value::<TextLen>()?.0;
                }
                "cache_control" | "prompt_cache_breakpoint" => breakpoint(&mut members, facts)?,
                _ => facts.text_bytes += members.next_value::<&RawValue>()?.get().len() as u64,
            }
        }
        shape.check(facts)?;
        Ok(shape)
    }
}

impl MessageShape {
    fn check<E: de::Error>(&self, facts: &mut Facts) -> Result<(), E> {
        facts.tool_history |= self.calls;
        match self.role {
            None => Err(about("role", "is required")),
            Some(Role::User | Role::System | Role::Developer) if !self.content => {
                Err(about("content", "is required"))
            }
            Some(Role::Tool) if !self.answers => Err(about("tool_call_id", "is required")),
            Some(Role::Tool | Role::Function) => {
                facts.tool_history = true;
                Ok(())
            }
            Some(_) => Ok(()),
        }
    }
}

fn breakpoint<'de, A: MapAccess<'de>>(members: &mut A, facts: &mut Facts) -> Result<(), A::Error> {
    let mark: Option<IgnoredAny> = members.next_value()?;
    facts.cache_breakpoints += u32::from(mark.is_some());
    Ok(())
}

/// A role by its name.
pub struct RoleName(pub Role);

impl<'de> Deserialize<'de> for RoleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Word(name) = Word::deserialize(deserializer)?;
        Ok(Self(match name.as_ref() {
            "system" => Role::System,
            "developer" => Role::Developer,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            "function" => Role::Function,
            other => {
                return Err(de::Error::custom(format_args!(
                    "`{}` is none of system, developer, user, assistant, tool",
                    cut(other)
                )));
            }
        }))
    }
}

/// A caller's own word, short enough to be said back.
pub fn cut(word: &str) -> &str {
    let end = word.char_indices().nth(64).map_or(word.len(), |(at, _)| at);
    &word[..end]
}

/// Reads `content`: whether there is any.
struct ContentScan<'f>(&'f mut Facts);

impl<'de> DeserializeSeed<'de> for ContentScan<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ContentScan<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of content parts")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
        self.0.text_bytes += text.len() as u64;
        Ok(true)
    }
    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<bool, A::Error> {
        while parts.next_element_seed(PartScan(self.0))?.is_some() {}
        Ok(true)
    }
}
