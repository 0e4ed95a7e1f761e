//! How fast a stream comes: a provider that trickles costs its minimum-rate deadline, not its total.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::event::Event;

/// Bytes of output text that stand for a token, as everywhere that estimates.
const BYTES_PER_TOKEN: f64 = 4.0;

/// Measures a stream over windows of one length.
#[derive(Debug)]
pub struct Pace {
    /// Bytes that a window must bring.
    least: f64,
    window: Duration,
    ends: Instant,
    bytes: usize,
}

impl Pace {
    /// From the first content on. `min_rate` is in tokens per second; none where any pace will do.
    pub fn begin(min_rate: f64, window: Duration, now: Instant) -> Option<Self> {
        let least = min_rate * window.as_secs_f64() * BYTES_PER_TOKEN;
        (least > 0.0).then_some(Self { least, window, ends: now + window, bytes: 0 })
    }

    /// When it must be looked at next.
    pub fn ends(&self) -> Instant {
        self.ends
    }

    /// Takes a time out of the window in which nobody read.
    pub fn stood_still(&mut self, time: Duration) {
        self.ends += time;
    }

    /// Counts what came.
    pub fn count(&mut self, events: &[Event]) {
        let bytes = events.iter().map(|event| match event {
            Event::Chunk(chunk) => chunk.choices.iter().map(|choice| choice.delta.text_bytes()).sum(),
            Event::Start(_) | Event::Tier(_) | Event::Usage(_) | Event::Done => 0,
        });
        self.bytes += bytes.sum::<usize>();
    }

    /// Whether a window ended too poor; begins the next one.
    pub fn is_too_slow(&mut self, now: Instant) -> bool {
        if now < self.ends {
            return false;
        }
        let bytes = std::mem::take(&mut self.bytes);
        self.ends = now + self.window;
        (bytes as f64) < self.least
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{ChoiceDelta, Chunk, Delta};

    fn said(text: &str) -> Vec<Event> {
        let delta = Delta { content: Some(text.to_owned()), ..Delta::default() };
        let choices = vec![ChoiceDelta { delta, ..ChoiceDelta::default() }];
        vec![Event::Chunk(Chunk { choices, ..Chunk::default() })]
    }

    #[test]
    fn a_window_with_too_little_is_too_slow_and_the_next_one_starts_afresh() {
        let (second, now) = (Duration::from_secs(1), Instant::now());
        let mut pace = Pace::begin(2.0, 10 * second, now).unwrap();
        assert_eq!(pace.ends(), now + 10 * second);
        pace.count(&said(&"x".repeat(80)));
        assert!(!pace.is_too_slow(now + 9 * second), "the window is not over");
        assert!(!pace.is_too_slow(now + 10 * second), "20 tokens in ten seconds are two per second");
        pace.count(&said(&"x".repeat(79)));
        assert!(pace.is_too_slow(now + 20 * second));
    }

    #[test]
    fn time_in_which_nobody_read_is_not_the_streams() {
        let (second, now) = (Duration::from_secs(1), Instant::now());
        let mut pace = Pace::begin(2.0, 10 * second, now).unwrap();
        pace.stood_still(30 * second);
        assert!(!pace.is_too_slow(now + 39 * second), "nine seconds of the ten are over");
        pace.count(&said(&"x".repeat(79)));
        assert!(pace.is_too_slow(now + 40 * second));
    }

    #[test]
    fn without_a_minimum_any_pace_will_do() {
        assert!(Pace::begin(0.0, Duration::from_secs(1), Instant::now()).is_none());
    }
}
