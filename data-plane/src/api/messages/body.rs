//! Reads a body and writes it as chat completions.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::api::BadRequest;
use crate::api::messages::tools::{WireChoice, WireTool};
use crate::api::messages::turns::{Turn, Turns};
use crate::api::openai_chat;
use crate::api::openai_chat::explain::{bad, explain};
use crate::model::message::Role;
use crate::model::names::Names;
use crate::model::request::{ChatRequest, Lazy};
use crate::wire::patch::ObjectWriter;

/// The body of a call, with the members that OpenRouter adds.
#[derive(Deserialize)]
pub struct Body<'a> {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    models: Option<Vec<String>>,
    #[serde(default)]
    fallbacks: Option<Vec<Fallback>>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    system: Option<super::blocks::Text>,
    #[serde(borrow)]
    messages: Vec<Turn<'a>>,
    #[serde(borrow, default)]
    tools: Option<Vec<WireTool<'a>>>,
    #[serde(default)]
    tool_choice: Option<WireChoice>,
    #[serde(default)]
    thinking: Option<Thinking>,
    #[serde(borrow, default)]
    output_config: Option<OutputConfig<'a>>,
    #[serde(borrow, default)]
    output_format: Option<Format<'a>>,
    #[serde(default)]
    stop_sequences: Option<Vec<String>>,
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    service_tier: Option<String>,
    /// Members that chat completions has under the same name.
    #[serde(borrow, default)]
    temperature: Option<&'a RawValue>,
    #[serde(borrow, default)]
    top_p: Option<&'a RawValue>,
    #[serde(borrow, default)]
    top_k: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stream: Option<&'a RawValue>,
    #[serde(borrow, default)]
    provider: Option<&'a RawValue>,
    #[serde(borrow, default)]
    plugins: Option<&'a RawValue>,
    #[serde(borrow, default)]
    session_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    trace: Option<&'a RawValue>,
    #[serde(borrow, default)]
    debug: Option<&'a RawValue>,
    #[serde(borrow, default)]
    preset: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_control: Option<&'a RawValue>,
}

/// A model to fall back on; other members would have to be obeyed, so they are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fallback {
    model: String,
}

#[derive(Deserialize)]
struct Thinking {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    budget_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputConfig<'a> {
    #[serde(default)]
    effort: Option<String>,
    #[serde(borrow, default)]
    format: Option<Format<'a>>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow, default)]
    schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    user_id: Option<String>,
}

/// What this dialect calls the members of chat completions.
const MEMBERS: [(&str, &str); 14] = [
    ("max_completion_tokens", "max_tokens"),
    ("reasoning.max_tokens", "thinking.budget_tokens"),
    ("reasoning.effort", "output_config.effort"),
    ("reasoning_effort", "output_config.effort"),
    ("reasoning", "thinking"),
    ("verbosity", "output_config.effort"),
    ("response_format.json_schema.schema", "output_config.format.schema"),
    ("response_format.json_schema", "output_config.format"),
    ("response_format", "output_config.format"),
    ("stop", "stop_sequences"),
    ("tool_choice.function.name", "tool_choice.name"),
    ("tool_choice.function", "tool_choice"),
    ("parallel_tool_calls", "tool_choice.disable_parallel_tool_use"),
    ("user", "metadata.user_id"),
];

/// The same inside tools and turns.
const INNER: [(&str, &str); 13] = [
    (".function.parameters", ".input_schema"),
    (".function.arguments", ".input"),
    (".function", ""),
    (".image_url.url", ".source"),
    (".image_url.detail", ".source"),
    (".image_url", ".source"),
    (".file.file_data", ".source"),
    (".file.file_id", ".source.file_id"),
    (".file.filename", ".title"),
    (".file", ".source"),
    (".tool_call_id", ".tool_use_id"),
    (".tool_calls", ".content"),
    (".reasoning_details", ".content"),
];

/// Most models in `fallbacks`.
const FALLBACKS: usize = 3;

/// Reads a request body.
///
/// # Errors
/// [`BadRequest`] naming the member at fault; nothing of the prompt is in its text.
pub fn decode(body: Bytes) -> Result<ChatRequest, BadRequest> {
    let wire: Body<'_> = serde_json::from_slice(&body).map_err(|_| explain::<Body<'_>>(&body))?;
    let turns = Turns::of(wire.system.as_ref(), &wire.messages)?;
    let chat = wire.write(&turns)?;
    let (failed, places) = turns.into_parts();
    let names = Names { members: &MEMBERS, inner: &INNER, list: "messages", head: "system", places };
    let mut request = openai_chat::decode(chat).map_err(|refused| refused.named(&names))?;
    if !failed.is_empty() {
        request.messages = Lazy::ready(marked(&request, &failed).map_err(|refused| refused.named(&names))?);
    }
    request.facts.body_bytes = body.len() as u64;
    request.source.own = Some(body);
    request.names = names;
    Ok(request)
}

/// The messages with what chat completions cannot say: which tools failed.
fn marked(
    request: &ChatRequest,
    failed: &BTreeSet<&str>,
) -> Result<Vec<crate::model::message::Message>, BadRequest> {
    let invalid = |invalid: crate::model::request::Invalid| bad(&invalid.field, invalid.message);
    let mut messages = request.messages.get().map_err(invalid)?.clone();
    let tools = messages.iter_mut().filter(|message| message.role == Role::Tool);
    for message in tools {
        message.is_error = message.tool_call_id.as_ref().is_some_and(|id| failed.contains(id.as_str()));
    }
    Ok(messages)
}

impl Body<'_> {
    fn write(&self, turns: &Turns<'_>) -> Result<Bytes, BadRequest> {
        let mut out = BytesMut::with_capacity(4096);
        let mut writer = ObjectWriter::open(&mut out);
        let mut put = |name: &str, value: Value| writer.member(name, value.to_string().as_bytes());
        if let Some(model) = &self.model {
            put("model", json!(model));
        }
        if let Some(models) = self.fallback_models()? {
            put("models", json!(models));
        }
        if let Some(most) = self.max_tokens {
            put("max_tokens", json!(most));
        }
        if let Some(stops) = self.stop_sequences.as_ref().filter(|stops| !stops.is_empty()) {
            put("stop", json!(stops));
        }
        if let Some(user) =
            self.user.as_ref().or(self.metadata.as_ref().and_then(|data| data.user_id.as_ref()))
        {
            put("user", json!(user));
        }
        if let Some(tier) = &self.service_tier {
            put("service_tier", json!(if tier == "standard_only" { "default" } else { tier }));
        }
        if let Some(choice) = &self.tool_choice {
            let (choice, parallel) = choice.chat()?;
            put("tool_choice", choice);
            if let Some(parallel) = parallel {
                put("parallel_tool_calls", json!(parallel));
            }
        }
        for (name, value) in self.reasoning()? {
            put(name, value);
        }
        for (name, value) in self.same() {
            writer.member(name, value.get().as_bytes());
        }
        let format = self.output_config.as_ref().and_then(|config| config.format.as_ref());
        if let Some(format) = format.or(self.output_format.as_ref()) {
            writer.member("response_format", &format.chat()?);
        }
        let tools = self.tools.as_ref().filter(|tools| !tools.is_empty());
        if let Some(tools) = tools {
            writer.member("tools", &super::tools::chat(tools)?);
        }
        writer.member("messages", &turns.chat());
        writer.close();
        Ok(out.freeze())
    }

    fn same(&self) -> impl Iterator<Item = (&'static str, &RawValue)> {
        let members = [
            ("temperature", self.temperature),
            ("top_p", self.top_p),
            ("top_k", self.top_k),
            ("stream", self.stream),
            ("provider", self.provider),
            ("plugins", self.plugins),
            ("session_id", self.session_id),
            ("trace", self.trace),
            ("debug", self.debug),
            ("preset", self.preset),
            ("cache_control", self.cache_control),
        ];
        members.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    fn fallback_models(&self) -> Result<Option<Vec<&str>>, BadRequest> {
        match (&self.models, &self.fallbacks) {
            (Some(_), Some(_)) => Err(bad("fallbacks", "fallbacks and models cannot both be set".to_owned())),
            (_, Some(more)) if more.len() > FALLBACKS => {
                Err(bad("fallbacks", format!("fallbacks must not hold more than {FALLBACKS} models")))
            }
            (None, Some(more)) => Ok(Some(more.iter().map(|fallback| fallback.model.as_str()).collect())),
            (models, None) => Ok(models.as_ref().map(|models| models.iter().map(String::as_str).collect())),
        }
    }

    /// Thinking and effort. An effort without thinking is how much is written, which is `verbosity`.
    fn reasoning(&self) -> Result<Vec<(&'static str, Value)>, BadRequest> {
        let effort = self.output_config.as_ref().and_then(|config| config.effort.as_deref());
        let Some(thinking) = &self.thinking else {
            return Ok(effort.map(|effort| ("verbosity", json!(effort))).into_iter().collect());
        };
        let told = match (thinking.kind.as_str(), thinking.budget_tokens) {
            ("disabled", _) => {
                let quiet = ("reasoning", json!({"enabled": false}));
                return Ok([quiet]
                    .into_iter()
                    .chain(effort.map(|effort| ("verbosity", json!(effort))))
                    .collect());
            }
            ("enabled", Some(budget)) => json!({"max_tokens": budget}),
            ("enabled", None) => {
                return Err(bad("thinking.budget_tokens", "thinking.budget_tokens is required".to_owned()));
            }
            ("adaptive" | "between_tools", _) => match effort {
                Some(effort) => json!({"effort": effort}),
                None => json!({"enabled": true}),
            },
            _ => {
                let text = "thinking.type is none of enabled, adaptive, disabled";
                return Err(bad("thinking.type", text.to_owned()));
            }
        };
        Ok(vec![("reasoning", told)])
    }
}

impl Format<'_> {
    fn chat(&self) -> Result<Vec<u8>, BadRequest> {
        let field = "output_config.format";
        match (self.kind.as_str(), self.schema) {
            ("json_schema", Some(schema)) => {
                let mut out =
                    br#"{"type":"json_schema","json_schema":{"name":"response","strict":true,"schema":"#
                        .to_vec();
                out.extend_from_slice(schema.get().as_bytes());
                out.extend_from_slice(b"}}");
                Ok(out)
            }
            ("json_schema", None) => {
                Err(bad(&format!("{field}.schema"), format!("{field}.schema is required")))
            }
            ("text", _) => Ok(br#"{"type":"text"}"#.to_vec()),
            _ => Err(bad(&format!("{field}.type"), format!("{field}.type is not json_schema"))),
        }
    }
}

#[cfg(test)]
mod tests;
