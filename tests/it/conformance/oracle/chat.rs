//! The chat-completions dialect and its many relatives.

use serde_json::Value;
use switchyard_data_plane::adapters::FailureClass;

use super::super::framing::Frame;
use super::errors::inside;
use super::{Fault, Said, Told, each, text, usage, word};

/// Reads one chunk, or the whole body.
pub fn take(told: &mut Told, frame: &Frame, is_stream: bool) {
    if frame.text == "[DONE]" {
        told.is_sealed = !told.choices.is_empty();
        return;
    }
    let data = &frame.data;
    for place in [&data["choices"][0]["usage"], &data["x_groq"]["usage"], &data["usage"]] {
        told.usage = usage::chat(place).or(told.usage.take());
    }
    if let Some(fault) = fault(told, frame) {
        return told.fail(fault);
    }
    for (position, choice) in each(&data["choices"]).enumerate() {
        let index = choice["index"].as_u64().unwrap_or(if is_stream { 0 } else { position as u64 });
        let message = if is_stream { &choice["delta"] } else { &choice["message"] };
        add(told.said(index), choice, message);
        broken(told, choice);
    }
    if !is_stream {
        end(told);
    }
}

/// An error in any of the places where one stands.
fn fault(told: &Told, frame: &Frame) -> Option<Fault> {
    let data = &frame.data;
    let error = [&data["error"], &data["x_groq"]["error"]].into_iter().find(|error| !error.is_null());
    let in_choice = || each(&data["choices"]).map(|choice| &choice["error"]).find(|error| !error.is_null());
    let is_bare = data.get("choices").is_none_or(Value::is_null)
        && (data["object"] == "error"
            || ["message", "detail", "error"].iter().any(|name| !data[name].is_null()));
    let classes = match error.or_else(in_choice) {
        Some(error) => inside(error),
        None if frame.name == "error" || is_bare => inside(data),
        None => return None,
    };
    // A complaint about the cap, after everything ended at the cap.
    let at_cap = |said: &Said| matches!(said.finish.as_deref(), Some("length" | "max_tokens"));
    let is_optional = told.is_finished() && told.choices.values().all(at_cap);
    Some(Fault { classes, is_optional })
}

/// A finish reason that says that the provider broke.
fn broken(told: &mut Told, choice: &Value) {
    let words = [text(&choice["finish_reason"]), text(&choice["native_finish_reason"])];
    if words.contains(&"insufficient_system_resource") {
        told.fail(Fault::of(&[FailureClass::Overloaded, FailureClass::Server]));
    } else if words.contains(&"network_error") || words[0] == "error" {
        told.fail(Fault::of(&[FailureClass::Server, FailureClass::Overloaded, FailureClass::Malformed]));
    }
}

fn add(said: &mut Said, choice: &Value, message: &Value) {
    match &message["content"] {
        Value::Array(parts) => parts.iter().for_each(|part| add_part(said, part)),
        content => said.text.push_str(text(content)),
    }
    let thoughts = word(&message["reasoning"]).or_else(|| word(&message["reasoning_content"]));
    said.thoughts.push_str(&thoughts.unwrap_or_default());
    said.refusal.push_str(text(&message["refusal"]));
    for call in each(&message["tool_calls"]) {
        said.chat_piece(call);
    }
    if message["function_call"].is_object() {
        said.chat_piece(&serde_json::json!({"index": 0, "function": message["function_call"]}));
    }
    said.finish = said.finish.take().or_else(|| word(&choice["finish_reason"]));
}

/// Mistral's content is a list: texts, thoughts, and references that say nothing.
fn add_part(said: &mut Said, part: &Value) {
    match &part["thinking"] {
        Value::String(thought) => said.thoughts.push_str(thought),
        Value::Array(thoughts) => {
            thoughts.iter().for_each(|thought| said.thoughts.push_str(text(&thought["text"])));
        }
        _ => said.text.push_str(text(&part["text"])),
    }
}

/// A whole answer that says nothing and gives no reason is none.
fn end(told: &mut Told) {
    let is_empty = |said: &Said| {
        said.finish.is_none() && said.text.is_empty() && said.calls.is_empty() && said.thoughts.is_empty()
    };
    if told.choices.is_empty() || told.choices.values().any(is_empty) {
        told.fail(Fault::of(&[FailureClass::Malformed]));
    }
}
