//! The JSON of a tenant's own API, in the shapes that OpenRouter's clients insist on. Pure.

use serde_json::{Value, json};
use switchyard_proto::id::GenerationId;

use crate::{
    account::reset_name,
    domain::{
        key::Key,
        permission::{Allowed, ReadUsage},
    },
    store::own::{Attempt, Generation, Spent},
};

/// Nano-dollars as the number of dollars that clients read.
fn usd(nano: i64) -> f64 {
    nano as f64 / 1e9
}

/// `GET /key`; `byok` is what the tenant's own credentials were billed, and `taken` counts against the limit in its running
/// period.
pub fn key(key: &Key, spent: Spent, byok: Spent, taken: i64) -> Value {
    let limit = key.draft.limit.map(|limit| limit.usd.to_i64());
    json!({"data": {
        "label": key.label,
        "limit": limit.map(usd),
        "limit_remaining": limit.map(|limit| usd(limit.saturating_sub(taken).max(0))),
        "limit_reset": key.draft.limit.and_then(|limit| reset_name(limit.reset)),
        "include_byok_in_limit": key.draft.include_byok_in_limit,
        "usage": usd(spent.ever),
        "usage_daily": usd(spent.today),
        "usage_weekly": usd(spent.this_week),
        "usage_monthly": usd(spent.this_month),
        "byok_usage": usd(byok.ever),
        "byok_usage_daily": usd(byok.today),
        "byok_usage_weekly": usd(byok.this_week),
        "byok_usage_monthly": usd(byok.this_month),
        "is_free_tier": false,
        "is_management_key": false,
        "is_provisioning_key": false,
        "expires_at": key.draft.expires_at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)),
        "creator_user_id": null,
        "organization_id": key.tenant.as_str(),
        "workspace_id": null,
        "allowed_data_regions": [],
        "free_model_daily_requests": {"limit": 0, "remaining": 0, "used": 0},
        "rate_limit": {
            "requests": -1,
            "interval": "10s",
            "note": "This field is deprecated and safe to ignore.",
        },
    }})
}

/// `GET /credits`.
pub fn credits(granted: i64, taken: i64) -> Value {
    json!({"data": {"total_credits": usd(granted), "total_usage": usd(taken)}})
}

/// `GET /generation`.
pub fn generation(
    id: GenerationId,
    allowed: &Allowed<ReadUsage>,
    row: &Generation,
    attempts: &[Attempt],
) -> Value {
    let latency = (row.first_content_ms > 0).then_some(row.first_content_ms);
    let mut data = json!({
        "id": id.to_string(),
        "request_id": id.to_string(),
        "upstream_id": given(&row.upstream_id),
        "model": row.model,
        "router": null,
        "provider_name": given(&row.provider),
        "provider_responses": attempts.iter().map(attempt).collect::<Vec<_>>(),
        "api_type": api_type(&row.surface),
        "streamed": row.streamed,
        "cancelled": row.cancelled,
        "finish_reason": given(&row.finish_reason),
        "native_finish_reason": given(&row.native_finish_reason),
        "latency": latency,
        "generation_time": row.duration_ms,
        "moderation_latency": null,
        "created_at": row.admitted_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
    });
    let counts = json!({
        "tokens_prompt": row.prompt_tokens,
        "tokens_completion": row.completion_tokens,
        "native_tokens_prompt": row.prompt_tokens,
        "native_tokens_completion": row.completion_tokens,
        "native_tokens_cached": row.cached_tokens,
        "native_tokens_reasoning": row.reasoning_tokens,
        "native_tokens_completion_images": null,
        "num_input_audio_prompt": null,
        "num_media_prompt": null,
        "num_media_completion": null,
        "num_search_results": null,
        "num_fetches": null,
        "web_search_engine": null,
        "usage": usd(row.charge_nano),
        "total_cost": usd(row.charge_nano),
        "upstream_inference_cost": usd(row.cost_nano),
        "cache_discount": null,
        "is_byok": false,
    });
    let context = json!({
        "service_tier": null,
        "data_region": "global",
        "session_id": given(&row.session_id),
        "external_user": given(&row.user_id),
        "app_id": null,
        "origin": row.app_url,
        "http_referer": given(&row.app_url),
        "user_agent": given(&row.user_agent),
        "preset_id": null,
        "workspace_id": allowed.scope(),
        "response_cache_source_id": null,
    });
    for part in [counts, context] {
        if let (Value::Object(data), Value::Object(part)) = (&mut data, part) {
            data.extend(part);
        }
    }
    json!({"data": data})
}

fn attempt(attempt: &Attempt) -> Value {
    let mut shown = json!({
        "provider_name": attempt.provider,
        "endpoint_id": attempt.endpoint,
        "model_permaslug": attempt.model,
        "status": (attempt.upstream_status > 0).then_some(attempt.upstream_status),
        "is_byok": false,
    });
    // The SDK takes this key with a number or not at all.
    if let (Some(latency), Value::Object(shown)) = (attempt.latency_ms, &mut shown) {
        shown.insert("latency".to_owned(), latency.into());
    }
    shown
}

/// OpenRouter's names of surfaces.
fn api_type(surface: &str) -> Option<&'static str> {
    match surface {
        "chat_completions" | "responses" | "messages" | "completions" => Some("completions"),
        "embeddings" => Some("embeddings"),
        _ => None,
    }
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
