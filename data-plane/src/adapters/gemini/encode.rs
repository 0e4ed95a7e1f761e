//! Writes requests: the typed form, member by member, and the names of what had to stay behind.

use std::borrow::Cow;

use http::Method;
use serde_json::{Map, Value, json};

use crate::adapters::gemini::contents::contents;
use crate::adapters::gemini::host::Host;
use crate::adapters::gemini::parts::Desk;
use crate::adapters::gemini::settings::{self, Settings};
use crate::adapters::gemini::tools::toolbox;
use crate::adapters::gemini::{format, thinking};
use crate::adapters::shared::exact;
use crate::adapters::shared::head;
use crate::adapters::shared::wish;
use crate::adapters::{Context, Encoded, Target, Unsupported};
use crate::model::parameter::Parameter;
use crate::model::request::ChatRequest;

/// Parameters without a counterpart. Search has one, without the options.
const LOST: [Parameter; 13] = [
    Parameter::MinP,
    Parameter::TopA,
    Parameter::RepetitionPenalty,
    Parameter::LogitBias,
    Parameter::Verbosity,
    Parameter::Prediction,
    Parameter::PromptCacheKey,
    Parameter::Metadata,
    Parameter::Store,
    Parameter::SafetyIdentifier,
    Parameter::User,
    Parameter::Plugins,
    Parameter::Transforms,
];

/// Google's own members, which callers may send by name; they are read one by one.
const OWN: [&str; 2] = ["safetySettings", "safety_settings"];

/// Writes the upstream request.
pub fn encode(request: &ChatRequest, target: &Target<'_>, host: Host) -> Result<Encoded, Unsupported> {
    let quirks = target.quirks;
    let mut dropped = wish::lost(request, &LOST);
    let mut context = Context { hide_reasoning: request.reasoning.exclude, ..Context::default() };
    let desk = Desk { host, fetched: target.fetched };
    let mut prompt = contents(request.messages.get()?, desk, quirks)?;
    if prompt.is_prefilled && !quirks.prefill {
        return Err(Unsupported::new(
            "messages",
            "end with the assistant, whose text this model cannot continue",
        ));
    }
    let mut toolbox = toolbox(request, quirks, &mut context, &mut dropped)?;
    let cap = target.output_cap.or(request.max_output_tokens);
    let mut settings = Settings { request, quirks, config: Map::new(), dropped };
    settings.write(cap)?;
    let Settings { mut config, mut dropped, .. } = settings;
    let thinking = thinking::plan(request, quirks, cap, &mut dropped);
    config.extend(thinking.map(|thinking| ("thinkingConfig".to_owned(), thinking)));
    let asked = format::enforce(request, quirks, &mut config, &mut toolbox, &mut context, &mut dropped)?;
    ask(asked, &mut prompt.system, &mut prompt.contents, quirks.system_instruction);
    dropped.extend(unread(request));

    let mut body = Map::new();
    if !prompt.system.is_empty() {
        body.insert("systemInstruction".to_owned(), json!({"parts": prompt.system}));
    }
    body.insert("contents".to_owned(), Value::Array(prompt.contents));
    toolbox.write(&mut body);
    if !config.is_empty() {
        body.insert("generationConfig".to_owned(), Value::Object(config));
    }
    settings::beside(&mut body, request, target, host, &mut dropped);
    Ok(Encoded {
        method: Method::POST,
        path: Cow::Owned(host.path(target.model, target.stream)?),
        headers: head::headers(target.stream, head::EVENTS),
        body: exact::print(&body),
        dropped,
        context,
    })
}

/// What the caller marked or named and Google has no word for.
fn unread(request: &ChatRequest) -> Vec<Cow<'static, str>> {
    let (_, mut unread) = wish::own_members(request, &OWN);
    if request.cache_control.is_some() || request.facts.cache_breakpoints > 0 {
        // Prefixes are cached without being asked.
        unread.push("cache_control".into());
    }
    let search = wish::source_member(request, "web_search_options");
    let options = search.as_ref().and_then(Value::as_object).into_iter().flatten();
    unread.extend(options.map(|(name, _)| format!("web_search_options.{name}").into()));
    unread
}

/// Adds a sentence to the instruction, or to the last turn where the model takes no instruction.
fn ask(asked: Option<&'static str>, system: &mut Vec<Value>, contents: &mut [Value], takes_system: bool) {
    let Some(asked) = asked.map(|text| json!({ "text": text })) else { return };
    let last = contents.iter_mut().rfind(|turn| turn["role"] == "user");
    match last.and_then(|turn| turn["parts"].as_array_mut()).filter(|_| !takes_system) {
        Some(parts) => parts.push(asked),
        None => system.push(asked),
    }
}

#[cfg(test)]
mod tests;
