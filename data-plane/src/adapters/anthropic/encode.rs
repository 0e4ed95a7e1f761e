//! Writes requests: the typed form, member by member, and the names of what had to stay behind.

use std::borrow::Cow;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use memchr::memmem;
use serde_json::{Map, Value, json};

use crate::adapters::anthropic::names::tool_name;
use crate::adapters::anthropic::tools::{Toolbox, toolbox};
use crate::adapters::anthropic::turns::{Prompt, prompt};
use crate::adapters::quirks::{ClaudeHost, Quirks, Thinking};
use crate::adapters::shared::claude::{BREAKPOINTS, continues_unthought, kept_breakpoints, schema, thinking};
use crate::adapters::shared::conversation::{Conversation, conversation};
use crate::adapters::shared::segment::segment;
use crate::adapters::shared::structured::{self, Plan};
use crate::adapters::shared::{exact, json_tool, wish};
use crate::adapters::{Context, Encoded, Target, Unsupported};
use crate::model::parameter::Parameter;
use crate::model::request::ChatRequest;

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
    wish::refuse_all_but_text(request)?;
    let messages = request.messages.get()?;
    let mut dropped = wish::lost(request, &LOST);
    dropped.extend(wish::lost_in_messages(messages));
    let mut context = Context { hide_reasoning: request.reasoning.exclude, ..Context::default() };
    let conversation = conversation(messages);
    let mut toolbox = toolbox(request, quirks, &called_tools(&conversation), &mut context, &mut dropped)?;
    let cap = target.output_cap.or(request.max_output_tokens).unwrap_or(quirks.default_output_cap);
    let may = may_think(&conversation, &toolbox, quirks);
    let thinking = thinking::plan(request, quirks, cap, may, &mut dropped).unbound(quirks, &conversation);
    let prompt = prompt(&conversation, quirks, target.fetched)?;
    check_prefill(&prompt, quirks, thinking.is_on)?;

    let mut body = host_members(target);
    body.insert("max_tokens".to_owned(), cap.into());
    if target.stream {
        body.insert("stream".to_owned(), true.into());
    }
    let asked = shape(&mut body, request, quirks, &mut toolbox, &thinking, &mut context)?;
    put_sampling(&mut body, thinking::sample(request, target, thinking.is_on, &mut dropped));
    put_small(&mut body, request, target, &mut dropped);
    let (mut own, unknown) = wish::own_members(request, &OWN);
    wish::hold_to_price(&mut own, ("speed", &"standard".into()), target, &mut dropped);
    body.extend(own);
    dropped.extend(unknown);
    let (mut system, mut messages) = prompt.into_messages();
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
        path: path(target),
        headers: headers(request, target)?,
        body: exact::print(&body),
        dropped,
        context,
    })
}

/// The version of the dialect that Vertex hosts; a row may name another.
const VERTEX_VERSION: &str = "vertex-2023-10-16";

/// Where model and version go is the host's affair.
fn host_members(target: &Target<'_>) -> Map<String, Value> {
    let member = match target.quirks.claude_host {
        ClaudeHost::Api => ("model".to_owned(), Value::from(target.model)),
        ClaudeHost::Vertex => {
            let version = target.quirks.anthropic_version.as_str();
            let version = if version.starts_with("vertex-") { version } else { VERTEX_VERSION };
            ("anthropic_version".to_owned(), Value::from(version))
        }
    };
    Map::from_iter([member])
}

fn path(target: &Target<'_>) -> Cow<'static, str> {
    match target.quirks.claude_host {
        ClaudeHost::Api => Cow::Borrowed("/messages"),
        ClaudeHost::Vertex => {
            let verb = if target.stream { "streamRawPredict" } else { "rawPredict" };
            let model = segment(target.model, b"@");
            Cow::Owned(format!("/publishers/anthropic/models/{model}:{verb}"))
        }
    }
}

/// Names of the tools that the history calls, as they are sent.
fn called_tools(conversation: &Conversation<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in conversation.calls().map(|call| tool_name(&call.name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn put_sampling(body: &mut Map<String, Value>, sampled: thinking::Sampled) {
    let thinking::Sampled { temperature, top_p, top_k } = sampled;
    body.extend(temperature.map(|number| ("temperature".to_owned(), number.into())));
    body.extend(top_p.map(|number| ("top_p".to_owned(), number.into())));
    body.extend(top_k.map(|number| ("top_k".to_owned(), number.into())));
}

/// With a budget, thinking tolerates neither a forced call nor a tool loop that began without it.
fn may_think(conversation: &Conversation<'_>, toolbox: &Toolbox, quirks: &Quirks) -> bool {
    quirks.thinking != Thinking::Budget || !(toolbox.forces || continues_unthought(conversation))
}

fn check_prefill(prompt: &Prompt, quirks: &Quirks, thinks: bool) -> Result<(), Unsupported> {
    if prompt.is_prefilled() && (thinks || !quirks.prefill) {
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
    let can_force = quirks.forced_tools && toolbox.tools.is_empty() && !thinking.is_on;
    let native = |asked: &Value| schema::compilable(asked).filter(|_| quirks.output_format);
    let asked = match structured::plan(request, can_force, native)? {
        Plan::Free => None,
        Plan::Asked(text) => Some(text),
        Plan::Native(schema) => {
            output.insert("format".to_owned(), json!({"type": "json_schema", "schema": schema}));
            None
        }
        Plan::Tool { parameters, json_tool } => {
            let name = &json_tool.name;
            let tool =
                json!({"name": name, "description": json_tool::DESCRIPTION, "input_schema": parameters});
            let choice = json!({"type": "tool", "name": name, "disable_parallel_tool_use": true});
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

fn put_small(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    target: &Target<'_>,
    dropped: &mut Vec<Cow<'static, str>>,
) {
    // Anthropic refuses white space as a stop sequence.
    let stops: Vec<_> = request.stop.iter().filter(|stop| !stop.trim().is_empty()).collect();
    if stops.len() < request.stop.len() {
        dropped.push("stop".into());
    }
    put_list(body, "stop_sequences", stops.into_iter().map(|stop| Value::from(stop.as_str())).collect());
    match request.user.as_deref() {
        // Anthropic wants no names and addresses.
        Some(user) if user.contains('@') => dropped.push("user".into()),
        Some(user) => drop(body.insert("metadata".to_owned(), json!({ "user_id": user }))),
        None => {}
    }
    match wish::tier(request, target) {
        // Priority is taken where some was bought; there is no way to insist.
        Some("auto" | "priority") => drop(body.insert("service_tier".to_owned(), "auto".into())),
        Some("default" | "standard" | "standard_only") => {
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

/// Takes out the breakpoints that are too many; tells whether there were any.
fn thin_breakpoints(tools: &mut [Value], system: &mut [Value], messages: &mut [Value], spare: usize) -> bool {
    let blocks = messages.iter_mut().filter_map(|message| message["content"].as_array_mut()).flatten();
    let mut marked: Vec<(bool, &mut Value)> = Vec::new();
    marked.extend(tools.iter_mut().map(|tool| (false, tool)));
    marked.extend(system.iter_mut().map(|block| (true, block)));
    marked.extend(blocks.map(|block| (false, block)));
    marked.retain(|(_, block)| block.get("cache_control").is_some());
    let in_system: Vec<bool> = marked.iter().map(|(is_system, _)| *is_system).collect();
    let kept = kept_breakpoints(&in_system, spare);
    for ((_, block), _) in marked.into_iter().zip(&kept).filter(|(_, stays)| !**stays) {
        block.as_object_mut().map(|block| block.remove("cache_control"));
    }
    kept.contains(&false)
}

fn headers(request: &ChatRequest, target: &Target<'_>) -> Result<HeaderMap, Unsupported> {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = if target.stream { "text/event-stream" } else { "application/json" };
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    if target.quirks.claude_host == ClaudeHost::Api {
        let version = HeaderValue::from_str(&target.quirks.anthropic_version);
        let version = version.map_err(|_| Unsupported::new("anthropic_version", "is no header value"))?;
        headers.insert("anthropic-version", version);
    }
    let has_files =
        request.facts.files.remote > 0 && memmem::find(&request.source.body, b"\"file_id\"").is_some();
    if has_files {
        headers.insert("anthropic-beta", HeaderValue::from_static("files-api-2025-04-14"));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
