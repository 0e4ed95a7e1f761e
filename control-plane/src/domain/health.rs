//! How endpoints do over the whole fleet: what data planes report, minutes in memory, and what is told of them.

pub mod window;

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use switchyard_proto::sketch::{Marks, Sketch};

/// Longest name of a model or endpoint, in bytes.
const LONGEST_NAME: usize = 256;
/// More than an instance can truly count between two reports; sums of these fit every column.
const MOST: u64 = 1 << 32;

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub model: String,
    pub endpoint: String,
}

/// Attempts by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub ok: u64,
    pub rate_limited: u64,
    pub overloaded: u64,
    pub timeout: u64,
    pub server: u64,
    pub malformed: u64,
    pub credential: u64,
    pub permission: u64,
    pub not_found: u64,
    pub tools_valid: u64,
    pub tools_invalid: u64,
}

/// One endpoint's minute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Minute {
    pub counts: Counts,
    pub latency: Sketch,
    pub throughput: Sketch,
}

/// A share, and what it is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    pub good: u64,
    pub all: u64,
}

/// Where a breaker stands; numbers are the wire's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Closed = 0,
    HalfOpen = 1,
    Open = 2,
    Limited = 3,
}

/// What one data plane said last of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    pub instance: String,
    pub state: State,
    pub until: Option<DateTime<Utc>>,
    pub consecutive_failures: u32,
    pub failed_at: Option<DateTime<Utc>>,
    pub succeeded_at: Option<DateTime<Utc>>,
    pub reported_at: DateTime<Utc>,
}

/// One endpoint over the whole fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub name: Name,
    pub uptime_5m: Share,
    pub uptime_30m: Share,
    pub uptime_1d: Share,
    /// Over 30 minutes, as all that follow up to the breakers.
    pub counts: Counts,
    pub latency: Marks,
    pub throughput: Marks,
    pub tools: Share,
    /// By instance.
    pub breakers: Vec<Breaker>,
}

impl Name {
    /// Whether it is formed like one.
    pub fn is_sound(&self) -> bool {
        [&self.model, &self.endpoint]
            .into_iter()
            .all(|name| !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(char::is_control))
    }
}

impl Counts {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.all().into_iter().zip(other.values()) {
            *sum = sum.saturating_add(more);
        }
    }

    /// None beyond what a report can hold.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.all().into_iter().for_each(|count| *count = (*count).min(MOST));
        self
    }

    /// Well answered among those that speak of uptime: as OpenRouter publishes it, without 400, 413, 429 and 403.
    pub fn uptime(&self) -> Share {
        let down =
            [self.overloaded, self.timeout, self.server, self.malformed, self.credential, self.not_found];
        Share { good: self.ok, all: down.iter().fold(self.ok, |sum, more| sum.saturating_add(*more)) }
    }

    /// Answers of which every tool call was valid, among those with tool calls.
    pub fn tools(&self) -> Share {
        Share { good: self.tools_valid, all: self.tools_valid.saturating_add(self.tools_invalid) }
    }

    fn all(&mut self) -> [&mut u64; 11] {
        [
            &mut self.ok,
            &mut self.rate_limited,
            &mut self.overloaded,
            &mut self.timeout,
            &mut self.server,
            &mut self.malformed,
            &mut self.credential,
            &mut self.permission,
            &mut self.not_found,
            &mut self.tools_valid,
            &mut self.tools_invalid,
        ]
    }

    fn values(mut self) -> [u64; 11] {
        self.all().map(|count| *count)
    }
}

impl Minute {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.latency.merge(&other.latency);
        self.throughput.merge(&other.throughput);
    }
}

impl Share {
    /// In a thousand, rounded down; `None` of nothing.
    pub fn permille(self) -> Option<u32> {
        let share = u128::from(self.good) * 1000 / u128::from(self.all).max(1);
        (self.all > 0).then(|| u32::try_from(share).unwrap_or(1000))
    }

    /// In percent; `None` of nothing.
    pub fn percent(self) -> Option<f64> {
        (self.all > 0).then(|| self.good as f64 * 100.0 / self.all as f64)
    }
}

impl Breaker {
    /// Whether this data plane sends no requests there now.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        matches!(self.state, State::Open | State::Limited) && self.until.is_some_and(|until| until > now)
    }
}

impl Endpoint {
    /// Data planes that send no requests there now.
    pub fn open_instances(&self, now: DateTime<Utc>) -> u32 {
        let open = self.breakers.iter().filter(|breaker| breaker.is_open(now)).count();
        u32::try_from(open).unwrap_or(u32::MAX)
    }

    /// The last failure anywhere.
    pub fn failed_at(&self) -> Option<DateTime<Utc>> {
        self.breakers.iter().filter_map(|breaker| breaker.failed_at).max()
    }

    /// The last success anywhere.
    pub fn succeeded_at(&self) -> Option<DateTime<Utc>> {
        self.breakers.iter().filter_map(|breaker| breaker.succeeded_at).max()
    }
}

impl TryFrom<i32> for State {
    type Error = ();

    fn try_from(number: i32) -> Result<Self, ()> {
        match number {
            0 => Ok(Self::Closed),
            1 => Ok(Self::HalfOpen),
            2 => Ok(Self::Open),
            3 => Ok(Self::Limited),
            _ => Err(()),
        }
    }
}

/// The minute that a time is in.
pub fn minute(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(at)
}

/// Breakers of each endpoint, by instance.
pub type Breakers = BTreeMap<Name, Vec<Breaker>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_leaves_out_limits_and_permissions() {
        let counts = Counts {
            ok: 90,
            rate_limited: 1000,
            permission: 1000,
            server: 4,
            timeout: 3,
            overloaded: 1,
            malformed: 1,
            credential: 1,
            ..Counts::default()
        };
        assert_eq!(counts.uptime(), Share { good: 90, all: 100 });
        assert_eq!((counts.uptime().permille(), counts.tools().permille()), (Some(900), None));
    }

    #[test]
    fn counts_add_up_one_by_one() {
        let mut sum = Counts { ok: 1, tools_invalid: u64::MAX, ..Counts::default() };
        sum.add(&Counts { ok: 2, not_found: 3, tools_invalid: 1, ..Counts::default() });
        assert_eq!(sum, Counts { ok: 3, not_found: 3, tools_invalid: u64::MAX, ..Counts::default() });
        assert_eq!(sum.bounded().tools_invalid, MOST);
    }

    #[test]
    fn a_breaker_is_open_until_its_time() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let breaker = |state, until| Breaker {
            instance: "dp".to_owned(),
            state,
            until,
            consecutive_failures: 0,
            failed_at: None,
            succeeded_at: None,
            reported_at: at(0),
        };
        for (state, until, expected) in [
            (State::Open, Some(at(11)), true),
            (State::Limited, Some(at(11)), true),
            (State::Open, Some(at(10)), false),
            (State::Open, None, false),
            (State::HalfOpen, Some(at(11)), false),
            (State::Closed, None, false),
        ] {
            assert_eq!(breaker(state, until).is_open(at(10)), expected, "{state:?} {until:?}");
        }
    }

    #[test]
    fn a_name_is_short_and_of_printing_characters() {
        let is_sound = |model: &str, endpoint: &str| {
            Name { model: model.to_owned(), endpoint: endpoint.to_owned() }.is_sound()
        };
        assert!(is_sound("a/m", "p"));
        for (model, endpoint) in [("", "p"), ("a/m", ""), ("a\0", "p"), ("a/m", &"x".repeat(257))] {
            assert!(!is_sound(model, endpoint), "{model:?} {endpoint:?}");
        }
    }
}
