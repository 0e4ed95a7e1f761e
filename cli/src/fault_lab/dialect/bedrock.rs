//! Amazon's Converse: what is meant is in the path, streams are binary frames, errors are exceptions by name.

use std::borrow::Cow;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::fault_lab::ask::{Ask, Media, Tool, ToolChoice};
use crate::fault_lab::dialect::blocks::{Block, arguments, blocks};
use crate::fault_lab::dialect::{
    Answer, Dialect, Event, Part, Peek, between, conversation, errors, json_body, parts, texts,
};
use crate::fault_lab::reply::{Finish, Usage};
use crate::fault_lab::script::Reason;

pub struct Bedrock;

const STREAMED: &str = "/converse-stream";

impl Dialect for Bedrock {
    fn name(&self) -> &'static str {
        "bedrock"
    }

    fn claims(&self, path: &str) -> bool {
        path.contains("/model/") && (path.ends_with("/converse") || path.ends_with(STREAMED))
    }

    fn peek<'a>(&self, path: &'a str, _: &'a [u8]) -> serde_json::Result<Peek<'a>> {
        Ok(Peek::of_path(model(path), path.ends_with(STREAMED)))
    }

    fn read(&self, path: &str, _: &HeaderMap, body: &[u8]) -> Result<Ask, Reason> {
        let body = json_body(body)?;
        let messages = conversation(&body, "messages")?;
        let ask = ask(&body, messages);
        Ok(Ask { model: model(path).into_owned(), stream: path.ends_with(STREAMED), ..ask })
    }

    fn whole(&self, answer: &Answer) -> Vec<u8> {
        let content: Vec<Value> =
            (0..).zip(blocks(answer.reply)).map(|(i, b)| whole(answer, i, &b)).collect();
        if answer.reply.finish == Finish::Absent {
            return json!({"metrics": {"latencyMs": 1}}).to_string().into_bytes();
        }
        let mut body = json!({
            "metrics": {"latencyMs": 1},
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": stop(answer.reply.finish),
        });
        if let Some(told) = answer.told() {
            body["usage"] = usage(told);
        }
        body.to_string().into_bytes()
    }

    fn events(&self, answer: &Answer) -> Vec<Event> {
        let mut events = vec![event(Part::Opening, "messageStart", &json!({"role": "assistant"}))];
        for (index, block) in blocks(answer.reply).iter().enumerate() {
            events.extend(block_events(answer, index, block));
        }
        if answer.reply.finish != Finish::Absent {
            let stop = json!({"stopReason": stop(answer.reply.finish)});
            events.push(event(Part::Closing, "messageStop", &stop));
        }
        let mut metadata = json!({"metrics": {"latencyMs": 1}});
        if let Some(told) = answer.told() {
            metadata["usage"] = usage(told);
        }
        events.push(event(Part::Closing, "metadata", &metadata));
        events
    }

    fn error_body(&self, reason: &Reason) -> Vec<u8> {
        json!({"message": errors::message(reason)}).to_string().into_bytes()
    }

    fn error_headers(&self, reason: &Reason) -> Vec<(&'static str, String)> {
        vec![("x-amzn-errortype", format!("{}:http://internal.amazon.com/coral/lab/", exception(reason)))]
    }

    /// The older form of the protocol, which some front ends still answer with.
    fn error_in_200(&self, reason: &Reason) -> Vec<u8> {
        let name = format!("com.amazon.coral.service#{}", exception(reason));
        let output = json!({"__type": name, "message": errors::message(reason)});
        json!({"Output": output, "Version": "1.0"}).to_string().into_bytes()
    }

    /// Exceptions of a stream begin with a small letter.
    fn error_event(&self, reason: &Reason) -> Vec<u8> {
        let mut name = exception(reason).to_owned();
        name[..1].make_ascii_lowercase();
        let body = json!({"message": errors::message(reason)}).to_string();
        frame("exception", ":exception-type", &name, body)
    }

    /// The frame is in order, what it holds is not.
    fn malformed_event(&self) -> Vec<u8> {
        let broken = r#"{"contentBlockIndex":0,"delta":{"text":"bro"#;
        frame("event", ":event-type", "contentBlockDelta", broken.to_owned())
    }

    fn keepalive(&self) -> Vec<u8> {
        Vec::new()
    }

    fn stream_type(&self) -> &'static str {
        "application/vnd.amazon.eventstream"
    }

    fn request_id(&self) -> &'static str {
        "x-amzn-requestid"
    }
}

fn model(path: &str) -> Cow<'_, str> {
    between(path, "/model/", "/").unwrap_or_default()
}

// === reading ===

fn ask(body: &Value, messages: &[Value]) -> Ask {
    let user = messages.iter().rev().filter(|message| message["role"] == "user");
    let user_text = user.map(|message| texts(&message["content"]).concat()).find(|text| !text.is_empty());
    let tools = || parts(&body["toolConfig"]["tools"]).iter().filter_map(|tool| tool.get("toolSpec"));
    Ask {
        wants_usage: true,
        last_user_text: user_text.unwrap_or_default(),
        tool_result: messages.last().and_then(tool_result),
        prompt_bytes: texts(&body["system"]).concat().len()
            + messages.iter().map(text_bytes).sum::<usize>()
            + tools().map(|tool| tool.to_string().len()).sum::<usize>(),
        media: messages.iter().flat_map(|message| parts(&message["content"])).filter_map(medium).collect(),
        tools: tools().filter_map(tool).collect(),
        tool_choice: tool_choice(&body["toolConfig"]["toolChoice"]),
        parallel_allowed: true,
        schema: schema(body),
        max_tokens: body["inferenceConfig"]["maxTokens"].as_u64(),
        ..Ask::default()
    }
}

fn tool_result(last: &Value) -> Option<String> {
    let mut results = parts(&last["content"]).iter().filter_map(|block| block.get("toolResult"));
    results.next_back().map(|result| {
        let text = texts(&result["content"]).concat();
        let json = parts(&result["content"]).iter().filter_map(|part| part.get("json"));
        json.fold(text, |text, json| text + &json.to_string())
    })
}

fn text_bytes(message: &Value) -> usize {
    let tools = parts(&message["content"])
        .iter()
        .filter_map(|block| block["toolUse"].get("input").or_else(|| block["toolResult"].get("content")));
    texts(&message["content"]).concat().len() + tools.map(|tool| tool.to_string().len()).sum::<usize>()
}

fn tool(spec: &Value) -> Option<Tool> {
    Some(Tool { name: spec["name"].as_str()?.to_owned(), schema: spec["inputSchema"]["json"].clone() })
}

fn tool_choice(choice: &Value) -> ToolChoice {
    match choice["tool"]["name"].as_str() {
        Some(name) => ToolChoice::Named(name.to_owned()),
        None if choice.get("any").is_some() => ToolChoice::Any,
        None => ToolChoice::Auto,
    }
}

/// The schema travels as a string.
fn schema(body: &Value) -> Option<Value> {
    let asked = &body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"];
    serde_json::from_str(asked.as_str()?).ok()
}

fn medium(block: &Value) -> Option<Media> {
    let kinds = [("image", "image"), ("video", "video"), ("document", "file")];
    let (kind, inner) = kinds.into_iter().find_map(|(name, kind)| Some((kind, block.get(name)?)))?;
    let label = inner["format"].as_str().unwrap_or("?");
    Some(Media::inline(kind, label, inner["source"]["bytes"].as_str()?))
}

// === writing ===

fn event(part: Part, name: &str, body: &Value) -> Event {
    Event { part, bytes: frame("event", ":event-type", name, body.to_string()).into() }
}

fn frame(kind: &'static str, named_by: &'static str, name: &str, payload: String) -> Vec<u8> {
    let header = |name: &'static str, value: String| Header::new(name, HeaderValue::String(value.into()));
    let message = Message::new(payload)
        .add_header(header(":message-type", kind.to_owned()))
        .add_header(header(named_by, name.to_owned()))
        .add_header(header(":content-type", "application/json".to_owned()));
    let mut frame = Vec::new();
    // Fails only on headers and payloads that are too long for a frame; then nothing is sent.
    if write_message_to(&message, &mut frame).is_err() {
        frame.clear();
    }
    frame
}

fn tool_id(answer: &Answer, index: usize) -> String {
    format!("tooluse_lab{:08x}{index:02}", answer.serial)
}

const SIGNATURE: &str = "bGFiIHNpZ25hdHVyZQ==";

fn whole(answer: &Answer, index: usize, block: &Block) -> Value {
    match block {
        Block::Reasoning(texts) => {
            json!({"reasoningContent": {"reasoningText": {"text": texts.concat(), "signature": SIGNATURE}}})
        }
        Block::Text(texts) | Block::Refusal(texts) => json!({"text": texts.concat()}),
        Block::Call { name, fragments } => {
            let id = tool_id(answer, index);
            json!({"toolUse": {"toolUseId": id, "name": name, "input": arguments(fragments)}})
        }
    }
}

/// Only calls have a start; text begins with its first piece.
fn block_events(answer: &Answer, index: usize, block: &Block) -> Vec<Event> {
    let mut events = Vec::new();
    if let Block::Call { name, .. } = block {
        let start = json!({"toolUse": {"toolUseId": tool_id(answer, index), "name": name}});
        let start = json!({"contentBlockIndex": index, "start": start});
        events.push(event(Part::Content, "contentBlockStart", &start));
    }
    events.extend(deltas(block).into_iter().map(|delta| {
        let delta = json!({"contentBlockIndex": index, "delta": delta});
        event(Part::Content, "contentBlockDelta", &delta)
    }));
    events.push(event(Part::Framing, "contentBlockStop", &json!({"contentBlockIndex": index})));
    events
}

fn deltas(block: &Block) -> Vec<Value> {
    match block {
        Block::Reasoning(texts) => {
            let thoughts = texts.iter().map(|text| json!({"reasoningContent": {"text": text}}));
            thoughts.chain([json!({"reasoningContent": {"signature": SIGNATURE}})]).collect()
        }
        Block::Text(texts) | Block::Refusal(texts) => {
            texts.iter().map(|text| json!({"text": text})).collect()
        }
        Block::Call { fragments, .. } => {
            fragments.iter().map(|json| json!({"toolUse": {"input": json}})).collect()
        }
    }
}

/// A refusal is text like any other.
fn stop(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Refused | Finish::Absent => "end_turn",
        Finish::Length => "max_tokens",
        Finish::Tools => "tool_use",
        Finish::Filtered => "content_filtered",
    }
}

/// Reasoning is not counted apart.
fn usage(Usage { input, output, .. }: Usage) -> Value {
    json!({"inputTokens": input, "outputTokens": output, "totalTokens": input + output})
}

// === errors ===

fn exception(reason: &Reason) -> &'static str {
    match errors::status(reason) {
        401 => "UnrecognizedClientException",
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 | 504 => "ModelTimeoutException",
        429 => "ThrottlingException",
        400..=499 => "ValidationException",
        503 | 529 => "ServiceUnavailableException",
        _ => "InternalServerException",
    }
}
