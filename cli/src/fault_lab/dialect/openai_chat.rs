//! OpenAI chat completions, with the reasoning field of the compatible servers (`reasoning_content`).

use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::fault_lab::ask::{Ask, Media, MediaSource, Tool, ToolChoice};
use crate::fault_lab::dialect::{Answer, Dialect, Event, Part, bad, parts, sse, texts};
use crate::fault_lab::reply::{Finish, Piece, Usage};
use crate::fault_lab::script::{Oddity, Reason};

pub struct OpenAiChat;

impl Dialect for OpenAiChat {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn claims(&self, path: &str) -> bool {
        path.ends_with("/chat/completions")
    }

    fn claims_list(&self, _: &HeaderMap) -> bool {
        true
    }

    fn read(&self, _: &str, _: &HeaderMap, body: &[u8]) -> Result<Ask, Reason> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|_| bad("body", "We could not parse the JSON body of your request.".to_owned()))?;
        let messages = body["messages"].as_array().filter(|messages| !messages.is_empty());
        let messages =
            messages.ok_or_else(|| bad("messages", "Missing required parameter: 'messages'.".to_owned()))?;
        Ok(ask(&body, messages))
    }

    fn whole(&self, answer: &Answer) -> Vec<u8> {
        whole(answer).to_string().into_bytes()
    }

    fn events(&self, answer: &Answer) -> Vec<Event> {
        let mut events = oddities(answer);
        if answer.reply.finish != Finish::Absent {
            events.push(chunk(
                answer,
                Part::Opening,
                json!({"role": "assistant", "content": "", "refusal": null}),
                None,
            ));
            events.extend(content(answer));
            events.push(chunk(answer, Part::Closing, json!({}), Some(finish(answer.reply.finish))));
        }
        events.extend(closing_usage(answer));
        events.push(Event::sse(Part::Terminal, None, "[DONE]"));
        events
    }

    fn error_body(&self, reason: &Reason) -> Vec<u8> {
        json!({"error": error(reason)}).to_string().into_bytes()
    }

    fn error_event(&self, reason: &Reason) -> Vec<u8> {
        sse(None, &json!({"error": error(reason)}).to_string())
    }

    /// OpenRouter's form: the error sits in the choice, beside a finish that looks fine.
    fn whole_with_error(&self, answer: &Answer, reason: &Reason) -> Vec<u8> {
        let mut body = whole(answer);
        body["choices"][0]["error"] = error(reason);
        body.to_string().into_bytes()
    }

    fn malformed_event(&self) -> Vec<u8> {
        sse(
            None,
            r#"{"id":"chatcmpl-broken","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"bro"#,
        )
    }

    fn rate_limits(&self, remaining: u32) -> Vec<(&'static str, String)> {
        vec![
            ("x-ratelimit-limit-requests", "100".to_owned()),
            ("x-ratelimit-limit-tokens", "100000".to_owned()),
            ("x-ratelimit-remaining-requests", remaining.to_string()),
            ("x-ratelimit-remaining-tokens", (remaining * 1_000).to_string()),
            ("x-ratelimit-reset-requests", "1s".to_owned()),
            ("x-ratelimit-reset-tokens", "1s".to_owned()),
        ]
    }

    fn models(&self, rows: &[(&str, &str)]) -> Vec<u8> {
        let model = |(id, description): &(&str, &str)| json!({"id": id, "object": "model", "created": 1_767_225_600, "owned_by": "echo", "description": description});
        json!({"object": "list", "data": rows.iter().map(model).collect::<Value>()}).to_string().into_bytes()
    }
}

// === reading ===

fn ask(body: &Value, messages: &[Value]) -> Ask {
    let last_user = messages.iter().rev().find(|message| message["role"] == "user");
    let last = messages.last().filter(|message| message["role"] == "tool");
    Ask {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        stream: body["stream"].as_bool().unwrap_or(false),
        wants_usage: body["stream_options"]["include_usage"].as_bool().unwrap_or(false),
        last_user_text: last_user.map(|message| texts(&message["content"]).concat()).unwrap_or_default(),
        tool_result: last.map(|message| texts(&message["content"]).concat()),
        prompt_bytes: messages.iter().map(text_bytes).sum::<usize>() + tool_bytes(&body["tools"]),
        media: messages.iter().flat_map(|message| parts(&message["content"])).filter_map(medium).collect(),
        tools: parts(&body["tools"]).iter().filter_map(tool).collect(),
        tool_choice: tool_choice(&body["tool_choice"]),
        parallel_allowed: body["parallel_tool_calls"].as_bool().unwrap_or(true),
        schema: response_schema(&body["response_format"]),
        max_tokens: smaller(body["max_tokens"].as_u64(), body["max_completion_tokens"].as_u64()),
        task: None,
    }
}

fn smaller(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

fn text_bytes(message: &Value) -> usize {
    let arguments =
        parts(&message["tool_calls"]).iter().filter_map(|call| call["function"]["arguments"].as_str());
    texts(&message["content"]).into_iter().chain(arguments).map(str::len).sum()
}

fn tool_bytes(tools: &Value) -> usize {
    parts(tools).iter().map(|tool| tool.to_string().len()).sum()
}

fn tool(tool: &Value) -> Option<Tool> {
    let function = &tool["function"];
    let schema = function.get("parameters").cloned().unwrap_or_else(|| json!({"type": "object"}));
    Some(Tool { name: function["name"].as_str()?.to_owned(), schema })
}

fn tool_choice(choice: &Value) -> ToolChoice {
    match choice {
        Value::String(word) if word == "none" => ToolChoice::None,
        Value::String(word) if word == "required" => ToolChoice::Any,
        Value::Object(named) => {
            let name = named.get("function").and_then(|function| function["name"].as_str());
            name.map_or(ToolChoice::Auto, |name| ToolChoice::Named(name.to_owned()))
        }
        _ => ToolChoice::Auto,
    }
}

fn response_schema(format: &Value) -> Option<Value> {
    match format["type"].as_str()? {
        "json_schema" => Some(format["json_schema"]["schema"].clone()),
        "json_object" => Some(json!({})),
        _ => None,
    }
}

fn medium(part: &Value) -> Option<Media> {
    let kind = part["type"].as_str()?;
    let inner = &part[kind];
    match kind {
        "image_url" => Some(Media::from_url("image", inner["url"].as_str()?)),
        "video_url" => Some(Media::from_url("video", inner["url"].as_str()?)),
        "input_audio" => {
            Some(Media::inline("audio", inner["format"].as_str().unwrap_or("?"), inner["data"].as_str()?))
        }
        "file" => Some(file(inner)),
        _ => None,
    }
}

fn file(file: &Value) -> Media {
    let label = file["filename"].as_str().unwrap_or("unnamed").to_owned();
    let source = match (file["file_data"].as_str(), file["file_id"].as_str()) {
        (Some(data), _) => Media::from_url("file", data).source,
        (None, id) => MediaSource::FileId(id.unwrap_or_default().to_owned()),
    };
    Media { kind: "file", label, source }
}

// === writing ===

fn head(answer: &Answer, object: &str) -> Map<String, Value> {
    let mut head = Map::new();
    head.insert("id".to_owned(), json!(format!("chatcmpl-lab{:08x}", answer.serial)));
    head.insert("object".to_owned(), json!(object));
    head.insert("created".to_owned(), json!(answer.created));
    head.insert("model".to_owned(), json!(answer.model));
    head.insert("service_tier".to_owned(), json!("default"));
    head.insert("system_fingerprint".to_owned(), json!("fp_lab"));
    head
}

pub(super) fn whole(answer: &Answer) -> Value {
    let mut body = head(answer, "chat.completion");
    let choices = match answer.reply.finish {
        Finish::Absent => json!([]),
        finish_reason => json!([{
            "index": 0,
            "message": message(answer),
            "logprobs": null,
            "finish_reason": finish(finish_reason),
        }]),
    };
    body.insert("choices".to_owned(), choices);
    if let Some(told) = answer.told() {
        body.insert("usage".to_owned(), usage(told));
    }
    if answer.is(Oddity::Unknown) {
        body.insert("novelty".to_owned(), json!({"level": 7}));
    }
    Value::Object(body)
}

fn message(answer: &Answer) -> Value {
    let reply = answer.reply;
    let calls: Vec<Value> =
        calls(answer).map(|(i, name, fragments)| call(answer, i, name, &fragments.concat())).collect();
    let text = reply.joined(Piece::text);
    let silent = calls.is_empty() && reply.finish != Finish::Refused;
    let content = if silent { Some(text.unwrap_or_default()) } else { text };
    let mut message = json!({
        "role": "assistant",
        "content": content,
        "refusal": reply.joined(Piece::refusal),
        "annotations": [],
    });
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    if let Some(reasoning) = reply.joined(Piece::reasoning) {
        message["reasoning_content"] = json!(reasoning);
    }
    message
}

/// The tool calls with their place among the calls.
fn calls<'a>(answer: &Answer<'a>) -> impl Iterator<Item = (usize, &'a str, &'a [String])> {
    let calls = answer.reply.pieces.iter().filter_map(|piece| match piece {
        Piece::Call { name, fragments } => Some((name.as_str(), fragments.as_slice())),
        _ => None,
    });
    calls.enumerate().map(|(i, (name, fragments))| (i, name, fragments))
}

fn call(answer: &Answer, index: usize, name: &str, arguments: &str) -> Value {
    let id = format!("call_lab{:08x}{index:02}", answer.serial);
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

pub(super) fn finish(finish: Finish) -> &'static str {
    match finish {
        // A refusal finishes with `stop`: the refusal field tells it.
        Finish::Stop | Finish::Refused | Finish::Absent => "stop",
        Finish::Length => "length",
        Finish::Tools => "tool_calls",
        Finish::Filtered => "content_filter",
    }
}

pub(super) fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

fn content(answer: &Answer) -> Vec<Event> {
    deltas(answer).into_iter().map(|delta| chunk(answer, Part::Content, delta, None)).collect()
}

/// What the pieces add to the message, one after the other.
pub(super) fn deltas(answer: &Answer) -> Vec<Value> {
    let mut deltas = Vec::new();
    let mut tool_index = 0;
    for piece in &answer.reply.pieces {
        match piece {
            Piece::Text(text) => deltas.push(json!({"content": text})),
            Piece::Reasoning(text) => deltas.push(json!({"reasoning_content": text})),
            Piece::Refusal(text) => deltas.push(json!({"refusal": text})),
            Piece::Call { name, fragments } => {
                deltas.extend(call_deltas(answer, tool_index, name, fragments));
                tool_index += 1;
            }
        }
    }
    deltas
}

fn call_deltas(answer: &Answer, index: usize, name: &str, fragments: &[String]) -> Vec<Value> {
    let mut opened = call(answer, index, name, "");
    opened["index"] = json!(index);
    let rest = fragments
        .iter()
        .filter(|fragment| !fragment.is_empty())
        .map(|fragment| json!({"tool_calls": [{"index": index, "function": {"arguments": fragment}}]}));
    std::iter::once(json!({"tool_calls": [opened]})).chain(rest).collect()
}

fn chunk(answer: &Answer, part: Part, delta: Value, finish_reason: Option<&str>) -> Event {
    let mut body = head(answer, "chat.completion.chunk");
    let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
    body.insert("choices".to_owned(), json!([choice]));
    match answer.running() {
        Some(running) if part != Part::Opening => drop(body.insert("usage".to_owned(), usage(running))),
        _ if answer.wants_usage => drop(body.insert("usage".to_owned(), Value::Null)),
        _ => {}
    }
    body.insert("obfuscation".to_owned(), json!("k7Qp2x"));
    Event::sse(part, None, &Value::Object(body).to_string())
}

fn closing_usage(answer: &Answer) -> Option<Event> {
    let told = answer.told().filter(|_| answer.wants_usage || answer.running().is_some())?;
    let mut body = head(answer, "chat.completion.chunk");
    body.insert("choices".to_owned(), json!([]));
    body.insert("usage".to_owned(), usage(told));
    Some(Event::sse(Part::Closing, None, &Value::Object(body).to_string()))
}

/// What comes before the first chunk in the odd cases.
fn oddities(answer: &Answer) -> Vec<Event> {
    let opening = |name: Option<&str>, data: Value| Event::sse(Part::Opening, name, &data.to_string());
    match answer.oddity {
        // Azure's way, and Copilot's.
        Some(Oddity::EmptyOpening) => vec![
            opening(
                None,
                json!({"id": "", "object": "", "created": 0, "model": "", "choices": [],
                "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}),
            ),
            opening(
                None,
                json!({"id": "", "object": "chat.completion.chunk", "created": 0, "model": "",
                "choices": [{"index": 0, "delta": null, "finish_reason": null}]}),
            ),
        ],
        Some(Oddity::Unknown) => vec![
            opening(Some("novelty"), json!({"object": "novelty", "level": 7})),
            opening(
                None,
                json!({"object": "chat.completion.novelty", "choices": [], "novelty": {"level": 7}}),
            ),
        ],
        _ => Vec::new(),
    }
}

// === errors ===

fn error(reason: &Reason) -> Value {
    let (kind, code, message) = words(reason);
    let param = if let Reason::BadRequest { field, .. } = reason { Some(*field) } else { None };
    json!({"message": message, "type": kind, "param": param, "code": code})
}

/// Type, code and message.
pub(super) fn words(reason: &Reason) -> (&'static str, Option<&'static str>, String) {
    let invalid = "invalid_request_error";
    let (kind, code, message) = match reason {
        Reason::BadRequest { message, .. } => return (invalid, None, message.clone()),
        Reason::ContextOverflow => (
            invalid,
            Some("context_length_exceeded"),
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. Please reduce the length of the messages.",
        ),
        Reason::QuotaSpent => (
            "insufficient_quota",
            Some("insufficient_quota"),
            "You exceeded your current quota, please check your plan and billing details.",
        ),
        Reason::PromptBlocked => (
            invalid,
            Some("content_policy_violation"),
            "Your request was rejected as a result of our safety system.",
        ),
        Reason::Status(status) => by_status(*status),
        Reason::LimitedUntilReset => by_status(429),
    };
    (kind, code, message.to_owned())
}

fn by_status(status: u16) -> (&'static str, Option<&'static str>, &'static str) {
    let invalid = "invalid_request_error";
    match status {
        401 => (
            invalid,
            Some("invalid_api_key"),
            "Incorrect API key provided: sk-lab. You can find your API key in your account settings.",
        ),
        402 => ("insufficient_quota", Some("insufficient_balance"), "Insufficient balance."),
        403 => (
            invalid,
            Some("unsupported_country_region_territory"),
            "Country, region, or territory not supported.",
        ),
        404 => (
            invalid,
            Some("model_not_found"),
            "The model `lab` does not exist or you do not have access to it.",
        ),
        408 => ("server_error", Some("request_timeout"), "The request timed out."),
        409 => (invalid, Some("conflict"), "The resource was updated by another request. Please try again."),
        413 => (invalid, Some("request_too_large"), "The request body is too large."),
        422 => (invalid, Some("unprocessable"), "The request was well-formed but could not be processed."),
        429 => (
            "requests",
            Some("rate_limit_exceeded"),
            "Rate limit reached for lab on requests per min (RPM): Limit 100, Used 100, Requested 1. Please try again in 1s.",
        ),
        400..=499 => (invalid, None, "The request was invalid."),
        503 | 529 => (
            "server_error",
            Some("overloaded"),
            "The server is currently overloaded with other requests. Sorry about that! Please retry your requests after a brief wait.",
        ),
        504 => ("server_error", Some("timeout"), "The upstream request timed out."),
        _ => {
            ("server_error", None, "The server had an error while processing your request. Sorry about that!")
        }
    }
}
