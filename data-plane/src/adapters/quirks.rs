//! What endpoints of one dialect do differently, as data on their rows.
//!
//! The catalogue and provider rows set quirks by name; adapters read them. No provider is named in code.

use crate::model::request::Effort;

/// Switches of one endpoint; the default is the dialect's own inventor, today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quirks {
    /// The member that takes the output cap in the chat-completions dialect.
    pub cap_field: CapField,
    /// Whether the role `developer` is known; else it is sent as `system`.
    pub developer_role: bool,
    /// Whether `stream_options.include_usage` may be sent.
    pub stream_options: bool,
    /// How a wish about reasoning is written.
    pub reasoning: ReasoningStyle,
    /// Where the assistant's earlier reasoning goes in messages sent back.
    pub replay: ReplayField,
    /// Whether the router's own members (`provider`, `models`, …) are understood upstream.
    pub router_fields: bool,
    /// Whether usage counts completion tokens without reasoning.
    pub reasoning_outside_completion: bool,
    /// Top-level members to leave out, reported as dropped.
    pub drop: Vec<String>,

    /// The `anthropic-version` header.
    pub anthropic_version: String,
    /// Whether `temperature`, `top_p` and `top_k` are accepted.
    pub sampling: bool,
    /// How thinking is switched on.
    pub thinking: Thinking,
    /// How thinking is switched off.
    pub thinking_off: ThinkingOff,
    /// The highest `output_config.effort`; None where the member is unknown.
    pub max_effort: Option<Effort>,
    /// Whether `tool_choice` may force a call.
    pub forced_tools: bool,
    /// Whether a trailing assistant message is continued.
    pub prefill: bool,
    /// Whether `output_config.format` takes a schema; else a forced tool stands in.
    pub output_format: bool,
    /// Whether system messages may stand inside the conversation.
    pub inner_system: bool,
    /// The cap sent where neither the caller nor the reservation set one and the dialect demands one.
    pub default_output_cap: u64,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            cap_field: CapField::MaxCompletionTokens,
            developer_role: true,
            stream_options: true,
            reasoning: ReasoningStyle::Effort,
            replay: ReplayField::Leave,
            router_fields: false,
            reasoning_outside_completion: false,
            drop: Vec::new(),
            anthropic_version: "2023-06-01".to_owned(),
            sampling: true,
            thinking: Thinking::Budget,
            thinking_off: ThinkingOff::Disabled,
            max_effort: None,
            forced_tools: true,
            prefill: true,
            output_format: true,
            inner_system: false,
            default_output_cap: 4096,
        }
    }
}

/// Member for the output cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapField {
    MaxCompletionTokens,
    MaxTokens,
}

impl CapField {
    /// The member's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::MaxTokens => "max_tokens",
        }
    }
}

/// Ways to ask for reasoning in the chat-completions dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasoningStyle {
    /// `reasoning_effort`.
    Effort,
    /// The `reasoning` object, as sent.
    Object,
    /// `thinking: {type: enabled | disabled}` and `reasoning_effort`.
    ThinkingType,
    /// `enable_thinking` and `thinking_budget`.
    EnableThinking,
    /// `chat_template_kwargs.enable_thinking`.
    TemplateSwitch,
    /// Nothing: the endpoint has no such wish.
    Absent,
}

/// Names of the assistant's earlier reasoning in messages sent back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayField {
    /// Messages pass as sent.
    Leave,
    /// `reasoning`, `reasoning_content` and `reasoning_details` are taken out.
    Strip,
    /// Given back as `reasoning_content`.
    ReasoningContent,
    /// Given back as `reasoning`.
    Reasoning,
}

/// Ways to switch thinking on in the Anthropic dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thinking {
    /// The model does not think.
    Absent,
    /// `{type: enabled, budget_tokens}`.
    Budget,
    /// `{type: adaptive}` with `output_config.effort`.
    Adaptive,
}

/// Ways to switch thinking off in the Anthropic dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThinkingOff {
    /// `{type: disabled}`, or leaving it out.
    Disabled,
    /// `{type: between_tools}` is the least.
    BetweenTools,
    /// It cannot be; the lowest effort is asked for.
    Never,
}
