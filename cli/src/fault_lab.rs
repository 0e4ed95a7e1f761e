//! A provider of every dialect on loopback that answers well and misbehaves on demand.
//!
//! It is the engine behind the provider `echo` of `switchyard dev`, the scripted upstream of the tests, and (as
//! a process of its own, `switchyard fault-lab`) the fast upstream of the benches. A name chooses what happens:
//! the request's model, its `x-fault` header, or an order placed by a test; see [`behaviours`] for the table.
//! It takes any key, so it must never listen beyond loopback in earnest.
//!
//! The path of a request says which dialect it is in; where two share a path, what stands before it does
//! (`/mistral/…`, `/openai/…` for Azure).
//!
//! Embeddings and rankings are there too, where the dialect has them (`beside`).
//!
//! Map: `behaviour` (names to scripts), `script` (what happens), `ask` and `reply` (what was asked, what is
//! answered), `dialect` (how that is written), `perform` (the steps to play), `stage` and `server` (playing
//! them), `orders` and `witness` (what tests order and see), `bill` (what it would cost), `admin` (all that over HTTP),
//! `prepared` (the fast path), `replay` (recordings).

mod admin;
mod ask;
mod behaviour;
mod beside;
mod bill;
mod command;
mod dialect;
mod orders;
mod perform;
mod prepared;
mod replay;
mod reply;
mod schema;
mod script;
mod server;
mod stage;
#[cfg(test)]
mod tests;
mod witness;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use crate::fault_lab::behaviour::{Behaviour, Ending, UnknownBehaviour, behaviours};
pub use crate::fault_lab::bill::{Billed, COMPLETION_NANO_USD, Called, PROMPT_NANO_USD};
pub use crate::fault_lab::command::{Args, CommandError, run};
pub(crate) use crate::fault_lab::command::{announce, until_stopped};
pub use crate::fault_lab::prepared::FIXED_INPUT_TOKENS;
pub use crate::fault_lab::replay::{Recording, ReplayError};
pub use crate::fault_lab::reply::{BYTES_PER_TOKEN, FIXED_WORD, TOKENS_PER_MEDIUM, tokens};
pub use crate::fault_lab::server::FAULT_HEADER;
pub use crate::fault_lab::witness::{Counts, Received, Waited};

use crate::fault_lab::orders::Order;
use crate::fault_lab::server::Lab;

/// How a lab is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many requests to keep for [`FaultLab::received`], the newest; 0 keeps none and costs nothing.
    pub keep_received: usize,
    /// How many ended calls to keep for [`FaultLab::calls`], the newest.
    pub keep_calls: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), keep_received: 0, keep_calls: 0 }
    }
}

impl Settings {
    /// For tests: any free port, and the last thousand requests and calls kept.
    pub fn recording() -> Self {
        Self { keep_received: 1_000, keep_calls: 1_000, ..Self::default() }
    }
}

/// Why a lab did not start.
#[derive(Debug, thiserror::Error)]
#[error("the fault lab cannot listen on {addr}")]
pub struct StartError {
    addr: SocketAddr,
    source: std::io::Error,
}

/// A running lab; dropping it stops it.
pub struct FaultLab {
    /// Where it listens.
    pub addr: SocketAddr,
    lab: Arc<Lab>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Runs a lab until `shutdown`.
pub async fn serve(settings: Settings, shutdown: CancellationToken) -> Result<(), StartError> {
    let lab = FaultLab::start(settings).await?;
    shutdown.cancelled().await;
    lab.stop().await;
    Ok(())
}

impl FaultLab {
    /// Starts a lab on the current runtime.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let failed = |source| StartError { addr: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let lab =
            Arc::new(Lab::new(settings.keep_received, settings.keep_calls, chrono::Utc::now().timestamp()));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(server::accept(listener, lab.clone(), tasks.clone(), stop.clone()));
        Ok(Self { addr, lab, tasks, stop })
    }

    /// `http://` and the address, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Stops listening and drops all connections; from then on the port refuses connections.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Orders behaviours for the coming calls, one each, in this order. They win over header and model.
    ///
    /// # Errors
    /// A name that is not in the table; nothing is ordered then.
    pub fn script<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), UnknownBehaviour> {
        self.lab.orders.queue(orders::scripts(names)?);
        Ok(())
    }

    /// Orders recorded answers for the coming calls, one each.
    pub fn replay(&self, recordings: impl IntoIterator<Item = Recording>) {
        self.lab.orders.queue(recordings.into_iter().map(Order::Recording));
    }

    /// Reads recorded exchanges and orders their answers for the coming calls.
    ///
    /// # Errors
    /// A file that cannot be read or is no recording; nothing is ordered then.
    pub fn replay_files<'a>(&self, paths: impl IntoIterator<Item = &'a Path>) -> Result<(), ReplayError> {
        let recordings: Vec<Recording> = paths.into_iter().map(Recording::read).collect::<Result<_, _>>()?;
        self.replay(recordings);
        Ok(())
    }

    /// Makes every call behave as `name` that is not ordered or named by a header; `None` ends that.
    ///
    /// # Errors
    /// A name that is not in the table; nothing changes then.
    pub fn always(&self, name: Option<&str>) -> Result<(), UnknownBehaviour> {
        self.lab.orders.set_always(name.map(orders::script).transpose()?);
        Ok(())
    }

    /// The requests kept, oldest first. Empty unless [`Settings::keep_received`] is set.
    pub fn received(&self) -> Vec<Received> {
        self.lab.witness.received()
    }

    pub fn forget_received(&self) {
        self.lab.witness.forget_received();
    }

    pub fn counts(&self) -> Counts {
        self.lab.witness.counts()
    }

    /// What a provider would have billed for the calls that have ended, by dialect and model.
    pub fn billed(&self) -> Vec<Billed> {
        self.lab.witness.ledger.billed()
    }

    /// The calls that have ended, one by one, oldest first. Empty unless [`Settings::keep_calls`] is set.
    pub fn calls(&self) -> Vec<Called> {
        self.lab.witness.ledger.calls()
    }

    /// Waits until `n` requests have been read, since the start.
    pub async fn wait_for_requests(&self, n: u64, timeout: Duration) -> Result<(), Waited> {
        self.lab.witness.wait_for("requests", |counts| counts.requests, n, timeout).await
    }

    /// Waits until the lab has done its part of `n` calls, since the start.
    pub async fn wait_for_finished(&self, n: u64, timeout: Duration) -> Result<(), Waited> {
        self.lab.witness.wait_for("finished calls", |counts| counts.finished, n, timeout).await
    }

    /// Waits until the clients of `n` calls have gone away before the end, since the start.
    pub async fn wait_for_cancelled(&self, n: u64, timeout: Duration) -> Result<(), Waited> {
        self.lab.witness.wait_for("cancelled calls", |counts| counts.cancelled, n, timeout).await
    }
}

impl Drop for FaultLab {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
