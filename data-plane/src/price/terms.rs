//! What a tenant pays, by its price book.

use switchyard_proto::money::NanoUsd;
use switchyard_proto::price::{self, Most};
use switchyard_proto::v1;

use crate::config::snapshot::book::Terms;

/// The most that a tenant pays for an attempt of this worst case.
pub fn worst(terms: &Terms, cost: NanoUsd, most: &Most) -> NanoUsd {
    match terms {
        Terms::MarkedUp(ppm) => price::marked_up(cost, *ppm),
        Terms::Own(own) => own.prices.worst(most),
    }
}

/// What a tenant pays for these tokens, which cost so much.
pub fn charge(terms: &Terms, cost: NanoUsd, tokens: &v1::TokenUsage) -> NanoUsd {
    match terms {
        Terms::MarkedUp(ppm) => price::marked_up(cost, *ppm),
        Terms::Own(own) => own.prices.cost(tokens),
    }
}

/// What a tenant pays of an answer that is worth nothing: the fees, which cost so much.
pub fn fees(terms: &Terms, cost: NanoUsd, tokens: &v1::TokenUsage) -> NanoUsd {
    match terms {
        Terms::MarkedUp(ppm) => price::marked_up(cost, *ppm),
        Terms::Own(own) => own.prices.fees(tokens),
    }
}

#[cfg(test)]
mod tests;
