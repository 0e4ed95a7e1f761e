//! Latency samples and what is read from them.
//!
//! Percentiles are taken round by round and their median is reported: one round that the machine disturbed does
//! not spoil a p99, as it would in a common pool.

use std::time::Duration;

/// Samples of one kind, by round; percentiles are exact, by nearest rank.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    rounds: Vec<Vec<Duration>>,
}

impl Samples {
    pub fn add_round(&mut self, mut samples: Vec<Duration>) {
        samples.sort_unstable();
        self.rounds.push(samples);
    }

    /// The median over the rounds of the smallest sample that `percent` of a round do not exceed, in
    /// microseconds; `None` without samples.
    pub fn percentile_us(&self, percent: f64) -> Option<f64> {
        let of_rounds = self.rounds.iter().filter_map(|sorted| percentile_us(sorted, percent));
        median(&of_rounds.collect::<Vec<f64>>())
    }
}

fn percentile_us(sorted: &[Duration], percent: f64) -> Option<f64> {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).map(|sample| sample.as_secs_f64() * 1e6)
}

/// The middle value; the mean of the middle two for an even number.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(rounds: impl IntoIterator<Item = Vec<u64>>) -> Samples {
        let mut samples = Samples::default();
        for round in rounds {
            samples.add_round(round.into_iter().map(Duration::from_micros).collect());
        }
        samples
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let samples = samples([(1..=200).rev().collect()]);
        let cases = [(50.0, 100.0), (99.0, 198.0), (100.0, 200.0), (0.1, 1.0)];
        for (percent, expected) in cases {
            let found = samples.percentile_us(percent).expect("there are samples");
            assert!((found - expected).abs() < 1e-6, "{percent}: {found}");
        }
        assert_eq!(Samples::default().percentile_us(50.0), None);
    }

    #[test]
    fn one_disturbed_round_does_not_spoil_a_percentile() {
        let found = samples([vec![10, 11], vec![9_000, 9_999], vec![12, 13]]).percentile_us(99.0);
        assert_eq!(found, Some(13.0));
    }

    #[test]
    fn medians_of_odd_even_and_no_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
