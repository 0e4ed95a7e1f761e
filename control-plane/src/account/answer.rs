//! The JSON of a tenant's own API, in the shapes that OpenRouter's clients insist on. Pure.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use switchyard_proto::{
    id::{GenerationId, TenantId},
    secret::Secret,
};

use crate::{
    domain::{account::Reset, key::Key, report::Row, token::Token},
    store::own::{Attempt, Generation, Spent},
};

/// What a key has spent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spending {
    pub spent: Spent,
    /// What the tenant's own credentials were billed.
    pub byok: Spent,
    /// What counts against the limit in its running period.
    pub taken: i64,
}

/// Nano-dollars as the number of dollars that clients read.
fn usd(nano: i64) -> f64 {
    nano as f64 / 1e9
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `GET /key` with a key.
pub fn key(key: &Key, spending: Spending) -> Value {
    let mut data = limits_and_usage(key, spending);
    data.extend(rights(&key.tenant, false));
    json!({"data": data})
}

/// `GET /key` with an admin token: it has no limit and spends nothing.
pub fn token(token: &Token) -> Value {
    let mut data = usage(Spending::default());
    let own = json!({
        "label": token.label,
        "limit": null,
        "limit_remaining": null,
        "limit_reset": null,
        "include_byok_in_limit": false,
        "expires_at": token.draft.expires_at.map(time),
    });
    data.extend(members(own));
    if let Some(tenant) = &token.draft.tenant {
        data.extend(rights(tenant, true));
    }
    json!({"data": data})
}

/// A key as its tenant's admin sees it.
pub fn key_row(key: &Key, spending: Spending) -> Value {
    let mut row = limits_and_usage(key, spending);
    row.extend(members(json!({
        "hash": key.hash.to_hex(),
        "name": key.draft.name,
        "disabled": key.draft.disabled,
        "created_at": time(key.meta.created_at),
        "updated_at": time(key.meta.updated_at),
        "creator_user_id": null,
        "external_user": null,
        "workspace_id": key.tenant.as_str(),
    })));
    row.into()
}

/// `POST /keys`: the only time that the key itself is shown.
pub fn made(key: &Key, secret: &Secret) -> Value {
    json!({"data": key_row(key, Spending::default()), "key": secret.expose()})
}

/// `DELETE /keys/{hash}`.
pub fn deleted() -> Value {
    json!({"deleted": true})
}

/// The envelope.
pub fn data(data: Value) -> Value {
    json!({"data": data})
}

/// `GET /activity`; `workspace` is named where it was asked for.
pub fn activity(rows: &[Row], workspace: Option<&TenantId>) -> Value {
    // What no provider served has no place in a list by endpoint.
    let served = rows.iter().filter(|row| !row.provider.is_empty());
    let rows = served.map(|row| {
        let sums = &row.sums;
        let mut shown = members(json!({
            "date": row.day.map(|day| day.to_string()),
            "model": row.model,
            "model_permaslug": row.model,
            "endpoint_id": format!("{}#{}", row.model, row.provider),
            "provider_name": row.provider,
            "usage": usd(sums.charge_nano),
            "byok_usage_inference": usd(sums.byok_cost_nano),
            "requests": sums.requests,
            "prompt_tokens": sums.prompt,
            "completion_tokens": sums.completion,
            "reasoning_tokens": sums.reasoning,
        }));
        if let Some(workspace) = workspace {
            shown.insert("workspace_id".to_owned(), workspace.as_str().into());
        }
        Value::Object(shown)
    });
    json!({"data": rows.collect::<Vec<_>>()})
}

fn limits_and_usage(key: &Key, spending: Spending) -> Map<String, Value> {
    let limit = key.draft.limit.map(|limit| limit.usd.to_i64());
    let mut shown = usage(spending);
    shown.extend(members(json!({
        "label": key.label,
        "limit": limit.map(usd),
        "limit_remaining": limit.map(|limit| usd(limit.saturating_sub(spending.taken).max(0))),
        "limit_reset": key.draft.limit.and_then(|limit| reset_name(limit.reset)),
        "include_byok_in_limit": key.draft.include_byok_in_limit,
        "expires_at": key.draft.expires_at.map(time),
    })));
    shown
}

fn usage(Spending { spent, byok, .. }: Spending) -> Map<String, Value> {
    members(json!({
        "usage": usd(spent.ever),
        "usage_daily": usd(spent.today),
        "usage_weekly": usd(spent.this_week),
        "usage_monthly": usd(spent.this_month),
        "byok_usage": usd(byok.ever),
        "byok_usage_daily": usd(byok.today),
        "byok_usage_weekly": usd(byok.this_week),
        "byok_usage_monthly": usd(byok.this_month),
    }))
}

/// What may be done with what was shown, and whose it is.
fn rights(tenant: &TenantId, manages: bool) -> Map<String, Value> {
    members(json!({
        "is_free_tier": false,
        "is_management_key": manages,
        "is_provisioning_key": manages,
        "creator_user_id": null,
        "organization_id": tenant.as_str(),
        "workspace_id": null,
        "allowed_data_regions": [],
        "free_model_daily_requests": {"limit": 0, "remaining": 0, "used": 0},
        "rate_limit": {
            "requests": -1,
            "interval": "10s",
            "note": "This field is deprecated and safe to ignore.",
        },
    }))
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// The name that `limit_reset` has; a limit for life has none.
fn reset_name(reset: Reset) -> Option<&'static str> {
    (reset != Reset::Never).then(|| reset.as_str())
}

/// `GET /credits`.
pub fn credits(granted: i64, taken: i64) -> Value {
    json!({"data": {"total_credits": usd(granted), "total_usage": usd(taken)}})
}

/// `GET /generation`.
pub fn generation(id: GenerationId, tenant: &TenantId, row: &Generation, attempts: &[Attempt]) -> Value {
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
        "created_at": time(row.admitted_at),
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
        "is_byok": attempts.last().is_some_and(|attempt| attempt.is_byok),
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
        "preset_id": given(&row.preset),
        "workspace_id": tenant.as_str(),
        "response_cache_source_id": given(&row.cache_source),
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
        "is_byok": attempt.is_byok,
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
