//! Messages and tools where they cannot pass as sent: marks and reasoning that an endpoint would refuse.
//!
//! Also builds a whole body for requests that came in another dialect.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use serde_json::{Map, Value, json};

use crate::adapters::Unsupported;
use crate::adapters::quirks::{CacheMarks, Quirks, ReplayField};
use crate::model::message::{Message, Part, PartContent, Role, Tool, ToolCall, ToolChoice, ToolKind};
use crate::model::request::{ChatRequest, ResponseFormat};
use crate::wire::patch::{NotAnObject, Patch, elements, member};

/// The messages with what the endpoint would refuse taken out; None where they can pass as sent.
pub fn rewrite_messages(source: &[u8], request: &ChatRequest, quirks: &Quirks) -> Option<Vec<u8>> {
    let rules = Rules {
        plain_developer: !quirks.developer_role && memmem::find(source, b"\"developer\"").is_some(),
        replay: match quirks.replay {
            ReplayField::Leave => None,
            _ if memmem::find(source, b"\"reasoning").is_none() => None,
            replay => Some(replay),
        },
        marks: if request.facts.cache_breakpoints > 0 { quirks.cache_marks } else { CacheMarks::Keep },
    };
    if rules.are_empty() {
        return None;
    }
    each(member(source, "messages")?, |message, out| rules.message(message, out)).ok()
}

/// The tools without marks that the endpoint would refuse; None where they can pass as sent.
pub fn rewrite_tools(source: &[u8], request: &ChatRequest, quirks: &Quirks) -> Option<Vec<u8>> {
    if quirks.cache_marks == CacheMarks::Keep || request.facts.cache_breakpoints == 0 {
        return None;
    }
    let tools = member(source, "tools").filter(|tools| memmem::find(tools, b"cache_control").is_some())?;
    each(tools, |tool, out| Patch::new().remove("cache_control").apply(tool, out)).ok()
}

/// What must change in every message.
struct Rules {
    plain_developer: bool,
    replay: Option<ReplayField>,
    marks: CacheMarks,
}

impl Rules {
    fn are_empty(&self) -> bool {
        !self.plain_developer && self.replay.is_none() && self.marks == CacheMarks::Keep
    }

    fn message(&self, message: &[u8], out: &mut BytesMut) -> Result<(), NotAnObject> {
        let mut patch = Patch::new();
        if self.plain_developer && member(message, "role") == Some(b"\"developer\"") {
            patch = patch.set("role", b"\"system\"".as_slice());
        }
        if let Some(replay) = self.replay {
            patch = replayed(patch, message, replay);
        }
        if self.marks != CacheMarks::Keep {
            patch = patch.remove("cache_control");
            let parts = member(message, "content").filter(|content| content.first() == Some(&b'['));
            if let Some(parts) = parts {
                patch = patch.set("content", each(parts, |part, out| self.part(part, out))?);
            }
        }
        patch.apply(message, out)
    }

    fn part(&self, part: &[u8], out: &mut BytesMut) -> Result<(), NotAnObject> {
        let marked = member(part, "cache_control").is_some_and(|mark| mark != b"null");
        match self.marks {
            CacheMarks::Breakpoint if marked => Patch::new()
                .remove("cache_control")
                .set("prompt_cache_breakpoint", br#"{"mode":"explicit"}"#.as_slice())
                .apply(part, out),
            CacheMarks::Breakpoint => Patch::new().remove("cache_control").apply(part, out),
            CacheMarks::Strip | CacheMarks::Keep => {
                Patch::new().remove("cache_control").remove("prompt_cache_breakpoint").apply(part, out)
            }
        }
    }
}

/// Puts the assistant's earlier reasoning where the endpoint reads it, or nowhere.
fn replayed<'a>(patch: Patch<'a>, message: &'a [u8], replay: ReplayField) -> Patch<'a> {
    let text = ["reasoning_content", "reasoning"].into_iter().find_map(|name| {
        let value = member(message, name)?;
        (value.first() == Some(&b'"')).then_some(value)
    });
    let patch =
        ["reasoning", "reasoning_content", "reasoning_details"].into_iter().fold(patch, Patch::remove);
    match (replay, text) {
        (ReplayField::ReasoningContent, Some(text)) => patch.set("reasoning_content", text),
        (ReplayField::Reasoning, Some(text)) => patch.set("reasoning", text),
        _ => patch,
    }
}

/// Writes an array with each element changed.
fn each(
    list: &[u8],
    mut write: impl FnMut(&[u8], &mut BytesMut) -> Result<(), NotAnObject>,
) -> Result<Vec<u8>, NotAnObject> {
    let mut out = BytesMut::with_capacity(list.len());
    out.extend_from_slice(b"[");
    for (position, range) in elements(list)?.into_iter().enumerate() {
        if position > 0 {
            out.extend_from_slice(b",");
        }
        write(&list[range], &mut out)?;
    }
    out.extend_from_slice(b"]");
    Ok(out.into())
}

/// A body of this dialect for a request that came in another.
///
/// # Errors
/// [`Unsupported`] where the source cannot be read.
pub fn build(request: &ChatRequest) -> Result<Bytes, Unsupported> {
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    let messages: Vec<Value> = request.messages.get()?.iter().map(message).collect();
    put("messages", Some(Value::Array(messages)));
    let tools: Vec<Value> = request.tools.get()?.iter().filter_map(tool).collect();
    put("tools", Some(Value::Array(tools)).filter(|tools| tools != &json!([])));
    put("tool_choice", request.tool_choice.as_ref().map(tool_choice));
    put("parallel_tool_calls", request.parallel_tool_calls.map(Value::from));
    put("response_format", request.response_format.as_ref().and_then(response_format));
    put("stop", Some(Value::from(request.stop.clone())).filter(|_| !request.stop.is_empty()));
    put("n", Some(Value::from(request.n)).filter(|_| request.n > 1));
    let sampling = &request.sampling;
    for (name, number) in [
        ("temperature", sampling.temperature),
        ("top_p", sampling.top_p),
        ("min_p", sampling.min_p),
        ("top_a", sampling.top_a),
        ("frequency_penalty", sampling.frequency_penalty),
        ("presence_penalty", sampling.presence_penalty),
        ("repetition_penalty", sampling.repetition_penalty),
    ] {
        put(name, number.map(Value::from));
    }
    put("top_k", sampling.top_k.map(Value::from));
    put("seed", sampling.seed.map(Value::from));
    put("verbosity", request.verbosity.clone().map(Value::from));
    put("service_tier", request.service_tier.clone().map(Value::from));
    put("prompt_cache_key", request.prompt_cache_key.clone().map(Value::from));
    put("user", request.user.clone().map(Value::from));
    Ok(Bytes::from(Value::Object(body).to_string()))
}

fn message(message: &Message) -> Value {
    let mut members = Map::new();
    members.insert("role".to_owned(), message.role.as_str().into());
    let content = match message.content.as_slice() {
        [] if message.role == Role::Assistant => Value::Null,
        [] => Value::from(""),
        [Part { content: PartContent::Text(text), cache_control: None }] => Value::from(text.as_str()),
        parts => parts.iter().map(part).collect(),
    };
    members.insert("content".to_owned(), content);
    for (name, text) in [
        ("name", &message.name),
        ("tool_call_id", &message.tool_call_id),
        ("refusal", &message.refusal),
        ("reasoning", &message.reasoning),
    ] {
        if let Some(text) = text {
            members.insert(name.to_owned(), text.as_str().into());
        }
    }
    if !message.tool_calls.is_empty() {
        members.insert("tool_calls".to_owned(), message.tool_calls.iter().map(call).collect());
    }
    Value::Object(members)
}

fn part(part: &Part) -> Value {
    match &part.content {
        PartContent::Text(text) => json!({"type": "text", "text": text}),
        PartContent::Refusal(text) => json!({"type": "refusal", "refusal": text}),
        PartContent::Image { url, detail } => {
            let mut image = json!({ "url": url });
            if let Some(detail) = detail {
                image["detail"] = detail.as_str().into();
            }
            json!({"type": "image_url", "image_url": image})
        }
        PartContent::Audio { data, format } => {
            json!({"type": "input_audio", "input_audio": {"data": data, "format": format}})
        }
        PartContent::Video { url } => json!({"type": "video_url", "video_url": {"url": url}}),
        PartContent::File { filename, data, id } => {
            let mut file = Map::new();
            for (name, text) in [("filename", filename), ("file_data", data), ("file_id", id)] {
                if let Some(text) = text {
                    file.insert(name.to_owned(), text.as_str().into());
                }
            }
            json!({"type": "file", "file": file})
        }
    }
}

fn call(call: &ToolCall) -> Value {
    match call.kind {
        ToolKind::Function => {
            json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
        }
        ToolKind::Custom => {
            json!({"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}})
        }
    }
}

fn tool(tool: &Tool) -> Option<Value> {
    let (name, description, parameters, strict) = match tool {
        Tool::Function { name, description, parameters, strict, .. } => {
            (name, description, parameters, strict)
        }
        Tool::Other { raw, .. } => return serde_json::from_str(raw.get()).ok(),
    };
    let mut function = Map::from_iter([("name".to_owned(), Value::from(name.as_str()))]);
    if let Some(description) = description {
        function.insert("description".to_owned(), description.as_str().into());
    }
    if let Some(parameters) = parameters {
        function.insert("parameters".to_owned(), serde_json::from_str(parameters.get()).ok()?);
    }
    if let Some(strict) = strict {
        function.insert("strict".to_owned(), (*strict).into());
    }
    Some(json!({"type": "function", "function": function}))
}

fn tool_choice(choice: &ToolChoice) -> Value {
    let word: Cow<'static, str> = match choice {
        ToolChoice::None => "none".into(),
        ToolChoice::Auto => "auto".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => return json!({"type": "function", "function": {"name": name}}),
        ToolChoice::Custom(name) => return json!({"type": "custom", "custom": {"name": name}}),
        ToolChoice::Allowed { required, names } => {
            let mode = if *required { "required" } else { "auto" };
            let tools: Vec<Value> =
                names.iter().map(|name| json!({"type": "function", "function": {"name": name}})).collect();
            return json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}});
        }
    };
    Value::String(word.into_owned())
}

fn response_format(format: &ResponseFormat) -> Option<Value> {
    match format {
        ResponseFormat::Text | ResponseFormat::Other { .. } => None,
        ResponseFormat::JsonObject => Some(json!({"type": "json_object"})),
        ResponseFormat::JsonSchema { name, description, schema, strict } => {
            let mut members = Map::from_iter([("name".to_owned(), Value::from(name.as_str()))]);
            if let Some(description) = description {
                members.insert("description".to_owned(), description.as_str().into());
            }
            if let Some(schema) = schema {
                members.insert("schema".to_owned(), serde_json::from_str(schema.get()).ok()?);
            }
            if let Some(strict) = strict {
                members.insert("strict".to_owned(), (*strict).into());
            }
            Some(json!({"type": "json_schema", "json_schema": members}))
        }
    }
}
