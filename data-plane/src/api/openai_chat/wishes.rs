//! The smaller members of a request: reasoning, response format, tool choice, stop, stream options.
//!
//! Each type reads its member's every accepted form and refuses the rest by name.

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::api::openai_chat::explain::about;
use crate::api::openai_chat::scan::{Word, cut};
use crate::model::message::ToolChoice;
use crate::model::request::{Effort, Reasoning, ResponseFormat};

/// The `reasoning` object.
#[derive(Debug, Default, Deserialize)]
pub struct ReasoningWish {
    #[serde(default)]
    effort: Option<EffortName>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    exclude: Option<bool>,
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default)]
    summary: Option<String>,
}

/// A level by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EffortName(pub Effort);

impl<'de> Deserialize<'de> for EffortName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Word(name) = Word::deserialize(deserializer)?;
        Effort::from_name(&name).map(Self).ok_or_else(|| {
            let name = cut(&name);
            de::Error::custom(format_args!(
                "`{name}` is none of none, minimal, low, medium, high, xhigh, max"
            ))
        })
    }
}

/// Folds `reasoning`, `reasoning_effort` and `include_reasoning` into one wish.
///
/// # Errors
/// The member at fault and what is wrong, where they contradict each other.
pub fn fold_reasoning(
    wish: Option<ReasoningWish>,
    effort: Option<EffortName>,
    include: Option<bool>,
) -> Result<Reasoning, (&'static str, &'static str)> {
    let wish = wish.unwrap_or_default();
    if let (Some(object), Some(short)) = (wish.effort, effort)
        && object != short
    {
        return Err(("reasoning_effort", "differs from reasoning.effort"));
    }
    if wish.effort.is_some_and(|EffortName(effort)| effort != Effort::None) && wish.max_tokens.is_some() {
        return Err(("reasoning.max_tokens", "and reasoning.effort cannot both be set"));
    }
    Ok(Reasoning {
        effort: wish.effort.or(effort).map(|EffortName(effort)| effort),
        max_tokens: wish.max_tokens,
        exclude: wish.exclude.unwrap_or(include == Some(false)),
        enabled: wish.enabled,
        summary: wish.summary,
    })
}

/// Any member whose type matters but whose value does not.
#[derive(Debug, Default, Deserialize)]
pub struct StreamOptions {
    #[serde(default, rename = "include_usage")]
    _include_usage: Option<bool>,
}

/// `usage: {include}`: accepted without effect, usage is always sent.
#[derive(Debug, Default, Deserialize)]
pub struct UsageOptions {
    #[serde(default, rename = "include")]
    _include: Option<bool>,
}

/// The `debug` object.
#[derive(Debug, Default, Deserialize)]
pub struct DebugOptions {
    #[serde(default)]
    pub echo_upstream_body: Option<bool>,
    #[serde(default)]
    pub openrouter_metadata: Option<bool>,
}

/// `stop`: one string or a list; empty ones mean nothing.
#[derive(Debug, Default)]
pub struct Stop(pub Vec<String>);

impl<'de> Deserialize<'de> for Stop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StopVisitor;
        impl<'de> Visitor<'de> for StopVisitor {
            type Value = Stop;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string or a list of strings")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Stop, E> {
                Ok(Stop(if text.is_empty() { Vec::new() } else { vec![text.to_owned()] }))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Stop, E> {
                Ok(Stop::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Stop, A::Error> {
                let mut stops = Vec::new();
                while let Some(stop) = list.next_element::<String>()? {
                    if !stop.is_empty() {
                        stops.push(stop);
                    }
                }
                Ok(Stop(stops))
            }
        }
        deserializer.deserialize_any(StopVisitor)
    }
}

/// `response_format`.
#[derive(Debug)]
pub struct Format(pub ResponseFormat);

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Schema {
            #[serde(default)]
            name: Option<String>,
            #[serde(default)]
            description: Option<String>,
            #[serde(default)]
            schema: Option<Box<RawValue>>,
            #[serde(default)]
            strict: Option<bool>,
        }
        #[derive(Deserialize)]
        struct Wire {
            #[serde(rename = "type", default)]
            kind: Option<String>,
            #[serde(default)]
            json_schema: Option<Schema>,
        }
        let wire = Wire::deserialize(deserializer)?;
        let kind = wire.kind.ok_or_else(|| about("type", "is required"))?;
        Ok(Self(match kind.as_str() {
            "text" => ResponseFormat::Text,
            "json_object" => ResponseFormat::JsonObject,
            "json_schema" => {
                let schema = wire.json_schema.ok_or_else(|| about("json_schema", "is required"))?;
                ResponseFormat::JsonSchema {
                    name: schema.name.unwrap_or_else(|| "response".to_owned()),
                    description: schema.description,
                    schema: schema.schema,
                    strict: schema.strict,
                }
            }
            "grammar" | "python" | "regex" | "structural_tag" => ResponseFormat::Other { kind },
            other => return Err(about("type", format_args!("`{}` is not supported", cut(other)))),
        }))
    }
}

/// `tool_choice`.
#[derive(Debug)]
pub struct Choice(pub ToolChoice);

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ChoiceVisitor;
        impl<'de> Visitor<'de> for ChoiceVisitor {
            type Value = Choice;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("none, auto, required or an object")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Choice, E> {
                Ok(Choice(match name {
                    "none" => ToolChoice::None,
                    "auto" => ToolChoice::Auto,
                    "required" | "any" => ToolChoice::Required,
                    other => {
                        let other = cut(other);
                        return Err(E::custom(format_args!("`{other}` is none of none, auto, required")));
                    }
                }))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, members: A) -> Result<Choice, A::Error> {
                ChoiceObject::deserialize(de::value::MapAccessDeserializer::new(members))?.read().map(Choice)
            }
        }
        deserializer.deserialize_any(ChoiceVisitor)
    }
}

#[derive(Deserialize)]
struct ChoiceObject {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    function: Option<Named>,
    #[serde(default)]
    custom: Option<Named>,
    #[serde(default)]
    allowed_tools: Option<Allowed>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Allowed {
    #[serde(default)]
    mode: Option<String>,
    tools: Vec<AllowedTool>,
}

#[derive(Deserialize)]
struct AllowedTool {
    #[serde(default)]
    function: Option<Named>,
    #[serde(default, rename = "type")]
    _kind: Option<IgnoredAny>,
}

impl ChoiceObject {
    fn read<E: de::Error>(self) -> Result<ToolChoice, E> {
        match self.kind.as_deref() {
            None => Err(about("type", "is required")),
            Some("function") => {
                let function = self.function.ok_or_else(|| about("function", "is required"))?;
                Ok(ToolChoice::Named(function.name))
            }
            Some("custom") => {
                let custom = self.custom.ok_or_else(|| about("custom", "is required"))?;
                Ok(ToolChoice::Custom(custom.name))
            }
            Some("allowed_tools") => {
                let allowed = self.allowed_tools.ok_or_else(|| about("allowed_tools", "is required"))?;
                let names = allowed.tools.into_iter().filter_map(|tool| Some(tool.function?.name));
                let required = allowed.mode.as_deref() == Some("required");
                Ok(ToolChoice::Allowed { required, names: names.collect() })
            }
            Some(other) => Err(about("type", format_args!("`{}` is not supported", cut(other)))),
        }
    }
}

/// The legacy `function_call`: a mode or a name.
#[derive(Debug)]
pub struct FunctionCall(pub ToolChoice);

impl<'de> Deserialize<'de> for FunctionCall {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CallVisitor;
        impl<'de> Visitor<'de> for CallVisitor {
            type Value = FunctionCall;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("none, auto or an object with a name")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<FunctionCall, E> {
                match name {
                    "none" => Ok(FunctionCall(ToolChoice::None)),
                    "auto" => Ok(FunctionCall(ToolChoice::Auto)),
                    other => Err(E::custom(format_args!("`{}` is none of none, auto", cut(other)))),
                }
            }
            fn visit_map<A: de::MapAccess<'de>>(self, members: A) -> Result<FunctionCall, A::Error> {
                let named = Named::deserialize(de::value::MapAccessDeserializer::new(members))?;
                Ok(FunctionCall(ToolChoice::Named(named.name)))
            }
        }
        deserializer.deserialize_any(CallVisitor)
    }
}
