//! What the catalogue shows, to whom, and at which prices.

mod seen;

use serde_json::json;
use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::{Price, PriceOverride, PriceParts, PriceVersion};

use super::*;
use crate::config::fixtures::{endpoint, full, model, provider, resource};

/// What `/models` says of the price of a model with one endpoint.
fn shown(price: Price, now: &str) -> Value {
    let endpoint = switchyard_proto::v1::EndpointConfig { price: Some(price), ..endpoint("a/m", "p", "1") };
    let parts = [Body::Provider(provider("p")), Body::Model(model("a/m")), Body::Endpoint(endpoint)];
    let snapshot = full(parts.map(resource)).snapshot;
    let viewer =
        Viewer { config: &snapshot, caller: None, now: now.parse().unwrap(), doing: &|_| Doing::default() };
    list(&viewer, &Query::default(), "/models")["data"][0]["pricing"].clone()
}

fn parts(input: &str, output: &str) -> PriceParts {
    PriceParts { input: input.into(), output: output.into(), ..Default::default() }
}

#[test]
fn prices_are_dollars_per_unit_and_what_is_as_usual_is_left_out() {
    let plain = shown(parts("3", "15").into(), "2026-11-30T00:00:00Z");
    let expected = json!({"prompt": "0.000003", "completion": "0.000015", "request": "0", "image": "0",
        "audio": "0.000003", "internal_reasoning": "0.000015"});
    assert_eq!(plain, expected);
    let price = PriceParts {
        cached_input: "0.3".into(),
        cache_write: "3.75".into(),
        cache_write_1h: "6".into(),
        search: "0.01".into(),
        image_output: "30".into(),
        ..parts("3", "15")
    };
    let all = shown(price.into(), "2026-11-30T00:00:00Z");
    for (name, price) in [
        ("input_cache_read", "0.0000003"),
        ("input_cache_write", "0.00000375"),
        ("input_cache_write_1h", "0.000006"),
        ("web_search", "0.01"),
        ("image_output", "0.00003"),
    ] {
        assert_eq!(all[name], price, "{name}");
    }
}

#[test]
fn overrides_say_when_they_hold_and_what_they_change() {
    let long = PriceOverride {
        min_prompt_tokens: Some(200_000),
        price: Some(parts("6", "22.5")),
        ..Default::default()
    };
    let night = PriceOverride {
        utc_start: "16:30".into(),
        utc_end: "00:30".into(),
        price: Some(parts("1.5", "")),
        ..Default::default()
    };
    let pricing =
        shown(Price { overrides: vec![long, night], ..parts("3", "15").into() }, "2026-11-30T17:00:00Z");
    assert_eq!(pricing["prompt"], "0.000003", "the override stands beside it");
    let expected = json!([
        {"min_prompt_tokens": 200_000, "prompt": "0.000006", "completion": "0.0000225"},
        {"utc_start": 1630, "utc_end": 30, "prompt": "0.0000015"},
    ]);
    assert_eq!(pricing["overrides"], expected);
}

#[test]
fn the_price_of_the_day_is_shown() {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let rise = PriceVersion { from: at(1_796_083_200), price: Some(parts("4", "20")), overrides: Vec::new() };
    let price = Price { versions: vec![rise], ..parts("2", "10").into() };
    assert_eq!(shown(price.clone(), "2026-11-30T23:59:59Z")["prompt"], "0.000002");
    assert_eq!(shown(price, "2026-12-01T00:00:00Z")["prompt"], "0.000004");
}
