//! Anthropic messages, version 2023-06-01.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::fault_lab::ask::{Ask, Media, MediaSource, Tool, ToolChoice};
use crate::fault_lab::dialect::blocks::{self, Block};
use crate::fault_lab::dialect::{Answer, Dialect, Event, Part, bad, parts, sse, texts};
use crate::fault_lab::reply::{Finish, Usage};
use crate::fault_lab::script::{Failure, Oddity, Reason};

pub struct AnthropicMessages;

impl Dialect for AnthropicMessages {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn claims(&self, path: &str) -> bool {
        path.ends_with("/messages")
    }

    fn claims_list(&self, headers: &HeaderMap) -> bool {
        headers.contains_key("anthropic-version")
    }

    fn read(&self, _: &str, headers: &HeaderMap, body: &[u8]) -> Result<Ask, Reason> {
        if !headers.contains_key("anthropic-version") {
            return Err(bad("anthropic-version", "anthropic-version: header is required"));
        }
        let body: Value =
            serde_json::from_slice(body).map_err(|_| bad("body", "The request body is not valid JSON."))?;
        if body["max_tokens"].as_u64().is_none() {
            return Err(bad("max_tokens", "max_tokens: Field required"));
        }
        let messages = body["messages"].as_array().filter(|messages| !messages.is_empty());
        let messages =
            messages.ok_or_else(|| bad("messages", "messages: at least one message is required"))?;
        Ok(ask(&body, messages))
    }

    fn whole(&self, answer: &Answer) -> Vec<u8> {
        whole(answer).to_string().into_bytes()
    }

    fn events(&self, answer: &Answer) -> Vec<Event> {
        let mut events = vec![start(answer)];
        events.extend(oddities(answer));
        events.extend(content(answer));
        events.extend(closing(answer));
        events.push(event(Part::Terminal, "message_stop", &json!({"type": "message_stop"})));
        events
    }

    /// A spent balance is a 400 here.
    fn status(&self, failure: &Failure) -> u16 {
        if failure.reason == Reason::QuotaSpent { 400 } else { failure.status }
    }

    fn error_body(&self, reason: &Reason) -> Vec<u8> {
        error(reason).to_string().into_bytes()
    }

    fn error_event(&self, reason: &Reason) -> Vec<u8> {
        sse(Some("error"), &error(reason).to_string())
    }

    fn malformed_event(&self) -> Vec<u8> {
        sse(
            Some("content_block_delta"),
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"bro"#,
        )
    }

    fn keepalive(&self) -> Vec<u8> {
        sse(Some("ping"), r#"{"type": "ping"}"#)
    }

    fn request_id(&self) -> &'static str {
        "request-id"
    }

    fn rate_limits(&self, remaining: u32) -> Vec<(&'static str, String)> {
        vec![
            ("anthropic-ratelimit-requests-limit", "100".to_owned()),
            ("anthropic-ratelimit-requests-remaining", remaining.to_string()),
            ("anthropic-ratelimit-requests-reset", "2026-01-02T03:04:05Z".to_owned()),
            ("anthropic-ratelimit-tokens-limit", "100000".to_owned()),
            ("anthropic-ratelimit-tokens-remaining", (remaining * 1_000).to_string()),
            ("anthropic-ratelimit-tokens-reset", "2026-01-02T03:04:05Z".to_owned()),
        ]
    }

    fn models(&self, rows: &[(&str, &str)]) -> Vec<u8> {
        let model = |(id, description): &(&str, &str)| json!({"type": "model", "id": id, "display_name": description, "created_at": "2026-01-01T00:00:00Z"});
        let id = |row: Option<&(&str, &str)>| row.map(|row| row.0.to_owned());
        json!({
            "data": rows.iter().map(model).collect::<Value>(),
            "has_more": false,
            "first_id": id(rows.first()),
            "last_id": id(rows.last()),
        })
        .to_string()
        .into_bytes()
    }
}

// === reading ===

fn ask(body: &Value, messages: &[Value]) -> Ask {
    let user = messages.iter().rev().filter(|message| message["role"] == "user");
    let user_text = user.map(|message| texts(&message["content"]).concat()).find(|text| !text.is_empty());
    let blocks = || messages.iter().flat_map(|message| parts(&message["content"]));
    Ask {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        stream: body["stream"].as_bool().unwrap_or(false),
        wants_usage: true,
        last_user_text: user_text.unwrap_or_default(),
        tool_result: messages.last().and_then(tool_result),
        prompt_bytes: texts(&body["system"]).concat().len()
            + messages.iter().map(text_bytes).sum::<usize>()
            + parts(&body["tools"]).iter().map(|tool| tool.to_string().len()).sum::<usize>(),
        media: blocks().flat_map(nested).filter_map(medium).collect(),
        tools: parts(&body["tools"]).iter().filter_map(tool).collect(),
        tool_choice: tool_choice(&body["tool_choice"]),
        parallel_allowed: body["tool_choice"]["disable_parallel_tool_use"] != true,
        schema: response_schema(body),
        max_tokens: body["max_tokens"].as_u64(),
        task: None,
    }
}

fn tool_result(last: &Value) -> Option<String> {
    let mut results = parts(&last["content"]).iter().filter(|block| block["type"] == "tool_result");
    results.next_back().map(|block| texts(&block["content"]).concat())
}

/// A block and, in a tool result, the blocks inside.
fn nested(block: &Value) -> impl Iterator<Item = &Value> {
    let inside = if block["type"] == "tool_result" { parts(&block["content"]) } else { &[] };
    std::iter::once(block).chain(inside)
}

fn text_bytes(message: &Value) -> usize {
    let block_bytes = |block: &Value| match block["type"].as_str() {
        Some("tool_use") => block["input"].to_string().len(),
        Some("tool_result") => texts(&block["content"]).concat().len(),
        _ => 0,
    };
    texts(&message["content"]).concat().len()
        + parts(&message["content"]).iter().map(block_bytes).sum::<usize>()
}

fn tool(tool: &Value) -> Option<Tool> {
    let schema = tool.get("input_schema").cloned().unwrap_or_else(|| json!({"type": "object"}));
    Some(Tool { name: tool["name"].as_str()?.to_owned(), schema })
}

fn tool_choice(choice: &Value) -> ToolChoice {
    match choice["type"].as_str() {
        Some("none") => ToolChoice::None,
        Some("any") => ToolChoice::Any,
        Some("tool") => ToolChoice::Named(choice["name"].as_str().unwrap_or_default().to_owned()),
        _ => ToolChoice::Auto,
    }
}

fn response_schema(body: &Value) -> Option<Value> {
    let format = [&body["output_config"]["format"], &body["output_format"]];
    format.into_iter().find(|format| format["type"] == "json_schema").map(|format| format["schema"].clone())
}

fn medium(block: &Value) -> Option<Media> {
    let kind = match block["type"].as_str()? {
        "image" => "image",
        "document" => "file",
        _ => return None,
    };
    let source = &block["source"];
    let media_type = source["media_type"].as_str().unwrap_or("?");
    match source["type"].as_str()? {
        "url" => Some(Media::from_url(kind, source["url"].as_str()?)),
        "file" => Some(Media {
            kind,
            label: "by id".to_owned(),
            source: MediaSource::FileId(source["file_id"].as_str()?.to_owned()),
        }),
        _ => Some(Media::inline(kind, media_type, source["data"].as_str()?)),
    }
}

// === writing ===

fn message(answer: &Answer, content: Value, stop: Value, usage: Value) -> Value {
    json!({
        "id": format!("msg_lab{:08x}", answer.serial),
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": null,
        "usage": usage,
    })
}

fn whole(answer: &Answer) -> Value {
    let blocks: Vec<Value> =
        blocks(answer).map(|(index, block)| block_of(answer, index, &block, false)).collect();
    let usage = answer.told().map_or(Value::Null, |told| usage(told, told.output));
    let mut body = message(answer, json!(blocks), stop(answer.reply.finish), usage);
    if body["usage"].is_null() {
        body.as_object_mut().map(|fields| fields.shift_remove("usage"));
    }
    if let Some(details) = stop_details(answer.reply.finish) {
        body["stop_details"] = details;
    }
    if answer.is(Oddity::Unknown) {
        body["novelty"] = json!({"level": 7});
    }
    body
}

fn stop(finish: Finish) -> Value {
    match finish {
        Finish::Stop => json!("end_turn"),
        Finish::Length => json!("max_tokens"),
        Finish::Tools => json!("tool_use"),
        Finish::Filtered | Finish::Refused => json!("refusal"),
        Finish::Absent => Value::Null,
    }
}

fn stop_details(finish: Finish) -> Option<Value> {
    let refused = matches!(finish, Finish::Filtered | Finish::Refused);
    refused.then(|| json!({"type": "refusal", "category": null, "explanation": "The request goes against the usage policy."}))
}

fn usage(usage: Usage, output: u64) -> Value {
    let mut told = json!({
        "input_tokens": usage.input,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    });
    if usage.reasoning > 0 {
        told["output_tokens_details"] = json!({"thinking_tokens": usage.reasoning});
    }
    told
}

/// The content blocks with their place. A refusal has none of its own: what was said before it stays, the stop reason
/// tells the rest.
fn blocks<'a>(answer: &Answer<'a>) -> impl Iterator<Item = (usize, Block<'a>)> {
    let blocks = blocks::blocks(answer.reply).into_iter();
    blocks.filter(|block| !matches!(block, Block::Refusal(_))).enumerate()
}

const SIGNATURE: &str = "bGFiIHNpZ25hdHVyZQ==";

/// A block with all that is in it, or as it opens.
fn block_of(answer: &Answer, index: usize, block: &Block, opens: bool) -> Value {
    let whole = |texts: &[&str]| if opens { String::new() } else { texts.concat() };
    match block {
        Block::Reasoning(texts) => {
            json!({"type": "thinking", "thinking": whole(texts), "signature": if opens { "" } else { SIGNATURE }})
        }
        Block::Text(texts) | Block::Refusal(texts) => json!({"type": "text", "text": whole(texts)}),
        Block::Call { name, fragments } => {
            let id = format!("toolu_lab{:08x}{index:02}", answer.serial);
            let input = if opens { json!({}) } else { blocks::arguments(fragments) };
            json!({"type": "tool_use", "id": id, "name": name, "input": input})
        }
    }
}

fn deltas(block: &Block) -> Vec<Value> {
    let signature = json!({"type": "signature_delta", "signature": SIGNATURE});
    match block {
        Block::Reasoning(texts) => {
            let thoughts = texts.iter().map(|text| json!({"type": "thinking_delta", "thinking": text}));
            thoughts.chain([signature]).collect()
        }
        Block::Text(texts) | Block::Refusal(texts) => {
            texts.iter().map(|text| json!({"type": "text_delta", "text": text})).collect()
        }
        Block::Call { fragments, .. } => {
            fragments.iter().map(|json| json!({"type": "input_json_delta", "partial_json": json})).collect()
        }
    }
}

fn start(answer: &Answer) -> Event {
    let usage = answer.told().map_or_else(|| json!({}), |told| usage(told, 1));
    let message = message(answer, json!([]), Value::Null, usage);
    event(Part::Opening, "message_start", &json!({"type": "message_start", "message": message}))
}

fn content(answer: &Answer) -> Vec<Event> {
    let mut events = Vec::new();
    for (index, block) in blocks(answer) {
        // A tool's start carries its name, so it is content; the others open empty.
        let part = if let Block::Call { .. } = block { Part::Content } else { Part::Framing };
        let started = json!({"type": "content_block_start", "index": index, "content_block": block_of(answer, index, &block, true)});
        events.push(event(part, "content_block_start", &started));
        if index == 0 {
            events.push(event(Part::Framing, "ping", &json!({"type": "ping"})));
        }
        for delta in deltas(&block) {
            let delta = json!({"type": "content_block_delta", "index": index, "delta": delta});
            events.push(event(Part::Content, "content_block_delta", &delta));
            events.extend(running_total(answer));
        }
        events.push(event(
            Part::Framing,
            "content_block_stop",
            &json!({"type": "content_block_stop", "index": index}),
        ));
    }
    events
}

/// Cumulative usage between the pieces, which no client may add up.
fn running_total(answer: &Answer) -> Option<Event> {
    let told = answer.running()?;
    let running = json!({"type": "message_delta", "delta": {"stop_reason": null, "stop_sequence": null},
        "usage": usage(told, told.output)});
    Some(event(Part::Framing, "message_delta", &running))
}

fn closing(answer: &Answer) -> Option<Event> {
    let mut delta = json!({"stop_reason": stop(answer.reply.finish), "stop_sequence": null});
    if let Some(details) = stop_details(answer.reply.finish) {
        delta["stop_details"] = details;
    }
    let mut body = json!({"type": "message_delta", "delta": delta});
    match answer.told() {
        Some(told) => body["usage"] = usage(told, told.output),
        None => body["usage"] = json!({}),
    }
    let absent = answer.reply.finish == Finish::Absent;
    (!absent).then(|| event(Part::Closing, "message_delta", &body))
}

fn oddities(answer: &Answer) -> Vec<Event> {
    let opening = |name: &str, data: Value| event(Part::Opening, name, &data);
    match answer.oddity {
        Some(Oddity::EmptyOpening) => vec![opening("ping", json!({"type": "ping"})); 2],
        Some(Oddity::Unknown) => vec![opening("novelty_start", json!({"type": "novelty_start", "level": 7}))],
        _ => Vec::new(),
    }
}

/// An event with the spaces before the closing brace that the real service pads many with.
fn event(part: Part, name: &str, data: &Value) -> Event {
    let json = data.to_string();
    let padding = " ".repeat(json.len() % 7);
    let open = json.strip_suffix('}').unwrap_or(&json);
    Event::sse(part, Some(name), &format!("{open}{padding}}}"))
}

// === errors ===

fn error(reason: &Reason) -> Value {
    let (kind, message) = words(reason);
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_lab"})
}

fn words(reason: &Reason) -> (&'static str, String) {
    let (kind, message) = match reason {
        Reason::BadRequest { message, .. } => return ("invalid_request_error", message.clone()),
        Reason::ContextOverflow => {
            ("invalid_request_error", "prompt is too long: 200100 tokens > 200000 maximum")
        }
        Reason::QuotaSpent => (
            "invalid_request_error",
            "Your credit balance is too low to access the API. Please go to Plans & Billing to upgrade or purchase credits.",
        ),
        Reason::PromptBlocked => ("invalid_request_error", "Output blocked by content filtering policy"),
        Reason::Status(status) => by_status(*status),
        Reason::LimitedUntilReset => by_status(429),
    };
    (kind, message.to_owned())
}

fn by_status(status: u16) -> (&'static str, &'static str) {
    match status {
        401 => ("authentication_error", "invalid x-api-key"),
        402 => ("billing_error", "There is an issue with your billing."),
        403 => ("permission_error", "Your API key does not have permission to use the specified resource."),
        404 => ("not_found_error", "model: lab"),
        409 => ("conflict_error", "The request conflicts with another one."),
        413 => ("request_too_large", "Request exceeds the maximum size"),
        429 => (
            "rate_limit_error",
            "This request would exceed your account's rate limit. Please try again later.",
        ),
        400..=499 => ("invalid_request_error", "The request was invalid."),
        504 => ("timeout_error", "Request timed out"),
        503 | 529 => ("overloaded_error", "Overloaded"),
        _ => ("api_error", "Internal server error"),
    }
}
