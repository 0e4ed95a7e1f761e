//! One endpoint as it is printed: what it can do, what it costs, and how it has been doing.

use serde_json::{Value, json};

use crate::catalogue::{Doing, Seen, Viewer, pricing};
use crate::config::snapshot::Endpoint;
use crate::model::parameter::Parameter;
use crate::routing::health::fleet::Uptime;
use crate::routing::health::{Band, Quantiles, State};

/// An endpoint of a model. Who is not known hears whether it is up, and not how fast it is.
pub fn describe(viewer: &Viewer<'_>, seen: &Seen<'_>, endpoint: &Endpoint) -> Value {
    let config = &endpoint.config;
    let doing = (viewer.doing)(endpoint);
    let fast = viewer.caller.as_ref().map(|_| speeds(&doing)).unwrap_or_default();
    let uptimes = uptimes(&doing);
    json!({
        "name": format!("{} | {}", endpoint.provider.display_name, seen.model.id),
        "model_id": seen.model.id.as_str(),
        "model_name": seen.name(),
        "provider_name": endpoint.provider.display_name,
        "tag": tag(seen, endpoint),
        "quantization": if config.quantization.is_empty() { "unknown" } else { &config.quantization },
        "context_length": endpoint.context_length(),
        "max_prompt_tokens": null,
        "max_completion_tokens": Some(config.max_output_tokens).filter(|most| *most > 0),
        "pricing": pricing::describe(viewer, endpoint),
        "supported_parameters": config.supported_parameters,
        "supports_implicit_caching": caches_by_itself(viewer, endpoint),
        "supports_tool_choice": tool_choice(endpoint),
        "status": status(&doing),
        "uptime_last_5m": uptimes[0],
        "uptime_last_30m": uptimes[1],
        "uptime_last_1d": uptimes[2],
        "latency_last_30m": fast[0],
        "throughput_last_30m": fast[1],
    })
}

/// A slug that `provider.only` and `order` take for this endpoint: with what tells it from the provider's others of the model.
pub fn tag(seen: &Seen<'_>, endpoint: &Endpoint) -> String {
    let own = short_tag(endpoint);
    let is_same = |other: &&&Endpoint| short_tag(other) == own;
    match seen.endpoints.iter().filter(is_same).count() {
        0 | 1 => own,
        _ => format!("{}/{}", endpoint.provider.id, endpoint.id),
    }
}

fn short_tag(endpoint: &Endpoint) -> String {
    let (config, provider) = (&endpoint.config, &endpoint.provider);
    let variants = [&config.service_tier, &provider.config.region, &config.quantization];
    let variant = variants.into_iter().find(|variant| !variant.is_empty() && *variant != "unknown");
    match variant {
        Some(variant) => format!("{}/{variant}", provider.id),
        None => provider.id.to_string(),
    }
}

/// Reads from its cache are cheaper, and writing to it costs nothing more: callers need not mark anything.
fn caches_by_itself(viewer: &Viewer<'_>, endpoint: &Endpoint) -> bool {
    let prices = pricing::shown(viewer, endpoint);
    prices.cached_input < prices.input && prices.cache_write <= prices.input
}

/// Where nobody said what is supported, everything is tried.
fn tool_choice(endpoint: &Endpoint) -> Value {
    let has = |parameter| endpoint.supported.is_empty() || endpoint.supported.contains(parameter);
    let (tools, choice) = (has(Parameter::Tools), has(Parameter::ToolChoice));
    json!({"auto": tools, "none": tools, "required": tools && choice, "function": tools && choice})
}

/// OpenRouter publishes the numbers and not their meanings. Ours: 0 is well or unknown, -1 has failed within half a minute or
/// is at its provider's rate limit, -2 is up less than 95 %, -3 less than 80 %, -5 is not sent anything for now.
fn status(doing: &Doing) -> i8 {
    let reading = &doing.reading;
    match (reading.state, reading.uptime) {
        (State::Open { .. }, _) => -5,
        (_, Band::Bad) => -3,
        (_, Band::Degraded) => -2,
        (State::Limited { .. } | State::HalfOpen, _) => -1,
        (State::Closed, _) if reading.recent_outage => -1,
        (State::Closed, Band::Unknown | Band::Normal) => 0,
    }
}

/// Percent of the last five minutes, half an hour, and day; this instance's own where the fleet has told nothing of the
/// first.
fn uptimes(doing: &Doing) -> [Option<f64>; 3] {
    let reading = &doing.reading;
    let own = Uptime { permille: reading.uptime_permille, requests: reading.requests };
    let fleet = doing.fleet.as_ref().map(|view| &view.health);
    let told = |uptime: Uptime| (uptime.requests > 0).then(|| f64::from(uptime.permille) / 10.0);
    [
        fleet.and_then(|fleet| told(fleet.uptime_5m)).or_else(|| told(own)),
        fleet.and_then(|fleet| told(fleet.uptime_30m)),
        fleet.and_then(|fleet| told(fleet.uptime_1d)),
    ]
}

/// Milliseconds to first content, and tokens per second: the fleet's of half an hour, else this instance's own.
fn speeds(doing: &Doing) -> [Option<Value>; 2] {
    let reading = &doing.reading;
    let fleet = doing.fleet.as_ref().map(|view| &view.health);
    let fuller = |fleet: Option<Quantiles>, own: Quantiles| {
        fleet.filter(|fleet| fleet.samples >= own.samples).unwrap_or(own)
    };
    [
        fuller(fleet.map(|fleet| fleet.latency_ms), reading.latency_ms),
        fuller(fleet.map(|fleet| fleet.throughput), reading.throughput),
    ]
    .map(percentiles)
}

/// What 50, 75, 90 and 99 % of requests do better than; nothing of nothing.
fn percentiles(of: Quantiles) -> Option<Value> {
    let short = |value: f32| (f64::from(value) * 10.0).round() / 10.0;
    (of.samples > 0).then(
        || json!({"p50": short(of.p50), "p75": short(of.p75), "p90": short(of.p90), "p99": short(of.p99)}),
    )
}
