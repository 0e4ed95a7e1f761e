//! Messages for endpoints that want one system prompt and then user and assistant in turns.

use serde_json::{Value, json};

use crate::adapters::Unsupported;
use crate::adapters::openai::messages::part;
use crate::adapters::openai::rewrite::Dropped;
use crate::adapters::shared::conversation::{Told, Turn, conversation};
use crate::model::message::{Message, Part, PartContent};

/// Stands where the endpoint demands a user's word and there is none.
const FILLER: &str = ".";

/// The messages in turns.
///
/// # Errors
/// [`Unsupported`] for calls and results of tools, and where the assistant has the last word.
pub fn alternating(messages: &[Message], dropped: &mut Dropped) -> Result<Value, Unsupported> {
    if messages.iter().any(|message| message.name.is_some()) {
        dropped.push("messages[].name".into());
    }
    let told = conversation(messages);
    let mut all = Vec::with_capacity(told.turns.len() + 2);
    if !told.system.is_empty() {
        all.push(message("system", &told.system)?);
    }
    if told.turns.first().is_none_or(Turn::is_assistant) {
        all.push(json!({"role": "user", "content": FILLER}));
    }
    for turn in &told.turns {
        let (role, messages) = match turn {
            Turn::User { said, .. } => ("user", said),
            Turn::Assistant(messages) => ("assistant", messages),
        };
        all.push(message(role, messages)?);
    }
    if told.turns.last().is_some_and(Turn::is_assistant) {
        let last = format!("messages[{}]", messages.len().saturating_sub(1));
        return Err(Unsupported::new(last, "cannot be the assistant's: this model does not continue it"));
    }
    Ok(Value::Array(all))
}

/// Messages of one side as one.
fn message(role: &str, messages: &[Told<'_>]) -> Result<Value, Unsupported> {
    for told in messages {
        if !told.message.tool_calls.is_empty() || told.message.tool_call_id.is_some() {
            return Err(Unsupported::new(told.path(), "is about tools, which this model does not take"));
        }
    }
    let parts: Vec<&Part> = messages.iter().flat_map(|told| &told.message.content).collect();
    let texts: Option<Vec<&str>> = parts.iter().map(|part| text(part)).collect();
    let content = match texts {
        Some(texts) => Value::from(texts.join("\n\n")),
        None => parts.into_iter().map(part).collect(),
    };
    Ok(json!({"role": role, "content": content}))
}

fn text(part: &Part) -> Option<&str> {
    match &part.content {
        PartContent::Text(text) | PartContent::Refusal(text) => Some(text),
        _ => None,
    }
}
