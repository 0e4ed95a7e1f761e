//! OpenAI's Responses: items and their parts, each opened, told and closed by numbered events.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::fault_lab::ask::{Ask, Media, Tool, ToolChoice};
use crate::fault_lab::dialect::blocks::{Block, blocks};
use crate::fault_lab::dialect::openai_chat::{self, OpenAiChat};
use crate::fault_lab::dialect::{Answer, Dialect, Event, Part, bad, json_body, parts, sse, texts};
use crate::fault_lab::reply::{Finish, Usage};
use crate::fault_lab::script::Reason;

pub struct OpenAiResponses;

impl Dialect for OpenAiResponses {
    fn name(&self) -> &'static str {
        "openai_responses"
    }

    fn claims(&self, path: &str) -> bool {
        path.ends_with("/responses")
    }

    fn read(&self, _: &str, _: &HeaderMap, body: &[u8]) -> Result<Ask, Reason> {
        let body = json_body(body)?;
        match &body["input"] {
            Value::String(text) => Ok(ask(&body, &[json!({"role": "user", "content": text})])),
            Value::Array(items) if !items.is_empty() => Ok(ask(&body, items)),
            _ => Err(bad("input", "Missing required parameter: 'input'.")),
        }
    }

    fn whole(&self, answer: &Answer) -> Vec<u8> {
        let output = (0..).zip(blocks(answer.reply)).map(|(index, block)| item(answer, index, &block, false));
        ended(answer, output.collect()).to_string().into_bytes()
    }

    fn events(&self, answer: &Answer) -> Vec<Event> {
        let mut told = Vec::new();
        for kind in ["response.created", "response.in_progress"] {
            let response = response(answer, "in_progress", &[]);
            told.push((Part::Opening, json!({"type": kind, "response": response})));
        }
        let mut output = Vec::new();
        for (index, block) in blocks(answer.reply).iter().enumerate() {
            told.extend(item_events(answer, index, block));
            output.push(item(answer, index, block, false));
        }
        if answer.reply.finish != Finish::Absent {
            let response = ended(answer, output);
            let kind = format!("response.{}", response["status"].as_str().unwrap_or_default());
            told.push((Part::Closing, json!({"type": kind, "response": response})));
        }
        (0..).zip(told).map(|(number, (part, event))| numbered(number, part, event)).collect()
    }

    fn error_body(&self, reason: &Reason) -> Vec<u8> {
        OpenAiChat.error_body(reason)
    }

    /// An answer that failed, with nothing in it.
    fn error_in_200(&self, reason: &Reason) -> Vec<u8> {
        failed(reason).to_string().into_bytes()
    }

    fn error_event(&self, reason: &Reason) -> Vec<u8> {
        let event = json!({"type": "response.failed", "response": failed(reason)});
        sse(Some("response.failed"), &event.to_string())
    }

    fn malformed_event(&self) -> Vec<u8> {
        let broken =
            r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"bro"#;
        sse(Some("response.output_text.delta"), broken)
    }

    /// They are numbered.
    fn pieces_are_alike(&self) -> bool {
        false
    }

    fn rate_limits(&self, remaining: u32) -> Vec<(&'static str, String)> {
        OpenAiChat.rate_limits(remaining)
    }
}

// === reading ===

fn ask(body: &Value, items: &[Value]) -> Ask {
    let last_user = items.iter().rev().find(|item| item["role"] == "user");
    let last = items.last().filter(|item| item["type"] == "function_call_output");
    Ask {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        stream: body["stream"].as_bool().unwrap_or(false),
        wants_usage: true,
        last_user_text: last_user.map(|item| texts(&item["content"]).concat()).unwrap_or_default(),
        tool_result: last.map(|item| texts(&item["output"]).concat()),
        prompt_bytes: body["instructions"].as_str().map_or(0, str::len)
            + items.iter().map(text_bytes).sum::<usize>()
            + parts(&body["tools"]).iter().map(|tool| tool.to_string().len()).sum::<usize>(),
        media: items.iter().flat_map(|item| parts(&item["content"])).filter_map(medium).collect(),
        tools: parts(&body["tools"]).iter().filter_map(tool).collect(),
        tool_choice: tool_choice(&body["tool_choice"]),
        parallel_allowed: body["parallel_tool_calls"].as_bool().unwrap_or(true),
        schema: schema(&body["text"]["format"]),
        max_tokens: body["max_output_tokens"].as_u64(),
        task: None,
    }
}

fn text_bytes(item: &Value) -> usize {
    let arguments = item["arguments"].as_str().map_or(0, str::len);
    texts(&item["content"]).concat().len() + texts(&item["output"]).concat().len() + arguments
}

fn tool(tool: &Value) -> Option<Tool> {
    let schema = tool.get("parameters").cloned().unwrap_or_else(|| json!({"type": "object"}));
    Some(Tool { name: tool["name"].as_str()?.to_owned(), schema })
}

fn tool_choice(choice: &Value) -> ToolChoice {
    match (choice.as_str(), choice["name"].as_str()) {
        (Some("none"), _) => ToolChoice::None,
        (Some("required"), _) => ToolChoice::Any,
        (None, Some(name)) => ToolChoice::Named(name.to_owned()),
        _ => ToolChoice::Auto,
    }
}

fn schema(format: &Value) -> Option<Value> {
    match format["type"].as_str()? {
        "json_schema" => Some(format["schema"].clone()),
        "json_object" => Some(json!({})),
        _ => None,
    }
}

fn medium(part: &Value) -> Option<Media> {
    match part["type"].as_str()? {
        "input_image" => Some(Media::from_url("image", part["image_url"].as_str()?)),
        "input_file" => {
            let url = part["file_data"].as_str().or_else(|| part["file_url"].as_str())?;
            Some(Media::from_url("file", url))
        }
        _ => None,
    }
}

// === writing ===

fn numbered(number: u64, part: Part, mut event: Value) -> Event {
    event["sequence_number"] = json!(number);
    Event::sse(part, event["type"].as_str(), &event.to_string())
}

fn response(answer: &Answer, status: &str, output: &[Value]) -> Value {
    json!({
        "id": format!("resp_lab{:08x}", answer.serial),
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "error": null,
        "incomplete_details": null,
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": true,
        "service_tier": "default",
        "store": false,
        "usage": null,
    })
}

fn ended(answer: &Answer, output: Vec<Value>) -> Value {
    let (status, reason) = match answer.reply.finish {
        Finish::Stop | Finish::Tools | Finish::Refused => ("completed", None),
        Finish::Length => ("incomplete", Some("max_output_tokens")),
        Finish::Filtered => ("incomplete", Some("content_filter")),
        Finish::Absent => ("in_progress", None),
    };
    let mut body = response(answer, status, &output);
    if let Some(reason) = reason {
        body["incomplete_details"] = json!({"reason": reason});
    }
    body["usage"] = answer.told().map_or(Value::Null, usage);
    body
}

fn usage(Usage { input, output, reasoning }: Usage) -> Value {
    json!({
        "input_tokens": input,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": input + output,
    })
}

/// An item; as it opens, it has its names and no content.
fn item(answer: &Answer, index: usize, block: &Block, opens: bool) -> Value {
    let id = item_id(answer, index, block);
    let status = if opens { "in_progress" } else { "completed" };
    let content = if opens { json!([]) } else { json!([content(block, false)]) };
    match block {
        Block::Reasoning(_) => json!({"id": id, "type": "reasoning", "summary": [], "content": content}),
        Block::Text(_) | Block::Refusal(_) => {
            json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
        }
        Block::Call { name, fragments } => {
            let arguments = if opens { String::new() } else { fragments.concat() };
            let call_id = format!("call_lab{:08x}{index:02}", answer.serial);
            json!({"id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name,
                "arguments": arguments})
        }
    }
}

fn item_id(answer: &Answer, index: usize, block: &Block) -> String {
    let prefix = match block {
        Block::Reasoning(_) => "rs",
        Block::Text(_) | Block::Refusal(_) => "msg",
        Block::Call { .. } => "fc",
    };
    format!("{prefix}_lab{:08x}{index:02}", answer.serial)
}

/// The one part of an item.
fn content(block: &Block, opens: bool) -> Value {
    let whole = |texts: &[&str]| if opens { String::new() } else { texts.concat() };
    match block {
        Block::Reasoning(texts) => json!({"type": "reasoning_text", "text": whole(texts)}),
        Block::Text(texts) => {
            json!({"type": "output_text", "annotations": [], "logprobs": [], "text": whole(texts)})
        }
        Block::Refusal(texts) => json!({"type": "refusal", "refusal": whole(texts)}),
        Block::Call { .. } => Value::Null,
    }
}

fn item_events(answer: &Answer, index: usize, block: &Block) -> Vec<(Part, Value)> {
    let id = item_id(answer, index, block);
    let at = |kind: &str, name: &str, value: Value| json!({"type": kind, "item_id": id, "output_index": index, "content_index": 0, name: value});
    let whole = |kind: &str, opens: bool| json!({"type": kind, "output_index": index, "item": item(answer, index, block, opens)});
    // A call's start has its name, so it is content.
    let is_call = matches!(block, Block::Call { .. });
    let start = if is_call { Part::Content } else { Part::Framing };
    let mut events = vec![(start, whole("response.output_item.added", true))];
    if !is_call {
        let opened = at("response.content_part.added", "part", content(block, true));
        events.push((Part::Framing, opened));
    }
    let (kind, name, pieces) = told(block);
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        events.push((Part::Content, at(&format!("{kind}.delta"), "delta", json!(piece))));
    }
    events.push((Part::Framing, at(&format!("{kind}.done"), name, json!(pieces.concat()))));
    if !is_call {
        events.push((Part::Framing, at("response.content_part.done", "part", content(block, false))));
    }
    events.push((Part::Framing, whole("response.output_item.done", false)));
    events
}

/// The kind of the events that tell a block, the member that has all of it at the end, and the pieces.
fn told<'a>(block: &'a Block) -> (&'static str, &'static str, Vec<&'a str>) {
    match block {
        Block::Reasoning(texts) => ("response.reasoning_text", "text", texts.clone()),
        Block::Text(texts) => ("response.output_text", "text", texts.clone()),
        Block::Refusal(texts) => ("response.refusal", "refusal", texts.clone()),
        Block::Call { fragments, .. } => {
            let fragments = fragments.iter().map(String::as_str).collect();
            ("response.function_call_arguments", "arguments", fragments)
        }
    }
}

/// A response that failed: its errors have few codes.
fn failed(reason: &Reason) -> Value {
    let (kind, code, message) = openai_chat::words(reason);
    let code = match (kind, code) {
        ("server_error", _) | (_, None) => "server_error",
        (_, Some(code)) => code,
    };
    json!({"id": "resp_lab", "object": "response", "status": "failed", "model": "lab", "output": [],
        "error": {"code": code, "message": message}, "usage": null})
}
