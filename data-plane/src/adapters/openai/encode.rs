//! Writes requests: the client's bytes with the few members changed that must be.
//!
//! Big prompts are scanned, not rebuilt; members nobody here knows pass untouched.

use std::borrow::Cow;

use bytes::BytesMut;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};

use crate::adapters::openai::messages::{build, rewrite_messages, rewrite_tools};
use crate::adapters::quirks::{CapField, Quirks, ReasoningStyle};
use crate::adapters::shared::wish::{lacking, level};
use crate::adapters::{Context, Encoded, Target, Unsupported};
use crate::model::parameter::Parameter;
use crate::model::request::{ChatRequest, Dialect, Effort};
use crate::wire::patch::{Member, Patch, members, value};

/// Members that mean something to routers only, then those that the endpoint gets in its own words.
const ROUTER_FIELDS: [&str; 14] = [
    "models",
    "provider",
    "route",
    "transforms",
    "plugins",
    "usage",
    "session_id",
    "trace",
    "debug",
    "preset",
    "structured_outputs",
    "cache_control",
    "include_reasoning",
    "reasoning",
];

/// Writes the upstream request.
pub fn encode(request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let source = match request.source.dialect {
        Dialect::OpenAiChat => request.source.body.clone(),
        _ => build(request)?,
    };
    let members = members(&source).map_err(|_| Unsupported::new("request", "is no JSON object"))?;
    let sent = Sent { text: &source, members: &members };
    let mut dropped = Vec::new();
    let mut patch = Patch::new().without_nulls().set_str("model", target.model);
    patch = with_stream(patch, sent, target);
    patch = with_cap(patch, request, target);
    patch = without_router_fields(patch, sent, request, target, &mut dropped);
    patch = with_reasoning(patch, sent, request, target, &mut dropped);
    patch = without_unsupported(patch, request, target, &mut dropped);
    if let Some(messages) = rewrite_messages(&source, request, target.quirks) {
        patch = patch.set("messages", messages);
    }
    if let Some(tools) = rewrite_tools(&source, request, target.quirks) {
        patch = patch.set("tools", tools);
    }
    let mut body = BytesMut::new();
    patch.apply_to(&source, &members, &mut body);
    Ok(Encoded {
        method: Method::POST,
        path: Cow::Borrowed("/chat/completions"),
        headers: headers(target.stream),
        body: body.freeze(),
        dropped,
        context: Context { hide_reasoning: request.reasoning.exclude, ..Context::default() },
    })
}

/// The client's members, found once.
#[derive(Clone, Copy)]
struct Sent<'a> {
    text: &'a [u8],
    members: &'a [Member],
}

impl<'a> Sent<'a> {
    /// A member's value, unless it is null.
    fn get(self, name: &str) -> Option<&'a [u8]> {
        value(self.text, self.members, name).filter(|value| *value != b"null")
    }
}

fn headers(stream: bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = if stream { "text/event-stream" } else { "application/json" };
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers
}

/// Asks for a stream with usage, or for none.
fn with_stream<'a>(patch: Patch<'a>, sent: Sent<'_>, target: &Target<'_>) -> Patch<'a> {
    if !target.stream {
        return patch.remove("stream").remove("stream_options");
    }
    let patch = patch.set("stream", b"true".as_slice());
    if !target.quirks.stream_options {
        return patch.remove("stream_options");
    }
    let options = sent.get("stream_options").and_then(|options| serde_json::from_slice(options).ok());
    let Some(Value::Object(mut options)) = options else {
        return patch.set("stream_options", br#"{"include_usage":true}"#.as_slice());
    };
    options.insert("include_usage".to_owned(), Value::Bool(true));
    patch.set("stream_options", Value::Object(options).to_string().into_bytes())
}

/// Sends the cap that is reserved, under the one name that the endpoint knows.
fn with_cap<'a>(patch: Patch<'a>, request: &ChatRequest, target: &Target<'_>) -> Patch<'a> {
    let Some(cap) = target.output_cap.or(request.max_output_tokens) else { return patch };
    let (name, other) = match target.quirks.cap_field {
        CapField::MaxCompletionTokens => ("max_completion_tokens", "max_tokens"),
        CapField::MaxTokens => ("max_tokens", "max_completion_tokens"),
    };
    patch.set(name, cap.to_string().into_bytes()).remove(other)
}

fn without_router_fields<'a>(
    mut patch: Patch<'a>,
    sent: Sent<'_>,
    request: &ChatRequest,
    target: &Target<'a>,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Patch<'a> {
    if !target.quirks.router_fields {
        patch = patch.without(&ROUTER_FIELDS);
        for parameter in [Parameter::Plugins, Parameter::Transforms, Parameter::CacheControl] {
            if request.facts.parameters.contains(parameter) {
                dropped.push(Cow::Borrowed(parameter.name()));
            }
        }
    }
    // Without tools the members about them are errors in themselves.
    if !request.facts.parameters.contains(Parameter::Tools) {
        patch = ["tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"]
            .into_iter()
            .filter(|name| sent.get(name).is_some())
            .fold(patch, Patch::remove);
    }
    if request.stop.is_empty() && sent.get("stop").is_some() {
        patch = patch.remove("stop");
    }
    for name in target.quirks.drop.iter().filter(|name| sent.get(name).is_some()) {
        dropped.push(Cow::Owned(name.clone()));
        patch = patch.remove(name);
    }
    patch
}

fn without_unsupported<'a>(
    patch: Patch<'a>,
    request: &ChatRequest,
    target: &Target<'_>,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Patch<'a> {
    lacking(request, target.supported).fold(patch, |patch, parameter| {
        dropped.push(Cow::Borrowed(parameter.name()));
        patch.remove(parameter.name())
    })
}

/// Writes the wish about reasoning as the endpoint understands it.
fn with_reasoning<'a>(
    patch: Patch<'a>,
    sent: Sent<'a>,
    request: &ChatRequest,
    target: &Target<'_>,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Patch<'a> {
    let wish = &request.reasoning;
    if target.quirks.reasoning == ReasoningStyle::Object {
        return match sent.get("reasoning") {
            Some(wish) => patch.set("reasoning", wish),
            None => patch,
        };
    }
    let patch = ["reasoning", "include_reasoning"]
        .into_iter()
        .filter(|name| sent.get(name).is_some())
        .fold(patch, Patch::remove);
    let cap = target.output_cap.or(request.max_output_tokens);
    let Some(level) = level(wish, cap) else { return patch };
    let patch = patch.remove("reasoning_effort");
    let thinks = [Parameter::Reasoning, Parameter::ReasoningEffort];
    if !target.supported.is_empty() && !thinks.into_iter().any(|name| target.supported.contains(name)) {
        dropped.push(Cow::Borrowed("reasoning"));
        return patch;
    }
    match target.quirks.reasoning {
        ReasoningStyle::Object => patch,
        ReasoningStyle::Effort => set_effort(patch, level, target.quirks),
        ReasoningStyle::ThinkingType => {
            let kind = if level == Effort::None { "disabled" } else { "enabled" };
            let patch = patch.set("thinking", json!({ "type": kind }).to_string().into_bytes());
            if level == Effort::None { patch } else { set_effort(patch, level, target.quirks) }
        }
        ReasoningStyle::EnableThinking => {
            let on = level != Effort::None;
            let patch = patch.set("enable_thinking", on.to_string().into_bytes());
            match wish.max_tokens {
                Some(budget) if on => patch.set("thinking_budget", budget.to_string().into_bytes()),
                _ => patch,
            }
        }
        ReasoningStyle::TemplateSwitch => {
            let switch = json!({ "enable_thinking": level != Effort::None });
            patch.set("chat_template_kwargs", switch.to_string().into_bytes())
        }
        ReasoningStyle::PromptMode if level == Effort::None => patch,
        ReasoningStyle::PromptMode => patch.set_str("prompt_mode", "reasoning"),
        ReasoningStyle::Absent => {
            dropped.push(Cow::Borrowed("reasoning"));
            patch
        }
    }
}

fn set_effort<'a>(patch: Patch<'a>, level: Effort, quirks: &Quirks) -> Patch<'a> {
    match quirks.nearest_effort(level) {
        Some(level) => patch.set_str("reasoning_effort", level.as_str()),
        None => patch,
    }
}

#[cfg(test)]
mod tests;
