//! The admin port: gRPC, REST, OpenAPI and console on one address.

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::DRAIN;

/// Serves until shutdown, then lets open calls finish.
pub(super) async fn serve(listener: TcpListener, router: axum::Router, shutdown: CancellationToken) {
    let listener = listener.tap_io(|stream| {
        // Without it small answers wait for the other side's acknowledgement.
        let _ = stream.set_nodelay(true);
    });
    let served = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    tokio::select! {
        served = async { served.await } => {
            if let Err(error) = served {
                tracing::error!(%error, "the admin port is closed");
            }
        }
        () = super::drained(&shutdown) => tracing::warn!(after = ?DRAIN, "open admin calls are cut off"),
    }
}
