//! What endpoints of one dialect do differently, as data on their rows.
//!
//! The catalogue and provider rows set quirks by name; adapters read them. No provider is named in code.

mod claude;

pub use crate::adapters::quirks::claude::{ClaudeHost, ModelFields};
use crate::adapters::quirks::claude::{claude_host, model_fields};
mod chat;
mod joined;
mod tasks;

pub use crate::adapters::quirks::chat::{ChatQuirks, Logprobs, Members, Schema, ThinkTags};
pub use crate::adapters::quirks::tasks::TaskQuirks;
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
    /// Levels of reasoning effort that are accepted; empty means the usual ones.
    pub efforts: Vec<Effort>,
    /// Whether the Responses dialect takes the effort `max` although the chat dialect does not.
    pub max_on_responses: bool,
    /// What becomes of cache breakpoints in messages and tools.
    pub cache_marks: CacheMarks,
    /// Top-level members to leave out, reported as dropped.
    pub drop: Vec<String>,
    /// Whether OpenAI's dialects take `service_tier` here; a row that lists the parameter knows better.
    pub service_tier: bool,
    /// What followers of the chat-completions dialect do differently.
    pub chat: ChatQuirks,
    /// What they call the parts of embeddings and rankings.
    pub tasks: TaskQuirks,

    /// The `anthropic-version` header.
    pub anthropic_version: String,
    /// Whether `temperature`, `top_p` and `top_k` are accepted.
    pub sampling: bool,
    /// How thinking is switched on.
    pub thinking: Thinking,
    /// How thinking is switched off.
    pub thinking_off: ThinkingOff,
    /// Whether `tool_choice` may force a call.
    pub forced_tools: bool,
    /// Whether a trailing assistant message is continued.
    pub prefill: bool,
    /// Whether `output_config.format` takes a schema; else a forced tool stands in.
    pub output_format: bool,
    /// Whether system messages may stand inside the conversation.
    pub inner_system: bool,
    /// The `format` of sealed reasoning in the Responses dialect: what one host sealed, another cannot open.
    pub reasoning_format: String,
    /// Whether summaries of reasoning may be asked for in the Responses dialect; some accounts may not.
    pub reasoning_summaries: bool,
    /// Azure's dated `api-version`; empty means the undated API, which names the deployment as the model.
    pub api_version: String,
    /// Whether the deployment is in the path where `api_version` is set.
    pub deployment_path: bool,
    /// The cap sent where neither the caller nor the reservation set one and the dialect demands one.
    pub default_output_cap: u64,
    /// Whether signed thinking is bound to the prompt before it, so that it must be dropped where that was edited.
    pub bound_thinking: bool,
    /// Who hosts the Anthropic dialect.
    pub claude_host: ClaudeHost,

    /// Whose members a model on Bedrock understands beside Converse's own.
    pub model_fields: ModelFields,
    /// Whether Converse's `outputConfig.textFormat` takes a schema.
    pub text_format: bool,
    /// Whether call ids must be nine letters and digits.
    pub short_call_ids: bool,

    /// The context window that an Ollama server is to load the model with, in tokens; else its own default, which
    /// cuts longer prompts from the front without a word.
    pub num_ctx: Option<u64>,

    /// How Google's models are told to think.
    pub thinking_config: ThinkingConfig,
    /// The least thinking budget other than none, in tokens.
    pub least_thinking: u64,
    /// The largest thinking budget, in tokens.
    pub most_thinking: u64,
    /// The kind of schema that describes tools and answers.
    pub schema: SchemaStyle,
    /// Whether a response format may stand beside tools.
    pub json_with_tools: bool,
    /// Whether tool results may hold media; else media follow them as parts of their own.
    pub result_media: bool,
    /// Whether earlier calls must carry their signature, or the word that stands for a lost one.
    pub call_signatures: bool,
    /// Whether calls can be held to the tools' schemas.
    pub strict_tools: bool,
    /// Whether there is a place for system messages; else they open the first user message.
    pub system_instruction: bool,
    /// The threshold of every safety filter, such as `OFF`; empty leaves the provider's own.
    pub safety: String,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            cap_field: CapField::MaxCompletionTokens,
            developer_role: true,
            stream_options: true,
            reasoning: ReasoningStyle::Effort,
            replay: ReplayField::Strip,
            router_fields: false,
            efforts: Vec::new(),
            max_on_responses: false,
            cache_marks: CacheMarks::Strip,
            drop: Vec::new(),
            service_tier: true,
            chat: ChatQuirks::default(),
            tasks: TaskQuirks::default(),
            anthropic_version: "2023-06-01".to_owned(),
            sampling: true,
            thinking: Thinking::Budget,
            thinking_off: ThinkingOff::Disabled,
            forced_tools: true,
            prefill: true,
            output_format: true,
            inner_system: false,
            reasoning_format: "openai-responses-v1".to_owned(),
            reasoning_summaries: true,
            api_version: String::new(),
            deployment_path: true,
            default_output_cap: 4096,
            bound_thinking: false,
            claude_host: ClaudeHost::Api,
            model_fields: ModelFields::Absent,
            text_format: false,
            short_call_ids: false,
            num_ctx: None,
            thinking_config: ThinkingConfig::Level,
            least_thinking: 1,
            most_thinking: 32_768,
            schema: SchemaStyle::JsonSchema,
            json_with_tools: true,
            result_media: true,
            call_signatures: true,
            strict_tools: true,
            system_instruction: true,
            safety: String::new(),
        }
    }
}

/// Declares the names under which rows set quirks, and their values.
macro_rules! quirk_names {
    ($quirks:ident, $value:ident, $name:ident, {$($known:literal => $($place:ident).+ : $read:expr),+ $(,)?}) => {
        match $name {
            $($known => $quirks.$($place).+ = $read($value).ok_or_else(|| bad_value($known, $value))?,)+
            _ => return Err(UnknownQuirk::Name($name.to_owned())),
        }
    };
}

/// A row's quirk that means nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownQuirk {
    #[error("quirk `{0}` is unknown")]
    Name(String),
    #[error("quirk `{name}` cannot be `{value}`")]
    Value { name: &'static str, value: String },
}

fn bad_value(name: &'static str, value: &str) -> UnknownQuirk {
    UnknownQuirk::Value { name, value: value.to_owned() }
}

impl Quirks {
    /// Sets one quirk as a row spells it.
    ///
    /// # Errors
    /// [`UnknownQuirk`] for a name or value that no quirk has.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), UnknownQuirk> {
        quirk_names!(self, value, name, {
            "max_tokens_field" => cap_field: cap_field,
            "developer_role" => developer_role: flag,
            "stream_options" => stream_options: flag,
            "reasoning_style" => reasoning: reasoning_style,
            "replay_reasoning" => replay: replay,
            "router_fields" => router_fields: flag,
            "efforts" => efforts: efforts,
            "max_on_responses" => max_on_responses: flag,
            "cache_marks" => cache_marks: cache_marks,
            "drop" => drop: words,
            "service_tier" => service_tier: flag,
            "anthropic_version" => anthropic_version: text,
            "sampling" => sampling: flag,
            "thinking" => thinking: thinking,
            "thinking_off" => thinking_off: thinking_off,
            "forced_tools" => forced_tools: flag,
            "prefill" => prefill: flag,
            "output_format" => output_format: flag,
            "inner_system" => inner_system: flag,
            "reasoning_format" => reasoning_format: text,
            "reasoning_summaries" => reasoning_summaries: flag,
            "api_version" => api_version: text,
            "deployment_path" => deployment_path: flag,
            "default_output_cap" => default_output_cap: number,
            "bound_thinking" => bound_thinking: flag,
            "claude_host" => claude_host: claude_host,
            "model_fields" => model_fields: model_fields,
            "text_format" => text_format: flag,
            "short_call_ids" => short_call_ids: flag,
            "num_ctx" => num_ctx: some_number,
            "thinking_config" => thinking_config: thinking_config,
            "least_thinking" => least_thinking: number,
            "most_thinking" => most_thinking: number,
            "schema_field" => schema: schema_style,
            "json_with_tools" => json_with_tools: flag,
            "result_media" => result_media: flag,
            "call_signatures" => call_signatures: flag,
            "validated_calls" => strict_tools: flag,
            "system_instruction" => system_instruction: flag,
            "safety" => safety: text,
            "chat_path" => chat.path: chat::path,
            "headers" => chat.headers: chat::headers,
            "extra_members" => chat.extra: chat::json_members,
            "refuse" => chat.refuse: words,
            "single_choice" => chat.single_choice: flag,
            "logprobs" => chat.logprobs: chat::logprobs,
            "strict_tools" => chat.strict_tools: flag,
            "function_tools_only" => chat.function_tools_only: flag,
            "forced_tools_thinking" => chat.forced_tools_thinking: flag,
            "schema" => chat.schema: chat::schema,
            "reasoning_on" => chat.reasoning_on: chat::json_members,
            "reasoning_off" => chat.reasoning_off: chat::json_members,
            "thinking_prompt" => chat.thinking_prompt: chat::thinking_prompt,
            "think_tags" => chat.think_tags: chat::think_tags,
            "message_members" => chat.message_members: words,
            "message_drop" => chat.message_drop: words,
            "message_nulls" => chat.message_nulls: flag,
            "joined_text" => chat.joined_text: flag,
            "alternate_turns" => chat.alternate_turns: flag,
            "refuse_media" => chat.refuse_media: chat::media,
            "inline_media" => chat.inline_media: chat::media,
            "dimensions_field" => tasks.dimensions: text,
            "input_type" => tasks.input_type: flag,
            "top_n_field" => tasks.top_n: text,
        });
        Ok(())
    }

    /// The accepted level nearest to this one; None where none is accepted.
    ///
    /// Of two equally near it is the higher one, but never `max`, which costs out of proportion.
    pub fn nearest_effort(&self, level: Effort) -> Option<Effort> {
        const USUAL: [Effort; 6] =
            [Effort::None, Effort::Minimal, Effort::Low, Effort::Medium, Effort::High, Effort::Xhigh];
        let accepted = if self.efforts.is_empty() { &USUAL[..] } else { &self.efforts[..] };
        let second_choice = |known: Effort| known < level || known == Effort::Max;
        let distance = |known: &Effort| (known.rank().abs_diff(level.rank()), second_choice(*known), *known);
        accepted.iter().copied().min_by_key(distance)
    }
}

fn flag(value: &str) -> Option<bool> {
    value.parse().ok()
}

fn number(value: &str) -> Option<u64> {
    value.parse().ok()
}

fn some_number(value: &str) -> Option<Option<u64>> {
    number(value).map(Some)
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn words(value: &str) -> Option<Vec<String>> {
    Some(value.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect())
}

fn efforts(value: &str) -> Option<Vec<Effort>> {
    value.split(',').map(|word| Effort::from_name(word.trim())).collect()
}

fn cap_field(value: &str) -> Option<CapField> {
    [CapField::MaxCompletionTokens, CapField::MaxTokens].into_iter().find(|field| field.as_str() == value)
}

fn reasoning_style(value: &str) -> Option<ReasoningStyle> {
    Some(match value {
        "effort" => ReasoningStyle::Effort,
        "object" => ReasoningStyle::Object,
        "thinking_type" => ReasoningStyle::ThinkingType,
        "enable_thinking" => ReasoningStyle::EnableThinking,
        "template_switch" => ReasoningStyle::TemplateSwitch,
        "prompt_mode" => ReasoningStyle::PromptMode,
        "switch" => ReasoningStyle::Switch,
        "absent" => ReasoningStyle::Absent,
        _ => return None,
    })
}

fn replay(value: &str) -> Option<ReplayField> {
    Some(match value {
        "leave" => ReplayField::Leave,
        "strip" => ReplayField::Strip,
        "reasoning_content" => ReplayField::ReasoningContent,
        "reasoning_content_always" => ReplayField::ReasoningContentAlways,
        "reasoning" => ReplayField::Reasoning,
        "think_tags" => ReplayField::ThinkTags,
        _ => return None,
    })
}

fn cache_marks(value: &str) -> Option<CacheMarks> {
    Some(match value {
        "strip" => CacheMarks::Strip,
        "keep" => CacheMarks::Keep,
        "breakpoint" => CacheMarks::Breakpoint,
        _ => return None,
    })
}

fn thinking(value: &str) -> Option<Thinking> {
    Some(match value {
        "absent" => Thinking::Absent,
        "budget" => Thinking::Budget,
        "adaptive" => Thinking::Adaptive,
        _ => return None,
    })
}

fn thinking_off(value: &str) -> Option<ThinkingOff> {
    Some(match value {
        "disabled" => ThinkingOff::Disabled,
        "between_tools" => ThinkingOff::BetweenTools,
        "never" => ThinkingOff::Never,
        _ => return None,
    })
}

fn thinking_config(value: &str) -> Option<ThinkingConfig> {
    Some(match value {
        "absent" => ThinkingConfig::Absent,
        "budget" => ThinkingConfig::Budget,
        "level" => ThinkingConfig::Level,
        _ => return None,
    })
}

fn schema_style(value: &str) -> Option<SchemaStyle> {
    Some(match value {
        "json_schema" => SchemaStyle::JsonSchema,
        "openapi" => SchemaStyle::OpenApi,
        _ => return None,
    })
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
    /// `chat_template_kwargs.enable_thinking` and `.thinking`, and `reasoning_effort` where it is on.
    TemplateSwitch,
    /// `prompt_mode: reasoning`, on or left out.
    PromptMode,
    /// Nothing but the members of `reasoning_on` and `reasoning_off`.
    Switch,
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
    /// The same, and turns that call tools get a blank one where theirs was lost.
    ReasoningContentAlways,
    /// Given back as `reasoning`.
    Reasoning,
    /// Given back between `<think>` and `</think>` before the content.
    ThinkTags,
}

/// What becomes of `cache_control` in messages and tools of the chat-completions dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheMarks {
    /// Taken out: prefixes are cached without being asked.
    Strip,
    /// Passed as sent.
    Keep,
    /// Sent as `prompt_cache_breakpoint`.
    Breakpoint,
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

/// Ways to tell Google's models how much to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThinkingConfig {
    /// The model does not think.
    Absent,
    /// `thinkingBudget`, in tokens.
    Budget,
    /// `thinkingLevel`.
    Level,
}

/// Kinds of schema that Google's models read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaStyle {
    /// `responseJsonSchema` and `parametersJsonSchema`.
    JsonSchema,
    /// `responseSchema` and `parameters`: the subset that OpenAPI 3.0 has.
    OpenApi,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_spell_quirks_and_unknown_ones_are_named() {
        let mut quirks = Quirks::default();
        for (name, value) in [
            ("max_tokens_field", "max_tokens"),
            ("developer_role", "false"),
            ("stream_options", "false"),
            ("reasoning_style", "thinking_type"),
            ("replay_reasoning", "reasoning_content"),
            ("efforts", "low, high,max"),
            ("cache_marks", "keep"),
            ("drop", "a, b,"),
            ("service_tier", "false"),
            ("thinking", "adaptive"),
            ("reasoning_format", "xai-responses-v1"),
            ("reasoning_summaries", "false"),
            ("api_version", "2024-10-21"),
            ("deployment_path", "false"),
            ("default_output_cap", "7"),
            ("claude_host", "vertex"),
            ("model_fields", "nova"),
            ("text_format", "true"),
            ("num_ctx", "32768"),
            ("thinking_config", "budget"),
            ("schema_field", "openapi"),
            ("safety", "OFF"),
        ] {
            assert_eq!(quirks.set(name, value), Ok(()), "{name}");
        }
        let expected = Quirks {
            cap_field: CapField::MaxTokens,
            developer_role: false,
            stream_options: false,
            reasoning: ReasoningStyle::ThinkingType,
            replay: ReplayField::ReasoningContent,
            efforts: vec![Effort::Low, Effort::High, Effort::Max],
            cache_marks: CacheMarks::Keep,
            drop: vec!["a".to_owned(), "b".to_owned()],
            service_tier: false,
            thinking: Thinking::Adaptive,
            reasoning_format: "xai-responses-v1".to_owned(),
            reasoning_summaries: false,
            api_version: "2024-10-21".to_owned(),
            deployment_path: false,
            default_output_cap: 7,
            claude_host: ClaudeHost::Vertex,
            model_fields: ModelFields::Nova,
            text_format: true,
            num_ctx: Some(32_768),
            thinking_config: ThinkingConfig::Budget,
            schema: SchemaStyle::OpenApi,
            safety: "OFF".to_owned(),
            ..Quirks::default()
        };
        assert_eq!(quirks, expected);
        for (name, value, message) in [
            ("colour", "red", "quirk `colour` is unknown"),
            ("developer_role", "maybe", "quirk `developer_role` cannot be `maybe`"),
            ("efforts", "low,huge", "quirk `efforts` cannot be `low,huge`"),
        ] {
            let refused = quirks.set(name, value).expect_err(name);
            assert_eq!(refused.to_string(), message);
        }
    }

    #[test]
    fn efforts_between_two_levels_rise_but_not_to_max() {
        let quirks = Quirks { efforts: vec![Effort::Low, Effort::High, Effort::Max], ..Quirks::default() };
        for (asked, sent) in [
            (Effort::None, Effort::Low),
            (Effort::Low, Effort::Low),
            (Effort::Medium, Effort::High),
            (Effort::High, Effort::High),
            (Effort::Xhigh, Effort::High),
            (Effort::Max, Effort::Max),
        ] {
            assert_eq!(quirks.nearest_effort(asked), Some(sent), "{asked:?}");
        }
    }
}
