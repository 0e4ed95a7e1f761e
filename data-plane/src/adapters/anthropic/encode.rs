//! Writes requests: the typed form, member by member, and the names of what had to stay behind.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use memchr::memmem;
use serde_json::{Map, Value, json};

use crate::adapters::anthropic::format::{self, Leeway};
use crate::adapters::anthropic::thinking;
use crate::adapters::anthropic::tools::{Toolbox, toolbox};
use crate::adapters::anthropic::turns::{Conversation, conversation};
use crate::adapters::quirks::{Quirks, Thinking};
use crate::adapters::shared::wish;
use crate::adapters::{Context, Encoded, Target, Unsupported};
use crate::model::parameter::Parameter;
use crate::model::request::ChatRequest;

/// Anthropic takes no more cache breakpoints than this.
const BREAKPOINTS: usize = 4;

/// Parameters without a counterpart.
const LOST: [Parameter; 19] = [
    Parameter::MinP,
    Parameter::TopA,
    Parameter::FrequencyPenalty,
    Parameter::PresencePenalty,
    Parameter::RepetitionPenalty,
    Parameter::LogitBias,
    Parameter::Logprobs,
    Parameter::TopLogprobs,
    Parameter::Seed,
    Parameter::WebSearchOptions,
    Parameter::Prediction,
    Parameter::Audio,
    Parameter::ImageConfig,
    Parameter::PromptCacheKey,
    Parameter::Metadata,
    Parameter::Store,
    Parameter::SafetyIdentifier,
    Parameter::Plugins,
    Parameter::Transforms,
];

/// Anthropic's own members, which callers may send by name.
const OWN: [&str; 5] = ["container", "context_management", "mcp_servers", "inference_geo", "speed"];

/// Writes the upstream request.
pub fn encode(request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let quirks = target.quirks;
    refuse(request)?;
    let mut dropped = wish::lost(request, &LOST);
    let mut context = Context { hide_reasoning: request.reasoning.exclude, ..Context::default() };
    let conversation = conversation(request.messages.get()?, quirks)?;
    let called = conversation.called_tools();
    let mut toolbox = toolbox(request, quirks, &called, &mut context, &mut dropped)?;
    let cap = target.output_cap.or(request.max_output_tokens).unwrap_or(quirks.default_output_cap);
    let thinking =
        thinking::plan(request, quirks, cap, may_think(&conversation, &toolbox, quirks), &mut dropped);
    check_prefill(&conversation, quirks, thinking.is_on)?;

    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.into());
    body.insert("max_tokens".to_owned(), cap.into());
    if target.stream {
        body.insert("stream".to_owned(), true.into());
    }
    let asked = shape(&mut body, request, quirks, &mut toolbox, &thinking, &mut context)?;
    thinking::sample(&mut body, request, quirks, thinking.is_on, &mut dropped);
    put_small(&mut body, request, &mut dropped);
    let (own, unknown) = wish::own_members(request, &OWN);
    body.extend(own);
    dropped.extend(unknown);
    let (mut system, mut messages) = conversation.into_messages();
    system.extend(asked.map(|text| json!({"type": "text", "text": text})));
    let spare = BREAKPOINTS - usize::from(body.contains_key("cache_control"));
    if thin_breakpoints(&mut toolbox.tools, &mut system, &mut messages, spare) {
        dropped.push("cache_control".into());
    }
    put_list(&mut body, "system", system);
    body.insert("messages".to_owned(), Value::Array(messages));
    put_list(&mut body, "tools", toolbox.tools);
    body.extend(toolbox.choice.map(|choice| ("tool_choice".to_owned(), choice)));
    Ok(Encoded {
        method: Method::POST,
        path: Cow::Borrowed("/messages"),
        headers: headers(request, target)?,
        body: Bytes::from(Value::Object(body).to_string()),
        dropped,
        context,
    })
}

/// What cannot be left out without changing what the caller asked for.
fn refuse(request: &ChatRequest) -> Result<(), Unsupported> {
    if request.n > 1 {
        return Err(Unsupported::new("n", "must be 1 for this model"));
    }
    if let Some(kind) = request.modalities.iter().find(|kind| *kind != "text") {
        return Err(Unsupported::new(
            "modalities",
            format_args!("asks for {kind}, which this model does not make"),
        ));
    }
    Ok(())
}

/// With a budget, thinking tolerates neither a forced call nor a tool loop that began without it.
fn may_think(conversation: &Conversation, toolbox: &Toolbox, quirks: &Quirks) -> bool {
    quirks.thinking != Thinking::Budget || !(toolbox.forces || conversation.continues_unthought())
}

fn check_prefill(conversation: &Conversation, quirks: &Quirks, thinks: bool) -> Result<(), Unsupported> {
    if conversation.is_prefilled() && (thinks || !quirks.prefill) {
        return Err(Unsupported::new(
            "messages",
            "end with the assistant, whose text this model cannot continue",
        ));
    }
    Ok(())
}

/// Puts thinking and the response format; returns what must be asked for in words.
fn shape(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    quirks: &Quirks,
    toolbox: &mut Toolbox,
    thinking: &thinking::Plan,
    context: &mut Context,
) -> Result<Option<&'static str>, Unsupported> {
    let mut output = Map::new();
    if let Some(effort) = thinking.effort {
        output.insert("effort".to_owned(), effort.as_str().into());
    }
    body.extend(thinking.thinking.clone().map(|thinking| ("thinking".to_owned(), thinking)));
    let leeway = Leeway { has_tools: !toolbox.tools.is_empty(), thinks: thinking.is_on };
    let asked = match format::plan(request, quirks, leeway)? {
        format::Plan::Free => None,
        format::Plan::Asked(text) => Some(text),
        format::Plan::Native(format) => {
            output.insert("format".to_owned(), format);
            None
        }
        format::Plan::Tool { tool, json_tool } => {
            let choice = json!({"type": "tool", "name": json_tool.name, "disable_parallel_tool_use": true});
            *toolbox = Toolbox { tools: vec![tool], choice: Some(choice), forces: true };
            context.json_tool = Some(json_tool);
            None
        }
    };
    if !output.is_empty() {
        body.insert("output_config".to_owned(), Value::Object(output));
    }
    Ok(asked)
}

fn put_small(body: &mut Map<String, Value>, request: &ChatRequest, dropped: &mut Vec<Cow<'static, str>>) {
    let stops = request.stop.iter().filter(|stop| !stop.trim().is_empty());
    put_list(body, "stop_sequences", stops.map(|stop| Value::from(stop.as_str())).collect());
    match request.user.as_deref() {
        // Anthropic wants no names and addresses.
        Some(user) if user.contains('@') => dropped.push("user".into()),
        Some(user) => drop(body.insert("metadata".to_owned(), json!({ "user_id": user }))),
        None => {}
    }
    match request.service_tier.as_deref() {
        Some("auto") => drop(body.insert("service_tier".to_owned(), "auto".into())),
        Some("default" | "standard_only") => {
            body.insert("service_tier".to_owned(), "standard_only".into());
        }
        Some(_) => dropped.push("service_tier".into()),
        None => {}
    }
    if let Some(mark) = &request.cache_control {
        body.insert("cache_control".to_owned(), mark.clone());
    }
}

fn put_list(body: &mut Map<String, Value>, name: &str, list: Vec<Value>) {
    if !list.is_empty() {
        body.insert(name.to_owned(), Value::Array(list));
    }
}

/// Keeps the last breakpoint of the system prompt and the last of all others, as many as are allowed.
fn thin_breakpoints(tools: &mut [Value], system: &mut [Value], messages: &mut [Value], spare: usize) -> bool {
    let is_marked = |block: &Value| block.get("cache_control").is_some();
    let last_system = system.iter().rposition(is_marked);
    let blocks = messages.iter_mut().filter_map(|message| message["content"].as_array_mut()).flatten();
    let mut marked: Vec<(bool, &mut Value)> = Vec::new();
    marked.extend(tools.iter_mut().map(|tool| (false, tool)));
    marked.extend(system.iter_mut().enumerate().map(|(at, block)| (Some(at) == last_system, block)));
    marked.extend(blocks.map(|block| (false, block)));
    marked.retain(|(_, block)| is_marked(block));
    let mut excess = marked.len().saturating_sub(spare);
    let thinned = excess > 0;
    for (_, block) in marked.into_iter().filter(|(kept, _)| !kept) {
        if excess > 0 {
            excess -= 1;
            block.as_object_mut().map(|block| block.remove("cache_control"));
        }
    }
    thinned
}

fn headers(request: &ChatRequest, target: &Target<'_>) -> Result<HeaderMap, Unsupported> {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = if target.stream { "text/event-stream" } else { "application/json" };
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    let version = HeaderValue::from_str(&target.quirks.anthropic_version);
    let version = version.map_err(|_| Unsupported::new("anthropic_version", "is no header value"))?;
    headers.insert("anthropic-version", version);
    let has_files =
        request.facts.files.remote > 0 && memmem::find(&request.source.body, b"\"file_id\"").is_some();
    if has_files {
        headers.insert("anthropic-beta", HeaderValue::from_static("files-api-2025-04-14"));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
