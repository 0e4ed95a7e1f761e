//! How each endpoint has been doing lately: told by every attempt, read by every plan.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use switchyard_proto::id::{EndpointId, ModelId};

/// An endpoint with a failure this recent goes behind those without.
const OUTAGE: Duration = Duration::from_secs(30);

/// What is known of endpoints' health in this process.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    cells: RwLock<HashMap<(ModelId, EndpointId), Arc<Cell>>>,
}

/// Milliseconds since `started`, plus one, so that 0 means never.
#[derive(Debug, Default)]
struct Cell {
    failed_at: AtomicU64,
    succeeded_at: AtomicU64,
}

/// How an attempt ended, as far as the endpoint is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Healthy,
    /// Refused, broken, slow or overloaded; a caller's mistake is none of these.
    Failing,
}

impl Default for Health {
    fn default() -> Self {
        Self { started: Instant::now(), cells: RwLock::default() }
    }
}

impl Health {
    /// Takes the outcome of one attempt.
    pub fn tell(&self, model: &ModelId, endpoint: &EndpointId, verdict: Verdict) {
        let now = self.now();
        let cell = self.cell(model, endpoint);
        let at = match verdict {
            Verdict::Healthy => &cell.succeeded_at,
            Verdict::Failing => &cell.failed_at,
        };
        at.store(now, Ordering::Relaxed);
    }

    /// Whether the endpoint failed within the last half minute and has not answered well since.
    pub fn is_failing(&self, model: &ModelId, endpoint: &EndpointId) -> bool {
        let cells = self.cells.read().expect("nobody panics while holding it");
        let Some(cell) = cells.get(&(model.clone(), endpoint.clone())) else { return false };
        let failed = cell.failed_at.load(Ordering::Relaxed);
        let recent = u64::try_from(OUTAGE.as_millis()).unwrap_or(u64::MAX);
        failed > cell.succeeded_at.load(Ordering::Relaxed) && self.now().saturating_sub(failed) <= recent
    }

    fn cell(&self, model: &ModelId, endpoint: &EndpointId) -> Arc<Cell> {
        let id = (model.clone(), endpoint.clone());
        if let Some(cell) = self.cells.read().expect("nobody panics while holding it").get(&id) {
            return cell.clone();
        }
        self.cells.write().expect("nobody panics while holding it").entry(id).or_default().clone()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_counts_until_a_success_follows() {
        let health = Health::default();
        let (model, endpoint) = (ModelId::new("a/b"), EndpointId::new("c"));
        assert!(!health.is_failing(&model, &endpoint));
        health.tell(&model, &endpoint, Verdict::Failing);
        assert!(health.is_failing(&model, &endpoint));
        health.tell(&model, &endpoint, Verdict::Healthy);
        assert!(!health.is_failing(&model, &endpoint));
    }
}
