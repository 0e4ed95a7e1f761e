//! Anthropic's messages.

use serde_json::{Value, json};

use super::super::framing::Frame;
use super::errors::inside;
use super::{Classes, Fault, Told, each, text, usage, word};

/// Reads one event, or the whole body.
pub fn take(told: &mut Told, frame: &Frame, is_stream: bool) {
    let data = &frame.data;
    if text(&data["type"]) == "error" || !data["error"].is_null() {
        let classes: Classes = inside(&data["error"]);
        return told.fail(Fault { classes, is_optional: false });
    }
    if is_stream { event(told, data) } else { whole(told, data) }
}

fn whole(told: &mut Told, body: &Value) {
    if !body["content"].is_array() {
        return;
    }
    told.said(0);
    each(&body["content"]).for_each(|block| add(told, block, None));
    stop(told, body, &body["usage"]);
}

fn event(told: &mut Told, data: &Value) {
    let place = data["index"].as_u64().unwrap_or(0).to_string();
    match text(&data["type"]) {
        "message_start" => {
            told.said(0);
            count(told, &data["message"]["usage"]);
        }
        "content_block_start" => add(told, &data["content_block"], Some(place)),
        "content_block_delta" => {
            let (delta, said) = (&data["delta"], told.said(0));
            said.text.push_str(text(&delta["text"]));
            said.thoughts.push_str(text(&delta["thinking"]));
            said.more(&place, text(&delta["partial_json"]));
        }
        "message_delta" => stop(told, &data["delta"], &data["usage"]),
        "message_stop" => told.is_sealed = !told.choices.is_empty(),
        _ => {}
    }
}

fn add(told: &mut Told, block: &Value, place: Option<String>) {
    let said = told.said(0);
    match text(&block["type"]) {
        "text" => said.text.push_str(text(&block["text"])),
        "thinking" => said.thoughts.push_str(text(&block["thinking"])),
        "tool_use" => {
            // A stream opens with an empty object and fills it later.
            let input =
                if place.is_some() && block["input"] == json!({}) { &Value::Null } else { &block["input"] };
            let input = if input.is_null() { String::new() } else { input.to_string() };
            said.open(place, word(&block["id"]), text(&block["name"]), &input);
        }
        _ => {}
    }
}

fn stop(told: &mut Told, place: &Value, usage: &Value) {
    count(told, usage);
    let said = told.said(0);
    said.finish = word(&place["stop_reason"]).or(said.finish.take());
    if let Some(explanation) = word(&place["stop_details"]["explanation"]) {
        said.refusal = explanation;
    }
}

/// Running totals: the last report of each count is the one that holds.
fn count(told: &mut Told, usage: &Value) {
    for (name, value) in usage.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        if !told.counts.is_object() {
            told.counts = json!({});
        }
        told.counts[name] = value.clone();
    }
    told.usage = usage::claude(&told.counts);
}
