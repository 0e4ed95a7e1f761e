//! Prices as an order, and lots drawn by 1/price².

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use switchyard_proto::price::Prices;

/// Prompt plus completion price in dollars per million tokens: what load balancing compares.
pub fn dollars(prices: &Prices) -> f64 {
    prices.input.0.saturating_add(prices.output.0) as f64 / 1e9
}

/// Draws lots, the same ones for the same seed.
pub struct Lots(SmallRng);

impl Lots {
    /// Lots of this seed.
    pub fn new(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// A lot; the chance to have the lowest is proportional to 1/price².
    pub fn draw(&mut self, price: f64) -> f64 {
        lot(self.0.random_range(f64::MIN_POSITIVE..1.0), 1.0 / (price * price).max(1e-24))
    }
}

/// A lot from an even share of 0 to 1; the chance to have the lowest is proportional to the weight.
///
/// Efraimidis and Spirakis: sorting by u^(1/weight), falling, draws without replacement by weight.
pub fn lot(share: f64, weight: f64) -> f64 {
    -share.ln() / weight
}
