//! The conversation in canonical form: messages, their parts, tool definitions and tool calls.
//!
//! Built only when an adapter of another dialect needs it; same-dialect requests travel as source bytes.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::facts::Media;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
    /// The result of a tool call.
    Tool,
    /// The result of a legacy `function_call`, matched by name.
    Function,
}

impl Role {
    /// The name on the wire of the chat-completions dialect.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Function => "function",
        }
    }
}

/// One message of the prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub role: Role,
    /// Parts in order; a plain string is one text part, null or absent content is none.
    pub content: Vec<Part>,
    /// The speaker's name, or the function's for [`Role::Function`].
    pub name: Option<String>,
    /// Calls that the assistant made.
    pub tool_calls: Vec<ToolCall>,
    /// The call that a [`Role::Tool`] message answers.
    pub tool_call_id: Option<String>,
    /// Whether the tool failed.
    pub is_error: bool,
    /// The assistant's refusal, sent back.
    pub refusal: Option<String>,
    /// The assistant's plain reasoning, sent back.
    pub reasoning: Option<String>,
    /// The assistant's reasoning as it was given out, to be returned unmodified and in order.
    pub reasoning_details: Vec<Value>,
    /// A cache breakpoint after this message, as sent.
    pub cache_control: Option<Value>,
}

impl Message {
    /// An empty message of this role.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            content: Vec::new(),
            name: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            is_error: false,
            refusal: None,
            reasoning: None,
            reasoning_details: Vec::new(),
            cache_control: None,
        }
    }
}

/// One piece of a message's content.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub content: PartContent,
    /// A cache breakpoint after this part, as sent.
    pub cache_control: Option<Value>,
}

impl Part {
    /// A text part without a cache mark.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: PartContent::Text(text.into()), cache_control: None }
    }
}

/// What a part holds.
#[derive(Debug, Clone, PartialEq)]
pub enum PartContent {
    Text(String),
    Refusal(String),
    /// An http(s) or data URL.
    Image {
        url: String,
        detail: Option<String>,
    },
    /// Base64 without a data-URL prefix.
    Audio {
        data: String,
        format: String,
    },
    /// An http(s) or data URL.
    Video {
        url: String,
    },
    /// `data` is a data URL or an http(s) URL; `id` a provider's own file id.
    File {
        filename: Option<String>,
        data: Option<String>,
        id: Option<String>,
    },
}

impl PartContent {
    /// The kind of media and the URL, data URLs included; None where the part has none.
    pub fn url(&self) -> Option<(Media, &str)> {
        match self {
            Self::Image { url, .. } => Some((Media::Image, url)),
            Self::Video { url } => Some((Media::Video, url)),
            Self::File { data, .. } => data.as_deref().map(|data| (Media::File, data)),
            Self::Text(_) | Self::Refusal(_) | Self::Audio { .. } => None,
        }
    }
}

/// A tool call in the history or in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolCall {
    pub id: String,
    pub kind: ToolKind,
    pub name: String,
    /// JSON text of the arguments (free text for custom tools), as the model wrote it.
    pub arguments: String,
}

/// What kind of tool is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ToolKind {
    #[default]
    Function,
    /// Free-text input instead of JSON.
    Custom,
}

/// A tool that the client declares.
#[derive(Debug, Clone)]
pub enum Tool {
    Function {
        name: String,
        description: Option<String>,
        /// JSON schema, byte for byte as sent: providers' prompt caches depend on it.
        parameters: Option<Box<RawValue>>,
        strict: Option<bool>,
        cache_control: Option<Value>,
    },
    /// Custom tools and tools that the provider or the router runs.
    Other { kind: String, raw: Box<RawValue> },
}

/// Which tool the model must, may or must not call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    None,
    Auto,
    Required,
    /// This function.
    Named(String),
    /// This custom tool.
    Custom(String),
    /// Any of these functions, at will or by force.
    Allowed {
        required: bool,
        names: Vec<String>,
    },
}
