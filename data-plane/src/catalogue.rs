//! What `/models` and its friends list, from a snapshot. Pure; the shapes are OpenRouter's.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use switchyard_proto::price::UnitPrice;
use switchyard_proto::price::tariff::{Condition, Rate};

use crate::config::snapshot::{Endpoint, Model, Snapshot};

/// `GET /models`: every enabled model that some operator's endpoint serves, newest first, with the prices of `now`.
pub fn list(config: &Snapshot, now: DateTime<Utc>) -> Value {
    let mut models: Vec<&Model> =
        config.catalogue.models.values().map(|model| &**model).filter(|model| is_listed(model)).collect();
    models.sort_by(|one, two| created(two).cmp(&created(one)).then_with(|| one.id.cmp(&two.id)));
    let data: Vec<Value> = models.into_iter().map(|model| Value::Object(describe(model, now))).collect();
    json!({"object": "list", "data": data})
}

/// `GET /models/{author}/{slug}`: the model itself for OpenAI's clients, and under `data` for OpenRouter's.
pub fn one(model: &Model, now: DateTime<Utc>) -> Value {
    let mut fields = describe(model, now);
    fields.insert("data".to_owned(), Value::Object(fields.clone()));
    Value::Object(fields)
}

/// Whether a model is for everybody to see.
pub fn is_listed(model: &Model) -> bool {
    !model.config.disabled && open(model).next().is_some()
}

/// Endpoints that count for what a model can do: enabled and the operator's.
fn open(model: &Model) -> impl Iterator<Item = &Endpoint> {
    model
        .endpoints
        .iter()
        .map(|endpoint| &**endpoint)
        .filter(|endpoint| endpoint.is_enabled() && endpoint.provider.tenant.is_none())
}

fn created(model: &Model) -> i64 {
    model.config.created.as_ref().map_or(0, |at| at.seconds)
}

fn describe(model: &Model, now: DateTime<Utc>) -> Map<String, Value> {
    let config = &model.config;
    let top = open(model).min_by_key(|endpoint| {
        let prices = endpoint.tariff.at(now).base();
        (prices.input, prices.output)
    });
    let (input, output) = (modalities(&config.input_modalities), modalities(&config.output_modalities));
    let name = if config.name.is_empty() { model.id.as_str() } else { &config.name };
    let context = open(model).map(Endpoint::context_length).max();
    let author = model.id.as_str().split('/').next().unwrap_or_default();
    let fields = json!({
        "id": model.id.as_str(),
        "object": "model",
        "owned_by": author,
        "canonical_slug": model.id.as_str(),
        "name": name,
        "created": created(model),
        "description": config.description,
        "context_length": context,
        "architecture": {
            "modality": format!("{}->{}", input.join("+"), output.join("+")),
            "input_modalities": input,
            "output_modalities": output,
            "tokenizer": if config.tokenizer.is_empty() { "Other" } else { &config.tokenizer },
            "instruct_type": null,
        },
        "pricing": top.map(|top| pricing(&top.tariff.at(now))),
        "top_provider": {
            "context_length": top.map(Endpoint::context_length),
            "max_completion_tokens": top.map(|top| top.config.max_output_tokens).filter(|most| *most > 0),
            "is_moderated": false,
        },
        "per_request_limits": null,
        "supported_parameters": parameters(model),
        "default_parameters": {},
        "links": {"details": format!("/api/v1/models/{}/endpoints", model.id)},
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn modalities(list: &[String]) -> Vec<&str> {
    if list.is_empty() { vec!["text"] } else { list.iter().map(String::as_str).collect() }
}

/// Every parameter that some endpoint supports.
fn parameters(model: &Model) -> Vec<&str> {
    let mut names: Vec<&str> = open(model)
        .flat_map(|endpoint| endpoint.config.supported_parameters.iter().map(String::as_str))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Prices as strings in dollars per unit: those of a moment, and what changes them for long prompts and hours of the day.
fn pricing(rate: &Rate<'_>) -> Value {
    let prices = rate.base();
    let mut fields = Map::new();
    let mut put = |name: &str, price: UnitPrice| fields.insert(name.to_owned(), price.per_unit().into());
    put("prompt", prices.input);
    put("completion", prices.output);
    put("request", prices.request);
    put("image", prices.image);
    put("audio", prices.audio_input);
    put("internal_reasoning", prices.reasoning);
    for (name, price, usual) in [
        ("input_cache_read", prices.cached_input, prices.input),
        ("input_cache_write", prices.cache_write, prices.input),
        ("input_cache_write_1h", prices.cache_write_1h, prices.cache_write),
        ("audio_output", prices.audio_output, prices.output),
        ("image_output", prices.image_output, prices.output),
        ("web_search", prices.search, UnitPrice::default()),
    ] {
        if price != usual {
            put(name, price);
        }
    }
    let overrides: Vec<Value> = rate.conditions().map(|row| Value::Object(change(&row))).collect();
    if !overrides.is_empty() {
        fields.insert("overrides".to_owned(), overrides.into());
    }
    Value::Object(fields)
}

/// What holds under a condition, and the condition: hours as `HHMM` in UTC, of which the last is not part of them.
fn change(row: &Condition) -> Map<String, Value> {
    let given = &row.given;
    let prices = [
        ("prompt", given.input),
        ("completion", given.output),
        ("request", given.request),
        ("image", given.image),
        ("audio", given.audio_input),
        ("internal_reasoning", given.reasoning),
        ("input_cache_read", given.cached_input),
        ("input_cache_write", given.cache_write),
        ("input_cache_write_1h", given.cache_write_1h),
        ("audio_output", given.audio_output),
        ("image_output", given.image_output),
        ("web_search", given.search),
    ];
    let hours = row.hours.map(|(start, end)| [("utc_start", start), ("utc_end", end)]);
    let hours = hours.into_iter().flatten();
    let hhmm = |(hour, minute): (u64, u64)| format!("{hour:02}{minute:02}");
    let prices = prices.into_iter().filter_map(|(name, price)| Some((name, price?.per_unit().into())));
    let above = row.min_prompt_tokens.map(|above| ("min_prompt_tokens", above.into()));
    let hours = hours.map(|(name, time)| (name, hhmm(time).into()));
    above.into_iter().chain(hours).chain(prices).map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests;
