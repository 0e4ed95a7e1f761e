//! The response object: in whole answers and in the events that begin and end a stream.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::api::openai_chat::{decimal, error_json};
use crate::api::responses::items::{Ids, items};
use crate::api::{AnswerFacts, Bill, ErrorBody};
use crate::model::response::{ChatResponse, Choice, Finish, FinishReason};
use crate::model::usage::Usage;

/// The body of a whole answer. Of several choices the first is told: this dialect knows one.
pub fn encode(response: &ChatResponse, facts: &AnswerFacts, echo: &Map<String, Value>, bill: &Bill) -> Bytes {
    let first = response.choices.first().map_or_else(Choice::default, Choice::clone);
    let output = items(&first, &Ids::of(&facts.id));
    let mut object = object(facts, echo, "in_progress", output);
    end(&mut object, &first.finish, response.usage.as_ref(), response.service_tier.as_deref(), bill);
    Bytes::from(object.to_string())
}

/// The body of an error answer: OpenRouter's, with the type where the responses of this dialect have it.
pub fn encode_error(error: &ErrorBody<'_>) -> Bytes {
    let mut body = error_json(error);
    body["error_type"] = json!(error.code.error_type());
    Bytes::from(body.to_string())
}

/// A response under way.
pub fn object(facts: &AnswerFacts, echo: &Map<String, Value>, status: &str, output: Vec<Value>) -> Value {
    let mut object = json!({
        "id": facts.id,
        "object": "response",
        "created_at": facts.created,
        "completed_at": null,
        "status": status,
        "error": null,
        "incomplete_details": null,
        "model": facts.model,
        "provider": facts.provider,
        "output": output,
        "usage": null,
        "service_tier": "default",
    });
    for (name, value) in echo {
        object[name.as_str()] = value.clone();
    }
    object
}

/// Whether an answer that ended so is not all that there was to say.
pub fn is_cut(reason: FinishReason) -> bool {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls => false,
        FinishReason::Length | FinishReason::ContentFilter | FinishReason::Error => true,
    }
}

/// Writes how it ended and what it cost.
pub fn end(object: &mut Value, finish: &Finish, usage: Option<&Usage>, tier: Option<&str>, bill: &Bill) {
    let (status, why) = match finish.reason {
        FinishReason::Stop | FinishReason::ToolCalls => ("completed", None),
        FinishReason::Length => ("incomplete", Some("max_output_tokens")),
        FinishReason::ContentFilter => ("incomplete", Some("content_filter")),
        FinishReason::Error => ("failed", None),
    };
    object["status"] = json!(status);
    object["incomplete_details"] = why.map_or(Value::Null, |why| json!({"reason": why}));
    if status == "completed" {
        object["completed_at"] = json!(chrono::Utc::now().timestamp());
    }
    if let Some(tier) = tier {
        object["service_tier"] = json!(tier);
    }
    if let Some(usage) = usage {
        object["usage"] = usage_json(usage, bill);
    }
    if let Some(metadata) = &bill.metadata {
        object["openrouter_metadata"] = metadata.clone();
    }
}

fn usage_json(usage: &Usage, bill: &Bill) -> Value {
    let number = |amount| serde_json::from_str::<Value>(decimal(amount).get()).unwrap_or_default();
    json!({
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens(),
        "cost": number(bill.cost),
        "is_byok": bill.is_byok,
        "cost_details": {
            "upstream_inference_cost": number(bill.upstream.total),
            "upstream_inference_input_cost": number(bill.upstream.prompt),
            "upstream_inference_output_cost": number(bill.upstream.completion),
        },
    })
}
