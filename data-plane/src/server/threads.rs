//! The request threads: each has a runtime of its own, a listening socket and a pool of connections.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::server::listen;

/// What one request thread runs.
pub struct Worker {
    pub listener: TcpListener,
    /// Made on the thread, inside its runtime.
    pub router: Box<dyn FnOnce(TaskTracker) -> Router + Send>,
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
        let tasks = TaskTracker::new();
        let closing = tasks.clone();
        let router = router(tasks.clone());
        let until = draining.clone();
        let close = async move {
            until.cancelled().await;
            closing.close();
        };
        let (served, ()) = tokio::join!(listen::serve(listener, router, tls, draining, drain), close);
        if let Err(error) = served {
            tracing::error!(%error, "a request thread could not listen");
        }
        // Requests whose callers have left still settle.
        if tokio::time::timeout(drain, tasks.wait()).await.is_err() {
            tracing::warn!(open = tasks.len(), "requests were still under way at the end of the drain");
        }
    });
}
