//! A sketch of a distribution that can be added up, across threads, instances and minutes: a count per bucket, each
//! bucket a tenth wider than the one before.
//!
//! Any value from 1 to about four million units is known within 5 %; what lies outside counts into the first or last
//! bucket. Both planes and the store hold the same buckets, so [`RATIO`] and [`BUCKETS`] are part of the wire.

/// Buckets of a sketch.
pub const BUCKETS: usize = 160;
/// How much wider a bucket is than the one before.
pub const RATIO: f64 = 1.1;

/// Which way is better, for [`Sketch::marks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Latencies: p99 is the largest mark.
    Lower,
    /// Throughputs: p99 is the smallest mark.
    Higher,
}

/// The shares of requests, in percent, that do as well as a mark or better.
pub const SHARES: [u32; 4] = [50, 75, 90, 99];

/// Counts per bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch([u32; BUCKETS]);

/// The buckets of p50, p75, p90 and p99, and of how many values they are the marks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    pub samples: u32,
    pub buckets: [u8; 4],
}

/// The bucket of a value in whole units.
pub fn bucket_of(value: f64) -> usize {
    if value <= 1.0 {
        return 0;
    }
    ((value.ln() / RATIO.ln()).ceil() as usize).min(BUCKETS - 1)
}

/// What stands for the values of a bucket: none in it is further away than 5 %.
pub fn value_of(bucket: usize) -> f64 {
    VALUES[bucket.min(BUCKETS - 1)]
}

/// Made once: a power takes longer than a plan may spend on it.
static VALUES: [f64; BUCKETS] = {
    let (mut values, mut top, mut bucket) = ([0.0; BUCKETS], 1.0, 0);
    while bucket < BUCKETS {
        values[bucket] = 2.0 * top / (RATIO + 1.0);
        top *= RATIO;
        bucket += 1;
    }
    values
};

impl Default for Sketch {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl From<[u32; BUCKETS]> for Sketch {
    fn from(counts: [u32; BUCKETS]) -> Self {
        Self(counts)
    }
}

impl Sketch {
    /// Counts a value.
    pub fn record(&mut self, value: f64) {
        self.add(bucket_of(value), 1);
    }

    /// Adds to one bucket; a bucket that does not exist is passed over.
    pub fn add(&mut self, bucket: usize, count: u32) {
        if let Some(held) = self.0.get_mut(bucket) {
            *held = held.saturating_add(count);
        }
    }

    /// Adds another sketch: the same as if all values had been counted here.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in other.filled() {
            self.add(bucket, count);
        }
    }

    /// The buckets that hold something.
    pub fn filled(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.0.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }

    /// Counts per bucket, all of them.
    pub fn counts(&self) -> &[u32; BUCKETS] {
        &self.0
    }

    /// Where p50, p75, p90 and p99 lie; pXX is what XX % of the values reach or better.
    pub fn marks(&self, better: Better) -> Marks {
        let total: u64 = self.0.iter().copied().map(u64::from).sum();
        if total == 0 {
            return Marks::default();
        }
        let bucket = |place: usize| match better {
            Better::Lower => place,
            Better::Higher => BUCKETS - 1 - place,
        };
        let (mut marks, mut passed, mut next) = ([0; 4], 0, 0);
        for place in 0..BUCKETS {
            passed += u64::from(self.0[bucket(place)]);
            while next < SHARES.len() && passed * 100 >= total * u64::from(SHARES[next]) {
                marks[next] = u8::try_from(bucket(place)).unwrap_or(u8::MAX);
                next += 1;
            }
        }
        Marks { samples: u32::try_from(total).unwrap_or(u32::MAX), buckets: marks }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    fn sketch(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.record(*value));
        sketch
    }

    /// The exact mark: the smallest value that so many percent of all values reach or better.
    fn exact(values: &[f64], share: u32, better: Better) -> f64 {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        if better == Better::Higher {
            values.reverse();
        }
        let rank = (values.len() * share as usize).div_ceil(100);
        values[rank.max(1) - 1]
    }

    fn random(seed: u64) -> Vec<f64> {
        let mut random = StdRng::seed_from_u64(seed);
        let many = random.random_range(1..2000);
        let spread = random.random_range(0.1..14.0);
        (0..many).map(|_| random.random_range(0.0..spread)).map(f64::exp).collect()
    }

    #[test]
    fn every_mark_is_within_five_percent_of_the_exact_one() {
        for seed in 0..200 {
            let values = random(seed);
            for better in [Better::Lower, Better::Higher] {
                let marks = sketch(&values).marks(better);
                for (bucket, share) in marks.buckets.into_iter().zip(SHARES) {
                    let (told, truth) = (value_of(bucket.into()), exact(&values, share, better));
                    let off = (told - truth).abs() / truth;
                    assert!(off < 0.05, "seed {seed}, {better:?} p{share}: {told} for {truth}");
                }
            }
        }
    }

    #[test]
    fn a_merged_sketch_is_the_sketch_of_all_values() {
        for seed in 0..50 {
            let (one, two) = (random(seed), random(seed + 1000));
            let mut merged = sketch(&one);
            merged.merge(&sketch(&two));
            assert_eq!(merged, sketch(&[one, two].concat()), "seed {seed}");
        }
    }

    #[test]
    fn the_better_way_decides_on_which_side_p99_lies() {
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        let lower = sketch(&values).marks(Better::Lower).buckets;
        let higher = sketch(&values).marks(Better::Higher).buckets;
        assert!(lower.is_sorted() && lower[3] > lower[0], "{lower:?}");
        assert!(higher.is_sorted_by(|one, two| one >= two) && higher[3] < higher[0], "{higher:?}");
    }

    #[test]
    fn values_beyond_the_scale_count_at_its_ends() {
        assert_eq!(bucket_of(0.0), 0);
        assert_eq!(bucket_of(-1.0), 0);
        assert_eq!(bucket_of(f64::MAX), BUCKETS - 1);
        assert_eq!(Sketch::default().marks(Better::Lower), Marks::default());
    }
}
