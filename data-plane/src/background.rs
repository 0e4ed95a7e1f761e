//! The runtime for work that no request waits for: shipping, leases, dialling.
//!
//! The request path has its own runtimes. `app` builds one [`Background`] and hands clones to whoever has such work.

use std::{future::Future, time::Duration};

use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Starts tasks that shutdown can wait for.
#[derive(Clone, Debug)]
pub struct Background {
    handle: Handle,
    tracker: TaskTracker,
    stopping: CancellationToken,
}

impl Background {
    /// Tasks will run on this runtime.
    pub fn new(handle: Handle) -> Self {
        Self { handle, tracker: TaskTracker::new(), stopping: CancellationToken::new() }
    }

    /// Runs a future to its end; loops watch [`Background::stopping`].
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tracker.spawn_on(future, &self.handle)
    }

    /// Runs a function that blocks, e.g. on the disk.
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.tracker.spawn_blocking_on(work, &self.handle)
    }

    /// Cancelled when every loop must end.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// The runtime itself, for libraries that start tasks of their own.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends every loop and waits for the tasks; false if some still ran after `within`.
    pub async fn stop(&self, within: Duration) -> bool {
        self.stopping.cancel();
        self.tracker.close();
        tokio::time::timeout(within, self.tracker.wait()).await.is_ok()
    }
}
