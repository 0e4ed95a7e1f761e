//! Messages that cannot travel as sent, in Mistral's order and form.
//!
//! Results follow their calls, an assistant's word stands between results and a user, nothing of the assistant's is empty.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::adapters::Unsupported;
use crate::adapters::mistral::ids::{call_id, tool_name};
use crate::adapters::mistral::parts::{part, text_part};
use crate::adapters::shared::conversation::{Answer, Told, Turn, conversation};
use crate::adapters::shared::results::{
    ATTACHED, FILLER, Placed, THINKING_PARTS, orphan, parts, text, worded,
};
use crate::model::event::join_details;
use crate::model::message::{Message, PartContent, Role, ToolCall, ToolKind};

/// The messages of a request in Mistral's form.
#[derive(Debug)]
pub struct Written {
    pub messages: Value,
    /// The beginning of the answer, where the last message is the assistant's.
    pub prefix: Option<String>,
}

/// Writes the messages.
///
/// # Errors
/// [`Unsupported`] naming the part at fault.
pub fn write(messages: &[Message], dropped: &mut Vec<Cow<'static, str>>) -> Result<Written, Unsupported> {
    if messages.iter().any(|message| message.name.is_some() && !is_result(message)) {
        dropped.push("messages[].name".into());
    }
    let conversation = conversation(messages);
    let mut out = Out::default();
    for told in &conversation.system {
        out.list.push(json!({"role": "system", "content": texts(*told)?}));
    }
    for turn in &conversation.turns {
        match turn {
            Turn::Assistant(told) => out.assistant(told)?,
            Turn::User { results, said } => out.user(results, said)?,
        }
    }
    let prefix = out.prefix(conversation.is_prefilled());
    Ok(Written { messages: Value::Array(out.list), prefix })
}

fn is_result(message: &Message) -> bool {
    matches!(message.role, Role::Tool | Role::Function)
}

#[derive(Default)]
struct Out {
    list: Vec<Value>,
}

impl Out {
    fn assistant(&mut self, told: &[Told<'_>]) -> Result<(), Unsupported> {
        let mut content: Vec<Value> = Vec::new();
        let mut calls: Vec<Value> = Vec::new();
        for told in told {
            if let Some((_, path)) = parts(*told).find(|(part, _)| is_media(&part.content)) {
                return Err(Unsupported::new(path, "can only be text in an assistant message"));
            }
            content.extend(thoughts(told.message));
            let said = text(told.message);
            if !said.is_empty() {
                content.push(text_part(&said));
            }
            calls.extend(told.message.tool_calls.iter().map(call));
        }
        if content.is_empty() && calls.is_empty() {
            return Ok(());
        }
        let mut message = Map::from_iter([
            ("role".to_owned(), Value::from("assistant")),
            ("content".to_owned(), plain(content)),
        ]);
        if !calls.is_empty() {
            message.insert("tool_calls".to_owned(), Value::Array(calls));
        }
        self.list.push(Value::Object(message));
        Ok(())
    }

    fn user(&mut self, results: &[Answer<'_>], said: &[Told<'_>]) -> Result<(), Unsupported> {
        let mut media = Vec::new();
        for answer in results {
            let worded = worded(answer);
            self.list.push(json!({
                "role": "tool",
                "tool_call_id": call_id(&answer.call.id),
                "name": tool_name(&answer.call.name),
                "content": worded.text,
            }));
            media.extend(worded.media);
        }
        let user_speaks = !media.is_empty() || !said.is_empty();
        if !results.is_empty() && user_speaks {
            self.list.push(json!({"role": "assistant", "content": FILLER}));
        }
        self.show(ATTACHED, &media)?;
        said.iter().try_for_each(|told| self.say(*told))
    }

    /// A user message with media of results.
    fn show(&mut self, heading: &str, media: &[Placed<'_>]) -> Result<(), Unsupported> {
        if !media.is_empty() {
            let mut content = vec![text_part(heading)];
            for (shown, path) in media {
                content.push(part(shown, path)?);
            }
            self.list.push(json!({"role": "user", "content": content}));
        }
        Ok(())
    }

    fn say(&mut self, told: Told<'_>) -> Result<(), Unsupported> {
        match told.message.role {
            Role::System | Role::Developer => {
                let system = texts(told)?;
                // After the assistant only the user may speak.
                let message = if self.list.last().is_none_or(|last| last["role"] != "assistant") {
                    json!({"role": "system", "content": system})
                } else {
                    json!({"role": "user", "content": format!("<system>{system}</system>")})
                };
                self.list.push(message);
            }
            Role::Tool | Role::Function => {
                let worded = orphan(told);
                self.list.push(json!({"role": "user", "content": worded.text}));
                self.show(ATTACHED, &worded.media)?;
            }
            Role::User | Role::Assistant => {
                let content = parts(told).map(|(content, path)| part(content, &path));
                let content = plain(content.collect::<Result<_, _>>()?);
                self.list.push(json!({"role": "user", "content": content}));
            }
        }
        Ok(())
    }

    /// Marks the beginning of the answer and returns its text.
    fn prefix(&mut self, is_prefilled: bool) -> Option<String> {
        let last = self.list.last_mut().filter(|last| is_prefilled && last["role"] == "assistant")?;
        last["prefix"] = true.into();
        let text = match &last["content"] {
            Value::String(text) => text.clone(),
            parts => parts.as_array()?.iter().filter_map(|part| part["text"].as_str()).collect(),
        };
        Some(text).filter(|text| !text.is_empty())
    }
}

/// A single text as a string, which every model takes.
fn plain(mut content: Vec<Value>) -> Value {
    match content.as_mut_slice() {
        [] => "".into(),
        [only] if only["type"] == "text" => only["text"].take(),
        _ => Value::Array(content),
    }
}

fn is_media(content: &PartContent) -> bool {
    !matches!(content, PartContent::Text(_) | PartContent::Refusal(_))
}

/// The text of a system message.
fn texts(told: Told<'_>) -> Result<String, Unsupported> {
    match parts(told).find(|(part, _)| is_media(&part.content)) {
        Some((_, path)) => Err(Unsupported::new(path, "can only be text in a system message")),
        None => Ok(text(told.message)),
    }
}

/// Mistral's own thinking as it was given out; others' thoughts would be strange to the model.
fn thoughts(message: &Message) -> Vec<Value> {
    let own = |detail: &&Value| detail["id"] == THINKING_PARTS;
    let details: Vec<Value> = message.reasoning_details.iter().filter(own).cloned().collect();
    let chunk = |detail: Value| {
        let mut chunk = json!({"type": "thinking", "thinking": [text_part(detail["text"].as_str()?)]});
        if let Some(signature) = detail["signature"].as_str() {
            chunk["signature"] = signature.into();
        }
        Some(chunk)
    };
    join_details(&details).into_iter().filter_map(chunk).collect()
}

fn call(call: &ToolCall) -> Value {
    let arguments = match call.kind {
        ToolKind::Custom => json!({ "input": call.arguments }).to_string(),
        ToolKind::Function if call.arguments.trim().is_empty() => "{}".to_owned(),
        ToolKind::Function => call.arguments.clone(),
    };
    json!({
        "id": call_id(&call.id),
        "type": "function",
        "function": {"name": tool_name(&call.name), "arguments": arguments},
    })
}

#[cfg(test)]
mod tests;
