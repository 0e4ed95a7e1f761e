//! One message or delta of a provider, brought to canonical pieces.
//!
//! Shared by whole answers and streams; tool calls are not here, because streams number them.

use std::mem;

use serde_json::json;

use crate::adapters::openai::parts::{Progress, Told};
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

/// Reads a message or delta; `progress` is what the choice said before.
pub fn read(message: &mut Message<'_>, hide_reasoning: bool, progress: &mut Progress) -> Piece {
    let (told, plain) = content(mem::take(&mut message.content), progress);
    let is_odd = message.reasoning_details.is_odd || message.annotations.is_odd || message.images.is_odd;
    let mut canonical = plain && !is_odd && message.reasoning_content.get().is_none();
    let mut reasoning = message.reasoning.get().or(message.reasoning_content.get()).map(str::to_owned);
    let mut details = mem::take(&mut message.reasoning_details.items);
    if reasoning.is_none() && details.is_empty() {
        (reasoning, details) = (told.reasoning, told.details);
    }
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
    let mut annotations = mem::take(&mut message.annotations.items);
    annotations.extend(told.annotations);
    let delta = Delta {
        content: told.content,
        refusal: message.refusal.owned(),
        reasoning,
        reasoning_details: details,
        tool_calls: Vec::new(),
        annotations,
        images: mem::take(&mut message.images.items),
        audio: message.audio.take(),
    };
    Piece { delta, canonical }
}

/// What the content says, and whether it was plain text to begin with.
fn content(content: Content<'_>, progress: &mut Progress) -> (Told, bool) {
    match content {
        Content::Missing | Content::Null => (Told::default(), true),
        Content::Text(text) => {
            progress.say(&text);
            (Told { content: Some(text.into_owned()), ..Told::default() }, true)
        }
        Content::Odd => (Told::default(), false),
        Content::Parts(parts) => (progress.tell(&parts), false),
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
        "length" | "max_tokens" | "model_length" | "max_output_tokens" | "model_context_window_exceeded" => {
            Ending::Finished(FinishReason::Length)
        }
        "tool_calls" | "tool_call" | "tool_use" | "function_call" => {
            Ending::Finished(FinishReason::ToolCalls)
        }
        "content_filter" | "content_filtered" | "sensitive" | "safety" | "refusal" => {
            Ending::Finished(FinishReason::ContentFilter)
        }
        "error" => Ending::Failed("error"),
        "network_error" => Ending::Failed("network_error"),
        "abort" => Ending::Failed("abort"),
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
