//! What a plan knows of one endpoint: a small value that can be copied into a decision record.

use serde::{Deserialize, Serialize};
use switchyard_proto::sketch::{Marks, value_of};

use crate::routing::health::breaker::State;

/// So many attempts are enough to speak of uptime.
pub const ENOUGH: u32 = 100;

/// An endpoint's health, as of one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub state: State,
    /// Failed within the last half minute, here or (where this instance has not seen it answer since) in the fleet, and
    /// has not answered well since; or other instances keep requests from it.
    pub recent_outage: bool,
    pub uptime: Band,
    /// Well answered attempts in a thousand, without those that 400, 413, 429 and 403 ended.
    pub uptime_permille: u16,
    /// The attempts that `uptime_permille` is of.
    pub requests: u32,
    /// Milliseconds from sending to the first content.
    pub latency_ms: Quantiles,
    /// Completion tokens per second.
    pub throughput: Quantiles,
    /// Answers with tool calls, in a thousand, of which every call was valid.
    pub tool_success_permille: u16,
    /// The answers that `tool_success_permille` is of.
    pub tool_requests: u32,
}

/// How much an endpoint is up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    /// Fewer than [`ENOUGH`] attempts.
    #[default]
    Unknown,
    /// At least 95 %.
    Normal,
    /// At least 80 %: after those that are normal or unknown.
    Degraded,
    /// Less: the last resort.
    Bad,
}

/// What XX % of the requests reach or better; all 0 without samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    pub samples: u32,
    pub p50: f32,
    pub p75: f32,
    pub p90: f32,
    pub p99: f32,
}

impl Reading {
    /// Whether a request may be sent there as far as the breaker is concerned; a half-open one has room for one probe.
    pub fn may_try(&self) -> bool {
        matches!(self.state, State::Closed | State::HalfOpen)
    }

    /// Whether it belongs behind endpoints that are not so.
    pub fn is_failing(&self) -> bool {
        self.recent_outage || !self.may_try()
    }
}

impl Band {
    /// The band of so many well answered attempts in a thousand.
    pub fn of(permille: u16, requests: u32) -> Self {
        match permille {
            _ if requests < ENOUGH => Self::Unknown,
            950.. => Self::Normal,
            800.. => Self::Degraded,
            _ => Self::Bad,
        }
    }
}

impl Quantiles {
    /// Marks in some unit as values in another, of which one unit of the sketch is `unit`.
    pub fn of(marks: Marks, unit: f32) -> Self {
        if marks.samples == 0 {
            return Self::default();
        }
        let value = |at: usize| value_of(marks.buckets[at].into()) as f32 * unit;
        Self { samples: marks.samples, p50: value(0), p75: value(1), p90: value(2), p99: value(3) }
    }
}

/// A share in a thousand, rounded down so that 1000 means all; 1000 of nothing.
pub fn permille(part: u32, whole: u32) -> u16 {
    let share = (u64::from(part) * 1000).checked_div(u64::from(whole)).unwrap_or(1000);
    u16::try_from(share).unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_follow_the_published_thresholds() {
        for (ok, requests, band) in [
            (0, 0, Band::Unknown),
            (99, 99, Band::Unknown),
            (0, 99, Band::Unknown),
            (100, 100, Band::Normal),
            (95, 100, Band::Normal),
            (949, 1000, Band::Degraded),
            (80, 100, Band::Degraded),
            (799, 1000, Band::Bad),
            (0, 100, Band::Bad),
        ] {
            assert_eq!(Band::of(permille(ok, requests), requests), band, "{ok} of {requests}");
        }
    }

    #[test]
    fn a_reading_survives_being_written_down() {
        let reading = Reading {
            state: State::Open { until_ms: 1500 },
            uptime: Band::Degraded,
            requests: 200,
            latency_ms: Quantiles { samples: 3, p50: 104.8, ..Quantiles::default() },
            ..Reading::default()
        };
        let text = serde_json::to_string(&reading).unwrap();
        assert_eq!(serde_json::from_str::<Reading>(&text).unwrap(), reading, "{text}");
    }
}
