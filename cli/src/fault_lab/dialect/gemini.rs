//! Google's generateContent, at the Developer API and at Vertex AI: both have the same words, Vertex a longer path.

use std::borrow::Cow;

use http::HeaderMap;
use serde_json::{Value, json};

use crate::fault_lab::ask::{Ask, Media, MediaSource, Tool, ToolChoice};
use crate::fault_lab::dialect::blocks::arguments;
use crate::fault_lab::dialect::{
    Answer, Dialect, Event, Part, Peek, between, conversation, errors, json_body, parts, sse, texts,
};
use crate::fault_lab::reply::{Finish, Piece, Usage};
use crate::fault_lab::script::Reason;

pub struct Gemini;

const WHOLE: &str = ":generateContent";
const STREAMED: &str = ":streamGenerateContent";

impl Dialect for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn claims(&self, path: &str) -> bool {
        path.contains("/models/") && (path.ends_with(WHOLE) || path.ends_with(STREAMED))
    }

    fn peek<'a>(&self, path: &'a str, _: &'a [u8]) -> serde_json::Result<Peek<'a>> {
        Ok(Peek::of_path(model(path), path.ends_with(STREAMED)))
    }

    fn read(&self, path: &str, _: &HeaderMap, body: &[u8]) -> Result<Ask, Reason> {
        let body = json_body(body)?;
        let contents = conversation(&body, "contents")?;
        let ask = ask(&body, contents);
        Ok(Ask { model: model(path).into_owned(), stream: path.ends_with(STREAMED), ..ask })
    }

    fn whole(&self, answer: &Answer) -> Vec<u8> {
        let parts = merged(answer);
        response(answer, Some(parts), true, answer.told()).to_string().into_bytes()
    }

    fn events(&self, answer: &Answer) -> Vec<Event> {
        let running = answer.running();
        let mut events: Vec<Event> = answer
            .reply
            .pieces
            .iter()
            .map(|piece| event(Part::Content, &response(answer, Some(vec![part(piece)]), false, running)))
            .collect();
        let end = response(answer, Some(vec![json!({"text": ""})]), true, answer.told());
        events.push(event(Part::Closing, &end));
        events
    }

    fn error_body(&self, reason: &Reason) -> Vec<u8> {
        json!({"error": error(reason)}).to_string().into_bytes()
    }

    fn error_event(&self, reason: &Reason) -> Vec<u8> {
        sse(None, &json!({"error": error(reason)}).to_string())
    }

    fn malformed_event(&self) -> Vec<u8> {
        sse(None, r#"{"candidates": [{"content": {"parts": [{"text": "bro"#)
    }
}

fn model(path: &str) -> Cow<'_, str> {
    between(path, "/models/", ":").unwrap_or_default()
}

// === reading ===

fn ask(body: &Value, contents: &[Value]) -> Ask {
    let user = contents.iter().rev().filter(|content| content["role"] != "model");
    let user_text = user.map(|content| texts(&content["parts"]).concat()).find(|text| !text.is_empty());
    let config = &body["generationConfig"];
    let declared = || parts(&body["tools"]).iter().flat_map(|tool| parts(&tool["functionDeclarations"]));
    Ask {
        wants_usage: true,
        last_user_text: user_text.unwrap_or_default(),
        tool_result: contents.last().and_then(tool_result),
        prompt_bytes: texts(&body["systemInstruction"]["parts"]).concat().len()
            + contents.iter().map(text_bytes).sum::<usize>()
            + declared().map(|tool| tool.to_string().len()).sum::<usize>(),
        media: contents.iter().flat_map(|content| parts(&content["parts"])).filter_map(medium).collect(),
        tools: declared().filter_map(tool).collect(),
        tool_choice: tool_choice(&body["toolConfig"]["functionCallingConfig"]),
        parallel_allowed: true,
        schema: schema(config),
        max_tokens: config["maxOutputTokens"].as_u64(),
        ..Ask::default()
    }
}

fn tool_result(last: &Value) -> Option<String> {
    let mut results = parts(&last["parts"]).iter().filter_map(|part| part.get("functionResponse"));
    results.next_back().map(|result| {
        let output = &result["response"]["output"];
        output.as_str().map_or_else(|| result["response"].to_string(), str::to_owned)
    })
}

fn text_bytes(content: &Value) -> usize {
    let others = parts(&content["parts"])
        .iter()
        .flat_map(|part| ["functionCall", "functionResponse"].into_iter().filter_map(|name| part.get(name)));
    texts(&content["parts"]).concat().len() + others.map(|part| part.to_string().len()).sum::<usize>()
}

fn tool(declared: &Value) -> Option<Tool> {
    let schema = declared.get("parametersJsonSchema").or_else(|| declared.get("parameters")).cloned();
    let schema = schema.unwrap_or_else(|| json!({"type": "object"}));
    Some(Tool { name: declared["name"].as_str()?.to_owned(), schema })
}

fn tool_choice(config: &Value) -> ToolChoice {
    let named = parts(&config["allowedFunctionNames"]).first().and_then(Value::as_str);
    match (config["mode"].as_str(), named) {
        (Some("NONE"), _) => ToolChoice::None,
        (Some("ANY"), Some(name)) => ToolChoice::Named(name.to_owned()),
        (Some("ANY"), None) => ToolChoice::Any,
        _ => ToolChoice::Auto,
    }
}

fn schema(config: &Value) -> Option<Value> {
    let given = config.get("responseJsonSchema").or_else(|| config.get("responseSchema")).cloned();
    (config["responseMimeType"] == "application/json").then(|| given.unwrap_or_else(|| json!({})))
}

fn medium(part: &Value) -> Option<Media> {
    let (inline, file) = (&part["inlineData"], &part["fileData"]);
    let label = inline["mimeType"].as_str().or(file["mimeType"].as_str()).unwrap_or("?");
    let kind = match label.split_once('/').map_or(label, |(kind, _)| kind) {
        "image" => "image",
        "audio" => "audio",
        "video" => "video",
        _ => "file",
    };
    match (inline["data"].as_str(), file["fileUri"].as_str()) {
        (Some(data), _) => Some(Media::inline(kind, label, data)),
        (None, Some(uri)) => {
            Some(Media { kind, label: label.to_owned(), source: MediaSource::Url(uri.to_owned()) })
        }
        (None, None) => None,
    }
}

// === writing ===

fn event(part: Part, body: &Value) -> Event {
    Event::sse(part, None, &body.to_string())
}

fn part(piece: &Piece) -> Value {
    match piece {
        Piece::Text(text) | Piece::Refusal(text) => json!({"text": text}),
        Piece::Reasoning(text) => json!({"text": text, "thought": true}),
        Piece::Call { name, fragments } => {
            json!({"functionCall": {"name": name, "args": arguments(fragments)}})
        }
    }
}

/// The parts of a whole answer: thoughts, text, calls.
fn merged(answer: &Answer) -> Vec<Value> {
    let thoughts = answer.reply.joined(Piece::reasoning).map(|text| json!({"text": text, "thought": true}));
    let said = answer.reply.joined(|piece| piece.text().or(piece.refusal()));
    let calls = answer.reply.pieces.iter().filter(|piece| matches!(piece, Piece::Call { .. }));
    thoughts.into_iter().chain(said.map(|text| json!({"text": text}))).chain(calls.map(part)).collect()
}

fn response(answer: &Answer, parts: Option<Vec<Value>>, ends: bool, told: Option<Usage>) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    if ends {
        candidate["finishReason"] = json!(finish(answer.reply.finish));
    }
    let mut body = json!({"candidates": [candidate], "modelVersion": answer.model,
        "responseId": format!("lab{:08x}", answer.serial)});
    if answer.reply.finish == Finish::Absent {
        body["candidates"] = json!([]);
    }
    if let Some(told) = told {
        body["usageMetadata"] = usage(told);
    }
    body
}

/// Calls have no finish of their own, and a refusal is text like any other.
fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Tools | Finish::Refused | Finish::Absent => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::Filtered => "SAFETY",
    }
}

/// Thoughts are counted apart from the answer.
fn usage(Usage { input, output, reasoning }: Usage) -> Value {
    let mut told = json!({
        "promptTokenCount": input,
        "candidatesTokenCount": output.saturating_sub(reasoning),
        "totalTokenCount": input + output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": input}],
    });
    if reasoning > 0 {
        told["thoughtsTokenCount"] = json!(reasoning);
    }
    told
}

fn error(reason: &Reason) -> Value {
    let code = match errors::status(reason) {
        529 => 503,
        code => code,
    };
    let status = match code {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        408 | 504 => "DEADLINE_EXCEEDED",
        429 => "RESOURCE_EXHAUSTED",
        400..=499 => "INVALID_ARGUMENT",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    let mut error = json!({"code": code, "message": errors::message(reason), "status": status});
    if *reason == Reason::LimitedUntilReset {
        error["details"] = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}]);
    }
    error
}
