//! What a caller pays at an endpoint, as strings in dollars per unit: by its tenant's price book, at one moment.

use serde_json::{Map, Value};
use switchyard_proto::price::tariff::Condition;
use switchyard_proto::price::{Given, Prices, UnitPrice};

use crate::catalogue::Viewer;
use crate::config::snapshot::Endpoint;
use crate::config::snapshot::book::{Own, Terms};

/// How the provider's price becomes the one that is shown.
enum Shown<'a> {
    /// With so many parts per million on it. The public sees the provider's own, and so does a tenant its own providers'.
    MarkedUp(u64),
    Own(&'a Own),
}

fn terms<'a>(viewer: &Viewer<'a>, endpoint: &Endpoint) -> Shown<'a> {
    match viewer.caller.filter(|_| endpoint.provider.tenant.is_none()) {
        None => Shown::MarkedUp(0),
        Some(caller) => match caller.tenant.book.terms(endpoint) {
            Terms::MarkedUp(ppm) => Shown::MarkedUp(*ppm),
            Terms::Own(own) => Shown::Own(own),
        },
    }
}

/// The prices without overrides.
pub fn shown(viewer: &Viewer<'_>, endpoint: &Endpoint) -> Prices {
    match terms(viewer, endpoint) {
        Shown::MarkedUp(ppm) => endpoint.tariff.at(viewer.now).base().map(|price| price.marked_up(ppm)),
        Shown::Own(own) => own.prices,
    }
}

/// OpenRouter's `pricing`: prices of a moment, and what changes them for long prompts and hours of the day.
pub fn describe(viewer: &Viewer<'_>, endpoint: &Endpoint) -> Value {
    let mut fields = base(&shown(viewer, endpoint));
    if let Shown::MarkedUp(ppm) = terms(viewer, endpoint) {
        let rate = endpoint.tariff.at(viewer.now);
        let overrides: Vec<Value> = rate.conditions().map(|row| change(&row, ppm).into()).collect();
        if !overrides.is_empty() {
            fields.insert("overrides".to_owned(), overrides.into());
        }
    }
    Value::Object(fields)
}

fn base(prices: &Prices) -> Map<String, Value> {
    let always = [
        ("prompt", prices.input),
        ("completion", prices.output),
        ("request", prices.request),
        ("image", prices.image),
        ("audio", prices.audio_input),
        ("internal_reasoning", prices.reasoning),
    ];
    // Left out where they are as usual.
    let unusual = [
        ("input_cache_read", prices.cached_input, prices.input),
        ("input_cache_write", prices.cache_write, prices.input),
        ("input_cache_write_1h", prices.cache_write_1h, prices.cache_write),
        ("audio_output", prices.audio_output, prices.output),
        ("image_output", prices.image_output, prices.output),
        ("web_search", prices.search, UnitPrice::default()),
    ];
    let unusual = unusual.into_iter().filter(|(_, price, usual)| price != usual);
    let all = always.into_iter().chain(unusual.map(|(name, price, _)| (name, price)));
    all.map(|(name, price)| (name.to_owned(), price.per_unit().into())).collect()
}

/// What holds under a condition, and the condition: hours as the number `HHMM` in UTC, of which the last is not part of them.
fn change(row: &Condition, markup_ppm: u64) -> Map<String, Value> {
    let hours = row.hours.map(|(start, end)| [("utc_start", start), ("utc_end", end)]);
    let hours = hours.into_iter().flatten();
    let hours = hours.map(|(name, (hour, minute))| (name, (hour * 100 + minute).into()));
    let above = row.min_prompt_tokens.map(|above| ("min_prompt_tokens", above.into()));
    let prices = changed(&row.given.map(|price| price.marked_up(markup_ppm)));
    let prices = prices.into_iter().filter_map(|(name, price)| Some((name, price?.per_unit().into())));
    above.into_iter().chain(hours).chain(prices).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn changed(given: &Given) -> [(&'static str, Option<UnitPrice>); 12] {
    [
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
    ]
}
