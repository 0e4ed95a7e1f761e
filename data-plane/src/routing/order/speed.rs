//! How fast endpoints have been, as an order, and whether that is as fast as was wished.

use crate::model::preferences::Percentiles;
use crate::routing::health::{Quantiles, Reading};
use crate::routing::wishes::Wishes;

/// Lower for more tokens per second; the highest where nothing is known.
pub fn slowness(reading: &Reading) -> f64 {
    known(&reading.throughput).map_or(f64::INFINITY, |speed| -f64::from(speed.p50))
}

/// Milliseconds to first content; the highest where nothing is known.
pub fn latency(reading: &Reading) -> f64 {
    known(&reading.latency_ms).map_or(f64::INFINITY, |latency| f64::from(latency.p50))
}

/// How far the two wishes are missed: 2 for a figure that is, 1 for one that is not known.
pub fn misses(wishes: &Wishes<'_>, reading: &Reading) -> u8 {
    let is_fast = |wish: f64, is: f32| f64::from(is) >= wish;
    let is_quick = |wish: f64, is_ms: f32| f64::from(is_ms) <= wish * 1000.0;
    miss(&wishes.min_throughput, &reading.throughput, is_fast)
        + miss(&wishes.max_latency, &reading.latency_ms, is_quick)
}

fn miss(wish: &Percentiles, figures: &Quantiles, meets: fn(f64, f32) -> bool) -> u8 {
    if wish.is_empty() {
        return 0;
    }
    let Some(is) = known(figures) else { return 1 };
    let pairs = [(wish.p50, is.p50), (wish.p75, is.p75), (wish.p90, is.p90), (wish.p99, is.p99)];
    let is_met = pairs.into_iter().all(|(wish, is)| wish.is_none_or(|wish| meets(wish, is)));
    if is_met { 0 } else { 2 }
}

/// Figures that come from samples.
pub fn known(figures: &Quantiles) -> Option<&Quantiles> {
    Some(figures).filter(|figures| figures.samples > 0)
}
