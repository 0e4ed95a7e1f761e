//! What a provider says that a call cost, in the units in use.

use serde::Deserialize;
use switchyard_proto::money::NanoUsd;

use crate::adapters::shared::lenient::Number;

/// A sum in USD, plain or as Perplexity's bill.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub enum Cost {
    Sum(f64),
    Bill { total_cost: f64 },
}

/// The cost in whichever member it was reported; `ticks` are 10⁻¹⁰ USD. None where nothing sensible was said.
pub fn cost(cost: Option<Cost>, ticks: Number) -> Option<NanoUsd> {
    let usd = cost.map(|cost| match cost {
        Cost::Sum(usd) | Cost::Bill { total_cost: usd } => usd,
    });
    match usd {
        Some(usd) if usd.is_finite() && usd >= 0.0 => Some(NanoUsd(nano(usd))),
        _ => ticks.0.filter(|ticks| *ticks > 0).map(|ticks| NanoUsd(ticks.div_ceil(10))),
    }
}

/// Rounded up, but not for the noise in the last bits of a binary fraction.
fn nano(usd: f64) -> u64 {
    (usd * 1e9 - 1e-3).ceil().max(0.0) as u64
}
