//! Reads a body and writes it as chat completions; keeps what answers repeat.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::api::BadRequest;
use crate::api::openai_chat;
use crate::api::openai_chat::explain::{bad, explain};
use crate::api::responses::input::{Input, Messages};
use crate::api::responses::tools;
use crate::model::names::Names;
use crate::model::request::ChatRequest;
use crate::wire::patch::{ObjectWriter, is_named, members, value};

/// Members that chat completions has under the same name.
const SAME: [&str; 24] = [
    "model",
    "models",
    "provider",
    "plugins",
    "preset",
    "session_id",
    "trace",
    "debug",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "top_a",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "parallel_tool_calls",
    "safety_identifier",
    "prompt_cache_key",
    "cache_control",
    "service_tier",
    "stream",
    "user",
];

/// Members that an answer repeats, with what it says where they were not sent.
const ECHOED: [(&str, &str); 19] = [
    ("instructions", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("temperature", "null"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_p", "null"),
    ("frequency_penalty", "null"),
    ("presence_penalty", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("previous_response_id", "null"),
    ("reasoning", "{\"effort\":null,\"summary\":null}"),
    ("safety_identifier", "null"),
    ("prompt_cache_key", "null"),
    ("text", "{\"format\":{\"type\":\"text\"}}"),
    ("top_logprobs", "0"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];

/// What this dialect calls the members of chat completions.
const MEMBERS: [(&str, &str); 11] = [
    ("max_completion_tokens", "max_output_tokens"),
    ("max_tokens", "max_output_tokens"),
    ("reasoning_effort", "reasoning.effort"),
    ("verbosity", "text.verbosity"),
    ("response_format.json_schema", "text.format"),
    ("response_format", "text.format"),
    ("tool_choice.function", "tool_choice"),
    ("tool_choice.custom", "tool_choice"),
    ("tool_choice.allowed_tools", "tool_choice"),
    ("logprobs", "top_logprobs"),
    ("messages", "input"),
];

/// The same inside tools and items.
const INNER: [(&str, &str); 11] = [
    (".function", ""),
    (".custom", ""),
    (".image_url.url", ".image_url"),
    (".image_url.detail", ".detail"),
    (".file.file_data", ".file_data"),
    (".file.file_id", ".file_id"),
    (".file.filename", ".filename"),
    (".video_url.url", ".video_url"),
    (".tool_call_id", ".call_id"),
    (".tool_calls", ""),
    (".reasoning_details", ""),
];

/// Members that need more than to be copied.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    input: Option<Input<'a>>,
    #[serde(default)]
    instructions: Option<String>,
    #[serde(default)]
    max_output_tokens: Option<u64>,
    #[serde(default)]
    top_logprobs: Option<u64>,
    #[serde(default)]
    include: Option<Vec<String>>,
    #[serde(default)]
    modalities: Option<Vec<String>>,
    #[serde(borrow, default)]
    tools: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    tool_choice: Option<Value>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(default)]
    reasoning: Option<Map<String, Value>>,
    #[serde(default)]
    store: Option<bool>,
    #[serde(default)]
    background: Option<bool>,
    #[serde(default)]
    previous_response_id: Option<Value>,
    #[serde(default)]
    conversation: Option<Value>,
    #[serde(default)]
    prompt: Option<Value>,
    #[serde(default, rename = "metadata")]
    _metadata: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow, default)]
    format: Option<Format<'a>>,
    #[serde(default)]
    verbosity: Option<String>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(borrow, default)]
    schema: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

/// Reads a request body.
///
/// # Errors
/// [`BadRequest`] naming the member at fault; nothing of the prompt is in its text.
pub fn decode(body: Bytes) -> Result<ChatRequest, BadRequest> {
    let wire: Body<'_> = serde_json::from_slice(&body).map_err(|_| explain::<Body<'_>>(&body))?;
    wire.refuse_memory()?;
    let messages = wire.messages()?;
    let chat = wire.write(&body, &messages)?;
    let head = if matches!(wire.input, Some(Input::Items(_))) { "instructions" } else { "input" };
    let names =
        Names { members: &MEMBERS, inner: &INNER, list: "input", head, places: messages.into_places() };
    let mut request = openai_chat::decode(chat).map_err(|refused| refused.named(&names))?;
    request.facts.body_bytes = body.len() as u64;
    request.echo = Arc::new(echo(&body));
    request.names = names;
    Ok(request)
}

impl Body<'_> {
    /// Nothing is stored between calls.
    fn refuse_memory(&self) -> Result<(), BadRequest> {
        let is_set = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
        let refused = [
            ("store", self.store == Some(true), "must be false: responses are not stored"),
            (
                "previous_response_id",
                is_set(&self.previous_response_id),
                "is not supported: send the whole input with each call",
            ),
            (
                "conversation",
                is_set(&self.conversation),
                "is not supported: send the whole input with each call",
            ),
            ("background", self.background == Some(true), "must be false: nothing runs in the background"),
            ("prompt", is_set(&self.prompt), "is not supported: send the input itself"),
        ];
        match refused.into_iter().find(|(_, is_set, _)| *is_set) {
            Some((field, _, why)) => Err(bad(field, format!("{field} {why}"))),
            None => Ok(()),
        }
    }

    fn messages(&self) -> Result<Messages, BadRequest> {
        let input = self.input.as_ref().ok_or_else(|| bad("input", "input is required".to_owned()))?;
        Messages::of(self.instructions.as_deref(), input)
    }

    fn write(&self, body: &[u8], messages: &Messages) -> Result<Bytes, BadRequest> {
        let mut out = BytesMut::with_capacity(body.len() + 256);
        let mut writer = ObjectWriter::open(&mut out);
        for member in members(body).unwrap_or_default() {
            if SAME.iter().any(|name| is_named(body, &member, name)) {
                writer.raw(&body[member.key.start - 1..member.value.end]);
            }
        }
        for (name, json) in self.changed()? {
            writer.member(name, &json);
        }
        writer.member("messages", &messages.chat());
        writer.close();
        Ok(out.freeze())
    }

    /// The members that chat completions has under another name or in another form.
    fn changed(&self) -> Result<Vec<(&'static str, Vec<u8>)>, BadRequest> {
        let json = |value: Value| value.to_string().into_bytes();
        let mut changed = Vec::new();
        changed.extend(self.max_output_tokens.map(|most| ("max_completion_tokens", json(json!(most)))));
        let top = self.top_logprobs.filter(|most| *most > 0);
        let is_weighed = self.include.iter().flatten().any(|what| what == "message.output_text.logprobs");
        if top.is_some() || is_weighed {
            changed.push(("logprobs", json(json!(true))));
            changed.extend(top.map(|most| ("top_logprobs", json(json!(most)))));
        }
        if let Some(modalities) = self.modalities.as_ref().filter(|all| !all.is_empty()) {
            changed.push(("modalities", json(modalities_told(modalities)?)));
        }
        if let Some(tools) = self.tools.as_ref().filter(|tools| !tools.is_empty()) {
            changed.push(("tools", tools::chat(tools)?));
        }
        if let Some(choice) = self.tool_choice.as_ref().filter(|choice| !choice.is_null()) {
            changed.push(("tool_choice", json(tools::choice(choice)?)));
        }
        if let Some(text) = &self.text {
            changed.extend(text.verbosity.as_ref().map(|word| ("verbosity", json(json!(word)))));
            if let Some(format) = &text.format {
                changed.push(("response_format", format.chat()?));
            }
        }
        changed.extend(self.reasoning.as_ref().map(|wish| ("reasoning", json(reasoning(wish)))));
        Ok(changed)
    }
}

/// Answers have text and images as their items; for sound there is none.
fn modalities_told(modalities: &[String]) -> Result<Value, BadRequest> {
    match modalities.iter().all(|kind| matches!(kind.as_str(), "text" | "image")) {
        true => Ok(json!(modalities)),
        false => {
            Err(bad("modalities", "modalities must be text or image: nothing else can be told".to_owned()))
        }
    }
}

fn reasoning(wish: &Map<String, Value>) -> Value {
    let known = ["effort", "max_tokens", "enabled", "exclude", "summary"];
    let mut told: Map<String, Value> = wish
        .iter()
        .filter(|(name, value)| known.contains(&name.as_str()) && !value.is_null())
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    if let Some(summary) = wish.get("generate_summary").filter(|summary| !summary.is_null()) {
        told.entry("summary").or_insert_with(|| summary.clone());
    }
    Value::Object(told)
}

impl Format<'_> {
    fn chat(&self) -> Result<Vec<u8>, BadRequest> {
        if self.kind != "json_schema" {
            return Ok(json!({"type": self.kind}).to_string().into_bytes());
        }
        let schema = self
            .schema
            .ok_or_else(|| bad("text.format.schema", "text.format.schema is required".to_owned()))?;
        let mut inner = BytesMut::new();
        let mut writer = ObjectWriter::open(&mut inner);
        writer.member("name", json!(self.name.as_deref().unwrap_or("response")).to_string().as_bytes());
        if let Some(description) = &self.description {
            writer.member("description", json!(description).to_string().as_bytes());
        }
        if let Some(strict) = self.strict {
            writer.member("strict", strict.to_string().as_bytes());
        }
        writer.member("schema", schema.get().as_bytes());
        writer.close();
        Ok([br#"{"type":"json_schema","json_schema":"#, &inner[..], b"}"].concat())
    }
}

/// The members that the answer repeats.
pub fn echo(body: &[u8]) -> Map<String, Value> {
    let members = members(body).unwrap_or_default();
    let sent = |name: &str| {
        serde_json::from_slice(value(body, &members, name)?).ok().filter(|value: &Value| !value.is_null())
    };
    let told = ECHOED.iter().map(|(name, default)| {
        let value = sent(name).unwrap_or_else(|| serde_json::from_str(default).unwrap_or_default());
        ((*name).to_owned(), value)
    });
    told.chain([("store".to_owned(), json!(false)), ("background".to_owned(), json!(false))]).collect()
}

#[cfg(test)]
mod tests;
