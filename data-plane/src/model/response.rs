//! A whole answer in canonical form.
//!
//! Adapters build it from a provider's body, [`crate::model::event::Fold`] from a stream; surfaces print it.

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::message::ToolCall;
use crate::model::task::Product;
use crate::model::usage::Usage;

/// One answer with all its choices.
#[derive(Debug, Clone, Default)]
pub struct ChatResponse {
    /// The provider's id of the answer; callers get ours instead.
    pub id: Option<String>,
    /// Unix seconds as the provider says.
    pub created: Option<u64>,
    /// The model name as the provider says.
    pub model: Option<String>,
    pub choices: Vec<Choice>,
    /// What was made where it was no chat.
    pub product: Product,
    /// Absent where the provider reported nothing.
    pub usage: Option<Usage>,
    /// The tier that served, which sets the price.
    pub service_tier: Option<String>,
    pub system_fingerprint: Option<String>,
    /// The provider's body where it speaks the chat-completions dialect, so that unknown members survive.
    pub raw: Option<Bytes>,
}

/// One of the answers asked for with `n`.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    pub index: u32,
    pub message: ResponseMessage,
    pub finish: Finish,
    pub logprobs: Option<Box<RawValue>>,
    /// The provider's choice object where nothing in it needs a canonical form; printed instead of the rest.
    pub raw: Option<Bytes>,
}

/// What the assistant said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResponseMessage {
    pub content: Option<String>,
    pub refusal: Option<String>,
    pub reasoning: Option<String>,
    /// OpenRouter's `reasoning_details`, in order.
    pub reasoning_details: Vec<Value>,
    pub tool_calls: Vec<ToolCall>,
    pub annotations: Vec<Value>,
    pub images: Vec<Value>,
    pub audio: Option<Value>,
}

/// Why a choice ended, in our words and in the provider's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finish {
    pub reason: FinishReason,
    /// The provider's own word.
    pub native: Option<String>,
}

/// The closed list of reasons that callers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum FinishReason {
    #[default]
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
    Error,
}

impl FinishReason {
    /// The word of the chat-completions dialect.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Error => "error",
        }
    }
}
