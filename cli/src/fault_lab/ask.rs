//! A request as the lab understands it, whatever its dialect. Dialects read it, [`crate::fault_lab::reply`]
//! answers it.

use serde_json::Value;

use crate::fault_lab::beside::Task;

/// What was asked, as far as an answer depends on it.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    pub model: String,
    pub stream: bool,
    /// Whether a stream's usage was asked for (dialects that always tell it say yes).
    pub wants_usage: bool,
    pub last_user_text: String,
    /// The tool result that the conversation ends with.
    pub tool_result: Option<String>,
    /// Bytes of all text in the conversation, tool declarations included.
    pub prompt_bytes: usize,
    pub media: Vec<Media>,
    pub tools: Vec<Tool>,
    pub tool_choice: ToolChoice,
    /// False where the caller forbade parallel tool calls.
    pub parallel_allowed: bool,
    /// The schema an answer must conform to; an empty object for plain JSON mode.
    pub schema: Option<Value>,
    pub max_tokens: Option<u64>,
    /// What is asked for, where it is no chat.
    pub task: Option<Task>,
}

/// A declared tool.
#[derive(Debug, Clone)]
pub struct Tool {
    pub name: String,
    pub schema: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ToolChoice {
    #[default]
    Auto,
    None,
    /// Some tool must be called.
    Any,
    Named(String),
}

/// A part of the request that is not text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    pub kind: &'static str,
    /// A media type, file name or format.
    pub label: String,
    pub source: MediaSource,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaSource {
    Inline { base64_bytes: usize },
    Url(String),
    FileId(String),
}

impl Media {
    /// Reads a `data:` URL or a plain one.
    pub fn from_url(kind: &'static str, url: &str) -> Self {
        let Some((media_type, data)) = url.strip_prefix("data:").and_then(|rest| rest.split_once(',')) else {
            return Self { kind, label: "by url".to_owned(), source: MediaSource::Url(url.to_owned()) };
        };
        let label = media_type.trim_end_matches(";base64").to_owned();
        Self { kind, label, source: MediaSource::Inline { base64_bytes: data.len() } }
    }

    /// Reads inline base64 of a known type.
    pub fn inline(kind: &'static str, label: &str, base64: &str) -> Self {
        Self { kind, label: label.to_owned(), source: MediaSource::Inline { base64_bytes: base64.len() } }
    }
}

impl Ask {
    /// The tools to call when one is to be called: the named one, else all in order of declaration.
    pub fn callable_tools(&self) -> Vec<&Tool> {
        match &self.tool_choice {
            ToolChoice::None => Vec::new(),
            ToolChoice::Named(name) => self.tools.iter().filter(|tool| tool.name == *name).collect(),
            ToolChoice::Auto | ToolChoice::Any => self.tools.iter().collect(),
        }
    }

    /// Whether the caller left no choice but to call a tool.
    pub fn forces_tool(&self) -> bool {
        matches!(self.tool_choice, ToolChoice::Any | ToolChoice::Named(_)) && !self.tools.is_empty()
    }
}
