//! Writes requests: Mistral's members and no others, with the client's bytes for values where they fit.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use http::Method;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::adapters::mistral::messages;
use crate::adapters::mistral::plain::{Found, look};
use crate::adapters::mistral::tools::{choice, tools};
use crate::adapters::openai::OpenAi;
use crate::adapters::quirks::ReasoningStyle;
use crate::adapters::shared::head;
use crate::adapters::shared::wish;
use crate::adapters::{Adapter, Context, Encoded, Target, Unsupported};
use crate::model::parameter::Parameter;
use crate::model::request::{ChatRequest, Dialect, Effort, ResponseFormat};
use crate::wire::patch::{Member, ObjectWriter, members, quoted, value};

/// Members that pass as sent.
const PASSED: [&str; 17] = [
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "min_tokens",
    "n",
    "logprobs",
    "top_logprobs",
    "prompt_logprobs",
    "top_prompt_logprobs",
    "random_seed",
    "metadata",
    "guardrails",
    "safe_prompt",
    "prompt_mode",
];

/// Parameters without a counterpart.
const LOST: [Parameter; 13] = [
    Parameter::MinP,
    Parameter::TopA,
    Parameter::LogitBias,
    Parameter::Verbosity,
    Parameter::WebSearchOptions,
    Parameter::Audio,
    Parameter::ImageConfig,
    Parameter::CacheControl,
    Parameter::Store,
    Parameter::SafetyIdentifier,
    Parameter::User,
    Parameter::Plugins,
    Parameter::Transforms,
];

/// Writes the upstream request.
pub fn encode(request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    refuse(request)?;
    let source = match request.source.dialect {
        Dialect::OpenAiChat => request.source.body.clone(),
        // What came in another dialect is written in the common form first.
        _ => OpenAi.encode(request, target)?.body,
    };
    let found = members(&source).map_err(|_| Unsupported::new("request", "is no JSON object"))?;
    let mut dropped = wish::lost(request, &LOST);
    dropped.extend(wish::unknown(&source, &found, &PASSED));
    let mut writing = Writing {
        request,
        target,
        source: &source,
        found: &found,
        members: vec![("model", quoted(target.model).into())],
        context: Context { hide_reasoning: request.reasoning.exclude, ..Context::default() },
        dropped,
    };
    writing.messages()?;
    writing.tools()?;
    writing.passed();
    writing.small();
    writing.format()?;
    writing.reasoning();
    writing.drop_by_quirk();
    let body = writing.body();
    Ok(Encoded {
        method: Method::POST,
        path: Cow::Borrowed("/chat/completions"),
        headers: head::headers(target.stream, head::EVENTS),
        body,
        dropped: writing.dropped,
        context: writing.context,
    })
}

/// What cannot be left out without changing what the caller asked for.
fn refuse(request: &ChatRequest) -> Result<(), Unsupported> {
    match request.modalities.iter().find(|kind| *kind != "text") {
        Some(kind) => {
            let why = format_args!("asks for {kind}, which this model does not make");
            Err(Unsupported::new("modalities", why))
        }
        None => Ok(()),
    }
}

/// The request as it is written.
struct Writing<'a> {
    request: &'a ChatRequest,
    target: &'a Target<'a>,
    source: &'a [u8],
    found: &'a [Member],
    members: Vec<(&'static str, Cow<'a, [u8]>)>,
    context: Context,
    dropped: Vec<Cow<'static, str>>,
}

impl<'a> Writing<'a> {
    /// A member of the source, unless it is null.
    fn sent(&self, name: &str) -> Option<&'a [u8]> {
        value(self.source, self.found, name).filter(|value| *value != b"null")
    }

    fn put(&mut self, name: &'static str, value: impl Into<Value>) {
        self.members.push((name, value.into().to_string().into_bytes().into()));
    }

    fn messages(&mut self) -> Result<(), Unsupported> {
        let sent = self.sent("messages").unwrap_or(b"[]");
        let found = match self.request.source.dialect {
            Dialect::OpenAiChat => look(sent),
            // What was built here has none of Mistral's own forms.
            _ => Found::Foreign { unknown: Vec::new() },
        };
        match found {
            Found::Plain { prefix } => {
                self.members.push(("messages", sent.into()));
                self.context.prefix = prefix;
            }
            Found::Foreign { unknown } => {
                let written = messages::write(self.request.messages.get()?, &mut self.dropped)?;
                self.dropped.extend(unknown);
                self.put("messages", written.messages);
                self.context.prefix = written.prefix;
            }
        }
        Ok(())
    }

    fn tools(&mut self) -> Result<(), Unsupported> {
        let declared = self.sent("tools").filter(|_| self.request.source.dialect == Dialect::OpenAiChat);
        if self.request.facts.tools + self.request.facts.server_tools == 0 {
            return Ok(());
        }
        let tools = tools(self.request, declared, &mut self.context, &mut self.dropped)?;
        let Some(tools) = tools else { return Ok(()) };
        self.members.push(("tools", tools.to_vec().into()));
        if let Some(chosen) = &self.request.tool_choice {
            self.put("tool_choice", choice(chosen)?);
        }
        if let Some(parallel) = self.request.parallel_tool_calls {
            self.put("parallel_tool_calls", parallel);
        }
        Ok(())
    }

    fn passed(&mut self) {
        let lacking: Vec<&str> =
            wish::lacking(self.request, self.target.supported).map(Parameter::name).collect();
        self.dropped.extend(lacking.iter().map(|name| Cow::Borrowed(*name)));
        for name in PASSED.into_iter().filter(|name| !lacking.contains(name)) {
            let sent = self.sent(name);
            self.members.extend(sent.map(|sent| (name, Cow::Borrowed(sent))));
        }
        match self.request.sampling.seed.filter(|_| !lacking.contains(&"seed")) {
            Some(seed) if seed < 0 => self.dropped.push("seed".into()),
            Some(seed) if self.sent("random_seed").is_none() => self.put("random_seed", seed),
            _ => {}
        }
        if !self.request.stop.is_empty() && !lacking.contains(&"stop") {
            self.put("stop", self.request.stop.clone());
        }
    }

    /// Takes out what the row says, in Mistral's names.
    fn drop_by_quirk(&mut self) {
        for name in &self.target.quirks.drop {
            let before = self.members.len();
            self.members.retain(|(written, _)| written != name);
            if self.members.len() < before {
                self.dropped.push(Cow::Owned(name.clone()));
            }
        }
    }

    fn small(&mut self) {
        if self.target.stream {
            self.put("stream", true);
        }
        if let Some(cap) = self.target.output_cap.or(self.request.max_output_tokens) {
            self.put("max_tokens", cap);
        }
        match wish::tier(self.request, self.target) {
            // Priority is taken where there is some to be had.
            Some("auto" | "priority") => self.put("service_tier", "auto"),
            Some("default" | "standard" | "standard_only") => self.put("service_tier", "standard_only"),
            Some(_) => self.dropped.push("service_tier".into()),
            None => {}
        }
        match self.request.prompt_cache_key.as_deref() {
            Some(key) if key.is_ascii() => self.put("prompt_cache_key", key),
            Some(_) => self.dropped.push("prompt_cache_key".into()),
            None => {}
        }
        if let Some(prediction) = self.sent("prediction").and_then(prediction) {
            self.put("prediction", prediction);
        }
    }

    fn format(&mut self) -> Result<(), Unsupported> {
        let format = match &self.request.response_format {
            None | Some(ResponseFormat::Text) => return Ok(()),
            Some(ResponseFormat::Other { .. }) => {
                return Err(Unsupported::new("response_format.type", "is not known to this model"));
            }
            Some(ResponseFormat::JsonSchema { name, description, schema: Some(schema), strict }) => {
                json_schema(name, description.as_deref(), schema, *strict)
            }
            Some(ResponseFormat::JsonObject | ResponseFormat::JsonSchema { schema: None, .. }) => {
                br#"{"type":"json_object"}"#.to_vec()
            }
        };
        self.members.push(("response_format", format.into()));
        Ok(())
    }

    /// Writes the wish about reasoning as the model understands it.
    fn reasoning(&mut self) {
        let cap = self.target.output_cap.or(self.request.max_output_tokens);
        let Some(level) = wish::level(&self.request.reasoning, cap) else { return };
        let level = Some(level).filter(|_| wish::may_reason(self.target.supported));
        match (self.target.quirks.reasoning, level) {
            (ReasoningStyle::Effort, Some(level)) => {
                if let Some(level) = self.target.quirks.nearest_effort(level) {
                    self.put("reasoning_effort", level.as_str());
                }
            }
            (ReasoningStyle::PromptMode, Some(Effort::None)) => {}
            (ReasoningStyle::PromptMode, Some(_)) => {
                self.members.retain(|(name, _)| *name != "prompt_mode");
                self.put("prompt_mode", "reasoning");
            }
            _ => self.dropped.push("reasoning".into()),
        }
    }

    fn body(&self) -> Bytes {
        let size = self.members.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
        let mut body = BytesMut::with_capacity(size + 2);
        let mut writer = ObjectWriter::open(&mut body);
        self.members.iter().for_each(|(name, value)| writer.member(name, value));
        writer.close();
        body.freeze()
    }
}

/// The schema stays byte for byte; members beside it that nobody knows do not.
fn json_schema(name: &str, description: Option<&str>, schema: &RawValue, strict: Option<bool>) -> Vec<u8> {
    let mut named = BytesMut::with_capacity(schema.get().len() + 64);
    let mut writer = ObjectWriter::open(&mut named);
    writer.member("name", &quoted(name));
    if let Some(description) = description {
        writer.member("description", &quoted(description));
    }
    writer.member("schema", schema.get().as_bytes());
    if let Some(strict) = strict {
        writer.member("strict", strict.to_string().as_bytes());
    }
    writer.close();
    [br#"{"type":"json_schema","json_schema":"#, &named[..], b"}"].concat()
}

/// A prediction is one text here, elsewhere it may come in parts.
fn prediction(sent: &[u8]) -> Option<Value> {
    let sent: Value = serde_json::from_slice(sent).ok()?;
    let text = match &sent["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => return None,
    };
    Some(json!({"type": "content", "content": text}))
}

#[cfg(test)]
mod tests;
