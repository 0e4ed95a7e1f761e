//! Config: the state that the control plane pushes, compiled into what requests read.
//!
//! [`snapshot`] is the read model, [`compile`] makes the next one from a push, [`watch`] hears pushes, [`lookup`]
//! asks for a key that has not arrived yet, and [`disk`] keeps the last good state; [`fleet`] reads how
//! endpoints do elsewhere. Settings are another thing: see `settings.rs`.

pub mod compile;
pub mod disk;
#[cfg(test)]
pub mod fixtures;
pub mod fleet;
pub mod lookup;
pub mod pending;
pub mod shards;
pub mod snapshot;
pub mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::config::snapshot::Snapshot;

/// The current config: read by every request once, replaced by [`watch`] alone.
#[derive(Debug)]
pub struct Current {
    snapshot: ArcSwap<Snapshot>,
    /// Since when the control plane has not been heard; absent while it is.
    silent: ArcSwapOption<Silence>,
    max_age: Duration,
}

/// How long ago the config was last known to be the newest.
#[derive(Debug)]
struct Silence {
    since: Instant,
    /// How old it was then.
    before: Duration,
}

impl Current {
    /// Serves from a snapshot that was confirmed `age` ago, until it is older than `max_age`.
    pub fn new(snapshot: Snapshot, age: Duration, max_age: Duration) -> Self {
        let silence = Silence { since: Instant::now(), before: age };
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            silent: ArcSwapOption::from_pointee(silence),
            max_age,
        }
    }

    /// The snapshot to serve one request from.
    pub fn load(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Serves from another snapshot from now on.
    pub fn swap(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }

    /// Notes that the control plane is there: what is held is the newest, or about to be replaced by it.
    pub fn attached(&self) {
        self.silent.store(None);
    }

    /// Notes that the control plane is gone.
    pub fn detached(&self) {
        if self.silent.load().is_none() {
            let silence = Silence { since: Instant::now(), before: Duration::ZERO };
            self.silent.store(Some(Arc::new(silence)));
        }
    }

    /// How long ago the config was last known to be the newest.
    pub fn age(&self) -> Duration {
        self.silent.load().as_ref().map_or(Duration::ZERO, |silence| silence.before + silence.since.elapsed())
    }

    /// Whether requests may be served: there is a config and it is not too old.
    pub fn is_servable(&self) -> bool {
        self.snapshot.load().revision.number > 0 && self.age() <= self.max_age
    }
}
