//! Builds a whole body for requests that came in another dialect.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::adapters::Unsupported;
use crate::model::message::{Message, Part, PartContent, Role, Tool, ToolCall, ToolChoice, ToolKind};
use crate::model::request::{ChatRequest, ResponseFormat};

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
    put("logprobs", sampling.logprobs.map(Value::from));
    put("top_logprobs", sampling.top_logprobs.map(Value::from));
    put("verbosity", request.verbosity.clone().map(Value::from));
    put("service_tier", request.service_tier.clone().map(Value::from));
    put("prompt_cache_key", request.prompt_cache_key.clone().map(Value::from));
    put("user", request.user.clone().map(Value::from));
    put("safety_identifier", request.safety_identifier.clone().map(Value::from));
    put("metadata", request.metadata.clone());
    put("modalities", Some(Value::from(request.modalities.clone())).filter(|kinds| kinds != &json!([])));
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
    if !message.reasoning_details.is_empty() {
        members.insert("reasoning_details".to_owned(), message.reasoning_details.clone().into());
    }
    if !message.tool_calls.is_empty() {
        members.insert("tool_calls".to_owned(), message.tool_calls.iter().map(call).collect());
    }
    Value::Object(members)
}

/// A content part of this dialect.
pub fn part(part: &Part) -> Value {
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
