//! Switches of the chat-completions dialect, as its many followers need them.
//!
//! Every one of them is there because some provider refuses, ignores or misreads what OpenAI takes.

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::model::facts::Media;

/// Headers that rows must not set: they carry the credential, or belong to the connection.
const RESERVED: [&str; 20] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "accept-encoding",
    "expect",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "x-amz-date",
    "x-amz-security-token",
    "x-goog-user-project",
];

/// Constant members of a request body, as JSON text.
pub type Members = Vec<(String, String)>;

/// What one endpoint of the dialect does differently; the default is OpenAI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatQuirks {
    /// Where chats are posted, below the base URL.
    pub path: String,
    /// Headers beside the dialect's own.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Members that are sent unless the caller sends his own.
    pub extra: Members,
    /// Top-level members that the endpoint cannot honour and that must not be left out in silence.
    pub refuse: Vec<String>,
    /// Whether `n` can only be 1; it is then never sent.
    pub single_choice: bool,
    /// How log probabilities are asked for.
    pub logprobs: Logprobs,
    /// Whether `strict` is known in tools; else it is taken out.
    pub strict_tools: bool,
    /// Whether tools can only be functions.
    pub function_tools_only: bool,
    /// Whether `tool_choice` may force a call while the model thinks.
    pub forced_tools_thinking: bool,
    /// What becomes of a JSON schema for the answer.
    pub schema: Schema,

    /// Sent where reasoning is wished for, beside what the reasoning style says.
    pub reasoning_on: Members,
    /// Sent where reasoning is wished off, in place of what the reasoning style says.
    pub reasoning_off: Members,
    /// Words for the system prompt that switch thinking on and off.
    pub thinking_prompt: Option<[String; 2]>,
    /// Whether reasoning stands inside the content.
    pub think_tags: ThinkTags,

    /// Members that messages may have; empty means any.
    pub message_members: Vec<String>,
    /// Members that are taken out of messages.
    pub message_drop: Vec<String>,
    /// Whether members of messages may be null.
    pub message_nulls: bool,
    /// Whether a list of text parts must become one string.
    pub joined_text: bool,
    /// Whether user and assistant must take turns, beginning and ending with the user.
    pub alternate_turns: bool,
    /// Kinds of media that are refused.
    pub refuse_media: Vec<Media>,
    /// Kinds of media that must be in the request: the endpoint does not read URLs of them.
    pub inline_media: Vec<Media>,
}

impl Default for ChatQuirks {
    fn default() -> Self {
        Self {
            path: "/chat/completions".to_owned(),
            headers: Vec::new(),
            extra: Members::new(),
            refuse: Vec::new(),
            single_choice: false,
            logprobs: Logprobs::Flag,
            strict_tools: true,
            function_tools_only: false,
            forced_tools_thinking: true,
            schema: Schema::Native,
            reasoning_on: Members::new(),
            reasoning_off: Members::new(),
            thinking_prompt: None,
            think_tags: ThinkTags::Absent,
            message_members: Vec::new(),
            message_drop: Vec::new(),
            message_nulls: true,
            joined_text: false,
            alternate_turns: false,
            refuse_media: Vec::new(),
            inline_media: vec![Media::File],
        }
    }
}

/// Ways to ask for log probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logprobs {
    /// `logprobs: true` and `top_logprobs`.
    Flag,
    /// `logprobs` is the number of alternatives.
    Count,
}

/// What becomes of a JSON schema for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Passed as `json_schema`.
    Native,
    /// Told to the model in the prompt, beside `json_object`.
    Prompt,
}

/// Whether reasoning stands at the beginning of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ThinkTags {
    /// Content is content, whatever it begins with.
    #[default]
    Absent,
    /// Between `<think>` and `</think>`, where content begins so.
    Tagged,
    /// Up to `</think>`; the opening tag is usually in the prompt's template and not in the answer.
    Implied,
}

pub(super) fn path(value: &str) -> Option<String> {
    let fine = value.starts_with('/') && value.parse::<http::uri::PathAndQuery>().is_ok();
    fine.then(|| value.to_owned())
}

/// `{"X-Title": "…"}`.
pub(super) fn headers(value: &str) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let headers = object(value)?.into_iter().map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = HeaderValue::from_str(value.as_str()?).ok()?;
        (!RESERVED.contains(&name.as_str())).then_some((name, value))
    });
    headers.collect()
}

/// Constant members, as a JSON object; the empty text means none.
pub(super) fn json_members(value: &str) -> Option<Members> {
    Some(object(value)?.into_iter().map(|(name, value)| (name, value.to_string())).collect())
}

fn object(value: &str) -> Option<Map<String, Value>> {
    if value.is_empty() { Some(Map::new()) } else { serde_json::from_str(value).ok() }
}

/// Kinds of media by their names.
pub(super) fn media(value: &str) -> Option<Vec<Media>> {
    let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| Media::ALL.into_iter().find(|media| media.name() == word)).collect()
}

pub(super) fn logprobs(value: &str) -> Option<Logprobs> {
    Some(match value {
        "flag" => Logprobs::Flag,
        "count" => Logprobs::Count,
        _ => return None,
    })
}

pub(super) fn schema(value: &str) -> Option<Schema> {
    Some(match value {
        "native" => Schema::Native,
        "prompt" => Schema::Prompt,
        _ => return None,
    })
}

pub(super) fn think_tags(value: &str) -> Option<ThinkTags> {
    Some(match value {
        "absent" => ThinkTags::Absent,
        "tagged" => ThinkTags::Tagged,
        "implied" => ThinkTags::Implied,
        _ => return None,
    })
}

/// `detailed thinking on|detailed thinking off`.
pub(super) fn thinking_prompt(value: &str) -> Option<Option<[String; 2]>> {
    if value.is_empty() {
        return Some(None);
    }
    let (on, off) = value.split_once('|')?;
    Some(Some([on.trim().to_owned(), off.trim().to_owned()]))
}

#[cfg(test)]
mod tests {
    use crate::adapters::Quirks;
    use crate::model::facts::Media;

    #[test]
    fn rows_spell_objects_as_json_and_lists_with_commas() {
        let mut quirks = Quirks::default();
        for (name, value) in [
            ("chat_path", "/chat"),
            ("headers", r#"{"X-Title":"Acme"}"#),
            ("extra_members", r#"{"mode":"error","deep":{"a":1}}"#),
            ("refuse_media", "file, video"),
            ("inline_media", ""),
            ("thinking_prompt", "on | off"),
        ] {
            assert_eq!(quirks.set(name, value), Ok(()), "{name}");
        }
        let chat = quirks.chat;
        assert_eq!((chat.path.as_str(), chat.headers[0].0.as_str()), ("/chat", "x-title"));
        let expected = [("mode", r#""error""#), ("deep", r#"{"a":1}"#)];
        let found = chat.extra.iter().map(|(name, json)| (name.as_str(), json.as_str()));
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert_eq!(
            (chat.refuse_media, chat.inline_media.as_slice()),
            (vec![Media::File, Media::Video], &[][..])
        );
        assert_eq!(chat.thinking_prompt, Some(["on".to_owned(), "off".to_owned()]));
    }

    #[test]
    fn rows_cannot_set_credentials_or_break_out_of_their_place() {
        let mut quirks = Quirks::default();
        for (name, value) in [
            ("headers", r#"{"Authorization":"Bearer x"}"#),
            ("headers", r#"{"X-Api-Key":"x"}"#),
            ("headers", "{\"X-A\":\"a\\nb\"}"),
            ("headers", "X-Title: Acme"),
            ("chat_path", "chat"),
            ("chat_path", "/a b"),
            ("extra_members", "[]"),
            ("refuse_media", "file,smell"),
            ("thinking_prompt", "on"),
            ("schema", "maybe"),
            ("think_tags", "yes"),
            ("logprobs", "true"),
        ] {
            assert!(quirks.set(name, value).is_err(), "{name} {value}");
        }
        assert_eq!(quirks, Quirks::default());
    }
}
