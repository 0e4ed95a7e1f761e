//! OpenAI's responses: items, repeated whole at their end and at the end of all.

use serde_json::Value;
use switchyard_data_plane::adapters::FailureClass;

use super::super::framing::Frame;
use super::errors::inside;
use super::{Fault, Told, each, text, usage, word};

/// Reads one event, or the whole body.
pub fn take(told: &mut Told, frame: &Frame, is_stream: bool) {
    let data = &frame.data;
    if frame.text == "[DONE]" {
        return;
    }
    if !is_stream {
        return ending(told, data);
    }
    match text(&data["type"]) {
        "error" => told.fail(fault(if data["error"].is_null() { data } else { &data["error"] })),
        "response.output_text.delta" => told.pieces.push_str(text(&data["delta"])),
        "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
            told.thinking_pieces.push_str(text(&data["delta"]));
        }
        "response.output_item.done" => told.items.push(data["item"].clone()),
        "response.completed" | "response.incomplete" | "response.failed" | "response.done" => {
            ending(told, &data["response"]);
            told.is_sealed = true;
        }
        _ if frame.name == "error" || !data["error"].is_null() => told.fail(fault(&data["error"])),
        _ => {}
    }
}

fn fault(error: &Value) -> Fault {
    Fault { classes: inside(error), is_optional: false }
}

/// The response object that ends an answer, or is all of it.
fn ending(told: &mut Told, response: &Value) {
    told.usage = usage::responses(&response["usage"]).or(told.usage.take());
    if !response["error"].is_null() {
        return told.fail(fault(&response["error"]));
    }
    match text(&response["status"]) {
        "failed" | "cancelled" => told.fail(Fault::of(&[FailureClass::Server, FailureClass::Malformed])),
        "in_progress" | "queued" => told.fail(Fault::of(&[FailureClass::Malformed]).optional()),
        _ => {}
    }
    if !response["output"].is_array() {
        return;
    }
    let reason = word(&response["incomplete_details"]["reason"]);
    told.said(0).finish =
        reason.or_else(|| word(&response["status"])).or_else(|| Some("completed".to_owned()));
    let items: Vec<Value> = each(&response["output"]).cloned().collect();
    if !items.is_empty() {
        told.items = items;
    }
}

/// Turns the items into what they say; pieces stand in where no item was ever whole.
pub fn settle(told: &mut Told) {
    if told.choices.is_empty() {
        return;
    }
    for item in std::mem::take(&mut told.items) {
        add(told, &item);
    }
    let (pieces, thoughts) = (told.pieces.clone(), told.thinking_pieces.clone());
    let said = told.said(0);
    if said.text.is_empty() {
        said.text = pieces;
    }
    if said.thoughts.is_empty() {
        said.thoughts = thoughts;
    }
}

fn add(told: &mut Told, item: &Value) {
    let said = told.said(0);
    match text(&item["type"]) {
        "message" => {
            for part in each(&item["content"]) {
                match text(&part["type"]) {
                    "refusal" => said.refusal.push_str(text(&part["refusal"])),
                    _ => said.text.push_str(text(&part["text"])),
                }
            }
        }
        "reasoning" => {
            let parts = each(&item["summary"]).chain(each(&item["content"]));
            parts.for_each(|part| said.thoughts.push_str(text(&part["text"])));
        }
        "function_call" => said.call(word(&item["call_id"]), text(&item["name"]), &item["arguments"]),
        "custom_tool_call" => said.call(word(&item["call_id"]), text(&item["name"]), &item["input"]),
        _ => {}
    }
}
