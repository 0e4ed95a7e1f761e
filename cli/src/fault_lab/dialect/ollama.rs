//! Ollama's own chat: JSON lines, whole tool calls, counts beside the finish.

use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::fault_lab::ask::{Ask, Media, ToolChoice};
use crate::fault_lab::dialect::blocks::arguments;
use crate::fault_lab::dialect::openai_chat::OpenAiChat;
use crate::fault_lab::dialect::{Answer, Dialect, Event, Part, Peek, errors, json_body, parts};
use crate::fault_lab::reply::{Finish, Piece};
use crate::fault_lab::script::Reason;

pub struct Ollama;

impl Dialect for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    fn claims(&self, path: &str) -> bool {
        path.ends_with("/api/chat")
    }

    /// Streams unless it is told not to.
    fn peek<'a>(&self, _: &'a str, body: &'a [u8]) -> serde_json::Result<Peek<'a>> {
        let peek: Peek = serde_json::from_slice(body)?;
        Ok(Peek { stream: Some(peek.stream.unwrap_or(true)), ..peek })
    }

    fn read(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Ask, Reason> {
        let ask = OpenAiChat.read(path, headers, body)?;
        let body = json_body(body)?;
        let images = parts(&body["messages"]).iter().flat_map(|message| parts(&message["images"]));
        let images = images.filter_map(Value::as_str).map(|data| Media::inline("image", "?", data));
        Ok(Ask {
            stream: body["stream"].as_bool().unwrap_or(true),
            wants_usage: true,
            media: images.collect(),
            tool_choice: ToolChoice::Auto,
            parallel_allowed: true,
            schema: schema(&body["format"]),
            max_tokens: body["options"]["num_predict"].as_u64(),
            ..ask
        })
    }

    fn whole(&self, answer: &Answer) -> Vec<u8> {
        let mut message = json!({
            "role": "assistant",
            "content": answer.reply.joined(|piece| piece.text().or(piece.refusal())).unwrap_or_default(),
        });
        if let Some(thought) = answer.reply.joined(Piece::reasoning) {
            message["thinking"] = json!(thought);
        }
        let calls: Vec<Value> = answer.reply.pieces.iter().filter_map(call).collect();
        if !calls.is_empty() {
            message["tool_calls"] = json!(calls);
        }
        Value::Object(last(answer, message)).to_string().into_bytes()
    }

    fn events(&self, answer: &Answer) -> Vec<Event> {
        let content = answer.reply.pieces.iter().map(|piece| {
            let mut body = head(answer, said(piece));
            body.insert("done".to_owned(), json!(false));
            line(Part::Content, body)
        });
        let closing = (answer.reply.finish != Finish::Absent)
            .then(|| line(Part::Closing, last(answer, json!({"role": "assistant", "content": ""}))));
        content.chain(closing).collect()
    }

    fn error_body(&self, reason: &Reason) -> Vec<u8> {
        json!({"error": errors::message(reason)}).to_string().into_bytes()
    }

    fn error_event(&self, reason: &Reason) -> Vec<u8> {
        format!("{}\n", json!({"error": errors::message(reason)})).into_bytes()
    }

    fn malformed_event(&self) -> Vec<u8> {
        b"{\"model\":\"lab\",\"message\":{\"role\":\"assistant\",\"content\":\"bro\n".to_vec()
    }

    fn keepalive(&self) -> Vec<u8> {
        Vec::new()
    }

    fn stream_type(&self) -> &'static str {
        "application/x-ndjson"
    }
}

fn schema(format: &Value) -> Option<Value> {
    match format {
        Value::String(word) if word == "json" => Some(json!({})),
        Value::Object(_) => Some(format.clone()),
        _ => None,
    }
}

fn said(piece: &Piece) -> Value {
    match piece {
        Piece::Text(text) | Piece::Refusal(text) => json!({"role": "assistant", "content": text}),
        Piece::Reasoning(text) => json!({"role": "assistant", "content": "", "thinking": text}),
        Piece::Call { .. } => {
            json!({"role": "assistant", "content": "", "tool_calls": [call(piece).unwrap_or_default()]})
        }
    }
}

fn call(piece: &Piece) -> Option<Value> {
    let Piece::Call { name, fragments } = piece else { return None };
    Some(json!({"function": {"name": name, "arguments": arguments(fragments)}}))
}

fn head(answer: &Answer, message: Value) -> Map<String, Value> {
    let mut head = Map::new();
    head.insert("model".to_owned(), json!(answer.model));
    head.insert("created_at".to_owned(), json!("2026-01-02T03:04:05.678901Z"));
    head.insert("message".to_owned(), message);
    head
}

/// A filter has no word here, and what is refused was said.
fn last(answer: &Answer, message: Value) -> Map<String, Value> {
    let mut body = head(answer, message);
    if answer.reply.finish == Finish::Absent {
        return body;
    }
    let reason = if answer.reply.finish == Finish::Length { "length" } else { "stop" };
    body.insert("done".to_owned(), json!(true));
    body.insert("done_reason".to_owned(), json!(reason));
    if let Some(told) = answer.told() {
        body.insert("prompt_eval_count".to_owned(), json!(told.input));
        body.insert("eval_count".to_owned(), json!(told.output));
    }
    body
}

fn line(part: Part, body: Map<String, Value>) -> Event {
    Event { part, bytes: format!("{}\n", Value::Object(body)).into() }
}
