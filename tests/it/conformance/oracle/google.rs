//! Google's generateContent.

use serde_json::Value;
use switchyard_data_plane::adapters::FailureClass;

use super::super::framing::Frame;
use super::errors::inside;
use super::{Fault, Told, each, text, usage, word};

/// Reads one response, of which a stream has many.
pub fn take(told: &mut Told, frame: &Frame, is_stream: bool) {
    // Errors can stand in a list.
    let data = frame.data.get(0).unwrap_or(&frame.data);
    if data["usageMetadata"].is_object() {
        told.usage = usage::google(&told.counts, &data["usageMetadata"]).or(told.usage.take());
        remember(told, &data["usageMetadata"]);
    }
    if !data["error"].is_null() {
        return told.fail(Fault { classes: inside(&data["error"]), is_optional: false });
    }
    if !data["promptFeedback"]["blockReason"].is_null()
        && told.choices.is_empty()
        && each(&data["candidates"]).next().is_none()
    {
        return told.fail(Fault::of(&[FailureClass::ContentFiltered]));
    }
    for (position, candidate) in each(&data["candidates"]).enumerate() {
        add(told, candidate, candidate["index"].as_u64().unwrap_or(position as u64));
    }
    if !is_stream && told.choices.is_empty() {
        told.fail(Fault::of(&[FailureClass::Malformed]));
    }
}

fn remember(told: &mut Told, counts: &Value) {
    if !told.counts.is_object() {
        told.counts = serde_json::json!({});
    }
    for (name, value) in counts.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        told.counts[name] = value.clone();
    }
}

fn add(told: &mut Told, candidate: &Value, index: u64) {
    let said = told.said(index);
    for part in each(&candidate["content"]["parts"]) {
        if part["functionCall"].is_object() {
            let call = &part["functionCall"];
            said.call(word(&call["id"]), text(&call["name"]), &call["args"]);
        } else if part["thought"] == true {
            said.thoughts.push_str(text(&part["text"]));
        } else {
            said.text.push_str(text(&part["text"]));
        }
    }
    let Some(reason) = reason(&candidate["finishReason"]) else { return };
    let is_empty = said.text.is_empty() && said.calls.is_empty();
    said.finish = Some(reason.clone());
    match reason.as_str() {
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "MALFORMED_RESPONSE"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE" => {
            let fault = Fault::of(&[FailureClass::Malformed, FailureClass::Server]);
            // What came before the complaint may be worth having.
            told.fail(if is_empty { fault } else { fault.optional() });
        }
        "NO_IMAGE" | "IMAGE_OTHER" | "OTHER" | "FINISH_REASON_UNSPECIFIED" if is_empty => {
            told.fail(Fault::of(&[FailureClass::Malformed, FailureClass::Server]).optional());
        }
        _ => {}
    }
}

/// The name of a reason; old streams give its number.
fn reason(value: &Value) -> Option<String> {
    const NAMES: [&str; 12] = [
        "FINISH_REASON_UNSPECIFIED",
        "STOP",
        "MAX_TOKENS",
        "SAFETY",
        "RECITATION",
        "OTHER",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "MALFORMED_FUNCTION_CALL",
        "IMAGE_SAFETY",
    ];
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    let named = number.map(|number| NAMES.get(number).copied().unwrap_or("unheard of").to_owned());
    word(value).or(named)
}
