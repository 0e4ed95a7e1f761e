//! SIGINT and SIGTERM: the first asks the process to stop, the second ends it at once.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What shells report for a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// A token that is cancelled by the first signal.
///
/// # Errors
/// When the process may not handle signals.
pub fn stop_requested(tasks: &TaskTracker) -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let asked = CancellationToken::new();
    let stop = asked.clone();
    tasks.spawn(async move {
        for is_first in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if is_first {
                stop.cancel();
            }
        }
        std::process::exit(INTERRUPTED);
    });
    Ok(asked)
}
