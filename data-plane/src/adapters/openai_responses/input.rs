//! Messages as input items: each call, each result and each thought is an item of its own.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::adapters::Unsupported;
use crate::adapters::openai_responses::parts::content;
use crate::adapters::openai_responses::reasoning::replay;
use crate::adapters::openai_responses::tools::{call_id, tool_name};
use crate::adapters::quirks::Quirks;
use crate::adapters::shared::conversation::{Answer, NO_RESULT, Told, Turn, conversation};
use crate::model::message::{Message, PartContent, Role, ToolCall, ToolKind};

/// The `input` of a request.
///
/// # Errors
/// [`Unsupported`] naming what has no place in it.
pub fn input(
    messages: &[Message],
    quirks: &Quirks,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Result<Vec<Value>, Unsupported> {
    let conversation = conversation(messages);
    let mut items = Vec::with_capacity(messages.len());
    for told in &conversation.system {
        items.push(said(told, quirks)?);
    }
    for turn in &conversation.turns {
        match turn {
            Turn::User { results, said: messages } => {
                for result in results {
                    items.push(output(result, quirks)?);
                }
                for told in messages {
                    items.push(said(told, quirks)?);
                }
            }
            Turn::Assistant(messages) => {
                for told in messages {
                    items.extend(assistant(told, quirks)?);
                }
            }
        }
    }
    lose(messages, dropped);
    Ok(items)
}

/// What messages say beside their content, which items cannot hold.
fn lose(messages: &[Message], dropped: &mut Vec<Cow<'static, str>>) {
    for (at, message) in messages.iter().enumerate() {
        let is_function = message.role == Role::Function;
        if message.name.as_ref().is_some_and(|name| !name.is_empty() && !is_function) {
            dropped.push(format!("messages[{at}].name").into());
        }
        for (part, content) in message.content.iter().enumerate() {
            if names_a_file_elsewhere(&content.content) {
                dropped.push(format!("messages[{at}].content[{part}].file.filename").into());
            }
        }
        if message.is_error {
            dropped.push(format!("messages[{at}].is_error").into());
        }
    }
}

/// A name goes with bytes only; files behind a URL or an id have their own.
fn names_a_file_elsewhere(content: &PartContent) -> bool {
    let PartContent::File { filename: Some(name), data, .. } = content else { return false };
    !name.is_empty() && !data.as_ref().is_some_and(|data| data.starts_with("data:"))
}

/// A message that goes in; a result that answers no call is told as the user's words.
fn said(told: &Told<'_>, quirks: &Quirks) -> Result<Value, Unsupported> {
    let role = match told.message.role {
        Role::Developer if quirks.developer_role => "developer",
        Role::System | Role::Developer => "system",
        Role::User | Role::Assistant | Role::Tool | Role::Function => "user",
    };
    let content = content(told.message, &told.path(), quirks)?;
    Ok(json!({"type": "message", "role": role, "content": content}))
}

/// The result of a call, of the call's kind.
fn output(Answer { call, told }: &Answer<'_>, quirks: &Quirks) -> Result<Value, Unsupported> {
    let kind = match call.kind {
        ToolKind::Function => "function_call_output",
        ToolKind::Custom => "custom_tool_call_output",
    };
    let output = match told {
        Some(told) => content(told.message, &told.path(), quirks)?,
        None => NO_RESULT.into(),
    };
    Ok(json!({"type": kind, "call_id": call_id(&call.id), "output": output}))
}

/// Thoughts before what followed them, text before calls.
fn assistant(told: &Told<'_>, quirks: &Quirks) -> Result<Vec<Value>, Unsupported> {
    let message = told.message;
    let mut parts = Vec::with_capacity(message.content.len() + 1);
    for (at, part) in message.content.iter().enumerate() {
        parts.push(match &part.content {
            PartContent::Text(text) => json!({"type": "output_text", "text": text}),
            PartContent::Refusal(text) => json!({"type": "refusal", "refusal": text}),
            _ => {
                let path = format!("{}.content[{at}]", told.path());
                return Err(Unsupported::new(path, "cannot be the assistant's"));
            }
        });
    }
    parts.extend(message.refusal.as_ref().map(|text| json!({"type": "refusal", "refusal": text})));
    parts.retain(|part| part["text"] != "" && part["refusal"] != "");
    let mut items = Vec::with_capacity(1 + message.tool_calls.len());
    if !parts.is_empty() {
        items.push(json!({"type": "message", "role": "assistant", "content": parts}));
    }
    items.extend(message.tool_calls.iter().map(call));
    Ok(replay(&message.reasoning_details, &quirks.reasoning_format, items))
}

fn call(call: &ToolCall) -> Value {
    let (id, name) = (call_id(&call.id), tool_name(&call.name));
    match call.kind {
        ToolKind::Function => {
            let arguments = if call.arguments.trim().is_empty() { "{}" } else { call.arguments.as_str() };
            json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments})
        }
        ToolKind::Custom => {
            json!({"type": "custom_tool_call", "call_id": id, "name": name, "input": call.arguments})
        }
    }
}
