//! Types a body's messages and tools for adapters of other dialects.
//!
//! Called at most once per request, through [`crate::model::request::Lazy`].

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::openai_chat::explain::explain;
use crate::api::openai_chat::scan::{RoleName, Word};
use crate::model::message::{Message, Part, PartContent, Tool, ToolCall, ToolKind};
use crate::model::request::Invalid;

/// The messages of a whole body.
///
/// # Errors
/// [`Invalid`] naming the member at fault.
pub fn messages(body: &Bytes) -> Result<Vec<Message>, Invalid> {
    #[derive(Deserialize)]
    struct Body {
        messages: Vec<WireMessage>,
    }
    let body: Body = read(body)?;
    Ok(body.messages.into_iter().map(WireMessage::into_message).collect())
}

/// The tools of a whole body; legacy `functions` count as tools.
///
/// # Errors
/// [`Invalid`] naming the member at fault.
pub fn tools(body: &Bytes) -> Result<Vec<Tool>, Invalid> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        tools: Option<Vec<WireTool>>,
        #[serde(default)]
        functions: Option<Vec<WireFunction>>,
    }
    let body: Body = read(body)?;
    match (body.tools, body.functions) {
        (Some(tools), _) => Ok(tools.into_iter().map(|tool| tool.0).collect()),
        (None, functions) => {
            let functions = functions.unwrap_or_default();
            Ok(functions.into_iter().map(|function| function.into_tool(None)).collect())
        }
    }
}

fn read<'de, T: Deserialize<'de>>(body: &'de Bytes) -> Result<T, Invalid> {
    serde_json::from_slice(body).map_err(|_| {
        let refused = explain::<T>(body);
        Invalid { field: refused.field, message: refused.message }
    })
}

#[derive(Deserialize)]
struct WireMessage {
    role: RoleName,
    #[serde(default)]
    content: Content,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<WireCall>>,
    #[serde(default)]
    function_call: Option<WireInvocation>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning_details: Option<Vec<Value>>,
    #[serde(default)]
    cache_control: Option<Value>,
    #[serde(default)]
    prompt_cache_breakpoint: Option<IgnoredAny>,
}

impl WireMessage {
    fn into_message(self) -> Message {
        let mut calls: Vec<ToolCall> =
            self.tool_calls.unwrap_or_default().into_iter().map(WireCall::into_call).collect();
        // The legacy call has no id; its result is matched by name.
        calls.extend(self.function_call.map(|call| {
            let id = format!("call_{}", call.name);
            ToolCall { id, kind: ToolKind::Function, name: call.name, arguments: call.arguments }
        }));
        Message {
            role: self.role.0,
            content: self.content.0,
            tool_calls: calls,
            tool_call_id: self.tool_call_id.or_else(|| match self.role.0 {
                crate::model::message::Role::Function => Some(format!("call_{}", self.name.as_deref()?)),
                _ => None,
            }),
            name: self.name,
            is_error: false,
            refusal: self.refusal,
            reasoning: self.reasoning.or(self.reasoning_content),
            reasoning_details: self.reasoning_details.unwrap_or_default(),
            cache_control: mark(self.cache_control, self.prompt_cache_breakpoint),
        }
    }
}

/// The two ways to mark a cache breakpoint are one; lifetimes are not translated.
fn mark(cache_control: Option<Value>, breakpoint: Option<IgnoredAny>) -> Option<Value> {
    cache_control.or_else(|| breakpoint.map(|_| serde_json::json!({"type": "ephemeral"})))
}

/// `content` in all its forms.
#[derive(Default)]
struct Content(Vec<Part>);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;
        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string or a list of content parts")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content(vec![Part::text(text)]))
            }
            fn visit_string<E: de::Error>(self, text: String) -> Result<Content, E> {
                Ok(Content(vec![Part::text(text)]))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Content, E> {
                Ok(Content::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
                let mut parts = Vec::new();
                while let Some(WirePart(part)) = list.next_element()? {
                    parts.push(part);
                }
                Ok(Content(parts))
            }
        }
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct WirePart(Part);

#[derive(Deserialize)]
struct Url {
    url: String,
    #[serde(default)]
    detail: Option<String>,
}

#[derive(Deserialize)]
struct Audio {
    data: String,
    format: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    filename: Option<String>,
    #[serde(default)]
    file_data: Option<String>,
    #[serde(default)]
    file_id: Option<String>,
}

impl<'de> Deserialize<'de> for WirePart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WirePartVisitor)
    }
}

struct WirePartVisitor;

impl<'de> Visitor<'de> for WirePartVisitor {
    type Value = WirePart;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a content part object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<WirePart, A::Error> {
        let mut kind = String::new();
        let mut contents: Vec<(&str, PartContent)> = Vec::with_capacity(1);
        let mut cache_control = None;
        while let Some(Word(key)) = members.next_key()? {
            match key.as_ref() {
                "type" => kind = members.next_value()?,
                "text" => contents.push(("text", PartContent::Text(members.next_value()?))),
                "refusal" => contents.push(("refusal", PartContent::Refusal(members.next_value()?))),
                "image_url" => {
                    let Url { url, detail } = members.next_value()?;
                    contents.push(("image_url", PartContent::Image { url, detail }));
                }
                "video_url" => {
                    let Url { url, .. } = members.next_value()?;
                    contents.push(("video_url", PartContent::Video { url }));
                }
                "input_audio" => {
                    let Audio { data, format } = members.next_value()?;
                    contents.push(("input_audio", PartContent::Audio { data, format }));
                }
                "file" => {
                    let File { filename, file_data: data, file_id: id } = members.next_value()?;
                    contents.push(("file", PartContent::File { filename, data, id }));
                }
                "cache_control" => cache_control = members.next_value()?,
                "prompt_cache_breakpoint" => cache_control = mark(cache_control, members.next_value()?),
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        let content = contents.into_iter().find(|(name, _)| *name == kind);
        let (_, content) = content.ok_or_else(|| de::Error::custom("holds nothing of its type"))?;
        Ok(WirePart(Part { content, cache_control }))
    }
}

#[derive(Deserialize)]
struct WireCall {
    id: String,
    #[serde(default)]
    function: Option<WireInvocation>,
    #[serde(default)]
    custom: Option<WireInvocation>,
}

#[derive(Default, Deserialize)]
struct WireInvocation {
    name: String,
    #[serde(default, deserialize_with = "or_empty", alias = "input")]
    arguments: String,
}

fn or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

impl WireCall {
    fn into_call(self) -> ToolCall {
        let kind = if self.custom.is_some() { ToolKind::Custom } else { ToolKind::Function };
        let call = self.custom.or(self.function).unwrap_or_default();
        ToolCall { id: self.id, kind, name: call.name, arguments: call.arguments }
    }
}

#[derive(Deserialize)]
struct WireFunction {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Box<RawValue>>,
    #[serde(default)]
    strict: Option<bool>,
    #[serde(default)]
    cache_control: Option<Value>,
}

impl WireFunction {
    fn into_tool(self, cache_control: Option<Value>) -> Tool {
        Tool::Function {
            name: self.name,
            description: self.description,
            parameters: self.parameters,
            strict: self.strict,
            cache_control: cache_control.or(self.cache_control),
        }
    }
}

struct WireTool(Tool);

impl<'de> Deserialize<'de> for WireTool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(rename = "type", default)]
            kind: Option<String>,
            #[serde(default)]
            function: Option<WireFunction>,
            #[serde(default)]
            cache_control: Option<Value>,
        }
        let raw = <&RawValue>::deserialize(deserializer)?;
        let wire: Wire = serde_json::from_str(raw.get()).map_err(de::Error::custom)?;
        Ok(Self(match (wire.function, wire.kind) {
            (Some(function), None) => function.into_tool(wire.cache_control),
            (Some(function), Some(kind)) if kind == "function" => function.into_tool(wire.cache_control),
            (_, kind) => Tool::Other { kind: kind.unwrap_or_default(), raw: raw.to_owned() },
        }))
    }
}
