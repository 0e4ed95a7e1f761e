//! Tool-calling quality in three tiers: good, unknown, deprioritised.
//!
//! Measured against the others of the same list, so that it takes some of them, each with enough requests.

use serde::Serialize;

use crate::routing::health::Reading;
use crate::routing::order::speed;
use crate::routing::plan::Candidate;

/// Endpoints with enough requests that a comparison needs.
const FEWEST_ENDPOINTS: usize = 4;
/// Requests that an endpoint's speed needs to be judged.
const FEWEST_REQUESTS: u32 = 100;
/// Answers with tool calls that its calls need.
const FEWEST_TOOL_REQUESTS: u32 = 200;
/// How many deviations under the median are too slow.
const SLOW: f64 = 1.5;
/// How many deviations under the median are too often wrong.
const WRONG: f64 = 2.0;
/// Median absolute deviations in a standard deviation, where values are spread normally.
const MAD: f64 = 1.4826;
/// The least deviation, as a share of the median: equals differ by chance.
const LEAST: f64 = 0.01;

/// How well an endpoint calls tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    #[default]
    Good,
    /// Too little is known.
    Unknown,
    Deprioritised,
}

/// What separates the tiers of one list.
#[derive(Debug, Clone, Copy)]
pub enum Tiers {
    /// Quality does not matter here: all are good.
    Ignored,
    /// Too few are known to compare: all are unknown.
    Unknown,
    Known {
        least_speed: f64,
        least_success: f64,
    },
}

impl Tiers {
    /// The tiers of a list of candidates. An endpoint that stands there for several credentials counts once.
    pub fn of(candidates: &[Candidate], is_asked: bool) -> Self {
        if !is_asked {
            return Self::Ignored;
        }
        let mut speeds = Vec::with_capacity(candidates.len());
        let mut successes = Vec::with_capacity(candidates.len());
        for (at, candidate) in candidates.iter().enumerate() {
            let before = &candidates[at.saturating_sub(1)..at];
            let is_copy = before.iter().any(|other| other.endpoint.id == candidate.endpoint.id);
            if let Some((speed, success)) = figures(&candidate.reading).filter(|_| !is_copy) {
                speeds.push(speed);
                successes.push(success);
            }
        }
        if speeds.len() < FEWEST_ENDPOINTS {
            return Self::Unknown;
        }
        Self::Known { least_speed: floor(&mut speeds, SLOW), least_success: floor(&mut successes, WRONG) }
    }

    /// The tier of an endpoint with this reading.
    pub fn of_reading(&self, reading: &Reading) -> Tier {
        match (self, figures(reading)) {
            (Self::Ignored, _) => Tier::Good,
            (Self::Unknown, _) | (_, None) => Tier::Unknown,
            (Self::Known { least_speed, least_success }, Some((speed, success))) => {
                if speed < *least_speed || success < *least_success {
                    Tier::Deprioritised
                } else {
                    Tier::Good
                }
            }
        }
    }
}

/// Tokens per second and the share of good tool calls, where enough is known.
fn figures(reading: &Reading) -> Option<(f64, f64)> {
    let is_enough = reading.requests >= FEWEST_REQUESTS && reading.tool_requests >= FEWEST_TOOL_REQUESTS;
    let speed = speed::known(&reading.throughput).filter(|_| is_enough)?;
    Some((speed.p50.into(), f64::from(reading.tool_success_permille) / 1000.0))
}

/// So many deviations under the median.
fn floor(values: &mut [f64], deviations: f64) -> f64 {
    let middle = median(values);
    for value in values.iter_mut() {
        *value = (*value - middle).abs();
    }
    let deviation = (median(values) * MAD).max(middle * LEAST);
    middle - deviations * deviation
}

/// The middle value; 0 of none.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values {
        [] => 0.0,
        values if values.len() % 2 == 1 => values[half],
        values => f64::midpoint(values[half - 1], values[half]),
    }
}
