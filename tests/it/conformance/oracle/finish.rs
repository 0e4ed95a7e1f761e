//! Providers' words for why an answer ended, and what callers must see for them.

use switchyard_data_plane::model::response::FinishReason;

use super::Said;

/// The reasons that are right for an ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Exactly(FinishReason),
    /// The word leaves it open.
    OneOf(Vec<FinishReason>),
    /// Nobody knows the word.
    Any,
}

impl Ending {
    pub fn allows(&self, reason: FinishReason) -> bool {
        match self {
            Self::Exactly(expected) => *expected == reason,
            Self::OneOf(reasons) => reasons.contains(&reason),
            Self::Any => reason != FinishReason::Error,
        }
    }
}

/// What callers must see for what a choice says.
pub fn ending(said: &Said) -> Ending {
    use FinishReason::{ContentFilter, Length, Stop, ToolCalls};
    let stop = if said.calls.is_empty() { Stop } else { ToolCalls };
    let word = said.finish.as_deref().unwrap_or("stop");
    if !said.refusal.is_empty() {
        return Ending::OneOf(vec![stop, ContentFilter]);
    }
    let common = match word.to_ascii_lowercase().as_str() {
        "stop" | "end_turn" | "stop_sequence" | "complete" | "completed" | "eos" => stop,
        "length" | "max_tokens" | "model_length" | "max_output_tokens" | "model_context_window_exceeded" => {
            Length
        }
        "content_filter"
        | "sensitive"
        | "safety"
        | "refusal"
        | "recitation"
        | "language"
        | "blocklist"
        | "prohibited_content"
        | "spii"
        | "guardrail_intervened"
        | "content_filtered"
        | "error_toxic"
        | "image_safety"
        | "image_prohibited_content"
        | "image_recitation"
        | "model_armor" => ContentFilter,
        "tool_calls" | "tool_call" | "tool_use" | "function_call" => {
            return tools(said);
        }
        _ => return Ending::Any,
    };
    Ending::Exactly(common)
}

/// The provider says calls; where there is none, its tools ran on its own side or their text was lost.
fn tools(said: &Said) -> Ending {
    use FinishReason::{Stop, ToolCalls};
    if said.calls.is_empty() { Ending::OneOf(vec![Stop, ToolCalls]) } else { Ending::Exactly(ToolCalls) }
}
