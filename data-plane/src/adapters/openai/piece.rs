//! One message or delta of a provider, brought to canonical pieces.
//!
//! Shared by whole answers and streams; tool calls are not here, because streams number them.

use serde_json::{Value, json};

use crate::adapters::openai::wire::{Content, Message, Text};
use crate::model::event::Delta;
use crate::model::response::FinishReason;

/// What a message or delta says.
#[derive(Debug, Default)]
pub struct Piece {
    /// Everything but tool calls.
    pub delta: Delta,
    /// Whether the provider's own JSON says the same in the canonical form.
    pub canonical: bool,
}

/// Reads a message or delta.
pub fn read(message: &mut Message<'_>, hide_reasoning: bool) -> Piece {
    let (content, thoughts, plain) = content(std::mem::take(&mut message.content));
    let mut canonical = plain && message.reasoning_content.get().is_none();
    let mut reasoning = message.reasoning.get().or(message.reasoning_content.get()).map(str::to_owned);
    reasoning = reasoning.or(thoughts);
    let mut details = message.reasoning_details.take().unwrap_or_default();
    if hide_reasoning {
        canonical &= reasoning.is_none() && details.is_empty();
        (reasoning, details) = (None, Vec::new());
    }
    if details.is_empty()
        && let Some(text) = &reasoning
    {
        canonical = false;
        details.push(json!({"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}));
    }
    let delta = Delta {
        content,
        refusal: message.refusal.owned(),
        reasoning,
        reasoning_details: details,
        tool_calls: Vec::new(),
        annotations: message.annotations.take().unwrap_or_default(),
        images: message.images.take().unwrap_or_default(),
        audio: message.audio.take(),
    };
    Piece { delta, canonical }
}

/// Text, thoughts, and whether it was plain text to begin with.
fn content(content: Content<'_>) -> (Option<String>, Option<String>, bool) {
    match content {
        Content::Missing | Content::Null => (None, None, true),
        Content::Text(text) => (Some(text.into_owned()), None, true),
        Content::Parts(parts) => {
            let (mut said, mut thought) = (String::new(), String::new());
            for part in &parts {
                match part.get("type").and_then(Value::as_str) {
                    Some("thinking") => thought.push_str(&thinking(part)),
                    _ => said.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default()),
                }
            }
            let some = |text: String| Some(text).filter(|text| !text.is_empty());
            (some(said), some(thought), false)
        }
    }
}

/// Mistral's thinking part: text, or a list of text parts.
fn thinking(part: &Value) -> String {
    match part.get("thinking") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().concat()
        }
        _ => String::new(),
    }
}

/// How a choice ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Finished(FinishReason),
    /// The provider broke off and says so only in this word.
    Failed(&'static str),
}

/// Reads a finish reason; an empty one is none.
pub fn ending(reason: &Text<'_>, native: &Text<'_>) -> Option<Ending> {
    let reason = reason.get()?;
    if matches!(native.get(), Some("network_error")) {
        return Some(Ending::Failed("network_error"));
    }
    Some(match reason {
        "length" | "max_tokens" | "model_length" | "max_output_tokens" => {
            Ending::Finished(FinishReason::Length)
        }
        "tool_calls" | "tool_call" | "tool_use" | "function_call" => {
            Ending::Finished(FinishReason::ToolCalls)
        }
        "content_filter" | "sensitive" | "safety" | "refusal" => {
            Ending::Finished(FinishReason::ContentFilter)
        }
        "error" => Ending::Failed("error"),
        "network_error" => Ending::Failed("network_error"),
        "insufficient_system_resource" => Ending::Failed("insufficient_system_resource"),
        _ => Ending::Finished(FinishReason::Stop),
    })
}

/// An id for a call that has none, the same for the same place in the same answer.
pub fn call_id(answer: Option<&str>, choice: u32, call: usize) -> String {
    let letters = answer.unwrap_or("0").bytes().rev().filter(u8::is_ascii_alphanumeric).take(16);
    let tail: String = letters.map(char::from).collect();
    format!("call_{tail}_{choice}_{call}")
}
