//! The ops port: alive, ready, metrics. No key, no clients.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::{StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Current;
use crate::journal::Journal;
use crate::telemetry::record;

/// What the ops port reads.
#[derive(Clone)]
pub struct Ops {
    pub current: Arc<Current>,
    pub journal: Arc<Journal>,
    pub draining: CancellationToken,
    pub metrics: PrometheusHandle,
}

/// The ops port's router.
pub fn router(ops: Ops) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(render))
        .with_state(ops)
}

/// Ready means: can serve with what it holds. Redis, Postgres and the control plane are not asked.
async fn ready(State(ops): State<Ops>) -> (StatusCode, &'static str) {
    let refused = |why| (StatusCode::SERVICE_UNAVAILABLE, why);
    if ops.draining.is_cancelled() {
        refused("stopping\n")
    } else if !ops.current.is_servable() {
        refused("no config that is new enough\n")
    } else if !ops.journal.accepts() {
        refused("the journal takes no more\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn render(State(ops): State<Ops>) -> ([(header::HeaderName, &'static str); 1], String) {
    record::config_age(ops.current.age());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], ops.metrics.render())
}
