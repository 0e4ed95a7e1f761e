//! What must be said in the prompt because an endpoint has no member for it.

use memchr::memmem;
use serde_json::Value;

use crate::adapters::openai::encode::Sent;
use crate::adapters::openai::reasoning::level;
use crate::adapters::openai::rewrite::{Dropped, inside, patched};
use crate::adapters::quirks::Schema;
use crate::adapters::{Target, Unsupported};
use crate::model::request::{ChatRequest, Effort, ResponseFormat};
use crate::wire::patch::{Patch, elements, member, quoted};

/// What the response format becomes, and what the prompt must say.
#[derive(Debug, Default)]
pub struct Preface {
    /// In place of the client's `response_format`.
    pub response_format: Option<&'static [u8]>,
    words: Vec<String>,
}

impl Preface {
    /// Reads what the endpoint lacks.
    pub fn of(sent: Sent<'_>, request: &ChatRequest, target: &Target<'_>, dropped: &mut Dropped) -> Self {
        let mut preface = Self::default();
        if let Some([on, off]) = &target.quirks.chat.thinking_prompt
            && let Some(level) = level(sent, request, target)
        {
            preface.words.push(if level == Effort::None { off.clone() } else { on.clone() });
        }
        if target.quirks.chat.schema == Schema::Prompt {
            preface.ask_for_json(sent.get("messages").unwrap_or(b"[]"), request, dropped);
        }
        preface
    }

    fn ask_for_json(&mut self, messages: &[u8], request: &ChatRequest, dropped: &mut Dropped) {
        let is_named = || [&b"json"[..], b"JSON"].iter().any(|word| memmem::find(messages, word).is_some());
        match &request.response_format {
            Some(ResponseFormat::JsonSchema { schema: Some(schema), strict, .. }) => {
                if *strict == Some(true) {
                    dropped.push("response_format.json_schema.strict".into());
                }
                let schema = schema.get();
                self.words.push(format!(
                    "Answer with nothing but one JSON value that is valid against this JSON schema:\n{schema}"
                ));
            }
            Some(ResponseFormat::JsonObject | ResponseFormat::JsonSchema { .. }) if !is_named() => {
                self.words.push("Answer with nothing but one JSON object.".to_owned());
            }
            Some(ResponseFormat::JsonObject | ResponseFormat::JsonSchema { .. }) => {}
            Some(ResponseFormat::Text | ResponseFormat::Other { .. }) | None => return,
        }
        self.response_format = Some(br#"{"type":"json_object"}"#);
    }

    /// The messages with the words in their system prompt; None where there is nothing to say.
    ///
    /// # Errors
    /// None on what surfaces have read; [`Unsupported`] for messages that are no objects.
    pub fn put(&self, messages: &[u8]) -> Result<Option<Vec<u8>>, Unsupported> {
        if self.words.is_empty() {
            return Ok(None);
        }
        let words = self.words.join("\n\n");
        let first = elements(messages)?.into_iter().next();
        let (opening, rest) = match first {
            Some(first) => match added(&messages[first.clone()], &words)? {
                Some(system) => (system, &messages[first.end..]),
                None => (own(&words, true), &messages[first.start..]),
            },
            None => (own(&words, false), &b"]"[..]),
        };
        Ok(Some([b"[", opening.as_slice(), rest].concat()))
    }
}

/// A system message of our own.
fn own(words: &str, more: bool) -> Vec<u8> {
    let message = serde_json::json!({"role": "system", "content": words}).to_string();
    if more { format!("{message},").into_bytes() } else { message.into_bytes() }
}

/// A system message with the words after its own; None for another message.
fn added(message: &[u8], words: &str) -> Result<Option<Vec<u8>>, Unsupported> {
    if !matches!(member(message, "role"), Some(b"\"system\"" | b"\"developer\"")) {
        return Ok(None);
    }
    let content = member(message, "content").unwrap_or(b"null");
    let longer = match (inside(content), content.first()) {
        (Some(text), _) => {
            let words = quoted(&format!("\n\n{words}"));
            [b"\"", text, inside(&words).unwrap_or_default(), b"\""].concat()
        }
        (None, Some(b'[')) => {
            let mut parts: Vec<Value> = serde_json::from_slice(content).unwrap_or_default();
            parts.push(serde_json::json!({"type": "text", "text": words}));
            Value::Array(parts).to_string().into_bytes()
        }
        _ => quoted(words),
    };
    Ok(Some(patched(&Patch::new().set("content", longer), message)?))
}
