//! Reads whole answers, and what whole and streamed answers have in common.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::adapters::anthropic::error::inside_success;
use crate::adapters::anthropic::turns::REASONING_FORMAT;
use crate::adapters::anthropic::usage::Counts;
use crate::adapters::anthropic::wire::{Block, Message};
use crate::adapters::shared::json_tool::unwrapped;
use crate::adapters::{Context, Failure};
use crate::model::event::with_tools;
use crate::model::message::{ToolCall, ToolKind};
use crate::model::response::{ChatResponse, Choice, Finish, FinishReason, ResponseMessage};

/// Reads the body of a success.
pub fn decode(body: &Bytes, context: &Context) -> Result<ChatResponse, Failure> {
    let wire: Message<'_> =
        serde_json::from_slice(body).map_err(|_| Failure::malformed("an answer that is no message"))?;
    if let Some(error) = wire.error {
        return Err(inside_success(error.get()));
    }
    let Some(blocks) = wire.content else { return Err(Failure::malformed("an answer without content")) };
    let mut told = Told::default();
    for block in blocks {
        told.add(block, context);
    }
    let finish = finish(wire.stop_reason.as_deref(), !told.message.tool_calls.is_empty(), told.is_json);
    told.message.refusal = refusal(finish.reason, wire.stop_details.as_ref());
    Ok(ChatResponse {
        id: wire.id.map(Into::into),
        model: wire.model.map(Into::into),
        choices: vec![Choice { finish, message: told.message, ..Choice::default() }],
        usage: wire.usage.map(Counts::parse).and_then(Counts::usage),
        service_tier: wire.usage.and_then(|usage| service_tier(usage.get())),
        ..ChatResponse::default()
    })
}

/// The message as it grows block by block.
#[derive(Debug, Default)]
struct Told {
    message: ResponseMessage,
    thoughts: u64,
    /// Whether the forced tool gave the answer.
    is_json: bool,
}

impl Told {
    fn add(&mut self, block: Block<'_>, context: &Context) {
        match block.kind.as_ref() {
            // What is said before the forced tool is no part of the answer.
            "text" if context.json_tool.is_none() => self.say(block),
            "thinking" | "redacted_thinking" => self.think(&block, context),
            "tool_use" => self.call(&block, context),
            _ => {}
        }
    }

    fn say(&mut self, block: Block<'_>) {
        let text = block.text.unwrap_or_default();
        let start = self.message.content.as_ref().map_or(0, |content| content.chars().count());
        let end = start + text.chars().count();
        let citations = block.citations.unwrap_or_default();
        self.message.annotations.extend(citations.iter().filter_map(|cited| annotation(cited, start, end)));
        if !text.is_empty() {
            self.message.content.get_or_insert_default().push_str(&text);
        }
    }

    fn think(&mut self, block: &Block<'_>, context: &Context) {
        let index = self.thoughts;
        self.thoughts += 1;
        if context.hide_reasoning {
            return;
        }
        let text = block.thinking.as_deref().unwrap_or_default();
        if !text.is_empty() {
            self.message.reasoning.get_or_insert_default().push_str(text);
        }
        self.message.reasoning_details.push(match &block.data {
            Some(data) => encrypted(index, data),
            None => thought(index, text, block.signature.as_deref()),
        });
    }

    fn call(&mut self, block: &Block<'_>, context: &Context) {
        let name = block.name.as_deref().unwrap_or_default();
        let arguments = block.arguments().unwrap_or_else(|| "{}".to_owned());
        if let Some(tool) = context.json_tool.as_ref().filter(|tool| tool.name == name) {
            self.is_json = true;
            self.message.content = Some(if tool.wrapped { unwrapped(&arguments) } else { arguments });
            return;
        }
        self.message.tool_calls.push(ToolCall {
            id: block.id.clone().unwrap_or_default().into_owned(),
            kind: ToolKind::Function,
            name: context.client_name(name).to_owned(),
            arguments,
        });
    }
}

/// Readable thinking, with its signature once that is known.
pub fn thought(index: u64, text: &str, signature: Option<&str>) -> Value {
    let mut detail = json!({"type": "reasoning.text", "text": text});
    if let Some(signature) = signature.filter(|signature| !signature.is_empty()) {
        detail["signature"] = signature.into();
    }
    detail["format"] = REASONING_FORMAT.into();
    detail["index"] = index.into();
    detail
}

/// Thinking that only Anthropic can read.
pub fn encrypted(index: u64, data: &str) -> Value {
    json!({"type": "reasoning.encrypted", "data": data, "format": REASONING_FORMAT, "index": index})
}

/// A citation of something with an address, over the characters that rest on it.
pub fn annotation(citation: &Value, start: usize, end: usize) -> Option<Value> {
    let url = citation["url"].as_str()?;
    let title = citation["title"].as_str().unwrap_or_default();
    let content = citation["cited_text"].as_str().unwrap_or_default();
    Some(json!({
        "type": "url_citation",
        "url_citation": {"url": url, "title": title, "content": content, "start_index": start, "end_index": end},
    }))
}

/// Why the answer ended; a forced JSON tool is no call.
pub fn finish(stop_reason: Option<&str>, has_calls: bool, is_json: bool) -> Finish {
    let reason = match stop_reason {
        Some("tool_use") if is_json && !has_calls => FinishReason::Stop,
        Some("tool_use") => FinishReason::ToolCalls,
        Some("max_tokens" | "model_context_window_exceeded" | "compaction") => FinishReason::Length,
        Some("refusal") => FinishReason::ContentFilter,
        _ => FinishReason::Stop,
    };
    Finish { reason: with_tools(reason, has_calls), native: stop_reason.map(str::to_owned) }
}

/// The model's explanation of a refusal.
pub fn refusal(reason: FinishReason, details: Option<&Value>) -> Option<String> {
    let explanation = details?.get("explanation")?.as_str().filter(|text| !text.is_empty())?;
    (reason == FinishReason::ContentFilter).then(|| explanation.to_owned())
}

/// The tier that served, in the words of the client's dialect; strict clients know no others.
pub fn service_tier(usage: &str) -> Option<String> {
    let usage: Value = serde_json::from_str(usage).ok()?;
    match usage["service_tier"].as_str()? {
        "standard" => Some("default".to_owned()),
        "priority" => Some("priority".to_owned()),
        _ => None,
    }
}
