//! The questions of the bench, and how long their answers take.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::bench::store::{StoreError, plane::Plane};

/// A report over the last 30 days.
#[derive(Debug)]
pub struct Question {
    pub name: &'static str,
    /// Empty: all.
    pub tenant: &'static str,
    pub by: &'static [&'static str],
}

/// The tenant with the most requests, and everybody.
pub const QUESTIONS: &[Question] = &[
    Question { name: "by model, one tenant", tenant: "tenant-000", by: &["model"] },
    Question { name: "by model, all tenants", tenant: "", by: &["model"] },
    Question { name: "by day and model, one tenant", tenant: "tenant-000", by: &["day", "model"] },
    Question { name: "by key, one tenant", tenant: "tenant-000", by: &["key"] },
];

/// Between two questions beside the load.
const PAUSE: Duration = Duration::from_millis(100);

/// Times of one question's answers.
#[derive(Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    pub fn take(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that a share of the answers did not exceed.
    pub fn quantile(&mut self, share: f64) -> Duration {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        let at = (share * last as f64).round() as usize;
        self.0.get(at.min(last)).copied().unwrap_or_default()
    }
}

/// Asks all questions in turn for so many seconds.
pub async fn beside(plane: &Plane, seconds: u64) -> Result<Vec<(&'static str, Samples)>, StoreError> {
    let mut all: Vec<(&'static str, Samples)> =
        QUESTIONS.iter().map(|question| (question.name, Samples::default())).collect();
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        for (question, (_, samples)) in QUESTIONS.iter().zip(&mut all) {
            samples.take(plane.ask(question).await?);
            sleep(PAUSE).await;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_seen() {
        let mut samples = Samples::default();
        assert_eq!(samples.quantile(0.5), Duration::ZERO);
        (1..=100).rev().for_each(|ms| samples.take(Duration::from_millis(ms)));
        let shown = [0.0, 0.5, 0.99, 1.0].map(|share| samples.quantile(share).as_millis());
        assert_eq!(shown, [1, 51, 99, 100]);
    }
}
