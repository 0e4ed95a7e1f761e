//! A request in canonical form, beside the bytes it came from.
//!
//! Surfaces build it. Adapters of the source's dialect patch the bytes; others read the typed members.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;
use switchyard_proto::preset::PREFIX;

use crate::model::facts::Facts;
use crate::model::message::{Message, Tool, ToolChoice};
use crate::model::names::Names;
use crate::model::preferences::Preferences;
use crate::model::task::Task;

/// A wire language of chat, spoken by clients, by providers, or by both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    OpenAiChat,
    OpenAiResponses,
    AnthropicMessages,
    /// Google's `generateContent`.
    Gemini,
    /// Amazon's Converse.
    BedrockConverse,
    /// Cohere's chat, version 2.
    CohereChat,
    /// Ollama's own `/api/chat`.
    OllamaChat,
}

/// The client's own bytes, never edited.
#[derive(Debug, Clone)]
pub struct Source {
    pub dialect: Dialect,
    /// The whole body: one JSON object. Where a surface wrote it itself, in the dialect above, `own` is what came.
    pub body: Bytes,
    /// The body of a client that speaks Anthropic's dialect: members that only that dialect has are read from it.
    pub own: Option<Bytes>,
}

/// Something in a request that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// Path of the member at fault, such as `messages[2].content`.
    pub field: String,
    /// Text for the caller; names the field.
    pub message: String,
}

/// A part of the source that is typed on first use, once.
#[derive(Debug, Clone)]
pub struct Lazy<T> {
    raw: Bytes,
    parse: fn(&Bytes) -> Result<T, Invalid>,
    value: OnceLock<Result<T, Invalid>>,
}

impl<T> Lazy<T> {
    /// Source bytes and the surface's way to read them.
    pub fn new(raw: Bytes, parse: fn(&Bytes) -> Result<T, Invalid>) -> Self {
        Self { raw, parse, value: OnceLock::new() }
    }

    /// A value that a surface has typed already.
    pub fn ready(value: T) -> Self {
        let unread = |_: &Bytes| -> Result<T, Invalid> {
            Err(Invalid { field: String::new(), message: "the value was never source bytes".to_owned() })
        };
        Self { raw: Bytes::new(), parse: unread, value: OnceLock::from(Ok(value)) }
    }

    /// The JSON text in the source; empty if absent or typed by the surface.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The typed value.
    ///
    /// # Errors
    /// [`Invalid`] where the typed reading is stricter than the surface's first scan.
    pub fn get(&self) -> Result<&T, Invalid> {
        self.value.get_or_init(|| (self.parse)(&self.raw)).as_ref().map_err(Clone::clone)
    }
}

/// One request. It is for chat unless its task says otherwise; then the chat's own members are empty.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    /// What the client sent.
    pub source: Source,
    /// Measurements for routing and admission.
    pub facts: Facts,
    pub task: Task,

    /// The model asked for; absent means the tenant's default, or the first of `fallback_models`.
    pub model: Option<String>,
    /// `models`: tried in order after `model`.
    pub fallback_models: Vec<String>,
    /// A stored set of defaults, by slug.
    pub preset: Option<String>,
    /// Wishes about providers.
    pub provider: Preferences,

    pub messages: Lazy<Vec<Message>>,
    pub tools: Lazy<Vec<Tool>>,
    pub tool_choice: Option<ToolChoice>,
    pub parallel_tool_calls: Option<bool>,
    pub response_format: Option<ResponseFormat>,
    pub reasoning: Reasoning,
    pub sampling: Sampling,
    pub verbosity: Option<String>,
    pub service_tier: Option<String>,
    /// Output kinds asked for; empty means text.
    pub modalities: Vec<String>,

    /// The smaller of `max_tokens` and `max_completion_tokens`; includes reasoning.
    pub max_output_tokens: Option<u64>,
    /// Stop sequences without empty ones.
    pub stop: Vec<String>,
    /// Answers asked for; 1 unless said.
    pub n: u32,
    pub stream: bool,

    /// An automatic cache breakpoint asked for at top level, as sent.
    pub cache_control: Option<Value>,
    pub prompt_cache_key: Option<String>,
    pub user: Option<String>,
    pub safety_identifier: Option<String>,
    /// Groups requests of one conversation; `x-session-id` is the server's to add.
    pub session_id: Option<String>,
    pub metadata: Option<Value>,
    pub trace: Option<Value>,
    pub plugins: Option<Value>,
    pub transforms: Vec<String>,
    /// `debug.echo_upstream_body`.
    pub debug_echo: bool,
    /// `debug.openrouter_metadata`: the answer is to say how it was routed.
    pub wants_metadata: bool,
    /// Members that the answer repeats; empty on surfaces whose answers do not.
    pub echo: Arc<serde_json::Map<String, Value>>,
    /// What the caller calls the members.
    pub names: Names,
}

impl ChatRequest {
    /// Whether a preset is to be laid under it.
    pub fn names_preset(&self) -> bool {
        let in_model = self.model.as_ref().is_some_and(|model| model.contains(PREFIX));
        in_model || self.preset.as_ref().is_some_and(|name| !name.is_empty())
    }

    /// The same with the models of another, which may have been chosen since it was read.
    #[must_use]
    pub fn with_models_of(self, other: Self) -> Self {
        Self { model: other.model, fallback_models: other.fallback_models, ..self }
    }
}

/// How the answer's text must look.
#[derive(Debug, Clone)]
pub enum ResponseFormat {
    Text,
    JsonObject,
    JsonSchema {
        name: String,
        description: Option<String>,
        /// Byte for byte as sent; absent means any JSON.
        schema: Option<Box<RawValue>>,
        strict: Option<bool>,
    },
    /// Grammars and other forms that only some endpoints know.
    Other {
        kind: String,
    },
}

/// What the caller wants of hidden thinking; `reasoning_effort` and `include_reasoning` are folded in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reasoning {
    /// none, minimal, low, medium, high, xhigh or max.
    pub effort: Option<Effort>,
    /// A budget in tokens.
    pub max_tokens: Option<u64>,
    /// Thinking may happen but is not to be shown.
    pub exclude: bool,
    /// On or off without a level; on alone means medium.
    pub enabled: Option<bool>,
    /// auto, concise or detailed, where summaries exist.
    pub summary: Option<String>,
}

impl Reasoning {
    /// Whether the caller said nothing about reasoning.
    pub fn is_unset(&self) -> bool {
        *self == Self::default()
    }

    /// The level asked for, with `enabled` and nothing else read as medium or none.
    pub fn level(&self) -> Option<Effort> {
        match (self.effort, self.enabled, self.max_tokens) {
            (Some(effort), _, _) => Some(effort),
            (None, Some(false), _) => Some(Effort::None),
            (None, Some(true), None) => Some(Effort::Medium),
            (None, _, _) => None,
        }
    }
}

/// Levels of thinking, from none to as much as there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

impl Effort {
    /// Every level, rising.
    pub const ALL: [Self; 7] =
        [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::Xhigh, Self::Max];

    /// The name in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The place in the rising order.
    pub const fn rank(self) -> u8 {
        self as u8
    }

    /// The level of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effort| effort.as_str() == name)
    }

    /// The share of the output cap that stands for this level where a provider wants a budget.
    pub const fn ratio(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Minimal => 0.1,
            Self::Low => 0.2,
            Self::Medium => 0.5,
            Self::High => 0.8,
            Self::Xhigh | Self::Max => 0.95,
        }
    }

    /// The level whose ratio is nearest to this budget within the cap; never none.
    pub fn nearest(budget_tokens: u64, output_cap: u64) -> Self {
        let share = budget_tokens as f64 / output_cap.max(1) as f64;
        match share {
            share if share < 0.15 => Self::Minimal,
            share if share < 0.35 => Self::Low,
            share if share < 0.65 => Self::Medium,
            share if share < 0.875 => Self::High,
            _ => Self::Xhigh,
        }
    }
}

/// Numbers that shape the choice of tokens; absent ones are never defaulted upstream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sampling {
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u64>,
    pub min_p: Option<f64>,
    pub top_a: Option<f64>,
    pub frequency_penalty: Option<f64>,
    pub presence_penalty: Option<f64>,
    pub repetition_penalty: Option<f64>,
    pub seed: Option<i64>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<u32>,
}
