//! Cohere's chat, version 2.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::fault_lab::ask::{Ask, ToolChoice};
use crate::fault_lab::dialect::blocks::{Block, blocks};
use crate::fault_lab::dialect::openai_chat::OpenAiChat;
use crate::fault_lab::dialect::{Answer, Dialect, Event, Part, errors, json_body, sse};
use crate::fault_lab::reply::{Finish, Usage};
use crate::fault_lab::script::Reason;

pub struct Cohere;

impl Dialect for Cohere {
    fn name(&self) -> &'static str {
        "cohere"
    }

    fn claims(&self, path: &str) -> bool {
        path.ends_with("/chat")
    }

    fn read(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Ask, Reason> {
        let ask = OpenAiChat.read(path, headers, body)?;
        let body = json_body(body)?;
        let tool_choice = match body["tool_choice"].as_str() {
            Some("REQUIRED") => ToolChoice::Any,
            Some("NONE") => ToolChoice::None,
            _ => ToolChoice::Auto,
        };
        let format = &body["response_format"];
        let schema = format.get("json_schema").or_else(|| format.get("schema")).cloned();
        let schema = (format["type"] == "json_object").then(|| schema.unwrap_or_else(|| json!({})));
        Ok(Ask { wants_usage: true, tool_choice, parallel_allowed: true, schema, ..ask })
    }

    fn whole(&self, answer: &Answer) -> Vec<u8> {
        let blocks = blocks(answer.reply);
        let contents: Vec<Value> = blocks.iter().filter_map(content).collect();
        let calls = blocks.iter().filter(|block| matches!(block, Block::Call { .. })).enumerate();
        let calls: Vec<Value> =
            calls.filter_map(|(index, block)| call(answer, index, block, false)).collect();
        let mut message = json!({"role": "assistant", "content": contents});
        if !calls.is_empty() {
            message["tool_calls"] = json!(calls);
        }
        let mut body = json!({"id": id(answer), "message": message});
        if answer.reply.finish == Finish::Absent {
            return json!({"id": id(answer)}).to_string().into_bytes();
        }
        body["finish_reason"] = json!(finish(answer.reply.finish));
        if let Some(told) = answer.told() {
            body["usage"] = usage(told);
        }
        body.to_string().into_bytes()
    }

    fn events(&self, answer: &Answer) -> Vec<Event> {
        let message =
            json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []});
        let start = json!({"type": "message-start", "id": id(answer), "delta": {"message": message}});
        let mut events = vec![event(Part::Opening, &start)];
        let (mut texts, mut calls) = (0, 0);
        for block in blocks(answer.reply) {
            match &block {
                Block::Call { fragments, .. } => {
                    events.extend(call_events(answer, calls, &block, fragments));
                    calls += 1;
                }
                Block::Reasoning(pieces) => {
                    events.extend(content_events(texts, "thinking", pieces));
                    texts += 1;
                }
                Block::Text(pieces) | Block::Refusal(pieces) => {
                    events.extend(content_events(texts, "text", pieces));
                    texts += 1;
                }
            }
        }
        if answer.reply.finish != Finish::Absent {
            events.push(end(answer));
        }
        events.push(Event::sse(Part::Terminal, None, "[DONE]"));
        events
    }

    fn error_body(&self, reason: &Reason) -> Vec<u8> {
        json!({"id": "lab", "message": errors::message(reason)}).to_string().into_bytes()
    }

    /// An answer that ends with an error in place of a reason.
    fn error_in_200(&self, reason: &Reason) -> Vec<u8> {
        let message = json!({"role": "assistant", "content": []});
        json!({"id": "lab", "message": message, "finish_reason": "ERROR", "error": errors::message(reason)})
            .to_string()
            .into_bytes()
    }

    fn whole_with_error(&self, answer: &Answer, reason: &Reason) -> Vec<u8> {
        let contents: Vec<Value> = blocks(answer.reply).iter().filter_map(content).collect();
        let message = json!({"role": "assistant", "content": contents});
        json!({"id": id(answer), "message": message, "finish_reason": "ERROR", "error": errors::message(reason)})
            .to_string()
            .into_bytes()
    }

    fn error_event(&self, reason: &Reason) -> Vec<u8> {
        let delta = json!({"finish_reason": "ERROR", "usage": {}, "error": errors::message(reason)});
        sse(Some("message-end"), &json!({"type": "message-end", "delta": delta}).to_string())
    }

    fn malformed_event(&self) -> Vec<u8> {
        let broken = r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"bro"#;
        sse(Some("content-delta"), broken)
    }
}

fn id(answer: &Answer) -> String {
    format!("lab-{:08x}", answer.serial)
}

fn event(part: Part, body: &Value) -> Event {
    Event::sse(part, body["type"].as_str(), &body.to_string())
}

fn content(block: &Block) -> Option<Value> {
    match block {
        Block::Reasoning(pieces) => Some(json!({"type": "thinking", "thinking": pieces.concat()})),
        Block::Text(pieces) | Block::Refusal(pieces) => {
            Some(json!({"type": "text", "text": pieces.concat()}))
        }
        Block::Call { .. } => None,
    }
}

fn content_events(index: usize, kind: &str, pieces: &[&str]) -> Vec<Event> {
    let start = json!({"type": "content-start", "index": index,
        "delta": {"message": {"content": {"type": kind, kind: ""}}}});
    let mut events = vec![event(Part::Framing, &start)];
    events.extend(pieces.iter().map(|piece| {
        let delta = json!({"message": {"content": {kind: piece}}});
        event(Part::Content, &json!({"type": "content-delta", "index": index, "delta": delta}))
    }));
    events.push(event(Part::Framing, &json!({"type": "content-end", "index": index})));
    events
}

fn call(answer: &Answer, index: usize, block: &Block, opens: bool) -> Option<Value> {
    let Block::Call { name, fragments } = block else { return None };
    let arguments = if opens { String::new() } else { fragments.concat() };
    let id = format!("{name}_{:08x}{index:02}", answer.serial);
    Some(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}))
}

fn call_events(answer: &Answer, index: usize, block: &Block, fragments: &[String]) -> Vec<Event> {
    let opened = json!({"message": {"tool_calls": call(answer, index, block, true)}});
    let start = json!({"type": "tool-call-start", "index": index, "delta": opened});
    let mut events = vec![event(Part::Content, &start)];
    events.extend(fragments.iter().filter(|fragment| !fragment.is_empty()).map(|fragment| {
        let delta = json!({"message": {"tool_calls": {"function": {"arguments": fragment}}}});
        event(Part::Content, &json!({"type": "tool-call-delta", "index": index, "delta": delta}))
    }));
    events.push(event(Part::Framing, &json!({"type": "tool-call-end", "index": index})));
    events
}

fn end(answer: &Answer) -> Event {
    let mut delta = json!({"finish_reason": finish(answer.reply.finish)});
    if let Some(told) = answer.told() {
        delta["usage"] = usage(told);
    }
    event(Part::Closing, &json!({"type": "message-end", "delta": delta}))
}

/// A refusal is text like any other.
fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Refused | Finish::Absent => "COMPLETE",
        Finish::Length => "MAX_TOKENS",
        Finish::Tools => "TOOL_CALL",
        Finish::Filtered => "ERROR_TOXIC",
    }
}

fn usage(Usage { input, output, reasoning }: Usage) -> Value {
    let mut tokens = json!({"input_tokens": input, "output_tokens": output});
    if reasoning > 0 {
        tokens["reasoning_tokens"] = json!(reasoning);
    }
    json!({"billed_units": {"input_tokens": input, "output_tokens": output}, "tokens": tokens})
}
