//! Writes requests: the typed form, member by member, and the names of what had to stay behind.

use std::borrow::Cow;

use http::Method;
use serde_json::{Map, Value, json};

use crate::adapters::ollama::{messages, tools};
use crate::adapters::quirks::{Quirks, Thinking};
use crate::adapters::shared::exact;
use crate::adapters::shared::head;
use crate::adapters::shared::json_tool::ASKED;
use crate::adapters::shared::wish;
use crate::adapters::{Context, Encoded, Target, Unsupported};
use crate::model::parameter::Parameter;
use crate::model::request::{ChatRequest, Effort, ResponseFormat};

/// Parameters without a counterpart.
const LOST: [Parameter; 15] = [
    Parameter::TopA,
    Parameter::LogitBias,
    Parameter::Verbosity,
    Parameter::WebSearchOptions,
    Parameter::Prediction,
    Parameter::Audio,
    Parameter::ImageConfig,
    Parameter::PromptCacheKey,
    Parameter::CacheControl,
    Parameter::Metadata,
    Parameter::Store,
    Parameter::SafetyIdentifier,
    Parameter::User,
    Parameter::Plugins,
    Parameter::Transforms,
];

/// Ollama's own members, which callers may send by name.
const OWN: [&str; 5] = ["options", "keep_alive", "think", "truncate", "shift"];

/// Writes the upstream request.
pub fn encode(request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    wish::refuse_all_but_text(request)?;
    let mut dropped = wish::lost(request, &LOST);
    wish::lose_tier(request, target, &mut dropped);
    let tools = tools::tools(request, &mut dropped)?;
    let format = format(request, !tools.is_empty())?;
    let typed = request.messages.get()?;
    let mut messages = messages::write(typed, target.fetched)?;
    if typed.iter().any(|message| message.name.is_some() && message.tool_call_id.is_none()) {
        dropped.push("messages[].name".into());
    }
    let (own, unknown) = wish::own_members(request, &OWN);
    dropped.extend(unknown);
    let mut body = Map::from_iter([("model".to_owned(), Value::from(target.model))]);
    body.extend(own);
    if matches!(format, Format::Asked) {
        messages.insert(0, json!({"role": "system", "content": ASKED}));
    }
    body.insert("messages".to_owned(), Value::Array(messages));
    if !tools.is_empty() {
        body.insert("tools".to_owned(), Value::Array(tools));
    }
    if let Format::Native(format) = format {
        body.insert("format".to_owned(), format);
    }
    put_options(&mut body, request, target, &mut dropped);
    put_thinking(&mut body, request, target, &mut dropped);
    // Without a word Ollama streams.
    body.insert("stream".to_owned(), target.stream.into());
    for name in &target.quirks.drop {
        if body.shift_remove(name).is_some() {
            dropped.push(Cow::Owned(name.clone()));
        }
    }
    Ok(Encoded {
        method: Method::POST,
        path: Cow::Borrowed("/api/chat"),
        headers: head::headers(target.stream, "application/x-ndjson"),
        body: exact::print(&body),
        dropped,
        context: Context { hide_reasoning: request.reasoning.exclude, ..Context::default() },
    })
}

/// How the answer's form is enforced.
enum Format {
    Free,
    Native(Value),
    /// In words: a grammar would keep the model from calling tools.
    Asked,
}

fn format(request: &ChatRequest, has_tools: bool) -> Result<Format, Unsupported> {
    match &request.response_format {
        None | Some(ResponseFormat::Text) => Ok(Format::Free),
        Some(ResponseFormat::Other { .. }) => {
            Err(Unsupported::new("response_format.type", "is not known to this model"))
        }
        Some(ResponseFormat::JsonSchema { schema: Some(_), .. }) if has_tools => {
            Err(Unsupported::new("response_format", "cannot be enforced beside tools with this model"))
        }
        Some(ResponseFormat::JsonSchema { schema: Some(schema), .. }) => {
            Ok(Format::Native(serde_json::from_str(schema.get()).unwrap_or_else(|_| "json".into())))
        }
        Some(_) if has_tools => Ok(Format::Asked),
        Some(_) => Ok(Format::Native("json".into())),
    }
}

/// Puts the numbers among the caller's own options; what is reserved is what is sent.
fn put_options(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    target: &Target<'_>,
    dropped: &mut Vec<Cow<'static, str>>,
) {
    let lacking: Vec<Parameter> = wish::lacking(request, target.supported).collect();
    dropped.extend(lacking.iter().map(|parameter| Cow::Borrowed(parameter.name())));
    let sampling = &request.sampling;
    let mut options = match body.shift_remove("options") {
        Some(Value::Object(options)) => options,
        _ => Map::new(),
    };
    if let Some(window) = target.quirks.num_ctx {
        options.entry("num_ctx").or_insert_with(|| window.into());
    }
    let stop = Some(&request.stop).filter(|stop| !stop.is_empty());
    for (parameter, name, value) in [
        (Parameter::Temperature, "temperature", sampling.temperature.map(Value::from)),
        (Parameter::TopP, "top_p", sampling.top_p.map(Value::from)),
        (Parameter::TopK, "top_k", sampling.top_k.map(Value::from)),
        (Parameter::MinP, "min_p", sampling.min_p.map(Value::from)),
        (Parameter::FrequencyPenalty, "frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        (Parameter::PresencePenalty, "presence_penalty", sampling.presence_penalty.map(Value::from)),
        (Parameter::RepetitionPenalty, "repeat_penalty", sampling.repetition_penalty.map(Value::from)),
        (Parameter::Seed, "seed", sampling.seed.map(Value::from)),
        (Parameter::Stop, "stop", stop.map(|stop| stop.clone().into())),
    ] {
        let value = value.filter(|_| !lacking.contains(&parameter));
        options.extend(value.map(|value| (name.to_owned(), value)));
    }
    if let Some(cap) = target.output_cap.or(request.max_output_tokens) {
        options.insert("num_predict".to_owned(), cap.into());
    }
    if !options.is_empty() {
        body.insert("options".to_owned(), Value::Object(options));
    }
    for (parameter, name, value) in [
        (Parameter::Logprobs, "logprobs", sampling.logprobs.map(Value::from)),
        (Parameter::TopLogprobs, "top_logprobs", sampling.top_logprobs.map(Value::from)),
    ] {
        let value = value.filter(|_| !lacking.contains(&parameter));
        body.extend(value.map(|value| (name.to_owned(), value)));
    }
}

fn put_thinking(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    target: &Target<'_>,
    dropped: &mut Vec<Cow<'static, str>>,
) {
    let cap = target.output_cap.or(request.max_output_tokens);
    let Some(level) = wish::level(&request.reasoning, cap) else { return };
    if target.quirks.thinking == Thinking::Absent || !wish::may_reason(target.supported) {
        if level != Effort::None {
            dropped.push("reasoning".into());
        }
        return;
    }
    body.insert("think".to_owned(), think(level, target.quirks));
}

/// On or off; levels only where the row says which the model knows, for other models refuse them.
fn think(level: Effort, quirks: &Quirks) -> Value {
    if quirks.efforts.is_empty() {
        return (level != Effort::None).into();
    }
    match quirks.nearest_effort(level) {
        None | Some(Effort::None) => false.into(),
        Some(Effort::Minimal) => "low".into(),
        Some(Effort::Xhigh) => "max".into(),
        Some(level) => level.as_str().into(),
    }
}

#[cfg(test)]
mod tests;
