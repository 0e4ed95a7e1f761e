//! Config: the state that the control plane pushes, compiled into what requests read.
//!
//! [`snapshot`] is the read model, [`compile`] makes the next one from a push, [`watch`] hears pushes and [`disk`]
//! keeps the last good state. Settings are another thing: see `settings.rs`.

pub mod compile;
pub mod disk;
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
    /// When the control plane last said that this is the newest; none while never attached.
    confirmed: ArcSwapOption<Instant>,
    max_age: Duration,
    started: Instant,
}

impl Current {
    /// Serves from a snapshot, which may be empty, for at most `max_age` after it was last confirmed.
    pub fn new(snapshot: Snapshot, max_age: Duration) -> Self {
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            confirmed: ArcSwapOption::empty(),
            max_age,
            started: Instant::now(),
        }
    }

    /// The snapshot to serve one request from.
    pub fn load(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Serves from another snapshot from now on.
    pub fn swap(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
        self.confirm();
    }

    /// Notes that the control plane was heard.
    pub fn confirm(&self) {
        self.confirmed.store(Some(Arc::new(Instant::now())));
    }

    /// Time since the control plane was last heard, or since the start.
    pub fn age(&self) -> Duration {
        self.confirmed.load().as_deref().map_or_else(|| self.started.elapsed(), Instant::elapsed)
    }

    /// Whether requests may be served: there is a config and it is not too old.
    pub fn is_servable(&self) -> bool {
        self.snapshot.load().revision.number > 0 && self.age() <= self.max_age
    }
}
