//! What happened at one endpoint since it was last reported to the control plane.

use switchyard_proto::id::{EndpointId, ModelId};
use switchyard_proto::sketch::Sketch;

use crate::routing::health::breaker::{Millis, State};
use crate::routing::health::cell::Cell;
use crate::routing::health::count::Counts;

/// News of one endpoint. Counts and sketches hold what was counted since the last delta; the rest is as of now.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    pub model: ModelId,
    pub endpoint: EndpointId,
    pub counts: Counts,
    /// Milliseconds to first content.
    pub latency: Sketch,
    /// Completion tokens per second, in units of a tenth.
    pub throughput: Sketch,
    pub consecutive_failures: u32,
    pub state: State,
    /// Milliseconds since then; `None`: never, here.
    pub failed_ago: Option<Millis>,
    pub succeeded_ago: Option<Millis>,
}

impl Delta {
    /// Takes the news of an endpoint; `None` if there is none.
    pub fn take(now: Millis, model: &ModelId, endpoint: &EndpointId, cell: &Cell) -> Option<Self> {
        let (counts, latency, throughput) = cell.take_unreported()?;
        let (failed_ago, succeeded_ago) = cell.ages(now);
        Some(Self {
            model: model.clone(),
            endpoint: endpoint.clone(),
            counts,
            latency,
            throughput,
            consecutive_failures: cell.breaker.failures(),
            state: cell.breaker.state(now),
            failed_ago,
            succeeded_ago,
        })
    }
}
