//! Whether a candidate goes first because the conversation's prompt is cached there.

use crate::model::preferences::SortBy;
use crate::routing::candidates::Search;
use crate::routing::order::health;
use crate::routing::plan::Candidate;

/// Whether the cache decides for this candidate: who orders or sorts wants that order, and what fails is no good place.
pub fn holds(search: &Search<'_>, sort: Option<SortBy>, candidate: &Candidate) -> bool {
    let Some(hint) = search.inputs.sticky else { return false };
    let is_there = candidate.endpoint.id == hint.endpoint && candidate.model.id == hint.model;
    let prices = search.inputs.prices(&candidate.endpoint);
    is_there
        && sort.is_none()
        && search.wishes.order.is_empty()
        && health(&candidate.reading) < 2
        && prices.cached_input < prices.input
}
