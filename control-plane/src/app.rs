//! The whole control plane in one process: every long-lived part built once, in dependency order; run, and stopped.
//!
//! Ports are taken first, so that a taken one is reported before anything happens. The database may come later: until its
//! schema is there nothing is ready, and everything that needs it answers that it is out of reach.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;
use tokio::{net::TcpListener, sync::watch, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    crypto::{Crypto, master::MasterKey},
    distribution::Feed,
    grpc, jobs, rest,
    service::State,
    settings::Settings,
    telemetry,
    webhooks::send::Sender,
};

mod admin;
mod database;
mod fleet;
mod ops;

pub use database::migrate;

/// How long open calls may finish at shutdown.
const DRAIN: Duration = Duration::from_secs(10);

/// What the process that hosts a control plane hands in.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Renders `/metrics`; `None`: nobody collects them.
    pub metrics: Option<PrometheusHandle>,
    /// The adapters that data planes have; a provider names one of them.
    pub adapters: Vec<&'static str>,
}

/// Why a control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is somebody else's.
    #[error("{addr} is taken; set `{setting}` to another address")]
    PortTaken { addr: SocketAddr, setting: &'static str },
    #[error("cannot listen on {addr} (`{setting}`)")]
    Listen {
        addr: SocketAddr,
        setting: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// A setting is wrong; the reason follows its name in a sentence.
    #[error("`{setting}` {reason}")]
    Setting { setting: &'static str, reason: String },
}

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    pub admin_addr: SocketAddr,
    pub fleet_addr: SocketAddr,
    pub ops_addr: SocketAddr,
    tasks: TaskTracker,
    ready: watch::Receiver<bool>,
}

impl ControlPlane {
    /// Waits until the schema is up to date and calls are served; false when it was stopped before.
    pub async fn ready(&self) -> bool {
        self.ready.clone().wait_for(|is_ready| *is_ready).await.is_ok()
    }

    /// Waits until everything has ended, after shutdown was asked for.
    pub async fn stopped(self) {
        self.tasks.wait().await;
    }
}

/// Starts a control plane. It runs until `shutdown`.
///
/// # Errors
/// [`StartError`] before anything runs. An unreachable database is none: it is waited for.
pub async fn start(
    settings: Settings,
    host: Host,
    shutdown: CancellationToken,
) -> Result<ControlPlane, StartError> {
    let fleet_server = fleet::server(fleet::tls(&settings)?)?;
    let admin = listen(settings.admin_listen, "admin_listen").await?;
    let fleet = listen(settings.fleet_listen, "fleet_listen").await?;
    let ops = listen(settings.ops_listen, "ops_listen").await?;
    let wrong_key = |_| setting("master_key", "is not 32 bytes of base64");
    let crypto = Crypto::new(Arc::new(MasterKey::from_base64(&settings.master_key).map_err(wrong_key)?));
    let (ready, is_ready) = watch::channel(false);
    let options = database::options(&settings)?;
    let pool = database::pool(&settings, options.clone(), is_ready.clone());
    let feed = Feed::new(pool.clone(), crypto.clone());
    let plane = ControlPlane {
        admin_addr: address(&admin, settings.admin_listen),
        fleet_addr: address(&fleet, settings.fleet_listen),
        ops_addr: address(&ops, settings.ops_listen),
        tasks: TaskTracker::new(),
        ready: is_ready,
    };
    telemetry::describe();
    let state = State {
        pool: pool.clone(),
        crypto: crypto.clone(),
        fleet: Arc::new(feed.clone()),
        adapters: host.adapters.into(),
    };
    let router = rest::port(grpc::routes(state.clone()).await);
    let parts =
        Parts { settings, pool, crypto, feed, state, tasks: plane.tasks.clone(), shutdown: shutdown.clone() };
    plane.tasks.spawn(ops::serve(
        ops,
        host.metrics,
        plane.ready.clone(),
        parts.feed.clone(),
        shutdown.clone(),
    ));
    plane.tasks.spawn(admin::serve(admin, router, shutdown));
    plane.tasks.spawn(fleet::serve(fleet, fleet_server, parts.clone()));
    plane.tasks.spawn(run(parts, options, ready));
    tracing::info!(
        admin = %plane.admin_addr,
        fleet = %plane.fleet_addr,
        ops = %plane.ops_addr,
        "the control plane listens"
    );
    Ok(plane)
}

/// What the long-lived parts share. Cheap to clone.
#[derive(Clone)]
struct Parts {
    settings: Settings,
    pool: PgPool,
    crypto: Crypto,
    feed: Feed,
    state: State,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// Brings the schema up to date, then runs what works in the background until shutdown.
async fn run(parts: Parts, options: sqlx::postgres::PgConnectOptions, ready: watch::Sender<bool>) {
    let prepare = database::prepare(options, parts.settings.migrate);
    if parts.shutdown.run_until_cancelled(prepare).await.is_some() {
        ready.send_replace(true);
        tracing::info!("the control plane is ready");
        let Parts { settings, pool, crypto, feed, tasks, shutdown, state: _ } = parts.clone();
        let sender = Sender::new(crypto, settings.webhooks);
        let (jobs_feed, jobs_shutdown) = (feed.clone(), shutdown.clone());
        tasks.spawn(async move { jobs::run((pool, sender), jobs_feed, &settings, jobs_shutdown).await });
        tasks.spawn(feed.run(shutdown.clone()));
        shutdown.cancelled().await;
    }
    ready.send_replace(false);
    parts.tasks.close();
    // Whoever still waits for a database that hangs is not waited for.
    let _ = time::timeout(DRAIN, parts.pool.close()).await;
}

/// Comes when open calls have had their time after shutdown.
async fn drained(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    time::sleep(DRAIN).await;
}

async fn listen(addr: SocketAddr, setting: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(addr).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => StartError::PortTaken { addr, setting },
        _ => StartError::Listen { addr, setting, source },
    })
}

/// The address that a listener really has: port 0 becomes a free one.
fn address(listener: &TcpListener, wanted: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(wanted)
}

fn setting(setting: &'static str, reason: impl Into<String>) -> StartError {
    StartError::Setting { setting, reason: reason.into() }
}
