//! Tool calls in the history and tool definitions.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::api::openai_chat::explain::about;
use crate::api::openai_chat::scan::{TextLen, Word, breakpoint};
use crate::model::facts::Facts;

/// Reads `tool_calls`: whether there are any.
pub struct CallsScan<'f>(pub &'f mut Facts);

impl<'de> DeserializeSeed<'de> for CallsScan<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CallsScan<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tool calls")
    }
    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut calls: A) -> Result<bool, A::Error> {
        let mut any = false;
        while let Some(call) = calls.next_element::<CallScan>()? {
            any = true;
            self.0.text_bytes += call.id.0 + call.function.text_len() + call.custom.text_len();
        }
        Ok(any)
    }
}

#[derive(Deserialize)]
struct CallScan {
    id: TextLen,
    #[serde(default)]
    function: FunctionScan,
    #[serde(default)]
    custom: FunctionScan,
}

/// A name and what is passed to it.
#[derive(Default, Deserialize)]
pub struct FunctionScan {
    name: TextLen,
    #[serde(default)]
    arguments: TextLen,
    #[serde(default)]
    input: TextLen,
}

impl FunctionScan {
    /// Bytes of text in it.
    pub fn text_len(&self) -> u64 {
        self.name.0 + self.arguments.0 + self.input.0
    }
}

/// Reads `tools` or `functions`.
pub struct ToolsScan<'f>(pub &'f mut Facts);

impl<'de> DeserializeSeed<'de> for ToolsScan<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ToolsScan<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tools")
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut tools: A) -> Result<(), A::Error> {
        while tools.next_element_seed(ToolScan(self.0))?.is_some() {}
        Ok(())
    }
}

/// Reads one tool definition.
struct ToolScan<'f>(&'f mut Facts);

impl<'de> DeserializeSeed<'de> for ToolScan<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ToolScan<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tool object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let facts = self.0;
        // A legacy function has no `type`; members come in any order.
        let (mut client, mut is_function, mut has_function) = (true, false, false);
        while let Some(Word(key)) = members.next_key()? {
            match key.as_ref() {
                "type" => {
                    let Word(kind) = members.next_value()?;
                    client = matches!(kind.as_ref(), "function" | "custom");
                    is_function = kind == "function";
                }
                "cache_control" => breakpoint(&mut members, facts)?,
                "function" => {
                    let NamedTool { bytes } = members.next_value()?;
                    facts.text_bytes += bytes;
                    has_function = true;
                }
                _ => facts.text_bytes += members.next_value::<&RawValue>()?.get().len() as u64,
            }
        }
        if is_function && !has_function {
            return Err(about("function", "is required"));
        }
        if client {
            facts.tools += 1
        } else {
            facts.server_tools += 1
        }
        Ok(())
    }
}

/// A function definition that has a name.
struct NamedTool {
    bytes: u64,
}

impl<'de> Deserialize<'de> for NamedTool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Function<'a> {
            name: TextLen,
            #[serde(default)]
            description: TextLen,
            #[serde(borrow, default)]
            parameters: Option<&'a RawValue>,
            #[serde(default, rename = "strict")]
            _strict: Option<bool>,
        }
        let function = Function::deserialize(deserializer)?;
        let schema = function.parameters.map_or(0, |schema| schema.get().len() as u64);
        Ok(Self { bytes: function.name.0 + function.description.0 + schema })
    }
}
