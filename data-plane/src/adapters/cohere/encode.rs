//! Writes requests: the typed form, member by member, and the names of what had to stay behind.

use std::borrow::Cow;

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value, json};

use crate::adapters::cohere::messages;
use crate::adapters::cohere::tools::{Toolbox, toolbox};
use crate::adapters::quirks::Thinking;
use crate::adapters::shared::head;
use crate::adapters::shared::json_tool::ASKED;
use crate::adapters::shared::wish;
use crate::adapters::{Context, Encoded, Target, Unsupported};
use crate::model::message::{Message, ToolChoice};
use crate::model::parameter::Parameter;
use crate::model::request::{ChatRequest, Effort, ResponseFormat};

/// Parameters without a counterpart.
const LOST: [Parameter; 18] = [
    Parameter::MinP,
    Parameter::TopA,
    Parameter::RepetitionPenalty,
    Parameter::LogitBias,
    Parameter::TopLogprobs,
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

/// Cohere's own members, which callers may send by name.
const OWN: [&str; 6] =
    ["safety_mode", "citation_options", "documents", "strict_tools", "thinking", "priority"];

/// The most that `k` may be.
const MOST_K: u64 = 500;

/// Writes the upstream request.
pub fn encode(request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    wish::refuse_all_but_text(request)?;
    let mut dropped = wish::lost(request, &LOST);
    wish::lose_tier(request, target, &mut dropped);
    let mut context = Context { hide_reasoning: request.reasoning.exclude, ..Context::default() };
    let mut toolbox = toolbox(request, target.quirks, &mut context, &mut dropped)?;
    let format = format(request, &mut toolbox)?;
    let typed = request.messages.get()?;
    let mut written = messages::write(typed, target.fetched, matches!(format, Format::Free))?;
    if written.is_prefilled && !target.quirks.prefill {
        let why = "end with the assistant, whose text this model cannot continue";
        return Err(Unsupported::new("messages", why));
    }
    name_lost(typed, &mut dropped);
    let (own, unknown) = wish::own_members(request, &OWN);
    dropped.extend(unknown);
    let mut body = Map::from_iter([("model".to_owned(), Value::from(target.model))]);
    body.extend(own);
    if matches!(format, Format::Asked) {
        written.messages.insert(0, json!({"role": "system", "content": ASKED}));
    }
    body.insert("messages".to_owned(), Value::Array(written.messages));
    put_documents(&mut body, written.documents);
    put_tools(&mut body, toolbox);
    if let Format::Native(format) = format {
        body.insert("response_format".to_owned(), format);
    }
    put_numbers(&mut body, request, target, &mut dropped);
    put_thinking(&mut body, request, target, &mut dropped);
    body.insert("stream".to_owned(), target.stream.into());
    drop_by_quirk(&mut body, target, &mut dropped);
    Ok(Encoded {
        method: Method::POST,
        path: Cow::Borrowed("/chat"),
        headers: head::headers(target.stream, head::EVENTS),
        body: Bytes::from(Value::Object(body).to_string()),
        dropped,
        context,
    })
}

fn name_lost(messages: &[Message], dropped: &mut Vec<Cow<'static, str>>) {
    if messages.iter().any(|message| message.name.is_some() && message.tool_call_id.is_none()) {
        dropped.push("messages[].name".into());
    }
}

/// How the answer's form is enforced.
enum Format {
    Free,
    Native(Value),
    /// In words, where tools rule out the rest.
    Asked,
}

/// Decides how to enforce the response format, which Cohere does not do beside tools.
fn format(request: &ChatRequest, toolbox: &mut Toolbox) -> Result<Format, Unsupported> {
    let native = match &request.response_format {
        None | Some(ResponseFormat::Text) => return Ok(Format::Free),
        Some(ResponseFormat::Other { .. }) => {
            return Err(Unsupported::new("response_format.type", "is not known to this model"));
        }
        Some(ResponseFormat::JsonSchema { schema: Some(schema), .. }) => {
            let schema: Value = serde_json::from_str(schema.get()).unwrap_or_default();
            if schema["type"] != "object" {
                let why = "must have an object at its root for this model";
                return Err(Unsupported::new("response_format.json_schema.schema", why));
            }
            json!({"type": "json_object", "json_schema": schema})
        }
        Some(ResponseFormat::JsonObject | ResponseFormat::JsonSchema { schema: None, .. }) => {
            json!({"type": "json_object"})
        }
    };
    if request.tool_choice == Some(ToolChoice::None) {
        // They are not to be called anyway.
        *toolbox = Toolbox::default();
    }
    match (toolbox.tools.is_empty(), native.get("json_schema")) {
        (true, _) => Ok(Format::Native(native)),
        (false, None) => Ok(Format::Asked),
        (false, Some(_)) => {
            Err(Unsupported::new("response_format", "cannot be enforced beside tools with this model"))
        }
    }
}

/// The caller's own documents stay, and stand first.
fn put_documents(body: &mut Map<String, Value>, documents: Vec<Value>) {
    if !documents.is_empty() {
        let all = body.entry("documents").or_insert_with(|| json!([]));
        if let Some(all) = all.as_array_mut() {
            all.extend(documents);
        }
    }
}

fn put_tools(body: &mut Map<String, Value>, toolbox: Toolbox) {
    if toolbox.tools.is_empty() {
        return;
    }
    body.insert("tools".to_owned(), Value::Array(toolbox.tools));
    if let Some(choice) = toolbox.choice {
        body.insert("tool_choice".to_owned(), choice.into());
    }
    if toolbox.strict {
        body.insert("strict_tools".to_owned(), true.into());
    }
}

fn put_numbers(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    target: &Target<'_>,
    dropped: &mut Vec<Cow<'static, str>>,
) {
    let lacking: Vec<Parameter> = wish::lacking(request, target.supported).collect();
    dropped.extend(lacking.iter().map(|parameter| Cow::Borrowed(parameter.name())));
    let sampling = &request.sampling;
    let stop = Some(&request.stop).filter(|stop| !stop.is_empty());
    for (parameter, name, value) in [
        (Parameter::Temperature, "temperature", sampling.temperature.map(|number| Some(number.into()))),
        (Parameter::TopP, "p", sampling.top_p.map(|p| Some(p.clamp(0.01, 0.99).into()))),
        (Parameter::TopK, "k", sampling.top_k.map(|k| Some(k.min(MOST_K).into()))),
        (Parameter::FrequencyPenalty, "frequency_penalty", sampling.frequency_penalty.map(penalty)),
        (Parameter::PresencePenalty, "presence_penalty", sampling.presence_penalty.map(penalty)),
        (Parameter::Seed, "seed", sampling.seed.map(|seed| u64::try_from(seed).ok().map(Value::from))),
        (Parameter::Logprobs, "logprobs", sampling.logprobs.map(|wish| Some(wish.into()))),
        (Parameter::Stop, "stop_sequences", stop.map(|stop| Some(stop.clone().into()))),
    ] {
        match value.filter(|_| !lacking.contains(&parameter)) {
            Some(Some(value)) => drop(body.insert(name.to_owned(), value)),
            Some(None) => dropped.push(parameter.name().into()),
            None => {}
        }
    }
    if let Some(cap) = target.output_cap.or(request.max_output_tokens) {
        body.insert("max_tokens".to_owned(), cap.into());
    }
}

/// Penalties go from 0 to 1 here; below, they would be the opposite of what was asked for.
fn penalty(penalty: f64) -> Option<Value> {
    (penalty >= 0.0).then(|| penalty.min(1.0).into())
}

fn put_thinking(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    target: &Target<'_>,
    dropped: &mut Vec<Cow<'static, str>>,
) {
    let wish = &request.reasoning;
    let cap = target.output_cap.or(request.max_output_tokens);
    let Some(level) = wish::level(wish, cap) else { return };
    if target.quirks.thinking == Thinking::Absent || !wish::may_reason(target.supported) {
        if level != Effort::None {
            dropped.push("reasoning".into());
        }
        return;
    }
    if level == Effort::None {
        body.insert("thinking".to_owned(), json!({"type": "disabled"}));
        return;
    }
    let share = cap.map(|cap| (cap as f64 * level.ratio()) as u64);
    let mut thinking = json!({"type": "enabled"});
    if let Some(budget) = wish.max_tokens.or(share) {
        thinking["token_budget"] = budget.min(cap.unwrap_or(u64::MAX)).max(1).into();
    }
    body.insert("thinking".to_owned(), thinking);
}

/// Takes out what the row says, in Cohere's names.
fn drop_by_quirk(body: &mut Map<String, Value>, target: &Target<'_>, dropped: &mut Vec<Cow<'static, str>>) {
    for name in &target.quirks.drop {
        if body.shift_remove(name).is_some() {
            dropped.push(Cow::Owned(name.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
