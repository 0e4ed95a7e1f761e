//! What is going to happen: which parts are struck, how and when. A seed decides all of it.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// How many data planes there are.
pub const PLANES: usize = 3;
/// How many callers call at once.
pub const CALLERS: usize = 200;

/// Faults in a minute, at least.
const FAULTS: usize = 30;
/// Longer runs have a fault this often.
const EVERY: Duration = Duration::from_secs(2);
/// No fault begins in the last seconds; then callers spend what is left of the keys that they have begun.
pub const TAIL: Duration = Duration::from_secs(10);
/// Runs of this length and more freeze also what everything hangs on for longer than the longest deadline.
const LONG: Duration = Duration::from_secs(180);

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    /// How long callers call.
    pub lasts: Duration,
    /// By the time at which they begin, counted from the end of the warm-up.
    pub faults: Vec<Fault>,
    /// Whether the grant's condition is taken away, which the run must notice.
    pub is_unguarded: bool,
}

/// One blow at one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub at: Duration,
    pub lasts: Duration,
    pub kind: Kind,
    /// Which data plane, where one is struck.
    pub plane: usize,
    /// A partition without a word, else connections break.
    pub is_silent: bool,
}

/// What is done to which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    KillPlane,
    FreezePlane,
    PartPlane,
    KillControl,
    FreezeControl,
    PartControl,
    KillPostgres,
    FreezePostgres,
    KillRedis,
    FreezeRedis,
    PartRedis,
}

pub const KINDS: [Kind; 11] = [
    Kind::KillPlane,
    Kind::FreezePlane,
    Kind::PartPlane,
    Kind::KillControl,
    Kind::FreezeControl,
    Kind::PartControl,
    Kind::KillPostgres,
    Kind::FreezePostgres,
    Kind::KillRedis,
    Kind::FreezeRedis,
    Kind::PartRedis,
];

/// What money hangs on.
const CORE: [Kind; 5] =
    [Kind::KillControl, Kind::FreezeControl, Kind::PartControl, Kind::KillPostgres, Kind::FreezePostgres];
/// The rest.
const RIM: [Kind; 6] = [
    Kind::KillPlane,
    Kind::FreezePlane,
    Kind::PartPlane,
    Kind::KillRedis,
    Kind::FreezeRedis,
    Kind::PartRedis,
];
/// A storm strikes each of the core once, this far apart.
const GUST: Duration = Duration::from_millis(700);
const STORM_EVERY: Duration = Duration::from_secs(60);

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::KillPlane => "kill -9 of a data plane",
            Self::FreezePlane => "SIGSTOP of a data plane",
            Self::PartPlane => "partition: data plane, control plane",
            Self::KillControl => "kill -9 of the control plane",
            Self::FreezeControl => "SIGSTOP of the control plane",
            Self::PartControl => "partition: control plane, Postgres",
            Self::KillPostgres => "kill -9 of Postgres",
            Self::FreezePostgres => "SIGSTOP of Postgres",
            Self::KillRedis => "kill -9 of Redis",
            Self::FreezeRedis => "SIGSTOP of Redis",
            Self::PartRedis => "partition: data plane, Redis",
        }
    }

    /// Milliseconds that it lasts. The longest deadline of a data plane is ten seconds (a report), a request's is three.
    fn range(self, is_long: bool) -> std::ops::Range<u64> {
        match self {
            Self::KillPlane | Self::KillRedis => 200..1_500,
            Self::FreezePlane => 10_500..12_000,
            Self::PartPlane => 1_000..5_000,
            Self::KillControl => 200..1_000,
            Self::FreezeControl | Self::FreezePostgres if is_long => 10_500..12_000,
            Self::FreezeControl | Self::FreezePostgres => 4_200..4_600,
            Self::PartControl | Self::FreezeRedis | Self::PartRedis => 1_000..3_000,
            Self::KillPostgres => 100..500,
        }
    }

    /// A part is struck by one fault at a time; a data plane's wires count as the data plane.
    fn part(self, plane: usize) -> usize {
        match self {
            Self::KillPlane | Self::FreezePlane | Self::PartPlane | Self::PartRedis => plane,
            Self::KillControl | Self::FreezeControl | Self::PartControl => PLANES,
            Self::KillPostgres | Self::FreezePostgres => PLANES + 1,
            Self::KillRedis | Self::FreezeRedis => PLANES + 2,
        }
    }
}

impl Plan {
    /// A run with faults all the time.
    pub fn new(seed: u64, lasts: Duration) -> Self {
        Self { seed, lasts, faults: faults(seed, lasts), is_unguarded: false }
    }

    /// A short run without faults and without the grant's condition.
    pub fn unguarded(seed: u64, lasts: Duration) -> Self {
        Self { seed, lasts, faults: Vec::new(), is_unguarded: true }
    }
}

/// At least thirty a minute, each kind at least twice.
///
/// What money hangs on is struck in storms, so that there is money between them; the rest all the time.
fn faults(seed: u64, lasts: Duration) -> Vec<Fault> {
    let mut dice = StdRng::seed_from_u64(seed);
    let span = lasts.saturating_sub(super::WARM_UP + TAIL);
    let count = FAULTS.max((lasts.as_secs_f64() / EVERY.as_secs_f64()) as usize);
    let storms = usize::max(2, (lasts.as_secs_f64() / STORM_EVERY.as_secs_f64()) as usize);
    let mut drawn: Vec<(Duration, Kind)> = Vec::new();
    for storm in 0..storms {
        let mut kinds = CORE;
        kinds.shuffle(&mut dice);
        let begins = span.mul_f64((storm as f64 + dice.random_range(0.2..0.5)) / storms as f64);
        drawn.extend((0..).zip(kinds).map(|(number, kind)| (begins + GUST * number, kind)));
    }
    let least = [RIM, RIM].concat();
    let further = (drawn.len() + least.len()..count).map(|_| RIM[dice.random_range(0..RIM.len())]);
    let mut kinds: Vec<Kind> = further.collect();
    kinds.extend(least);
    kinds.shuffle(&mut dice);
    let rim = kinds.len() as f64;
    for (number, kind) in kinds.into_iter().enumerate() {
        drawn.push((span.mul_f64((number as f64 + dice.random_range(0.0..1.0)) / rim), kind));
    }
    drawn.sort_by_key(|(due, _)| *due);
    placed(drawn, lasts >= LONG, &mut dice)
}

/// Gives each its part, its length, and a time at which nothing else happens to the part.
fn placed(drawn: Vec<(Duration, Kind)>, is_long: bool, dice: &mut StdRng) -> Vec<Fault> {
    let mut free_at = [Duration::ZERO; PLANES + 3];
    let place = |(due, kind): (Duration, Kind)| {
        let lasts = Duration::from_millis(dice.random_range(kind.range(is_long)));
        let plane = free_plane(&free_at, dice.random_range(0..PLANES), due);
        let part = kind.part(plane);
        let at = due.max(free_at[part]);
        free_at[part] = at + lasts + PAUSE;
        Fault { at, lasts, kind, plane, is_silent: dice.random_bool(0.5) }
    };
    let mut faults: Vec<Fault> = drawn.into_iter().map(place).collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// Between two faults of one part.
const PAUSE: Duration = Duration::from_millis(500);

/// The wanted data plane, or another that nothing happens to at the moment, or the one that is free first.
fn free_plane(free_at: &[Duration], wanted: usize, due: Duration) -> usize {
    let order = || (0..PLANES).map(|n| (wanted + n) % PLANES);
    order()
        .find(|plane| free_at[*plane] <= due)
        .unwrap_or_else(|| order().min_by_key(|plane| free_at[*plane]).unwrap_or(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_thirty_faults_and_each_kind_twice() {
        for seed in 0..200 {
            let faults = Plan::new(seed, Duration::from_secs(60)).faults;
            assert!(faults.len() >= FAULTS, "{seed}");
            for kind in KINDS {
                assert!(faults.iter().filter(|fault| fault.kind == kind).count() >= 2, "{seed} {kind:?}");
            }
        }
    }

    #[test]
    fn the_seed_decides_everything() {
        let plan = |seed| Plan::new(seed, Duration::from_secs(60)).faults;
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn a_part_is_struck_by_one_fault_at_a_time() {
        let faults = Plan::new(3, Duration::from_secs(600)).faults;
        for (number, one) in faults.iter().enumerate() {
            for other in &faults[number + 1..] {
                let is_same = one.kind.part(one.plane) == other.kind.part(other.plane);
                assert!(!is_same || one.at + one.lasts <= other.at, "{one:?} {other:?}");
            }
        }
    }
}
