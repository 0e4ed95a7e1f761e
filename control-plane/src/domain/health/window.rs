//! The last half hour in memory, minute by minute, so that the store is asked for the newest minutes only.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use switchyard_proto::sketch::Better;

use crate::domain::health::{Breakers, Endpoint, Minute, Name, Share, minute};

/// What is kept in memory.
const KEPT: TimeDelta = TimeDelta::minutes(30);
const SHORT: TimeDelta = TimeDelta::minutes(5);
/// Reports that are booked while a minute ends may still change it, and clocks of control planes differ a little.
const UNSETTLED: TimeDelta = TimeDelta::minutes(3);

/// Minutes by time and endpoint.
#[derive(Debug, Default)]
pub struct Window {
    minutes: BTreeMap<DateTime<Utc>, BTreeMap<Name, Minute>>,
    /// When it was last filled.
    filled: Option<DateTime<Utc>>,
}

impl Window {
    /// From which minute on the store has to be read now.
    pub fn lacks_from(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let oldest = minute(now) - KEPT + TimeDelta::minutes(1);
        self.filled.map_or(oldest, |filled| oldest.max(minute(filled) - UNSETTLED))
    }

    /// Takes what the store has from [`Self::lacks_from`] on, in place of what was known of it.
    pub fn fill(&mut self, rows: Vec<(DateTime<Utc>, Name, Minute)>, now: DateTime<Utc>) {
        let from = self.lacks_from(now);
        let oldest = minute(now) - KEPT;
        self.minutes.retain(|at, _| *at > oldest && *at < from);
        for (at, name, row) in rows {
            self.minutes.entry(at).or_default().insert(name, row);
        }
        self.filled = Some(now);
    }

    /// All endpoints that anything is known of, by name.
    pub fn endpoints(
        &self,
        day: &BTreeMap<Name, Share>,
        breakers: &Breakers,
        now: DateTime<Utc>,
    ) -> Vec<Endpoint> {
        let (short, long) = (self.sums(now, SHORT), self.sums(now, KEPT));
        let names: BTreeSet<&Name> = long.keys().chain(day.keys()).chain(breakers.keys()).collect();
        let endpoint = |name: &Name| {
            let sum = long.get(name).cloned().unwrap_or_default();
            let uptime_30m = sum.counts.uptime();
            let day = day.get(name).copied().unwrap_or_default();
            Endpoint {
                name: name.clone(),
                uptime_5m: short.get(name).map(|sum| sum.counts.uptime()).unwrap_or_default(),
                uptime_30m,
                // The day's sums are added up less often.
                uptime_1d: if day.all < uptime_30m.all { uptime_30m } else { day },
                counts: sum.counts,
                latency: sum.latency.marks(Better::Lower),
                throughput: sum.throughput.marks(Better::Higher),
                tools: sum.counts.tools(),
                breakers: breakers.get(name).cloned().unwrap_or_default(),
            }
        };
        names.into_iter().map(endpoint).collect()
    }

    /// Sums over the last minutes, the running one included.
    fn sums(&self, now: DateTime<Utc>, span: TimeDelta) -> BTreeMap<Name, Minute> {
        let mut sums: BTreeMap<Name, Minute> = BTreeMap::new();
        let after = minute(now) - span;
        for endpoints in self.minutes.iter().filter(|(at, _)| **at > after).map(|(_, endpoints)| endpoints) {
            for (name, row) in endpoints {
                sums.entry(name.clone()).or_default().add(row);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::health::Counts;

    fn at(minutes: i64, seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_040 + minutes * 60 + seconds, 0).unwrap()
    }

    fn name() -> Name {
        Name { model: "a/m".to_owned(), endpoint: "p".to_owned() }
    }

    fn row(minutes: i64, ok: u64, server: u64) -> (DateTime<Utc>, Name, Minute) {
        let counts = Counts { ok, server, ..Counts::default() };
        (at(minutes, 0), name(), Minute { counts, ..Minute::default() })
    }

    fn told(window: &Window, now: DateTime<Utc>) -> (u64, u64, u64) {
        let day = BTreeMap::from([(name(), Share { good: 100, all: 1000 })]);
        let endpoint = &window.endpoints(&day, &Breakers::new(), now)[0];
        (endpoint.uptime_5m.all, endpoint.uptime_30m.all, endpoint.uptime_1d.all)
    }

    #[test]
    fn each_span_sums_its_own_minutes() {
        let mut window = Window::default();
        let now = at(30, 5);
        assert_eq!(window.lacks_from(now), at(1, 0));
        window.fill(vec![row(1, 1, 0), row(25, 10, 0), row(26, 100, 0), row(30, 1000, 500)], now);
        assert_eq!(told(&window, now), (1600, 1611, 1611));
        assert_eq!(told(&window, at(31, 0)), (1500, 1610, 1610));
        assert_eq!(told(&window, at(60, 0)), (0, 0, 1000));
    }

    #[test]
    fn only_the_newest_minutes_are_read_again_and_replace_what_was_known() {
        let mut window = Window::default();
        window.fill(vec![row(26, 7, 0), row(29, 10, 0)], at(30, 0));
        assert_eq!(window.lacks_from(at(30, 5)), at(27, 0));
        window.fill(vec![row(29, 12, 0), row(30, 1, 0)], at(30, 5));
        assert_eq!(told(&window, at(30, 5)).1, 20);
    }

    #[test]
    fn after_a_long_silence_everything_is_read_again() {
        let mut window = Window::default();
        window.fill(vec![row(29, 10, 0)], at(30, 0));
        assert_eq!(window.lacks_from(at(300, 0)), at(271, 0));
        window.fill(Vec::new(), at(300, 0));
        assert_eq!(told(&window, at(300, 0)).1, 0);
    }
}
