//! The request threads: each has a runtime of its own, a listening socket and a pool of connections.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::server::listen;

/// How long requests and connections may take to end once they must.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What one request thread runs.
pub struct Worker {
    pub listener: TcpListener,
    /// Made on the thread, inside its runtime, from the tracker of its requests and from what ends them at once.
    pub router: Box<dyn FnOnce(TaskTracker, CancellationToken) -> Router + Send>,
    pub tls: Option<TlsAcceptor>,
    pub draining: CancellationToken,
    pub drain: Duration,
}

/// How many request threads there are: the setting, or one per core.
pub fn count(setting: usize) -> usize {
    match setting {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// Starts request threads; they end once draining is over.
///
/// # Errors
/// The operating system's, for want of threads.
pub fn start(workers: Vec<Worker>) -> std::io::Result<Vec<JoinHandle<()>>> {
    let named = workers.into_iter().enumerate().map(|(number, worker)| {
        std::thread::Builder::new().name(format!("requests-{number}")).spawn(move || run(worker))
    });
    named.collect()
}

fn run(worker: Worker) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => return tracing::error!(%error, "a request thread has no runtime"),
    };
    let Worker { listener, router, tls, draining, drain } = worker;
    runtime.block_on(async {
        let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
        let router = router(tasks.clone(), closing.clone());
        let (until, open) = (draining.clone(), tasks.clone());
        let close = async move {
            until.cancelled().await;
            open.close();
            Instant::now() + drain
        };
        let (served, until) = tokio::join!(listen::serve(listener, router, tls, draining, drain), close);
        let connections = served.unwrap_or_else(|error| {
            tracing::error!(%error, "a request thread could not listen");
            TaskTracker::new()
        });
        end(&tasks, &connections, &closing, until).await;
    });
}

/// Waits for requests, those whose callers have left included; at the end of the drain they end, in good order.
async fn end(tasks: &TaskTracker, connections: &TaskTracker, closing: &CancellationToken, until: Instant) {
    if timeout_at(until, tasks.wait()).await.is_ok() {
        return;
    }
    tracing::warn!(open = tasks.len(), "requests were still under way at the end of the drain");
    closing.cancel();
    let ended = async {
        tasks.wait().await;
        // What callers are told last is still to be written.
        connections.wait().await;
    };
    if timeout(LAST_WORDS, ended).await.is_err() {
        tracing::warn!(
            open = tasks.len(),
            "requests did not end in time: their attempts are booked as interrupted"
        );
    }
}
