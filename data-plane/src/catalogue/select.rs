//! Which of the models that are seen a query wants, and in which order.

use std::cmp::Reverse;

use switchyard_proto::price::UnitPrice;

use crate::catalogue::query::{Query, Sort};
use crate::catalogue::{Seen, Viewer, pricing};
use crate::config::snapshot::Endpoint;

/// The models that a query wants. Ties, and whatever has no value to sort by, keep the order that they came in.
pub fn choose<'a>(viewer: &Viewer<'a>, seen: Vec<Seen<'a>>, query: &Query) -> Vec<Seen<'a>> {
    let mut chosen: Vec<Seen<'a>> = seen.into_iter().filter(|seen| is_wanted(viewer, seen, query)).collect();
    match query.sort {
        None | Some(Sort::Newest | Sort::Unscored) => {}
        Some(Sort::Popular) => chosen.sort_by_cached_key(|seen| Reverse(attempts(viewer, seen))),
        Some(Sort::CheapestFirst) => chosen.sort_by_cached_key(|seen| both(viewer, seen)),
        Some(Sort::DearestFirst) => chosen.sort_by_cached_key(|seen| Reverse(both(viewer, seen))),
        Some(Sort::LongestContext) => chosen.sort_by_cached_key(|seen| Reverse(seen.context_length())),
        Some(Sort::Fastest) => chosen.sort_by_cached_key(|seen| {
            let fastest = seen.endpoints.iter().filter_map(|endpoint| throughput(viewer, endpoint)).max();
            (fastest.is_none(), Reverse(fastest))
        }),
        Some(Sort::QuickestStart) => chosen.sort_by_cached_key(|seen| {
            let quickest = seen.endpoints.iter().filter_map(|endpoint| latency(viewer, endpoint)).min();
            (quickest.is_none(), quickest)
        }),
    }
    chosen
}

fn is_wanted(viewer: &Viewer<'_>, seen: &Seen<'_>, query: &Query) -> bool {
    let prices = pricing::shown(viewer, seen.top(viewer));
    let age = (seen.created() > 0).then(|| (viewer.now.timestamp() - seen.created()) as f64 / 86_400.0);
    let author = seen.model.id.as_str().split('/').next().unwrap_or_default();
    let is_one = |list: &[String], value: &str| list.iter().any(|one| one.eq_ignore_ascii_case(value));
    let family = seen.model.config.tokenizer.as_str();
    query.search.as_ref().is_none_or(|text| is_found(seen, text))
        && puts_out(seen, &query.outputs)
        && has_all(&seen.inputs(), &query.inputs)
        && has_all(&seen.parameters(), &query.parameters)
        && query.context.is_none_or(|least| seen.context_length() >= least)
        && query.prompt_price.has(Some(prices.input))
        && query.completion_price.has(Some(prices.output))
        && query.age_days.has(age)
        && query.tool_success.has(tool_success(viewer, seen))
        && query.family.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(family))
        && (query.authors.is_empty() || is_one(&query.authors, author))
        && query.distillable.is_none_or(|wanted| seen.model.config.distillable.unwrap_or(false) == wanted)
        && (query.providers.is_empty()
            || some(seen, |endpoint| {
                let provider = &endpoint.provider;
                is_one(&query.providers, provider.id.as_str())
                    || is_one(&query.providers, &provider.display_name)
            }))
        && (!query.zdr || some(seen, |endpoint| endpoint.provider.keeps_nothing()))
        && query.region.as_ref().is_none_or(|region| some(seen, |endpoint| is_in(region, endpoint)))
}

fn some(seen: &Seen<'_>, is: impl Fn(&Endpoint) -> bool) -> bool {
    seen.endpoints.iter().any(|endpoint| is(endpoint))
}

fn is_found(seen: &Seen<'_>, text: &str) -> bool {
    let config = &seen.model.config;
    let texts = [seen.model.id.as_str(), seen.name(), &config.description];
    texts
        .into_iter()
        .chain(config.aliases.iter().map(String::as_str))
        .any(|own| own.to_lowercase().contains(text))
}

/// Text where nothing is said; `all` is everything.
fn puts_out(seen: &Seen<'_>, wanted: &[String]) -> bool {
    let own = seen.outputs();
    let is_own = |kind: &str| kind == "all" || own.contains(&kind);
    if wanted.is_empty() { is_own("text") } else { wanted.iter().any(|kind| is_own(kind)) }
}

fn has_all(own: &[&str], wanted: &[String]) -> bool {
    wanted.iter().all(|wanted| own.contains(&wanted.as_str()))
}

/// `eu` is `eu` and `eu-west-1`.
fn is_in(region: &str, endpoint: &Endpoint) -> bool {
    let own = endpoint.provider.config.region.to_lowercase();
    own.strip_prefix(region).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Prompt and completion together: half of it is their average, and the order is the same.
fn both(viewer: &Viewer<'_>, seen: &Seen<'_>) -> UnitPrice {
    let prices = pricing::shown(viewer, seen.top(viewer));
    UnitPrice(prices.input.0.saturating_add(prices.output.0))
}

fn attempts(viewer: &Viewer<'_>, seen: &Seen<'_>) -> u64 {
    let of = |endpoint: &&Endpoint| {
        let doing = (viewer.doing)(endpoint);
        let own = doing.reading.requests;
        u64::from(doing.fleet.map_or(own, |view| view.health.uptime_1d.requests.max(own)))
    };
    seen.endpoints.iter().map(of).sum()
}

/// Median tokens per second, in thousandths: a key that can be compared.
fn throughput(viewer: &Viewer<'_>, endpoint: &Endpoint) -> Option<u64> {
    let throughput = (viewer.doing)(endpoint).reading.throughput;
    (throughput.samples > 0).then_some((f64::from(throughput.p50) * 1000.0) as u64)
}

/// Median microseconds to first content.
fn latency(viewer: &Viewer<'_>, endpoint: &Endpoint) -> Option<u64> {
    let latency = (viewer.doing)(endpoint).reading.latency_ms;
    (latency.samples > 0).then_some((f64::from(latency.p50) * 1000.0) as u64)
}

/// Over all endpoints; nothing of nothing.
fn tool_success(viewer: &Viewer<'_>, seen: &Seen<'_>) -> Option<f64> {
    let readings = seen.endpoints.iter().map(|endpoint| (viewer.doing)(endpoint).reading);
    let (valid, all) = readings.fold((0.0, 0.0), |(valid, all), reading| {
        let requests = f64::from(reading.tool_requests);
        (valid + requests * f64::from(reading.tool_success_permille) / 1000.0, all + requests)
    });
    (all > 0.0).then(|| valid / all)
}
