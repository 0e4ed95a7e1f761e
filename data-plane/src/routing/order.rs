//! The order of candidates: the caller's wishes, else recent outage last and then by weight of 1/price².

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::model::preferences::{Preferences, SortBy};
use crate::routing::filter;
use crate::routing::plan::Candidate;

/// Orders the candidates of one model, or of all when the caller sorts across models.
pub fn order(candidates: &mut [Candidate], wishes: &Preferences, seed: u64) {
    match wishes.sort.map(|sort| sort.by) {
        // What is not measured yet leaves the price as the only known difference.
        Some(SortBy::Price | SortBy::Throughput | SortBy::Latency | SortBy::Exacto) => {
            candidates.sort_by(|one, two| price(one).total_cmp(&price(two)));
        }
        None => shuffle(candidates, seed),
    }
    if wishes.sort.is_none() && wishes.order.is_empty() {
        candidates.sort_by_key(|candidate| candidate.is_failing);
    }
    if !wishes.order.is_empty() {
        let rank = |candidate: &Candidate| {
            wishes
                .order
                .iter()
                .position(|slug| filter::matches(&candidate.endpoint, slug))
                .unwrap_or(usize::MAX)
        };
        candidates.sort_by_key(rank);
    }
}

/// A random order in which the chance to stand first is proportional to 1/price².
fn shuffle(candidates: &mut [Candidate], seed: u64) {
    if candidates.len() < 2 {
        return;
    }
    let mut random = SmallRng::seed_from_u64(seed);
    // Efraimidis and Spirakis: sorting by u^(1/weight), falling, draws without replacement by weight.
    let mut draws: Vec<(f64, Candidate)> = candidates
        .iter()
        .map(|candidate| {
            let price = price(candidate).max(1e-12);
            let draw: f64 = random.random_range(f64::MIN_POSITIVE..1.0);
            (draw.ln() * price * price, candidate.clone())
        })
        .collect();
    draws.sort_by(|one, two| two.0.total_cmp(&one.0));
    for (place, (_, candidate)) in candidates.iter_mut().zip(draws) {
        *place = candidate;
    }
}

/// Prompt plus completion price in dollars per million tokens: what load balancing compares.
fn price(candidate: &Candidate) -> f64 {
    let prices = &candidate.endpoint.prices;
    (prices.input.0 + prices.output.0) as f64 / 1e9
}
