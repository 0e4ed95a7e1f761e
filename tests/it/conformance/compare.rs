//! A decoded answer beside what the oracle read.

use serde_json::Value;
use switchyard_data_plane::model::message::{ToolCall, ToolKind};
use switchyard_data_plane::model::response::{ChatResponse, Choice, FinishReason};
use switchyard_data_plane::model::usage::{Provenance, Usage};

use super::oracle::{Called, Reported, Said, Told, ending};

/// Checks texts, calls, finishes and usage.
pub fn check(response: &ChatResponse, told: &Told) -> Result<(), String> {
    let expected: Vec<u64> = told.choices.keys().copied().collect();
    let found: Vec<u64> = response.choices.iter().map(|choice| u64::from(choice.index)).collect();
    if found != expected {
        return Err(format!("choices {found:?}, but {expected:?} were sent"));
    }
    for (choice, said) in response.choices.iter().zip(told.choices.values()) {
        check_choice(choice, said)?;
    }
    check_usage(response.usage.as_ref(), told.usage.as_ref())?;
    match &response.usage {
        Some(usage) if usage.provenance != Provenance::ProviderFinal => {
            Err(format!("a provider's final usage is called {:?}", usage.provenance))
        }
        _ => Ok(()),
    }
}

fn check_choice(choice: &Choice, said: &Said) -> Result<(), String> {
    let message = &choice.message;
    let content = message.content.as_deref().unwrap_or_default();
    if content != said.text {
        return Err(format!("content {}, but was sent {}", shown(content), shown(&said.text)));
    }
    let thoughts = message.reasoning.as_deref().unwrap_or_default();
    if squeezed(thoughts) != squeezed(&said.thoughts) {
        return Err(format!("reasoning {}, but was sent {}", shown(thoughts), shown(&said.thoughts)));
    }
    let refusal = message.refusal.as_deref().unwrap_or_default();
    if !said.refusal.is_empty() && refusal != said.refusal {
        return Err(format!("refusal {}, but was sent {}", shown(refusal), shown(&said.refusal)));
    }
    check_calls(&message.tool_calls, &said.calls)?;
    if choice.finish.reason != FinishReason::Length {
        check_arguments(&message.tool_calls, &said.calls)?;
    }
    let ending = ending(said);
    if ending.allows(choice.finish.reason) {
        return Ok(());
    }
    Err(format!(
        "finish {:?} for `{}`, but it means {ending:?}",
        choice.finish.reason,
        said.finish.as_deref().unwrap_or("")
    ))
}

fn check_calls(calls: &[ToolCall], sent: &[Called]) -> Result<(), String> {
    let same = |call: &ToolCall, sent: &Called| {
        call.name == sent.name
            && sent.id.as_ref().is_none_or(|id| call.id == *id)
            && same_arguments(&call.arguments, &sent.arguments)
    };
    if calls.len() == sent.len() && calls.iter().zip(sent).all(|(call, sent)| same(call, sent)) {
        return Ok(());
    }
    Err(format!("calls {}, but were sent {}", shown(&format!("{calls:?}")), shown(&format!("{sent:?}"))))
}

/// Arguments are JSON, unless the model itself wrote what is none.
fn check_arguments(calls: &[ToolCall], sent: &[Called]) -> Result<(), String> {
    let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok();
    let broken = calls.iter().zip(sent).find(|(call, sent)| {
        let was_json = sent.arguments.trim().is_empty() || is_json(&sent.arguments);
        call.kind == ToolKind::Function && was_json && !is_json(&call.arguments)
    });
    broken.map_or(Ok(()), |(call, _)| Err(format!("arguments are no JSON: {call:?}")))
}

/// As values where both are JSON; no arguments are an empty object.
fn same_arguments(found: &str, sent: &str) -> bool {
    let value =
        |text: &str| serde_json::from_str::<Value>(if text.trim().is_empty() { "{}" } else { text }).ok();
    found == sent || (value(found).is_some() && value(found) == value(sent))
}

/// Checks counts against the last report.
pub fn check_usage(usage: Option<&Usage>, reported: Option<&Reported>) -> Result<(), String> {
    let (usage, reported) = match (usage, reported) {
        (None, None) => return Ok(()),
        (None, Some(reported)) => return Err(format!("usage was lost: {}", reported.raw)),
        // A decoder may know of counts that the oracle does not look for.
        (Some(usage), None) if usage.total_tokens() == 0 => return Ok(()),
        (Some(usage), None) => return Err(format!("usage {usage:?}, but none was reported")),
        (Some(usage), Some(reported)) => (usage, reported),
    };
    let found = (usage.prompt_tokens, usage.completion_tokens);
    let fits = reported.readings.iter().any(|counts| (counts.prompt, counts.completion) == found);
    let cached = reported.cached.min(usage.prompt_tokens) == usage.cached_tokens;
    // Thoughts that only the total tells of may be added to those that were named.
    let reasoning = usage.reasoning_tokens >= reported.reasoning.min(usage.completion_tokens);
    if fits && cached && reasoning && usage.adds_up() {
        return Ok(());
    }
    Err(format!("usage {usage:?}, but was reported {} and means {:?}", reported.raw, reported.readings))
}

/// Without white space: joints between pieces of reasoning are the adapter's to choose.
fn squeezed(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_whitespace()).collect()
}

/// A text for a message, not endless.
pub fn shown(text: &str) -> String {
    let short: String = text.chars().take(160).collect();
    if short.len() < text.len() {
        format!("{short:?}… ({} bytes)", text.len())
    } else {
        format!("{short:?}")
    }
}
