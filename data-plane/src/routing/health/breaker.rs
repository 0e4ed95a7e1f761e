//! A breaker: keeps requests from an endpoint or credential that is broken, and lets one through now and then to see.
//!
//! `Core` is the rule, on plain values; [`Breaker`] holds one for many threads. Readers take no lock, and neither does
//! a success while all is well. Times are [`Millis`], randomness is an argument.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds on this process's own clock, never 0: 0 means never.
pub type Millis = u64;

/// A probe that has not reported for so long is given up, and another may go.
const PROBE: Millis = 30_000;
/// When to come again while a probe is under way: it tells soon, and nobody knows when.
const PROBED: Millis = 1_000;
/// The longest that a provider's word keeps requests away.
const LONGEST_LIMIT: Millis = 3_600_000;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Failures in a row; twice as many races lost in a row.
    pub failures: u32,
    /// The first pause; each further one is twice as long.
    pub first: Millis,
    /// The longest pause.
    pub longest: Millis,
}

/// An endpoint: short pauses, since its place in the order suffers anyway.
pub const ENDPOINT: Policy = Policy { failures: 5, first: 1_000, longest: 60_000 };
/// A credential that was refused: an operator has to mend it, or the account has to be filled.
pub const CREDENTIAL: Policy = Policy { failures: 1, first: 30_000, longest: 600_000 };

/// Whether requests may go, as of one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum State {
    #[default]
    Closed,
    /// The pause is over and nobody has come back well: one probe at a time.
    HalfOpen,
    /// Failed too often.
    Open {
        /// Milliseconds from the reading until a probe may go.
        until_ms: u64,
    },
    /// The provider said when its limit is reset, or limited us without a word.
    Limited {
        /// Milliseconds from the reading until then.
        until_ms: u64,
    },
}

/// What a request is told that is about to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    Free,
    /// The breaker is half-open and this request finds out: it must report, or give the probe back.
    Probe,
    Shut(Shut),
}

/// Nothing is sent, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shut {
    pub cause: Cause,
    /// Milliseconds until it is worth asking again; for a probe of somebody else's a guess.
    pub for_ms: u64,
}

/// Why nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It failed too often.
    Open,
    /// Another request is finding out whether it is well again.
    Probed,
    /// The provider said when its limit is reset.
    Limited,
}

/// One attempt as a breaker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Well,
    /// At fault itself. `ratio`: it failed too large a share of its attempts, too.
    Failed {
        ratio: bool,
    },
    /// Silent for longer than usual when another answered: half as bad as a failure, since a healthy endpoint loses a race
    /// now and then, but hardly ten in a row.
    Outrun,
    /// Limited; the provider's word on how long.
    Limited(Option<Duration>),
    /// Says nothing of it: a caller's mistake, a caller who left.
    Nothing,
}

/// The rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Core {
    /// Halves of failures in a row.
    halves: u32,
    /// Pauses since the last success.
    pauses: u32,
    /// 0 while closed.
    opened_at: Millis,
    open_until: Millis,
    /// Limits in a row.
    limits: u32,
    limited_until: Millis,
    /// The part of that which the provider asked for.
    asked_until: Millis,
}

impl Core {
    /// What follows of an attempt that began and ended at these times.
    fn told(&mut self, policy: &Policy, began: Millis, now: Millis, seed: u64, told: Told) {
        // What was under way when it opened says nothing about now.
        if self.opened_at > began && !matches!(told, Told::Limited(_)) {
            return;
        }
        match told {
            Told::Well => *self = self.calmed(),
            Told::Failed { ratio } => self.fail(policy, (2, ratio), now, seed),
            Told::Outrun => self.fail(policy, (1, false), now, seed),
            Told::Limited(hint) => self.limit(policy, now, seed, hint),
            Told::Nothing => {}
        }
    }

    fn fail(&mut self, policy: &Policy, (halves, ratio): (u32, bool), now: Millis, seed: u64) {
        self.halves = self.halves.saturating_add(halves);
        let is_over = self.opened_at > 0 && now >= self.open_until;
        let is_enough = self.opened_at == 0 && (ratio || self.halves >= policy.failures.saturating_mul(2));
        if is_over || is_enough {
            self.open(policy, now, seed);
        }
    }

    fn open(&mut self, policy: &Policy, now: Millis, seed: u64) {
        self.opened_at = now;
        self.open_until = now + pause(policy, self.pauses, seed);
        self.pauses = self.pauses.saturating_add(1);
    }

    fn limit(&mut self, policy: &Policy, now: Millis, seed: u64, hint: Option<Duration>) {
        let asked = hint.map(|hint| u64::try_from(hint.as_millis()).unwrap_or(u64::MAX).min(LONGEST_LIMIT));
        let wait = asked.unwrap_or_else(|| pause(policy, self.limits, seed));
        self.limits = self.limits.saturating_add(1);
        self.limited_until = self.limited_until.max(now + wait);
        if asked.is_some() {
            self.asked_until = self.asked_until.max(now + wait);
        }
    }

    /// What a success leaves of it.
    fn calmed(&self) -> Self {
        Self { limited_until: self.limited_until, asked_until: self.asked_until, ..Self::default() }
    }

    fn is_calm(&self) -> bool {
        *self == self.calmed()
    }
}

/// Twice as long each time, up to the longest; between half of that and all of it, so that instances do not come
/// back at once.
fn pause(policy: &Policy, before: u32, seed: u64) -> Millis {
    let full = policy.first.saturating_mul(1 << before.min(20)).min(policy.longest);
    let share = mixed(seed.wrapping_add(u64::from(before))) >> 33;
    full / 2 + (full - full / 2) * share / (1 << 31)
}

/// Spreads the bits of a seed (the finish of SplitMix64).
fn mixed(seed: u64) -> u64 {
    let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ (seed >> 31)
}

/// A breaker that many threads tell and read.
#[derive(Debug)]
pub struct Breaker {
    policy: Policy,
    core: Mutex<Core>,
    /// What readers see of the core, written while it is held.
    open_until: AtomicU64,
    limited_until: AtomicU64,
    asked_until: AtomicU64,
    /// When it last closed after having been open; 0: never.
    closed_at: AtomicU64,
    /// 1 while a success would change something.
    is_tense: AtomicU64,
    /// Until when a probe is waited for; 0: none is under way.
    probe_until: AtomicU64,
}

impl Breaker {
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            core: Mutex::default(),
            open_until: AtomicU64::default(),
            limited_until: AtomicU64::default(),
            asked_until: AtomicU64::default(),
            closed_at: AtomicU64::default(),
            is_tense: AtomicU64::default(),
            probe_until: AtomicU64::default(),
        }
    }

    /// Takes an attempt that began and ended at these times; `seed` decides how long a pause is.
    pub fn tell(&self, began: Millis, now: Millis, seed: u64, told: Told) {
        let is_nothing_new = match told {
            Told::Well => self.is_tense.load(Ordering::Relaxed) == 0,
            Told::Nothing => self.probe_until.load(Ordering::Relaxed) == 0,
            Told::Failed { .. } | Told::Outrun | Told::Limited(_) => false,
        };
        if is_nothing_new {
            return;
        }
        let mut core = self.core();
        let may_be_the_probe = core.opened_at <= began;
        let was_open = core.opened_at > 0;
        core.told(&self.policy, began, now, seed, told);
        if was_open && core.opened_at == 0 {
            self.closed_at.store(now, Ordering::Relaxed);
        }
        self.open_until.store(core.open_until, Ordering::Relaxed);
        self.limited_until.store(core.limited_until, Ordering::Relaxed);
        self.asked_until.store(core.asked_until, Ordering::Relaxed);
        self.is_tense.store(u64::from(!core.is_calm()), Ordering::Relaxed);
        if may_be_the_probe {
            self.probe_until.store(0, Ordering::Relaxed);
        }
    }

    /// The state at this time.
    pub fn state(&self, now: Millis) -> State {
        let limited = self.limited_until.load(Ordering::Relaxed);
        let open = self.open_until.load(Ordering::Relaxed);
        match open {
            _ if limited > now => State::Limited { until_ms: limited - now },
            0 => State::Closed,
            open if open > now => State::Open { until_ms: open - now },
            _ => State::HalfOpen,
        }
    }

    /// Whether a request may go now. In a half-open breaker one may, which claims the probe: the next one may go when it
    /// has reported, was given back, or not for half a minute. A limit without the provider's word on its end keeps nobody.
    pub fn pass(&self, now: Millis) -> Passage {
        let asked = self.asked_until.load(Ordering::Relaxed);
        if asked > now {
            return Passage::Shut(Shut { cause: Cause::Limited, for_ms: asked - now });
        }
        self.pass_unlimited(now)
    }

    /// The same for a request that the limit is not about, as it brings a credential of its own.
    pub fn pass_unlimited(&self, now: Millis) -> Passage {
        let shut = |cause, for_ms| Passage::Shut(Shut { cause, for_ms });
        match self.open_until.load(Ordering::Relaxed) {
            0 => Passage::Free,
            open if open > now => shut(Cause::Open, open - now),
            _ => {
                let claim = |until: Millis| (until <= now).then_some(now + PROBE);
                let claimed = self.probe_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim);
                if claimed.is_ok() { Passage::Probe } else { shut(Cause::Probed, PROBED) }
            }
        }
    }

    /// Takes a probe back that was not sent, or that has its first answer: another may go.
    pub fn give_back(&self) {
        self.probe_until.store(0, Ordering::Relaxed);
    }

    /// When it last closed after having been open; 0: never.
    pub fn closed_at(&self) -> Millis {
        self.closed_at.load(Ordering::Relaxed)
    }

    /// Failures in a row, by its own rule.
    pub fn failures(&self) -> u32 {
        self.core().halves / 2
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
