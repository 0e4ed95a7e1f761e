//! Mistral's variant of chat completions: reasoning as parts, the usage beside the finish, flat errors.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::fault_lab::ask::{Ask, ToolChoice};
use crate::fault_lab::dialect::openai_chat::{self, OpenAiChat};
use crate::fault_lab::dialect::{Answer, Dialect, Event, Part, errors, sse};
use crate::fault_lab::reply::{Finish, Piece, Usage};
use crate::fault_lab::script::Reason;

pub struct Mistral;

impl Dialect for Mistral {
    fn name(&self) -> &'static str {
        "mistral"
    }

    /// The path is `OpenAI`'s own; whoever wants Mistral puts its name before.
    fn claims(&self, path: &str) -> bool {
        path.contains("/mistral/") && path.ends_with("/chat/completions")
    }

    fn read(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Ask, Reason> {
        let ask = OpenAiChat.read(path, headers, body)?;
        let any = serde_json::from_slice::<Value>(body).is_ok_and(|body| body["tool_choice"] == "any");
        let tool_choice = if any { ToolChoice::Any } else { ask.tool_choice };
        Ok(Ask { wants_usage: true, tool_choice, ..ask })
    }

    fn whole(&self, answer: &Answer) -> Vec<u8> {
        let choices = if answer.reply.finish == Finish::Absent {
            json!([])
        } else {
            let finish = finish(answer.reply.finish);
            json!([{"index": 0, "message": message(answer), "finish_reason": finish}])
        };
        with_usage(body(answer, "chat.completion", &choices), answer.told()).to_string().into_bytes()
    }

    fn events(&self, answer: &Answer) -> Vec<Event> {
        let mut events = Vec::new();
        if answer.reply.finish != Finish::Absent {
            let delta = json!({"role": "assistant", "content": ""});
            events.push(chunk(answer, Part::Opening, delta, None));
            let deltas = openai_chat::deltas(answer).into_iter().map(rewritten);
            events.extend(deltas.map(|delta| chunk(answer, Part::Content, delta, None)));
            let end = Some(finish(answer.reply.finish));
            events.push(chunk(answer, Part::Closing, json!({"content": ""}), end));
        }
        events.push(Event::sse(Part::Terminal, None, "[DONE]"));
        events
    }

    fn error_body(&self, reason: &Reason) -> Vec<u8> {
        error(reason).to_string().into_bytes()
    }

    fn error_event(&self, reason: &Reason) -> Vec<u8> {
        sse(None, &error(reason).to_string())
    }

    fn malformed_event(&self) -> Vec<u8> {
        OpenAiChat.malformed_event()
    }

    fn rate_limits(&self, remaining: u32) -> Vec<(&'static str, String)> {
        vec![
            ("x-ratelimit-limit-req-minute", "100".to_owned()),
            ("x-ratelimit-remaining-req-minute", remaining.to_string()),
            ("ratelimitbysize-limit", "100000".to_owned()),
            ("ratelimitbysize-remaining", (remaining * 1_000).to_string()),
            ("ratelimitbysize-reset", "1".to_owned()),
        ]
    }
}

fn body(answer: &Answer, object: &str, choices: &Value) -> Value {
    json!({
        "id": format!("lab{:08x}", answer.serial),
        "object": object,
        "created": answer.created,
        "model": answer.model,
        "choices": choices,
    })
}

fn with_usage(mut body: Value, told: Option<Usage>) -> Value {
    if let Some(Usage { input, output, .. }) = told {
        body["usage"] =
            json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
    }
    body
}

fn message(answer: &Answer) -> Value {
    let mut message = openai_chat::whole(answer)["choices"][0]["message"].take();
    let said = answer.reply.joined(|piece| piece.text().or(piece.refusal())).unwrap_or_default();
    let thought = answer.reply.joined(Piece::reasoning);
    let content = match thought {
        Some(thought) => json!([thinking(&thought), {"type": "text", "text": said}]),
        None => json!(said),
    };
    json!({"role": "assistant", "content": content, "tool_calls": message["tool_calls"].take()})
}

fn thinking(thought: &str) -> Value {
    json!({"type": "thinking", "thinking": [{"type": "text", "text": thought}]})
}

/// A delta of the dialect as Mistral writes it.
fn rewritten(delta: Value) -> Value {
    match (delta["reasoning_content"].as_str(), delta["refusal"].as_str()) {
        (Some(thought), _) => json!({"content": [thinking(thought)]}),
        (None, Some(refusal)) => json!({"content": refusal}),
        (None, None) => delta,
    }
}

fn chunk(answer: &Answer, part: Part, delta: Value, finish_reason: Option<&str>) -> Event {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish_reason});
    let told = if part == Part::Closing { answer.told() } else { answer.running() };
    let mut body = with_usage(body(answer, "chat.completion.chunk", &json!([choice])), told);
    body["p"] = json!("abcdef");
    Event::sse(part, None, &body.to_string())
}

fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Refused | Finish::Filtered | Finish::Absent => "stop",
        Finish::Length => "length",
        Finish::Tools => "tool_calls",
    }
}

fn error(reason: &Reason) -> Value {
    let status = errors::status(reason);
    let (kind, code) = match status {
        401 => ("unauthorized", "1001"),
        404 => ("invalid_model", "1500"),
        429 => ("rate_limited", "1300"),
        503 | 529 => ("service_tier_capacity_exceeded", "3505"),
        400..=499 => ("invalid_request_error", "3051"),
        _ => ("internal_server_error", "1000"),
    };
    json!({"object": "error", "message": errors::message(reason), "type": kind, "param": null, "code": code, "raw_status_code": status})
}
