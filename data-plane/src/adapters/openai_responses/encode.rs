//! Writes requests: the typed form, member by member, and the names of what had to stay behind.

use std::borrow::Cow;

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value, json};

use crate::adapters::openai_responses::{input, tools};
use crate::adapters::quirks::{Quirks, ReasoningStyle};
use crate::adapters::shared::head;
use crate::adapters::shared::segment::segment;
use crate::adapters::shared::wish;
use crate::adapters::{Context, Encoded, Target, Unsupported};
use crate::model::parameter::Parameter;
use crate::model::request::{ChatRequest, Effort, ResponseFormat};

/// The least cap that OpenAI takes.
const LEAST_CAP: u64 = 16;

/// Parameters without a counterpart.
const LOST: [Parameter; 15] = [
    Parameter::TopK,
    Parameter::MinP,
    Parameter::TopA,
    Parameter::FrequencyPenalty,
    Parameter::PresencePenalty,
    Parameter::RepetitionPenalty,
    Parameter::LogitBias,
    Parameter::Seed,
    Parameter::Stop,
    Parameter::Prediction,
    Parameter::Audio,
    Parameter::ImageConfig,
    Parameter::Plugins,
    Parameter::Transforms,
    Parameter::CacheControl,
];

/// The dialect's own members, which callers may send by name.
const OWN: [&str; 6] = [
    "context_management",
    "max_tool_calls",
    "moderation",
    "prompt_cache_options",
    "prompt_cache_retention",
    "truncation",
];

/// Members that mean something to routers only, for hosts that are one.
const ROUTERS: [&str; 5] = ["models", "provider", "plugins", "transforms", "cache_control"];

/// Writes the upstream request.
pub fn encode(request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let quirks = target.quirks;
    refuse(request, quirks)?;
    let mut dropped = wish::lost(request, &LOST);
    let mut context = Context {
        hide_reasoning: request.reasoning.exclude,
        reasoning_format: Some(quirks.reasoning_format.clone()),
        ..Context::default()
    };
    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.into());
    body.insert("store".to_owned(), false.into());
    if target.stream {
        body.insert("stream".to_owned(), true.into());
    }
    if let Some(cap) = target.output_cap.or(request.max_output_tokens) {
        body.insert("max_output_tokens".to_owned(), cap.max(LEAST_CAP).into());
    }
    put_reasoning(&mut body, request, target, &mut dropped);
    put_include(&mut body, request, quirks);
    put_text(&mut body, request, &mut dropped)?;
    put_small(&mut body, request, target, &mut dropped);
    put_own(&mut body, request, quirks, &mut dropped);
    tools::put(&mut body, request, quirks, &mut context, &mut dropped)?;
    let input = input::input(request.messages.get()?, quirks, &mut dropped)?;
    body.insert("input".to_owned(), Value::Array(input));
    leave_out(&mut body, request, target, &mut dropped);
    Ok(Encoded {
        method: Method::POST,
        path: path(quirks),
        headers: head::headers(target.stream, head::EVENTS),
        body: Bytes::from(Value::Object(body).to_string()),
        dropped,
        context,
    })
}

/// What cannot be left out without changing what the caller asked for.
fn refuse(request: &ChatRequest, quirks: &Quirks) -> Result<(), Unsupported> {
    if request.n > 1 {
        return Err(Unsupported::new("n", "must be 1 for this endpoint"));
    }
    if let Some(kind) = request.modalities.iter().find(|kind| *kind != "text") {
        let why = format_args!("asks for {kind}, which this endpoint does not make");
        return Err(Unsupported::new("modalities", why));
    }
    if request.facts.prefill && !quirks.prefill {
        let why = "end with the assistant, whose text this model cannot continue";
        return Err(Unsupported::new("messages", why));
    }
    Ok(())
}

/// Azure's dated API wants its date beside the path.
fn path(quirks: &Quirks) -> Cow<'static, str> {
    match quirks.api_version.as_str() {
        "" => Cow::Borrowed("/responses"),
        version => Cow::Owned(format!("/responses?api-version={}", segment(version, b""))),
    }
}

/// Writes the wish about reasoning. Summaries are the only reasoning that OpenAI shows, so asking for one is asking
/// for the other.
fn put_reasoning(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    target: &Target<'_>,
    dropped: &mut Vec<Cow<'static, str>>,
) {
    let (wish, quirks) = (&request.reasoning, target.quirks);
    let level = wish::level(wish, target.output_cap.or(request.max_output_tokens));
    if quirks.reasoning == ReasoningStyle::Absent {
        if level.is_some_and(|level| level != Effort::None) || wish.summary.is_some() {
            dropped.push("reasoning".into());
        }
        return;
    }
    let mut reasoning = Map::new();
    let effort = match level {
        Some(Effort::Max) if quirks.max_on_responses => Some(Effort::Max),
        level => level.and_then(|level| quirks.nearest_effort(level)),
    };
    if let Some(effort) = effort {
        reasoning.insert("effort".to_owned(), effort.as_str().into());
    }
    let thinks = effort.is_some_and(|effort| effort != Effort::None);
    let summary = wish.summary.as_deref().or(thinks.then_some("auto")).filter(|_| !wish.exclude);
    match summary {
        Some(summary) if quirks.reasoning_summaries => {
            reasoning.insert("summary".to_owned(), summary.into());
        }
        _ if wish.summary.is_some() && !wish.exclude => dropped.push("reasoning.summary".into()),
        _ => {}
    }
    let sent = wish::source_member(request, "reasoning").unwrap_or_default();
    for name in ["context", "mode"] {
        if let Some(word) = sent[name].as_str() {
            reasoning.insert(name.to_owned(), word.into());
        }
    }
    if !reasoning.is_empty() {
        body.insert("reasoning".to_owned(), Value::Object(reasoning));
    }
}

/// Asks for what answers hold only on demand: sealed reasoning (models that do not reason refuse the wish) and weights.
fn put_include(body: &mut Map<String, Value>, request: &ChatRequest, quirks: &Quirks) {
    let mut include = Vec::new();
    if quirks.reasoning != ReasoningStyle::Absent {
        include.push("reasoning.encrypted_content");
    }
    if request.sampling.logprobs == Some(true) {
        include.push("message.output_text.logprobs");
        if let Some(top) = request.sampling.top_logprobs {
            body.insert("top_logprobs".to_owned(), top.into());
        }
    }
    if !include.is_empty() {
        body.insert("include".to_owned(), include.into());
    }
}

/// Writes the answer's form and length.
fn put_text(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Result<(), Unsupported> {
    let mut text = Map::new();
    if let Some(format) = &request.response_format {
        text.extend(format_of(format)?.map(|format| ("format".to_owned(), format)));
    }
    if let Some(verbosity) = request.verbosity.as_deref() {
        match Effort::from_name(verbosity) {
            Some(Effort::None) | None => dropped.push("verbosity".into()),
            Some(level) => {
                let level = level.clamp(Effort::Low, Effort::High);
                text.insert("verbosity".to_owned(), level.as_str().into());
            }
        }
    }
    if !text.is_empty() {
        body.insert("text".to_owned(), Value::Object(text));
    }
    Ok(())
}

fn format_of(format: &ResponseFormat) -> Result<Option<Value>, Unsupported> {
    Ok(Some(match format {
        ResponseFormat::Text => return Ok(None),
        ResponseFormat::JsonObject | ResponseFormat::JsonSchema { schema: None, .. } => {
            json!({"type": "json_object"})
        }
        ResponseFormat::JsonSchema { name, description, schema: Some(schema), strict } => {
            let schema: Value = serde_json::from_str(schema.get())
                .map_err(|_| Unsupported::new("response_format.json_schema.schema", "is no JSON"))?;
            let mut format = json!({"type": "json_schema", "name": name, "schema": schema});
            if let Some(description) = description {
                format["description"] = description.as_str().into();
            }
            if let Some(strict) = strict {
                format["strict"] = (*strict).into();
            }
            format
        }
        ResponseFormat::Other { kind } => {
            let why = format_args!("is {kind}, which this endpoint does not know");
            return Err(Unsupported::new("response_format.type", why));
        }
    }))
}

fn put_small(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    target: &Target<'_>,
    dropped: &mut Vec<Cow<'static, str>>,
) {
    let sampling = &request.sampling;
    for (name, number) in [("temperature", sampling.temperature), ("top_p", sampling.top_p)] {
        match number {
            Some(number) if target.quirks.sampling => drop(body.insert(name.to_owned(), number.into())),
            Some(_) => dropped.push(name.into()),
            None => {}
        }
    }
    for (name, text) in [
        ("service_tier", wish::tier_if_taken(request, target, dropped)),
        ("prompt_cache_key", request.prompt_cache_key.as_deref()),
        ("safety_identifier", request.safety_identifier.as_deref()),
        ("user", request.user.as_deref()),
    ] {
        body.extend(text.map(|text| (name.to_owned(), text.into())));
    }
    body.extend(request.metadata.clone().map(|metadata| ("metadata".to_owned(), metadata)));
    if sampling.logprobs != Some(true) && sampling.top_logprobs.is_some_and(|top| top > 0) {
        dropped.push("top_logprobs".into());
    }
    // Nothing is left behind with the provider, whatever the caller would allow.
    if wish::source_member(request, "store") == Some(Value::Bool(true)) {
        dropped.push("store".into());
    }
}

/// Passes the host's own members and names those that nobody knows.
fn put_own(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    quirks: &Quirks,
    dropped: &mut Vec<Cow<'static, str>>,
) {
    let (own, unknown) = wish::own_members(request, &OWN);
    body.extend(own.into_iter().filter(|(_, value)| !value.is_null()));
    dropped.extend(unknown);
    if quirks.router_fields {
        for name in ROUTERS {
            body.extend(wish::source_member(request, name).map(|value| (name.to_owned(), value)));
        }
        dropped.retain(|name| !ROUTERS.contains(&name.as_ref()));
    }
}

/// Takes out what the row forbids and what the endpoint does not list.
fn leave_out(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    target: &Target<'_>,
    dropped: &mut Vec<Cow<'static, str>>,
) {
    for name in &target.quirks.drop {
        let is_ours = matches!(name.as_str(), "store" | "include");
        if body.shift_remove(name).is_some() && !is_ours {
            dropped.push(Cow::Owned(name.clone()));
        }
        if name == "include" && request.sampling.logprobs == Some(true) {
            dropped.push("logprobs".into());
        }
    }
    if target.supported.is_empty() {
        return;
    }
    const OPTIONAL: [Parameter; 3] = [Parameter::Temperature, Parameter::TopP, Parameter::TopLogprobs];
    let lacking = request.facts.parameters.without(target.supported);
    for parameter in OPTIONAL.into_iter().filter(|parameter| lacking.contains(*parameter)) {
        if body.shift_remove(parameter.name()).is_some() {
            dropped.push(Cow::Borrowed(parameter.name()));
        }
    }
}

#[cfg(test)]
mod tests;
