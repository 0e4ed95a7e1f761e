//! The ops port: `/livez`, `/readyz`, `/metrics`. No key, so nothing here is anybody's secret.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::distribution::Feed;

#[derive(Clone)]
struct Ops {
    metrics: Option<PrometheusHandle>,
    ready: watch::Receiver<bool>,
    feed: Feed,
}

/// Serves until everything else has ended: probes must see the shutdown.
pub(super) async fn serve(
    listener: TcpListener,
    metrics: Option<PrometheusHandle>,
    ready: watch::Receiver<bool>,
    feed: Feed,
    shutdown: CancellationToken,
) {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(Ops { metrics, ready, feed });
    tokio::select! {
        served = async { axum::serve(listener, router).await } => {
            if let Err(error) = served {
                tracing::error!(%error, "the ops port is closed");
            }
        }
        () = shutdown.cancelled() => {}
    }
}

/// Ready from the first time that the schema is there. A database that goes away later is told, but changes nothing:
/// sending callers elsewhere would not bring it back.
async fn readyz(State(ops): State<Ops>) -> Response {
    let is_ready = *ops.ready.borrow();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let store = if is_ready && ops.feed.is_store_reachable() { "reachable" } else { "unreachable" };
    (status, Json(json!({"ready": is_ready, "store": store}))).into_response()
}

async fn render(State(ops): State<Ops>) -> Response {
    match ops.metrics {
        Some(metrics) => {
            metrics.run_upkeep();
            let kind = [("content-type", "text/plain; version=0.0.4; charset=utf-8")];
            (kind, metrics.render()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "metrics are not collected\n").into_response(),
    }
}
