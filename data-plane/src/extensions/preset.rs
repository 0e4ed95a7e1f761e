//! Lays a preset under a request: what the request says itself goes over it, member by member.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use switchyard_proto::code::ErrorCode;
use switchyard_proto::preset::PREFIX;

use crate::api::openai_chat;
use crate::config::snapshot::preset::Preset;
use crate::error::RequestError;
use crate::model::request::{ChatRequest, Invalid, Lazy};
use crate::wire::patch::{self, Member, Patch, elements};

/// A preset, as a request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    pub preset: &'a str,
    /// The model before `@preset/`: it goes over the preset's own.
    pub model: Option<&'a str>,
}

/// Members that say the same in other words: where a request has one of them, it goes over all of the preset's.
const GROUPS: [&[&str]; 4] = [
    &["model", "models"],
    &["max_tokens", "max_completion_tokens"],
    &["reasoning", "reasoning_effort", "include_reasoning"],
    &["tool_choice", "function_call"],
];

/// Which preset a request names, in its model or as a member of its own.
///
/// # Errors
/// 400 where it names two, or one in `models`.
pub fn named(request: &ChatRequest) -> Result<Option<Named<'_>>, RequestError> {
    if let Some(at) = request.fallback_models.iter().position(|model| model.contains(PREFIX)) {
        let text = format!("models[{at}] names a preset; one is named by `model` or `preset`.");
        return Err(invalid(text).field("models"));
    }
    let own = request.preset.as_deref().filter(|name| !name.is_empty());
    let own = own.map(|name| name.strip_prefix(PREFIX).unwrap_or(name));
    let in_model = request.model.as_deref().and_then(|model| model.split_once(PREFIX));
    match (in_model, own) {
        (None, None) => Ok(None),
        (None, Some(preset)) => Ok(Some(Named { preset, model: request.model.as_deref() })),
        (Some((_, one)), Some(other)) if one != other => {
            let text = format!("model and preset name two presets, `{}` and `{}`.", cut(one), cut(other));
            Err(invalid(text).field("preset"))
        }
        (Some((model, preset)), _) => {
            Ok(Some(Named { preset, model: Some(model).filter(|model| !model.is_empty()) }))
        }
    }
}

/// The request as if it had been sent with the preset's members.
///
/// # Errors
/// 400 where both together are no request; it names the preset and the member.
pub fn apply(request: &ChatRequest, named: Named<'_>, preset: &Preset) -> Result<ChatRequest, RequestError> {
    if preset.system.is_some() {
        // Found out here, messages at fault have the caller's own numbers.
        request.messages.get().map_err(unreadable)?;
    }
    let body = merged(&request.source.body, named, preset)?;
    let mut made = openai_chat::decode(body).map_err(|bad| {
        let text = format!("With preset `{}`: {}", preset.id, bad.message);
        RequestError::new(bad.code, text).field(&bad.field)
    })?;
    made.source.own.clone_from(&request.source.own);
    made.echo.clone_from(&request.echo);
    made.names.clone_from(&request.names);
    if let Some(messages) = typed(request, &made, preset).map_err(unreadable)? {
        made.messages = messages;
    }
    Ok(made)
}

/// What the surface typed beyond the words of chat completions stays as it is, behind the preset's prompt.
fn typed(
    request: &ChatRequest,
    made: &ChatRequest,
    preset: &Preset,
) -> Result<Option<Lazy<Vec<crate::model::message::Message>>>, Invalid> {
    if !request.messages.raw().is_empty() {
        return Ok(None);
    }
    let prompt = match &preset.system {
        Some(_) => made.messages.get()?.first().cloned(),
        None => None,
    };
    let messages = prompt.into_iter().chain(request.messages.get()?.iter().cloned());
    Ok(Some(Lazy::ready(messages.collect())))
}

fn merged(body: &Bytes, named: Named<'_>, preset: &Preset) -> Result<Bytes, RequestError> {
    let members = patch::members(body).map_err(|error| RequestError::internal(error.to_string()))?;
    let own = Own { body, members: &members, named };
    let mut patch = Patch::new().remove("preset");
    for (name, json) in &preset.members {
        match (name.as_str(), own.value(name)) {
            ("tools", Some(theirs)) => patch = patch.set("tools", joined(json, theirs)),
            (name, _) if !own.says(name) => patch = patch.set(name, Cow::Borrowed(&json[..])),
            _ => {}
        }
    }
    let has_model = preset.members.iter().any(|(name, _)| name == "model") && !own.says("model");
    match named.model {
        Some(model) => patch = patch.set_str("model", model),
        None if !has_model => patch = patch.remove("model"),
        None => {}
    }
    if let (Some(system), Some(messages)) = (&preset.system, own.value("messages")) {
        patch = patch.set("messages", before(system, messages));
    }
    let mut out = BytesMut::new();
    patch.apply_to(body, &members, &mut out);
    Ok(out.freeze())
}

/// The members of a request's body.
struct Own<'a> {
    body: &'a [u8],
    members: &'a [Member],
    named: Named<'a>,
}

impl<'a> Own<'a> {
    /// The member's value; null is as if it were not there.
    fn value(&self, name: &str) -> Option<&'a [u8]> {
        patch::value(self.body, self.members, name).filter(|value| *value != b"null")
    }

    /// Whether the request says this itself, in these words or others.
    fn says(&self, name: &str) -> bool {
        let group = GROUPS.iter().find(|group| group.contains(&name));
        group.map_or(&[name][..], |group| group).iter().any(|word| match *word {
            "model" => self.named.model.is_some(),
            word => self.value(word).is_some(),
        })
    }
}

/// Both lists of tools: the preset's first, each in the request's form where the request has it too.
fn joined(preset: &[u8], request: &[u8]) -> Vec<u8> {
    let (ours, theirs) = (tools(preset), tools(request));
    let same = |one: &Tool<'_>, other: &Tool<'_>| one.identity == other.identity;
    let kept = ours.iter().map(|tool| theirs.iter().find(|theirs| same(theirs, tool)).unwrap_or(tool));
    let added = theirs.iter().filter(|tool| !ours.iter().any(|ours| same(ours, tool)));
    let all: Vec<&[u8]> = kept.chain(added).map(|tool| tool.json).collect();
    [&b"["[..], &all.join(&b","[..]), b"]"].concat()
}

struct Tool<'a> {
    json: &'a [u8],
    identity: (String, String),
}

/// Each with what tells it from others: a function's name, else its type and the name among its parameters.
fn tools(list: &[u8]) -> Vec<Tool<'_>> {
    let places = elements(list).unwrap_or_default();
    let tool = |json| {
        let text = |path: &[&str]| {
            let found = path.iter().try_fold(json, |json, name| patch::member(json, name));
            found.and_then(|json| serde_json::from_slice::<String>(json).ok())
        };
        let kind = text(&["type"]).unwrap_or_default();
        let names = [text(&["function", "name"]), text(&["parameters", "name"]), text(&["name"])];
        Tool { json, identity: (kind, names.into_iter().flatten().next().unwrap_or_default()) }
    };
    places.into_iter().map(|place| tool(&list[place])).collect()
}

/// The messages behind one more.
fn before(first: &[u8], messages: &[u8]) -> Vec<u8> {
    let rest = messages.trim_ascii_start().strip_prefix(b"[").unwrap_or(messages);
    [&b"["[..], first, b",", rest].concat()
}

fn invalid(text: String) -> RequestError {
    RequestError::new(ErrorCode::InvalidRequest, text)
}

fn unreadable(invalid: Invalid) -> RequestError {
    RequestError::new(ErrorCode::InvalidRequest, invalid.message).field(&invalid.field)
}

/// A name for an error, at a length that an error can have.
pub fn cut(name: &str) -> String {
    name.chars().take(100).collect()
}

#[cfg(test)]
mod tests;
