//! Wishes of a request that many dialects cannot express, and how they are named when they stay behind.

use std::borrow::Cow;

use serde_json::Value;

use crate::adapters::{Target, Unsupported};
use crate::model::message::{Message, PartContent, Role};
use crate::model::parameter::{Parameter, Parameters};
use crate::model::request::{ChatRequest, Dialect, Effort, Reasoning};
use crate::wire::patch::{Member, is_named, member, members};

/// Members that are read by every adapter or are meant for the router.
const READ: [&str; 18] = [
    "model",
    "models",
    "messages",
    "stream",
    "stream_options",
    "provider",
    "preset",
    "route",
    "usage",
    "session_id",
    "trace",
    "debug",
    "functions",
    "function_call",
    "modalities",
    "structured_outputs",
    "include_reasoning",
    "n",
];

/// Parameters that may be left out where an endpoint does not list them.
const OPTIONAL: [Parameter; 15] = [
    Parameter::Temperature,
    Parameter::TopP,
    Parameter::TopK,
    Parameter::MinP,
    Parameter::TopA,
    Parameter::FrequencyPenalty,
    Parameter::PresencePenalty,
    Parameter::RepetitionPenalty,
    Parameter::LogitBias,
    Parameter::Logprobs,
    Parameter::TopLogprobs,
    Parameter::Seed,
    Parameter::Stop,
    Parameter::Verbosity,
    Parameter::WebSearchOptions,
];

/// A caller's words for the default tier, with which any endpoint of that tier complies.
const DEFAULT_TIER: [&str; 4] = ["auto", "default", "standard", "standard_only"];

/// The optional parameters that were sent and that an endpoint with these does not list; none where it lists nothing.
pub fn lacking(request: &ChatRequest, supported: Parameters) -> impl Iterator<Item = Parameter> {
    let lacking =
        if supported.is_empty() { Parameters::NONE } else { request.facts.parameters.without(supported) };
    OPTIONAL.into_iter().filter(move |parameter| lacking.contains(*parameter))
}

/// The tier to ask for, in OpenAI's words; none where nothing is to be said.
///
/// Routing has decided on an endpoint's tier, so that a caller's other wish is not lost here, and is not named as such.
pub fn tier<'a>(request: &'a ChatRequest, target: &Target<'a>) -> Option<&'a str> {
    let asked = request.service_tier.as_deref();
    match target.tier {
        None => asked,
        Some("") => asked.filter(|tier| DEFAULT_TIER.contains(tier)),
        own => own,
    }
}

/// The same for OpenAI's dialects and their followers, of whom not all take the member: a row that lists its parameters
/// speaks for itself, and one that is of a tier says by that how it is asked for.
pub fn tier_if_taken<'a>(
    request: &'a ChatRequest,
    target: &Target<'a>,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Option<&'a str> {
    let tier = tier(request, target)?;
    let (quirks, name) = (target.quirks, Parameter::ServiceTier.name());
    let listed = target.supported;
    let is_taken = if listed.is_empty() { quirks.service_tier } else { target.takes(Parameter::ServiceTier) };
    let is_barred = quirks.drop.iter().any(|barred| barred == name);
    if !is_barred && (is_taken || target.tier == Some(tier)) {
        return Some(tier);
    }
    if target.tier.is_none() {
        dropped.push(name.into());
    }
    None
}

/// Names the tier where one is to be asked for and the dialect has no word for any.
pub fn lose_tier(request: &ChatRequest, target: &Target<'_>, dropped: &mut Vec<Cow<'static, str>>) {
    if target.tier != Some("") && tier(request, target).is_some() {
        dropped.push(Parameter::ServiceTier.name().into());
    }
}

/// Takes out the dialect's own member that buys speed, unless it asks for what is usual: an endpoint's row has no price
/// for it.
pub fn hold_to_price(
    own: &mut Vec<(String, Value)>,
    (name, usual): (&'static str, &Value),
    target: &Target<'_>,
    dropped: &mut Vec<Cow<'static, str>>,
) {
    let before = own.len();
    own.retain(|(member, value)| {
        target.tier.is_none() || member != name || value.is_null() || value == usual
    });
    if own.len() < before {
        dropped.push(name.into());
    }
}

/// Whether the endpoint takes wishes about reasoning.
pub fn may_reason(supported: Parameters) -> bool {
    supported.is_empty()
        || [Parameter::Reasoning, Parameter::ReasoningEffort].into_iter().any(|one| supported.contains(one))
}

/// The level of thinking asked for; a budget stands for the level whose share of the cap is nearest.
pub fn level(wish: &Reasoning, cap: Option<u64>) -> Option<Effort> {
    let budget = wish.max_tokens.filter(|_| wish.effort.is_none() && wish.enabled != Some(false));
    match budget {
        Some(budget) => Some(cap.map_or(Effort::Medium, |cap| Effort::nearest(budget, cap))),
        None => wish.level(),
    }
}

/// Refuses what a dialect that answers once and in text cannot leave out without changing what was asked for.
///
/// # Errors
/// [`Unsupported`] naming `n` or `modalities`.
pub fn refuse_all_but_text(request: &ChatRequest) -> Result<(), Unsupported> {
    if request.n > 1 {
        return Err(Unsupported::new("n", "must be 1 for this model"));
    }
    if let Some(kind) = request.modalities.iter().find(|kind| *kind != "text") {
        let why = format_args!("asks for {kind}, which this model does not make");
        return Err(Unsupported::new("modalities", why));
    }
    Ok(())
}

/// Parameters that were sent and that the dialect has no word for, by name.
pub fn lost(request: &ChatRequest, without_counterpart: &[Parameter]) -> Vec<Cow<'static, str>> {
    let sent = request.facts.parameters;
    let lost = without_counterpart.iter().filter(|parameter| sent.contains(**parameter));
    lost.map(|parameter| Cow::Borrowed(parameter.name())).collect()
}

/// Members of messages that say how to read them and that most dialects have no word for, by path: an image's
/// `detail`, a speaker's name.
pub fn lost_in_messages(messages: &[Message]) -> Vec<Cow<'static, str>> {
    let mut lost = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        // A function's name is its result's address.
        if message.name.is_some() && message.role != Role::Function {
            lost.push(format!("messages[{at}].name").into());
        }
        for (part, content) in message.content.iter().enumerate() {
            if let PartContent::Image { detail: Some(detail), .. } = &content.content
                && detail != "auto"
            {
                lost.push(format!("messages[{at}].content[{part}].image_url.detail").into());
            }
        }
    }
    lost
}

/// The dialect's `own` members that the caller sent by name, to be passed, and the names of those that nobody knows.
pub fn own_members(request: &ChatRequest, own: &[&str]) -> (Vec<(String, Value)>, Vec<Cow<'static, str>>) {
    let (mut passed, mut unknown) = (Vec::new(), Vec::new());
    if request.source.dialect != Dialect::OpenAiChat {
        return (passed, unknown);
    }
    let text = request.source.own.as_ref().unwrap_or(&request.source.body);
    let is_translated = request.source.own.is_some();
    for member in members(text).unwrap_or_default() {
        let (key, value) = (&text[member.key], &text[member.value]);
        let Ok(name) = std::str::from_utf8(key) else { continue };
        if own.contains(&name) {
            passed.extend(serde_json::from_slice(value).ok().map(|value| (name.to_owned(), value)));
        } else if !is_translated
            && value != b"null"
            && !READ.contains(&name)
            && Parameter::from_name(name).is_none()
        {
            unknown.push(Cow::Owned(name.to_owned()));
        }
    }
    (passed, unknown)
}

/// Names of the members that nobody knows: neither the router, nor other dialects, nor this one by its `own` names.
pub fn unknown(text: &[u8], members: &[Member], own: &[&str]) -> Vec<Cow<'static, str>> {
    let is_known = |member: &&Member| {
        let is = |name: &&str| is_named(text, member, name);
        &text[member.value.clone()] == b"null"
            || own.iter().any(is)
            || READ.iter().any(is)
            || Parameter::ALL.iter().any(|parameter| is_named(text, member, parameter.name()))
    };
    let unknown = members.iter().filter(|member| !is_known(member));
    unknown.map(|member| String::from_utf8_lossy(&text[member.key.clone()]).into_owned().into()).collect()
}

/// A member of the client's body that has no typed place, such as `image_config`; None if absent or null.
pub fn source_member(request: &ChatRequest, name: &str) -> Option<Value> {
    if request.source.dialect != Dialect::OpenAiChat {
        return None;
    }
    let value = member(&request.source.body, name)?;
    serde_json::from_slice(value).ok().filter(|value: &Value| !value.is_null())
}

#[cfg(test)]
mod tests;
