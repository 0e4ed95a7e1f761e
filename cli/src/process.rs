//! What every long-running command needs around its work: telemetry, signals, and an end in good order.

use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    signals::stop_requested,
    telemetry::{Log, Telemetry},
};

/// A process that logs, and can be asked to stop.
pub struct Process {
    telemetry: Telemetry,
    stop: CancellationToken,
}

impl Process {
    /// Sets up telemetry under this name and signals, and logs what is odd about the settings.
    ///
    /// # Errors
    /// When telemetry or signals cannot be set up.
    pub fn start(service: &'static str, log: &Log, warnings: &[String]) -> anyhow::Result<Self> {
        let telemetry = Telemetry::start(service, log)?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        Ok(Self { telemetry, stop: stop_requested(&TaskTracker::new())? })
    }

    /// Cancelled when the process is asked to stop.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Shows all metrics.
    pub fn metrics(&self) -> PrometheusHandle {
        self.telemetry.metrics()
    }

    /// Sends the last spans.
    pub fn end(self) {
        self.telemetry.shutdown();
    }
}
