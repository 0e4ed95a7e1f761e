//! Writes requests: the typed form, member by member, and the names of what had to stay behind.

use std::borrow::Cow;

use http::Method;
use serde_json::{Map, Value, json};

use crate::adapters::bedrock::fields::{Fields, fields};
use crate::adapters::bedrock::tools::{Toolbox, toolbox};
use crate::adapters::bedrock::turns::{Prompt, cache_point, is_cache_point, prompt, reasoning_format};
use crate::adapters::quirks::{CacheMarks, ModelFields, Quirks, Thinking};
use crate::adapters::shared::claude::{BREAKPOINTS, continues_unthought, kept_breakpoints, schema};
use crate::adapters::shared::conversation::{Conversation, conversation};
use crate::adapters::shared::head;
use crate::adapters::shared::segment::segment;
use crate::adapters::shared::structured::{self, Plan};
use crate::adapters::shared::{exact, json_tool, wish};
use crate::adapters::{Context, Encoded, Target, Unsupported};
use crate::model::parameter::Parameter;
use crate::model::request::{ChatRequest, ResponseFormat};

/// Parameters without a counterpart.
const LOST: [Parameter; 20] = [
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
    Parameter::User,
    Parameter::Plugins,
    Parameter::Transforms,
];

/// Converse's own members, which callers may send by name. The model's own may not be: a cap could hide there.
const OWN: [&str; 3] = ["guardrailConfig", "performanceConfig", "requestMetadata"];

/// Writes the upstream request.
pub fn encode(request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let quirks = target.quirks;
    wish::refuse_all_but_text(request)?;
    let messages = request.messages.get()?;
    let mut dropped = wish::lost(request, &LOST);
    dropped.extend(wish::lost_in_messages(messages));
    let mut context = Context {
        hide_reasoning: request.reasoning.exclude,
        reasoning_format: Some(reasoning_format(quirks).to_owned()),
        ..Context::default()
    };
    let conversation = conversation(messages);
    let mut toolbox = toolbox(request, quirks, &mut context, &mut dropped)?;
    let may = may_think(&conversation, &toolbox, quirks);
    let mut fields = fields(request, &conversation, target, may, &mut dropped);

    let mut body = Map::new();
    let asked = shape(&mut body, request, quirks, &mut toolbox, &mut fields, &mut context)?;
    let mut prompt = prompt(&conversation, quirks, target.fetched, toolbox.tools.is_empty())?;
    if prompt.is_prefilled() && (fields.thinks || !quirks.prefill) {
        let why = "end with the assistant, whose text this model cannot continue";
        return Err(Unsupported::new("messages", why));
    }
    prompt.system.extend(asked.map(|text| json!({ "text": text })));
    put_cache_points(&mut prompt, &mut toolbox, request, quirks);
    dropped.extend(prompt.dropped.drain(..).map(Cow::Owned));
    put_rest(&mut body, request, target, &prompt, toolbox, fields, &mut dropped);
    Ok(Encoded {
        method: Method::POST,
        path: path(target),
        headers: head::headers(target.stream, "application/vnd.amazon.eventstream"),
        body: exact::print(&body),
        dropped,
        context,
    })
}

/// With a budget, Claude's thinking tolerates neither a forced call nor a tool loop that began without it.
fn may_think(conversation: &Conversation<'_>, toolbox: &Toolbox, quirks: &Quirks) -> bool {
    let in_loop = !toolbox.tools.is_empty() && continues_unthought(conversation);
    quirks.thinking != Thinking::Budget || !(toolbox.forces || in_loop)
}

/// Puts the response format; returns what must be asked for in words.
fn shape(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    quirks: &Quirks,
    toolbox: &mut Toolbox,
    fields: &mut Fields,
    context: &mut Context,
) -> Result<Option<&'static str>, Unsupported> {
    let can_force = quirks.forced_tools && toolbox.tools.is_empty() && !fields.thinks;
    let is_claude = quirks.model_fields == ModelFields::Claude;
    let native = |asked: &Value| match (quirks.text_format, is_claude) {
        (false, false) => None,
        (true, false) => Some(asked.clone()).filter(|schema| schema["type"] == "object"),
        (_, true) => schema::compilable(asked).filter(|_| quirks.text_format || quirks.output_format),
    };
    Ok(match structured::plan(request, can_force, native)? {
        Plan::Free => None,
        Plan::Asked(text) => Some(text),
        Plan::Native(schema) if quirks.text_format => {
            body.insert("outputConfig".to_owned(), text_format(request, &schema));
            None
        }
        Plan::Native(schema) => {
            let output = fields.additional.entry("output_config").or_insert_with(|| json!({}));
            output["format"] = json!({"type": "json_schema", "schema": schema});
            None
        }
        Plan::Tool { parameters, json_tool } => {
            let spec = json!({"name": json_tool.name, "description": json_tool::DESCRIPTION,
                "inputSchema": {"json": parameters}});
            let choice = Some(json!({"tool": {"name": json_tool.name}}));
            *toolbox = Toolbox {
                tools: vec![json!({ "toolSpec": spec })],
                choice,
                forces: true,
                ..Toolbox::default()
            };
            context.json_tool = Some(json_tool);
            None
        }
    })
}

/// Converse's own form of structured output; the schema travels as text.
fn text_format(request: &ChatRequest, schema: &Value) -> Value {
    let mut asked = Map::from_iter([("schema".to_owned(), Value::from(schema.to_string()))]);
    if let Some(ResponseFormat::JsonSchema { name, description, .. }) = &request.response_format {
        asked.insert("name".to_owned(), name.as_str().into());
        asked.extend(description.as_deref().map(|text| ("description".to_owned(), text.into())));
    }
    json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": asked}}})
}

/// Marks the end of the prompt where that is asked for, and takes out the cache points that are too many.
fn put_cache_points(prompt: &mut Prompt, toolbox: &mut Toolbox, request: &ChatRequest, quirks: &Quirks) {
    match &request.cache_control {
        Some(mark) if quirks.cache_marks == CacheMarks::Keep => prompt.mark_last(cache_point(mark, quirks)),
        Some(_) => prompt.leave_out("cache_control"),
        None => {}
    }
    let found = |block: &&Value| is_cache_point(block);
    let in_system = [
        vec![false; toolbox.tools.iter().filter(found).count()],
        vec![true; prompt.system.iter().filter(found).count()],
        vec![false; prompt.blocks().filter(found).count()],
    ]
    .concat();
    let kept = kept_breakpoints(&in_system, BREAKPOINTS);
    if kept.contains(&false) {
        prompt.leave_out("cache_control");
    }
    let mut kept = kept.into_iter();
    toolbox.tools.retain(|tool| !is_cache_point(tool) || kept.next().unwrap_or(false));
    prompt.retain_points(|| kept.next().unwrap_or(false));
}

fn put_rest(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    target: &Target<'_>,
    prompt: &Prompt,
    toolbox: Toolbox,
    mut fields: Fields,
    dropped: &mut Vec<Cow<'static, str>>,
) {
    body.insert("messages".to_owned(), prompt.messages());
    if !prompt.system.is_empty() {
        body.insert("system".to_owned(), prompt.system.clone().into());
    }
    if !toolbox.tools.is_empty() {
        let mut config = json!({ "tools": toolbox.tools });
        if let Some(choice) = toolbox.choice {
            config["toolChoice"] = choice;
        }
        body.insert("toolConfig".to_owned(), config);
    }
    fields.additional.extend(toolbox.claude_choice.map(|choice| ("tool_choice".to_owned(), choice)));
    for (name, members) in
        [("inferenceConfig", fields.inference), ("additionalModelRequestFields", fields.additional)]
    {
        if !members.is_empty() {
            body.insert(name.to_owned(), members.into());
        }
    }
    put_tier(body, request, target, dropped);
    let (mut own, unknown) = wish::own_members(request, &OWN);
    let usual = json!({"latency": "standard"});
    wish::hold_to_price(&mut own, ("performanceConfig", &usual), target, dropped);
    body.extend(own);
    dropped.extend(unknown);
}

fn put_tier(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    target: &Target<'_>,
    dropped: &mut Vec<Cow<'static, str>>,
) {
    match wish::tier(request, target) {
        // What the service does unasked.
        None | Some("auto" | "default" | "standard" | "standard_only") => {}
        Some(tier @ ("priority" | "flex" | "reserved")) => {
            body.insert("serviceTier".to_owned(), json!({ "type": tier }));
        }
        Some(_) => dropped.push("service_tier".into()),
    }
}

/// The model is one segment of the path, slashes and colons of an ARN encoded.
fn path(target: &Target<'_>) -> Cow<'static, str> {
    let verb = if target.stream { "converse-stream" } else { "converse" };
    Cow::Owned(format!("/model/{}/{verb}", segment(target.model, b"")))
}

#[cfg(test)]
mod tests;
