//! Whole answers, and what streams end with: why it stopped, and the counts.

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::api::messages::thoughts;
use crate::api::openai_chat::decimal;
use crate::api::sealed;
use crate::api::{AnswerFacts, Bill};
use crate::model::message::ToolCall;
use crate::model::response::{ChatResponse, Choice, Finish, FinishReason, ResponseMessage};
use crate::model::usage::Usage;

/// The body of a whole answer. Of several choices the first is told: this dialect knows one.
pub fn encode(response: &ChatResponse, facts: &AnswerFacts, bill: &Bill) -> Bytes {
    let first = response.choices.first().map_or_else(Choice::default, Choice::clone);
    let usage = response.usage.unwrap_or_default();
    let mut message = message(
        facts,
        blocks(&first.message),
        usage_json(&usage, response.service_tier.as_deref(), Some(bill)),
    );
    message["stop_reason"] = json!(stop_reason(&first.finish));
    if let Some(metadata) = &bill.metadata {
        message["openrouter_metadata"] = metadata.clone();
    }
    Bytes::from(message.to_string())
}

/// A message without an end.
pub fn message(facts: &AnswerFacts, content: Vec<Value>, usage: Value) -> Value {
    json!({
        "id": facts.id,
        "type": "message",
        "role": "assistant",
        "model": facts.model,
        "provider": facts.provider,
        "content": content,
        "stop_reason": null,
        "stop_sequence": null,
        "usage": usage,
    })
}

/// Thinking first, then text, then calls.
fn blocks(message: &ResponseMessage) -> Vec<Value> {
    let mut blocks: Vec<Value> = message.reasoning_details.iter().map(thinking).collect();
    if let Some(text) = message.reasoning.as_ref().filter(|_| blocks.is_empty()) {
        blocks.push(json!({"type": "thinking", "thinking": text, "signature": ""}));
    }
    let said = [&message.content, &message.refusal].into_iter().flatten().filter(|text| !text.is_empty());
    blocks.extend(said.map(|text| json!({"type": "text", "text": text})));
    blocks.extend(message.tool_calls.iter().map(tool_use));
    blocks
}

fn thinking(detail: &Value) -> Value {
    match sealed::is_hidden(detail) {
        true => json!({"type": "redacted_thinking", "data": thoughts::data(detail)}),
        false => {
            json!({"type": "thinking", "thinking": sealed::text(detail), "signature": thoughts::signature(detail)})
        }
    }
}

/// A call; arguments that are no object would break every client, so they are wrapped.
fn tool_use(call: &ToolCall) -> Value {
    let input = match call.arguments.trim() {
        "" => json!({}),
        text => match serde_json::from_str(text) {
            Ok(Value::Object(input)) => Value::Object(input),
            _ => json!({"input": call.arguments}),
        },
    };
    json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input})
}

/// Why it stopped, in Anthropic's words. Where a provider has such a word it says more, as long as it says the same: a tool
/// that was forced for the sake of its JSON is no tool call.
pub fn stop_reason(finish: &Finish) -> &str {
    let own = finish.native.as_deref().filter(|word| meaning(word) == Some(finish.reason));
    own.unwrap_or(match finish.reason {
        FinishReason::Stop | FinishReason::Error => "end_turn",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter => "refusal",
    })
}

/// What a word of Anthropic's means; none where it is no such word.
fn meaning(word: &str) -> Option<FinishReason> {
    match word {
        "end_turn" | "stop_sequence" | "pause_turn" => Some(FinishReason::Stop),
        "max_tokens" | "model_context_window_exceeded" => Some(FinishReason::Length),
        "tool_use" => Some(FinishReason::ToolCalls),
        "refusal" => Some(FinishReason::ContentFilter),
        _ => None,
    }
}

/// The tier that served, in Anthropic's words, of which there are three.
fn tier(ours: Option<&str>) -> &'static str {
    match ours {
        Some("priority" | "fast") => "priority",
        Some("batch") => "batch",
        _ => "standard",
    }
}

/// The counts: `input_tokens` are those that no cache had to do with. Costs where they are known.
pub fn usage_json(usage: &Usage, tier: Option<&str>, bill: Option<&Bill>) -> Value {
    let long = usage.cache_write_long_tokens;
    let mut counts = json!({
        "input_tokens": usage.uncached_tokens(),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens.saturating_sub(long),
            "ephemeral_1h_input_tokens": long,
        },
        "output_tokens": usage.completion_tokens,
        "server_tool_use": null,
        "service_tier": self::tier(tier),
    });
    if usage.web_search_requests + usage.web_fetch_requests > 0 {
        counts["server_tool_use"] = json!({
            "web_search_requests": usage.web_search_requests,
            "web_fetch_requests": usage.web_fetch_requests,
        });
    }
    if usage.reasoning_tokens > 0 {
        counts["output_tokens_details"] = json!({"thinking_tokens": usage.reasoning_tokens});
    }
    if let Some(bill) = bill {
        let dollars = |amount| number(&decimal(amount));
        counts["cost"] = dollars(bill.cost);
        counts["is_byok"] = json!(bill.is_byok);
        counts["cost_details"] = json!({
            "upstream_inference_cost": dollars(bill.upstream.total),
            "upstream_inference_prompt_cost": dollars(bill.upstream.prompt),
            "upstream_inference_completions_cost": dollars(bill.upstream.completion),
        });
    }
    counts
}

fn number(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_own_word_is_passed_on_only_where_it_says_the_same() {
        for (reason, native, expected) in [
            (FinishReason::Stop, None, "end_turn"),
            (FinishReason::Stop, Some("stop"), "end_turn"),
            (FinishReason::Stop, Some("stop_sequence"), "stop_sequence"),
            (FinishReason::Stop, Some("pause_turn"), "pause_turn"),
            (FinishReason::Stop, Some("tool_use"), "end_turn"),
            (FinishReason::ToolCalls, Some("end_turn"), "tool_use"),
            (FinishReason::ToolCalls, Some("tool_use"), "tool_use"),
            (FinishReason::Length, Some("max_tokens"), "max_tokens"),
            (FinishReason::Length, Some("model_context_window_exceeded"), "model_context_window_exceeded"),
            (FinishReason::Length, Some("end_turn"), "max_tokens"),
            (FinishReason::ContentFilter, Some("content_filtered"), "refusal"),
            (FinishReason::ContentFilter, Some("end_turn"), "refusal"),
            (FinishReason::Error, Some("tool_use"), "end_turn"),
        ] {
            let finish = Finish { reason, native: native.map(str::to_owned) };
            assert_eq!(stop_reason(&finish), expected, "{reason:?} {native:?}");
        }
    }

    #[test]
    fn the_tier_is_told_in_anthropics_words() {
        for (ours, expected) in [
            (None, "standard"),
            (Some("default"), "standard"),
            (Some("standard"), "standard"),
            (Some("flex"), "standard"),
            (Some("priority"), "priority"),
            (Some("fast"), "priority"),
            (Some("batch"), "batch"),
        ] {
            assert_eq!(usage_json(&Usage::default(), ours, None)["service_tier"], expected, "{ours:?}");
        }
    }
}
