//! How long, how often and how hard is measured.

use std::time::Duration;

use serde::Serialize;

use crate::bench::target::Shot;

/// The figures that a run is made with; printed with its results.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Plan {
    /// Every measurement is made so often for each target, all targets within each round.
    pub rounds: u32,
    /// The length of one closed-loop stretch.
    pub stretch_ms: u64,
    /// The length of one open-loop stretch.
    pub latency_ms: u64,
    /// Connections of the closed loop.
    pub connections: usize,
    /// Requests per second of the open loop.
    pub rate: f64,
    /// Streams at once, chunks in each, and milliseconds between them; `paced-<chunks>-<ms>` must be a model of the
    /// data planes.
    pub streams: usize,
    pub chunks: u64,
    pub chunk_every_ms: u64,
    /// Connections that send large prompts.
    pub large_connections: usize,
}

impl Plan {
    /// About three minutes for four targets.
    pub const STANDARD: Self = Self {
        rounds: 5,
        stretch_ms: 1_000,
        latency_ms: 1_500,
        connections: 64,
        rate: 400.0,
        streams: 32,
        chunks: 100,
        chunk_every_ms: 10,
        large_connections: 4,
    };

    /// Some five seconds a target: shows that all works, figures are rough.
    pub const QUICK: Self = Self { rounds: 1, stretch_ms: 500, latency_ms: 800, ..Self::STANDARD };

    /// The kinds of request that need a model of their own.
    pub fn shots(&self) -> [Shot; 2] {
        [Shot::Small, Shot::Chunks { count: self.chunks, every_ms: self.chunk_every_ms }]
    }

    pub fn stretch(&self) -> Duration {
        Duration::from_millis(self.stretch_ms)
    }

    pub fn latency_time(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }

    /// Before each measured stretch, unmeasured.
    pub fn warm_up(&self) -> Duration {
        self.stretch() / 8
    }

    /// The time over which streams start, so that their chunks do not all come at once.
    pub fn stream_spread(&self) -> Duration {
        Duration::from_millis(self.chunk_every_ms)
    }
}
