//! Reads a chat-completions body: one pass that types the members the router acts on and measures the rest.
//!
//! Members nobody here knows stay in the source bytes; the model's and the provider's checks come later.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::BadRequest;
use crate::api::openai_chat::explain::{bad, explain};
use crate::api::openai_chat::messages::{messages, tools};
use crate::api::openai_chat::preferences::ProviderObject;
use crate::api::openai_chat::scan::{MessagesScan, ToolsScan, Word};
use crate::api::openai_chat::wishes::{
    Choice, DebugOptions, EffortName, Format, FunctionCall, ReasoningWish, Stop, StreamOptions, UsageOptions,
    fold_reasoning,
};
use crate::model::facts::Facts;
use crate::model::message::{Tool, ToolChoice};
use crate::model::names::Names;
use crate::model::parameter::Parameter;
use crate::model::preferences::Preferences;
use crate::model::request::{ChatRequest, Dialect, Lazy, ResponseFormat, Sampling, Source};
use crate::model::task::Task;

/// Longest `session_id`.
const SESSION_ID_CHARS: usize = 256;
/// Longest name of a model, and most names in `models`: each is compared with the whole catalogue when it is unknown.
const MODEL_BYTES: usize = 256;
const MODELS: usize = 32;

/// Reads a request body.
///
/// # Errors
/// [`BadRequest`] naming the member at fault; nothing of the prompt is in its text.
pub fn decode(body: Bytes) -> Result<ChatRequest, BadRequest> {
    let draft: Draft = serde_json::from_slice(&body).map_err(|_| explain::<Draft>(&body))?;
    draft.finish(body)
}

/// The members of a body as they were sent.
#[derive(Default)]
struct Draft {
    facts: Facts,
    has_messages: bool,
    model: Option<String>,
    models: Option<Vec<String>>,
    preset: Option<String>,
    provider: Option<ProviderObject>,
    tool_choice: Option<ToolChoice>,
    function_call: Option<ToolChoice>,
    parallel_tool_calls: Option<bool>,
    response_format: Option<ResponseFormat>,
    format_bytes: u64,
    reasoning: Option<ReasoningWish>,
    reasoning_effort: Option<EffortName>,
    include_reasoning: Option<bool>,
    sampling: Sampling,
    verbosity: Option<String>,
    service_tier: Option<String>,
    modalities: Option<Vec<String>>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    stop: Stop,
    n: Option<u32>,
    stream: Option<bool>,
    cache_control: Option<Value>,
    prompt_cache_key: Option<String>,
    user: Option<String>,
    safety_identifier: Option<String>,
    session_id: Option<String>,
    metadata: Option<serde_json::Map<String, Value>>,
    trace: Option<serde_json::Map<String, Value>>,
    plugins: Option<Vec<Value>>,
    transforms: Option<Vec<String>>,
    debug: Option<DebugOptions>,
}

impl<'de> Deserialize<'de> for Draft {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DraftVisitor)
    }
}

struct DraftVisitor;

impl<'de> Visitor<'de> for DraftVisitor {
    type Value = Draft;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Draft, A::Error> {
        let mut draft = Draft::default();
        while let Some(Word(key)) = members.next_key()? {
            draft.take(&key, &mut members)?;
        }
        Ok(draft)
    }
}

/// Reads a member into its place and notes that the parameter was sent, unless it is null.
macro_rules! parameter {
    ($draft:ident, $members:ident, $parameter:ident => $($place:tt)+) => {{
        $draft.$($place)+ = $members.next_value()?;
        if $draft.$($place)+.is_some() { $draft.facts.parameters.insert(Parameter::$parameter) }
    }};
}

impl Draft {
    /// Reads the value of one member. Of duplicates the last one counts, as in every JSON parser upstream.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, members: &mut A) -> Result<(), A::Error> {
        match key {
            "messages" => self.take_messages(members)?,
            "model" => self.model = members.next_value()?,
            "models" => self.models = members.next_value()?,
            "preset" => self.preset = members.next_value()?,
            "provider" => self.provider = members.next_value()?,
            "stream" => self.stream = members.next_value()?,
            "tools" | "functions" => self.take_tools(members)?,
            "temperature" => parameter!(self, members, Temperature => sampling.temperature),
            "top_p" => parameter!(self, members, TopP => sampling.top_p),
            "top_k" => parameter!(self, members, TopK => sampling.top_k),
            "min_p" => parameter!(self, members, MinP => sampling.min_p),
            "top_a" => parameter!(self, members, TopA => sampling.top_a),
            "frequency_penalty" => parameter!(self, members, FrequencyPenalty => sampling.frequency_penalty),
            "presence_penalty" => parameter!(self, members, PresencePenalty => sampling.presence_penalty),
            "repetition_penalty" => {
                parameter!(self, members, RepetitionPenalty => sampling.repetition_penalty)
            }
            "seed" => parameter!(self, members, Seed => sampling.seed),
            "logprobs" => parameter!(self, members, Logprobs => sampling.logprobs),
            "top_logprobs" => parameter!(self, members, TopLogprobs => sampling.top_logprobs),
            "max_tokens" => parameter!(self, members, MaxTokens => max_tokens),
            "max_completion_tokens" => {
                parameter!(self, members, MaxCompletionTokens => max_completion_tokens);
            }
            "n" => parameter!(self, members, N => n),
            "parallel_tool_calls" => parameter!(self, members, ParallelToolCalls => parallel_tool_calls),
            "reasoning" => parameter!(self, members, Reasoning => reasoning),
            "reasoning_effort" => parameter!(self, members, ReasoningEffort => reasoning_effort),
            "include_reasoning" => parameter!(self, members, IncludeReasoning => include_reasoning),
            "verbosity" => parameter!(self, members, Verbosity => verbosity),
            "service_tier" => parameter!(self, members, ServiceTier => service_tier),
            "modalities" => parameter!(self, members, Modalities => modalities),
            "prompt_cache_key" => parameter!(self, members, PromptCacheKey => prompt_cache_key),
            "cache_control" => parameter!(self, members, CacheControl => cache_control),
            "safety_identifier" => parameter!(self, members, SafetyIdentifier => safety_identifier),
            "user" => parameter!(self, members, User => user),
            "metadata" => parameter!(self, members, Metadata => metadata),
            "plugins" => parameter!(self, members, Plugins => plugins),
            "transforms" => parameter!(self, members, Transforms => transforms),
            "session_id" => self.session_id = members.next_value()?,
            "trace" => self.trace = members.next_value()?,
            "debug" => self.debug = members.next_value()?,
            _ => self.take_rest(key, members)?,
        }
        Ok(())
    }

    /// Members that need more than a typed place, and those that nobody knows.
    fn take_rest<'de, A: MapAccess<'de>>(&mut self, key: &str, members: &mut A) -> Result<(), A::Error> {
        match key {
            "stop" => {
                self.stop = members.next_value()?;
                self.note(Parameter::Stop, !self.stop.0.is_empty());
            }
            "tool_choice" => {
                self.tool_choice = members.next_value::<Option<Choice>>()?.map(|choice| choice.0);
                self.note(Parameter::ToolChoice, self.tool_choice.is_some());
            }
            "function_call" => {
                self.function_call = members.next_value::<Option<FunctionCall>>()?.map(|call| call.0);
                self.note(Parameter::ToolChoice, self.function_call.is_some());
            }
            "response_format" => {
                self.response_format = members.next_value::<Option<Format>>()?.map(|format| format.0);
            }
            "stream_options" => {
                members.next_value::<Option<StreamOptions>>()?;
            }
            "usage" => {
                members.next_value::<Option<UsageOptions>>()?;
            }
            "structured_outputs" => drop(members.next_value::<Option<bool>>()?),
            "route" => drop(members.next_value::<Option<IgnoredAny>>()?),
            _ => self.take_unknown(key, members)?,
        }
        Ok(())
    }

    /// Nobody here acts on it, but the provider may read it into the prompt.
    fn take_unknown<'de, A: MapAccess<'de>>(&mut self, key: &str, members: &mut A) -> Result<(), A::Error> {
        let raw = members.next_value::<&RawValue>()?.get();
        self.facts.text_bytes += raw.len() as u64;
        if let Some(parameter) = Parameter::from_name(key) {
            self.note(parameter, raw != "null");
        }
        Ok(())
    }

    fn take_messages<'de, A: MapAccess<'de>>(&mut self, members: &mut A) -> Result<(), A::Error> {
        // A duplicate replaces the first list, but its bytes stay counted: too much is safe.
        (self.facts.messages, self.facts.prefill, self.has_messages) = (0, false, true);
        members.next_value_seed(MessagesScan(&mut self.facts))
    }

    fn take_tools<'de, A: MapAccess<'de>>(&mut self, members: &mut A) -> Result<(), A::Error> {
        (self.facts.tools, self.facts.server_tools) = (0, 0);
        members.next_value_seed(ToolsScan(&mut self.facts))?;
        self.note(Parameter::Tools, self.facts.tools + self.facts.server_tools > 0);
        Ok(())
    }

    fn note(&mut self, parameter: Parameter, sent: bool) {
        if sent {
            self.facts.parameters.insert(parameter);
        }
    }

    /// Checks what concerns several members and closes the request over its source.
    fn finish(mut self, body: Bytes) -> Result<ChatRequest, BadRequest> {
        self.check()?;
        self.note_format();
        self.facts.body_bytes = body.len() as u64;
        let reasoning = fold_reasoning(self.reasoning, self.reasoning_effort, self.include_reasoning)
            .map_err(|(field, why)| bad(field, format!("{field} {why}")))?;
        let debug = self.debug.unwrap_or_default();
        let request = ChatRequest {
            source: Source { dialect: Dialect::OpenAiChat, body: body.clone(), own: None },
            facts: self.facts,
            task: Task::Chat,
            model: self.model.filter(|model| !model.is_empty()),
            fallback_models: self.models.unwrap_or_default(),
            preset: self.preset,
            provider: self.provider.map(Preferences::from).unwrap_or_default(),
            messages: Lazy::new(body.clone(), messages),
            tools: Lazy::new(body, tools),
            tool_choice: self.tool_choice.or(self.function_call),
            parallel_tool_calls: self.parallel_tool_calls,
            response_format: self.response_format,
            reasoning,
            sampling: self.sampling,
            verbosity: self.verbosity,
            service_tier: self.service_tier,
            modalities: self.modalities.unwrap_or_default(),
            max_output_tokens: least(self.max_tokens, self.max_completion_tokens),
            stop: self.stop.0,
            n: self.n.unwrap_or(1),
            stream: self.stream.unwrap_or(false),
            cache_control: self.cache_control,
            prompt_cache_key: self.prompt_cache_key,
            user: self.user,
            safety_identifier: self.safety_identifier,
            session_id: self.session_id,
            metadata: self.metadata.map(Value::Object),
            trace: self.trace.map(Value::Object),
            plugins: self.plugins.map(Value::Array),
            transforms: self.transforms.unwrap_or_default(),
            debug_echo: debug.echo_upstream_body.unwrap_or(false),
            wants_metadata: debug.openrouter_metadata.unwrap_or(false),
            echo: Arc::default(),
            names: Names::default(),
        };
        // What a preset declares is not here yet; the request is read once more over it.
        if !request.names_preset() {
            check_choice(&request)?;
        }
        Ok(request)
    }

    fn check(&self) -> Result<(), BadRequest> {
        let refuse = |field: &str, why: &str| Err(bad(field, format!("{field} {why}")));
        if !self.has_messages {
            return refuse("messages", "is required");
        }
        if self.facts.messages == 0 {
            return refuse("messages", "must not be empty");
        }
        if self.model.as_ref().is_some_and(|name| name.len() > MODEL_BYTES) {
            return refuse("model", "must not be longer than 256 bytes");
        }
        if self.models.iter().flatten().any(|name| name.len() > MODEL_BYTES) {
            return refuse("models", "holds a name longer than 256 bytes");
        }
        if self.models.iter().flatten().count() > MODELS {
            return refuse("models", "must not hold more than 32 names");
        }
        if self.n == Some(0) {
            return refuse("n", "must be at least 1");
        }
        if self.max_tokens == Some(0) {
            return refuse("max_tokens", "must be at least 1");
        }
        if self.max_completion_tokens == Some(0) {
            return refuse("max_completion_tokens", "must be at least 1");
        }
        if self.session_id.as_ref().is_some_and(|id| id.chars().count() > SESSION_ID_CHARS) {
            return refuse("session_id", "must not be longer than 256 characters");
        }
        Ok(())
    }

    fn note_format(&mut self) {
        let Some(format) = &self.response_format else { return };
        let (structured, asked) = match format {
            ResponseFormat::Text => (false, false),
            ResponseFormat::JsonObject | ResponseFormat::Other { .. } => (false, true),
            ResponseFormat::JsonSchema { name, description, schema, .. } => {
                let description = description.as_ref().map_or(0, String::len);
                let schema = schema.as_ref().map_or(0, |schema| schema.get().len());
                self.format_bytes = (name.len() + description + schema) as u64;
                (true, true)
            }
        };
        self.facts.text_bytes += self.format_bytes;
        self.note(Parameter::ResponseFormat, asked);
        self.note(Parameter::StructuredOutputs, structured);
    }
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// A choice of a function that was never declared would fail upstream, after the money was reserved.
fn check_choice(request: &ChatRequest) -> Result<(), BadRequest> {
    let Some(ToolChoice::Named(chosen)) = &request.tool_choice else { return Ok(()) };
    let invalid = |invalid: crate::model::request::Invalid| bad(&invalid.field, invalid.message);
    let tools = request.tools.get().map_err(invalid)?;
    let declared = tools.iter().any(|tool| matches!(tool, Tool::Function { name, .. } if name == chosen));
    if declared {
        return Ok(());
    }
    let field = "tool_choice.function.name";
    let chosen = crate::api::openai_chat::scan::cut(chosen);
    Err(bad(field, format!("{field} `{chosen}` is none of the declared tools")))
}

#[cfg(test)]
mod tests;
