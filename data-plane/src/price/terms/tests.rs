//! Price books: which rule holds, what is owed, and that the reservation covers it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use switchyard_proto::price::Span;
use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::{PriceParts, PriceRule, TenantConfig};

use super::*;
use crate::config::fixtures::{caller, endpoint, full, model, provider, resource, tenant};
use crate::config::snapshot::{Endpoint, Tenant};
use crate::model::facts::Facts;
use crate::price::{Bounds, Owes, bill};

const NOW: Span = Span { from: DateTime::UNIX_EPOCH, until: DateTime::UNIX_EPOCH };

/// A tenant with these rules over a mark-up of 10 %, and endpoints of two models at two providers.
fn market(rules: Vec<PriceRule>) -> (Arc<Tenant>, impl Fn(&str, &str) -> Arc<Endpoint>) {
    let endpoints = ["a/m", "b/m"]
        .into_iter()
        .flat_map(|model| ["p", "q"].map(|provider| Body::Endpoint(endpoint(model, provider, "1"))));
    let parts = [provider("p"), provider("q")].map(Body::Provider).into_iter();
    let parts = parts.chain([model("a/m"), model("b/m")].map(Body::Model)).chain(endpoints).map(resource);
    let tenant = tenant().map(|mut resource| {
        if let Some(Body::Tenant(config)) = &mut resource.body {
            *config = TenantConfig { markup_ppm: 100_000, price_book: rules.clone(), ..config.clone() };
        }
        resource
    });
    let snapshot = full(parts.chain(tenant)).snapshot;
    let tenant = caller(&snapshot).tenant;
    let find = move |model: &str, provider: &str| {
        let endpoints = &snapshot.model(model).unwrap().endpoints;
        endpoints.iter().find(|endpoint| endpoint.provider.id.as_str() == provider).unwrap().clone()
    };
    (tenant, find)
}

fn marked(model: &str, provider: &str, ppm: u64) -> PriceRule {
    PriceRule { model: model.into(), provider: provider.into(), markup_ppm: Some(ppm), price: None }
}

fn own(model: &str, price: PriceParts) -> PriceRule {
    PriceRule { model: model.into(), price: Some(price), ..Default::default() }
}

fn input(text: &str) -> PriceParts {
    PriceParts { input: text.into(), ..Default::default() }
}

fn prompt(tokens: u64) -> v1::TokenUsage {
    v1::TokenUsage { prompt: tokens, ..Default::default() }
}

/// The whole cost, and what the tenant owes.
fn billed(
    endpoint: &Endpoint,
    tenant: &Tenant,
    at: DateTime<Utc>,
    tokens: &v1::TokenUsage,
    owes: Owes,
) -> (NanoUsd, NanoUsd) {
    let (cost, owed) = bill(endpoint, tenant, at, tokens, owes);
    (cost.total, owed)
}

#[test]
fn the_first_rule_that_covers_model_and_provider_holds() {
    let rules = vec![
        marked("a/m", "q", 0),
        own("a/*", input("5")),
        marked("", "p", 1_000_000),
        marked("b/m", "", 500_000),
    ];
    let (tenant, find) = market(rules);
    // A prompt token costs 1,000 nano-dollars everywhere.
    for (model, provider, owed) in
        [("a/m", "q", 1_000), ("a/m", "p", 5_000), ("b/m", "p", 2_000), ("b/m", "q", 1_500)]
    {
        let billed = billed(&find(model, provider), &tenant, DateTime::UNIX_EPOCH, &prompt(1), Owes::All);
        assert_eq!(billed, (NanoUsd(1_000), NanoUsd(owed)), "{model} at {provider}");
    }
    let (tenant, find) = market(vec![]);
    let billed = billed(&find("a/m", "p"), &tenant, DateTime::UNIX_EPOCH, &prompt(1), Owes::All);
    assert_eq!(billed, (NanoUsd(1_000), NanoUsd(1_100)), "the tenant's own mark-up");
}

#[test]
fn m1_an_answer_that_is_worth_nothing_is_free_but_for_fees_at_any_terms() {
    let searching = PriceParts { search: "0.02".into(), ..input("5") };
    let (tenant, find) = market(vec![own("a/m", searching), marked("b/m", "", 1_000_000)]);
    let tokens = v1::TokenUsage { searches: 2, ..prompt(500) };
    let owed = |model: &str| {
        let mut endpoint = Endpoint::clone(&find(model, "p"));
        let price = v1::Price { search: "0.01".into(), ..input("1").into() };
        endpoint.tariff = price::Tariff::parse(&price::Written::from(&price)).unwrap();
        billed(&endpoint, &tenant, DateTime::UNIX_EPOCH, &tokens, Owes::Fees)
    };
    // The cost is the provider's word: nobody insures us.
    assert_eq!(owed("a/m"), (NanoUsd(20_500_000), NanoUsd(40_000_000)));
    assert_eq!(owed("b/m"), (NanoUsd(20_500_000), NanoUsd(40_000_000)));
}

#[test]
fn no_usage_within_the_bounds_costs_or_charges_more_than_is_reserved() {
    let dear = PriceParts { cache_write_1h: "40".into(), reasoning: "90".into(), ..input("20") };
    let rules = vec![own("a/m", dear), marked("b/m", "", 250_000)];
    let (tenant, find) = market(rules);
    let mut chance = SmallRng::seed_from_u64(21);
    for _ in 0..2_000 {
        let endpoint = find(["a/m", "b/m"][chance.random_range(0..2)], "p");
        let facts = Facts { messages: 1, text_bytes: chance.random_range(0..5_000), ..Facts::default() };
        let cap = chance.random_range(0..1_000);
        let worst = Bounds::of(&endpoint, &tenant, &facts, 1, NOW).worst(cap);
        let bound = crate::price::prompt_bound(&endpoint, &facts);
        let mut up_to = |most: u64| chance.random_range(0..=most);
        let tokens = v1::TokenUsage {
            prompt: up_to(bound),
            cached: up_to(bound),
            cache_write: up_to(bound),
            cache_write_1h: up_to(bound),
            completion: up_to(cap),
            reasoning: up_to(cap),
            ..Default::default()
        };
        let (cost, owed) = billed(&endpoint, &tenant, DateTime::UNIX_EPOCH, &tokens, Owes::All);
        assert!(cost <= worst.cost && owed <= worst.charge, "{tokens:?} {worst:?}");
    }
}
