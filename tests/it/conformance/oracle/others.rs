//! Amazon's Converse, Cohere's chat and Ollama's own.

use serde_json::Value;
use switchyard_data_plane::adapters::FailureClass;

use super::super::framing::Frame;
use super::errors::{inside, named};
use super::{Fault, Told, each, text, usage, word};

/// Reads one frame, or the whole body.
pub fn converse(told: &mut Told, frame: &Frame, is_stream: bool) {
    let data = &frame.data;
    let place = data["contentBlockIndex"].as_u64().unwrap_or(0).to_string();
    if data["usage"].is_object() {
        told.usage = usage::converse(&data["usage"]);
    }
    if !is_stream {
        return whole_converse(told, data);
    }
    match frame.name.as_str() {
        "messageStart" => {
            told.said(0);
        }
        "contentBlockStart" => {
            let tool = &data["start"]["toolUse"];
            if is_client_call(tool) {
                told.said(0).open(Some(place), word(&tool["toolUseId"]), text(&tool["name"]), "");
            }
        }
        "contentBlockDelta" => {
            let (delta, said) = (&data["delta"], told.said(0));
            said.text.push_str(text(&delta["text"]));
            said.thoughts.push_str(text(&delta["reasoningContent"]["text"]));
            said.more(&place, text(&delta["toolUse"]["input"]));
        }
        "messageStop" => converse_stop(told, data),
        // Usage comes after the stop, and nothing after that.
        "metadata" => told.is_sealed = told.is_finished(),
        name if name.ends_with("Exception") || name.ends_with("Error") => {
            told.fail(Fault { classes: named(name, data), is_optional: false });
        }
        _ => {}
    }
}

fn whole_converse(told: &mut Told, body: &Value) {
    if !body["output"]["message"].is_object() {
        // An unknown operation answers 200 and says so in the body.
        let any = [
            FailureClass::Malformed,
            FailureClass::Server,
            FailureClass::NotFound,
            FailureClass::InvalidRequest,
        ];
        return told.fail(Fault::of(&any));
    }
    for block in each(&body["output"]["message"]["content"]) {
        let said = told.said(0);
        let tool = &block["toolUse"];
        if is_client_call(tool) {
            said.call(word(&tool["toolUseId"]), text(&tool["name"]), &tool["input"]);
        }
        said.text.push_str(text(&block["text"]));
        each(&block["citationsContent"]["content"])
            .for_each(|piece| said.text.push_str(text(&piece["text"])));
        said.thoughts.push_str(text(&block["reasoningContent"]["reasoningText"]["text"]));
    }
    converse_stop(told, body);
}

/// Tools that the provider runs itself are no calls to the client.
fn is_client_call(tool: &Value) -> bool {
    tool.is_object() && (tool["type"].is_null() || tool["type"] == "tool_use")
}

fn converse_stop(told: &mut Told, place: &Value) {
    let reason = word(&place["stopReason"]);
    if reason.as_deref().is_some_and(|reason| reason.starts_with("malformed_")) {
        told.fail(Fault::of(&[FailureClass::Malformed, FailureClass::Server]));
    }
    told.said(0).finish = reason;
}

/// Reads one event, or the whole body.
pub fn cohere(told: &mut Told, frame: &Frame, is_stream: bool) {
    let data = &frame.data;
    if frame.text == "[DONE]" {
        return;
    }
    if !is_stream {
        return cohere_whole(told, data);
    }
    let (message, place) = (&data["delta"]["message"], data["index"].as_u64().unwrap_or(0).to_string());
    let call = &message["tool_calls"];
    match text(&data["type"]) {
        "message-start" => {
            told.said(0);
        }
        "tool-call-start" => {
            let (id, function) = (word(&call["id"]), &call["function"]);
            told.said(0).open(Some(place), id, text(&function["name"]), text(&function["arguments"]));
        }
        "tool-call-delta" => told.said(0).more(&place, text(&call["function"]["arguments"])),
        "tool-plan-delta" => told.said(0).thoughts.push_str(text(&message["tool_plan"])),
        "content-start" | "content-delta" => {
            let said = told.said(0);
            said.text.push_str(text(&message["content"]["text"]));
            said.thoughts.push_str(text(&message["content"]["thinking"]));
        }
        "message-end" => {
            cohere_end(told, &data["delta"]);
            told.is_sealed = true;
        }
        _ => {}
    }
}

fn cohere_whole(told: &mut Told, body: &Value) {
    let message = &body["message"];
    if !message.is_object() {
        return told.fail(Fault { classes: inside(body), is_optional: false });
    }
    let said = told.said(0);
    said.thoughts.push_str(text(&message["tool_plan"]));
    for part in each(&message["content"]) {
        said.text.push_str(text(&part["text"]));
        said.thoughts.push_str(text(&part["thinking"]));
    }
    for call in each(&message["tool_calls"]) {
        let function = &call["function"];
        said.call(word(&call["id"]), text(&function["name"]), &function["arguments"]);
    }
    cohere_end(told, body);
}

fn cohere_end(told: &mut Told, place: &Value) {
    told.usage = usage::cohere(&place["usage"]).or(told.usage.take());
    let reason = word(&place["finish_reason"]);
    match reason.as_deref() {
        Some("TIMEOUT") => told.fail(Fault::of(&[FailureClass::Timeout, FailureClass::Server])),
        Some("ERROR") => told.fail(Fault { classes: inside(&place["error"]), is_optional: false }),
        _ => {}
    }
    told.said(0).finish = reason;
}

/// Reads one line, of which a whole body is one.
pub fn ollama(told: &mut Told, frame: &Frame) {
    let data = &frame.data;
    if !data["error"].is_null() {
        return told.fail(Fault { classes: inside(&data["error"]), is_optional: false });
    }
    let (message, said) = (&data["message"], told.said(0));
    said.text.push_str(text(&message["content"]));
    said.thoughts.push_str(text(&message["thinking"]));
    for call in each(&message["tool_calls"]) {
        let function = &call["function"];
        said.call(word(&call["id"]), text(&function["name"]), &function["arguments"]);
    }
    if data["done"] == true {
        said.finish = word(&data["done_reason"]).or_else(|| Some("stop".to_owned()));
        told.usage = usage::ollama(data);
        if matches!(data["done_reason"].as_str(), Some("load" | "unload")) {
            // The server tells of its models, and of no answer.
            told.fail(Fault::of(&[FailureClass::Malformed]).optional());
        }
        told.is_sealed = true;
    }
}
