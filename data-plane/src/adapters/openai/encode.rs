//! Writes requests: the client's bytes with the few members changed that must be.
//!
//! Big prompts are scanned, not rebuilt; members nobody here knows pass untouched.

use std::borrow::Cow;

use bytes::BytesMut;
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::adapters::openai::alternate::alternating;
use crate::adapters::openai::messages::build;
use crate::adapters::openai::preface::Preface;
use crate::adapters::openai::reasoning::with_reasoning;
use crate::adapters::openai::refuse::refuse;
use crate::adapters::openai::rewrite::{Dropped, rewrite_messages, rewrite_tools};
use crate::adapters::quirks::{CapField, ChatQuirks, Logprobs};
use crate::adapters::shared::head;
use crate::adapters::shared::wish::{self, lacking};
use crate::adapters::{Context, Encoded, Target, Unsupported};
use crate::model::parameter::Parameter;
use crate::model::request::{ChatRequest, Dialect};
use crate::wire::patch::{Member, Patch, members, value};

/// Members that mean something to routers only, then those that the endpoint gets in its own words.
pub(super) const ROUTER_FIELDS: [&str; 14] = [
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

/// Where chats are posted, unless a row knows better.
const PATH: &str = "/chat/completions";

/// Writes the upstream request.
pub fn encode(request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let source = match request.source.dialect {
        Dialect::OpenAiChat => request.source.body.clone(),
        _ => build(request)?,
    };
    let members = members(&source).map_err(|_| Unsupported::new("request", "is no JSON object"))?;
    let sent = Sent { text: &source, members: &members };
    refuse(sent, request, target)?;
    let chat = &target.quirks.chat;
    let mut dropped = Vec::new();
    let mut patch = with_extra(Patch::new().without_nulls().set_str("model", target.model), sent, chat);
    patch = with_stream(patch, sent, target);
    patch = with_cap(patch, request, target);
    patch = without_router_fields(patch, sent, request, target, &mut dropped);
    patch = with_tier(patch, sent, request, target, &mut dropped);
    patch = with_reasoning(patch, sent, request, target, &mut dropped);
    patch = with_logprobs(patch, sent, request, chat);
    patch = without_unsupported(patch, request, target, &mut dropped);
    patch = with_prompt(patch, sent, request, target, &mut dropped)?;
    let mut body = BytesMut::new();
    patch.apply_to(&source, &members, &mut body);
    Ok(Encoded {
        method: Method::POST,
        path: if chat.path == PATH { Cow::Borrowed(PATH) } else { Cow::Owned(chat.path.clone()) },
        headers: headers(target.stream, chat),
        body: body.freeze(),
        dropped,
        context: Context {
            hide_reasoning: request.reasoning.exclude,
            think_tags: chat.think_tags,
            ..Context::default()
        },
    })
}

/// The client's members, found once.
#[derive(Clone, Copy)]
pub struct Sent<'a> {
    text: &'a [u8],
    members: &'a [Member],
}

impl<'a> Sent<'a> {
    /// A member's value, unless it is null.
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        value(self.text, self.members, name).filter(|value| *value != b"null")
    }
}

/// The row's headers, under those that the dialect writes itself.
pub(super) fn headers(stream: bool, chat: &ChatQuirks) -> HeaderMap {
    let mut headers: HeaderMap = chat.headers.iter().cloned().collect();
    headers.extend(head::headers(stream, head::EVENTS));
    headers
}

/// The row's own members, where the client has not said otherwise.
fn with_extra<'a>(patch: Patch<'a>, sent: Sent<'_>, chat: &'a ChatQuirks) -> Patch<'a> {
    let own = chat.extra.iter().filter(|(name, _)| sent.get(name).is_none());
    own.fold(patch, |patch, (name, value)| patch.set(name, value.as_bytes()))
}

/// Prompt and tools, where they cannot pass as sent.
fn with_prompt<'a>(
    mut patch: Patch<'a>,
    sent: Sent<'a>,
    request: &ChatRequest,
    target: &Target<'_>,
    dropped: &mut Dropped,
) -> Result<Patch<'a>, Unsupported> {
    let messages = sent.get("messages").unwrap_or(b"[]");
    let preface = Preface::of(sent, request, target, dropped);
    if let Some(format) = preface.response_format {
        patch = patch.set("response_format", format);
    }
    let rewritten = if target.quirks.chat.alternate_turns {
        Some(alternating(request.messages.get()?, dropped)?.to_string().into_bytes())
    } else {
        rewrite_messages(sent, request, target, dropped)?
    };
    let told = preface.put(rewritten.as_deref().unwrap_or(messages))?;
    if let Some(messages) = told.or(rewritten) {
        patch = patch.set("messages", messages);
    }
    if let Some(tools) = sent.get("tools").filter(|_| request.facts.parameters.contains(Parameter::Tools))
        && let Some(tools) = rewrite_tools(tools, request, target.quirks, dropped)?
    {
        patch = patch.set("tools", tools);
    }
    Ok(patch)
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
    let is_left_out = |name: &&String| sent.get(name).is_some() && *name != Parameter::ServiceTier.name();
    for name in target.quirks.drop.iter().filter(is_left_out) {
        dropped.push(Cow::Owned(name.clone()));
        patch = patch.remove(name);
    }
    patch
}

/// The tier that is asked for, in the place of what the caller said of it.
fn with_tier<'a>(
    patch: Patch<'a>,
    sent: Sent<'_>,
    request: &ChatRequest,
    target: &Target<'_>,
    dropped: &mut Dropped,
) -> Patch<'a> {
    const NAME: &str = Parameter::ServiceTier.name();
    match wish::tier_if_taken(request, target, dropped) {
        Some(tier) if request.service_tier.as_deref() == Some(tier) => patch,
        Some(tier) => patch.set_str(NAME, tier),
        None if sent.get(NAME).is_some() => patch.remove(NAME),
        None => patch,
    }
}

/// Log probabilities in the endpoint's form, and no count of answers where there is only one.
fn with_logprobs<'a>(
    mut patch: Patch<'a>,
    sent: Sent<'_>,
    request: &ChatRequest,
    chat: &ChatQuirks,
) -> Patch<'a> {
    if chat.single_choice && sent.get("n").is_some() {
        patch = patch.remove("n");
    }
    if chat.logprobs == Logprobs::Flag {
        return patch;
    }
    match request.sampling.logprobs {
        Some(true) => {
            let count = request.sampling.top_logprobs.unwrap_or(1).max(1);
            patch.set("logprobs", count.to_string().into_bytes()).remove("top_logprobs")
        }
        Some(false) => patch.remove("logprobs").remove("top_logprobs"),
        None => patch,
    }
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

#[cfg(test)]
mod tests;
