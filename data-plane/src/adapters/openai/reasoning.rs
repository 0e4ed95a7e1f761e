//! The wish about reasoning, in the words of the endpoint.

use std::borrow::Cow;

use memchr::memmem;
use serde_json::{Map, Value, json};

use crate::adapters::Target;
use crate::adapters::openai::encode::Sent;
use crate::adapters::quirks::{Quirks, ReasoningStyle};
use crate::adapters::shared::wish;
use crate::model::message::ToolChoice;
use crate::model::parameter::Parameter;
use crate::model::request::{ChatRequest, Dialect, Effort, Reasoning};
use crate::wire::patch::Patch;

/// Writes the wish about reasoning as the endpoint understands it.
pub fn with_reasoning<'a>(
    patch: Patch<'a>,
    sent: Sent<'a>,
    request: &ChatRequest,
    target: &Target<'a>,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Patch<'a> {
    if target.quirks.reasoning == ReasoningStyle::Object {
        return as_object(patch, sent, request);
    }
    let patch = ["reasoning", "include_reasoning"]
        .into_iter()
        .filter(|name| sent.get(name).is_some())
        .fold(patch, Patch::remove);
    let Some(level) = level(sent, request, target) else { return patch };
    let patch = patch.remove("reasoning_effort");
    if !may_think(target) {
        dropped.push(Cow::Borrowed("reasoning"));
        return patch;
    }
    let chat = &target.quirks.chat;
    let constant = if level == Effort::None { &chat.reasoning_off } else { &chat.reasoning_on };
    let is_told = !constant.is_empty() || chat.thinking_prompt.is_some();
    let patch = match level {
        Effort::None if is_told => patch,
        _ => in_style(patch, sent, request, target.quirks, (level, is_told), dropped),
    };
    constant.iter().fold(patch, |patch, (name, value)| patch.set(name, value.as_bytes()))
}

/// The level of thinking that the caller asks for.
///
/// Who forces a call and says nothing of thinking gets none where the endpoint cannot do both: some models think unless
/// they are told not to.
pub fn level(sent: Sent<'_>, request: &ChatRequest, target: &Target<'_>) -> Option<Effort> {
    let asked = wish::level(&request.reasoning, target.output_cap.or(request.max_output_tokens));
    let cannot_do_both = || {
        !target.quirks.chat.forced_tools_thinking
            && forces_call(request)
            && may_think(target)
            && sent.get("thinking").is_none()
    };
    asked.or_else(|| cannot_do_both().then_some(Effort::None))
}

/// Whether `tool_choice` leaves the model no choice but to call.
pub fn forces_call(request: &ChatRequest) -> bool {
    match &request.tool_choice {
        Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Custom(_)) => true,
        Some(ToolChoice::Allowed { required, .. }) => *required,
        Some(ToolChoice::None | ToolChoice::Auto) | None => false,
    }
}

/// Whether the endpoint knows wishes about thinking, as far as its row tells.
fn may_think(target: &Target<'_>) -> bool {
    let thinks = [Parameter::Reasoning, Parameter::ReasoningEffort];
    target.supported.is_empty() || thinks.into_iter().any(|name| target.supported.contains(name))
}

/// Whether the caller wants no thinking, in our words or in the endpoint's own.
pub fn is_off(sent: Sent<'_>, request: &ChatRequest) -> bool {
    request.reasoning.level() == Some(Effort::None)
        || sent.get("thinking").is_some_and(|own| memmem::find(own, b"\"disabled\"").is_some())
}

/// The router's own object, for an endpoint that is a router.
fn as_object<'a>(patch: Patch<'a>, sent: Sent<'a>, request: &ChatRequest) -> Patch<'a> {
    if let Some(wish) = sent.get("reasoning") {
        return patch.set("reasoning", wish);
    }
    if request.source.dialect == Dialect::OpenAiChat || request.reasoning.is_unset() {
        return patch;
    }
    patch.set("reasoning", object(&request.reasoning).to_string().into_bytes())
}

fn object(wish: &Reasoning) -> Value {
    let mut members = Map::new();
    for (name, value) in [
        ("effort", wish.effort.map(|effort| Value::from(effort.as_str()))),
        ("max_tokens", wish.max_tokens.map(Value::from)),
        ("enabled", wish.enabled.map(Value::from)),
        ("summary", wish.summary.clone().map(Value::from)),
        ("exclude", wish.exclude.then_some(Value::Bool(true))),
    ] {
        members.extend(value.map(|value| (name.to_owned(), value)));
    }
    Value::Object(members)
}

fn in_style<'a>(
    patch: Patch<'a>,
    sent: Sent<'a>,
    request: &ChatRequest,
    quirks: &Quirks,
    (level, is_told): (Effort, bool),
    dropped: &mut Vec<Cow<'static, str>>,
) -> Patch<'a> {
    let is_on = level != Effort::None;
    match quirks.reasoning {
        ReasoningStyle::Object => patch,
        ReasoningStyle::Effort => set_effort(patch, level, quirks),
        ReasoningStyle::ThinkingType => {
            let kind = if is_on { "enabled" } else { "disabled" };
            let patch = patch.set("thinking", json!({ "type": kind }).to_string().into_bytes());
            if is_on { set_effort(patch, level, quirks) } else { patch }
        }
        ReasoningStyle::EnableThinking => {
            let patch = patch.set("enable_thinking", is_on.to_string().into_bytes());
            match request.reasoning.max_tokens {
                Some(budget) if is_on => patch.set("thinking_budget", budget.to_string().into_bytes()),
                _ => patch,
            }
        }
        ReasoningStyle::TemplateSwitch => {
            let patch = patch.set("chat_template_kwargs", template(sent, is_on));
            if is_on { set_effort(patch, level, quirks) } else { patch }
        }
        ReasoningStyle::PromptMode if !is_on => patch,
        ReasoningStyle::PromptMode => patch.set_str("prompt_mode", "reasoning"),
        ReasoningStyle::Switch if is_told => patch,
        ReasoningStyle::Switch | ReasoningStyle::Absent => {
            dropped.push(Cow::Borrowed("reasoning"));
            patch
        }
    }
}

/// The client's template arguments with the switch set, by both names that templates use.
fn template(sent: Sent<'_>, is_on: bool) -> Vec<u8> {
    let own = sent.get("chat_template_kwargs").and_then(|own| serde_json::from_slice(own).ok());
    let mut arguments: Map<String, Value> = own.unwrap_or_default();
    for name in ["enable_thinking", "thinking"] {
        arguments.insert(name.to_owned(), is_on.into());
    }
    Value::Object(arguments).to_string().into_bytes()
}

fn set_effort<'a>(patch: Patch<'a>, level: Effort, quirks: &Quirks) -> Patch<'a> {
    match quirks.nearest_effort(level) {
        Some(level) => patch.set_str("reasoning_effort", level.as_str()),
        None => patch,
    }
}
