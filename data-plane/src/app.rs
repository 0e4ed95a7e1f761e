//! Every long-lived part of a data plane, built once and by hand, in the order in which they need each other.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use switchyard_proto::seal::{SealError, SealKey};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::account::AccountApi;
use crate::background::Background;
use crate::cache::Cache;
use crate::config::Current;
use crate::config::disk::{Disk, Found};
use crate::config::lookup::Lookup;
use crate::config::watch::Watch;
use crate::drift::Drift;
use crate::journal::{Journal, JournalError};
use crate::limits::rates::{RateError, RateLimiter};
use crate::limits::{Limits, Parts};
use crate::link::{Link, LinkError};
use crate::pipeline::Pipeline;
use crate::pipeline::refusals::Refusals;
use crate::pipeline::retries::Budgets;
use crate::routing::health::Health;
use crate::routing::sticky::Stickiness;
use crate::server::listen;
use crate::server::ops::{self, Ops};
use crate::server::routes::{self, Client};
use crate::server::threads::{self, Worker};
use crate::server::tls::{self, TlsError};
use crate::settings::Settings;
use crate::upstream::fetch::Fetcher;
use crate::upstream::fetch::room::Room;
use crate::upstream::guard::PrivateUpstreams;
use crate::upstream::http::HttpClient;
use crate::upstream::sign::Signer;
use crate::usage::{self, ship::Shipper};

/// Longest wait for unsent records and for leases to be given back at the end.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// A running data plane.
#[derive(Debug)]
pub struct DataPlane {
    /// Where clients are served.
    pub addr: SocketAddr,
    pub ops_addr: SocketAddr,
    /// What is served from: for who holds a record against it.
    pub config: Arc<Current>,
    stopped: tokio::task::JoinHandle<()>,
}

/// Why a data plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{address} (`{setting}`) is taken by another process")]
    PortTaken { address: SocketAddr, setting: &'static str },
    #[error("{address} (`{setting}`) cannot be listened on")]
    Bind {
        address: SocketAddr,
        setting: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("`config_key`: {0}")]
    ConfigKey(#[source] SealError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the journal cannot be opened")]
    Journal(#[from] JournalError),
    #[error("the control plane cannot be dialled")]
    Link(#[from] LinkError),
    #[error("`redis_url` cannot be used")]
    Rates(#[from] RateError),
    #[error("a client for access tokens cannot be made")]
    Signer(#[source] reqwest::Error),
    #[error("a request thread could not be started")]
    Thread(#[source] std::io::Error),
}

/// Starts a data plane on the current runtime, which carries everything but requests.
///
/// Cancelling `shutdown` drains it: not ready, no new connections, open streams finish, journal and leases go back.
///
/// # Errors
/// [`StartError`] names the setting at fault.
pub async fn start(
    settings: Settings,
    metrics: PrometheusHandle,
    shutdown: CancellationToken,
) -> Result<DataPlane, StartError> {
    let settings = Arc::new(settings);
    let sockets = threads::count(settings.threads);
    let listeners = bind("listen", settings.listen, sockets)?;
    let ops_listener = bind("ops_listen", settings.ops_listen, 1)?.remove(0);
    let (addr, ops_addr) = (address(&listeners[0]), address(&ops_listener));
    let tls = tls::acceptor(&settings.client_tls)?;

    let background = Background::new(Handle::current());
    let parts = build(&settings, &background)?;
    let draining = CancellationToken::new();
    let ops = Ops {
        current: parts.current.clone(),
        journal: parts.journal.clone(),
        draining: draining.clone(),
        metrics,
    };
    background.spawn(serve_ops(ops_listener, ops, background.stopping().clone()));
    let (watch, config) = (parts.watch(&settings, &background), parts.current.clone());
    background.spawn(watch);
    let workers = listeners
        .into_iter()
        .map(|listener| worker(listener, &parts, &settings, sockets, tls.clone(), draining.clone()))
        .collect();
    let threads = threads::start(workers).map_err(StartError::Thread)?;
    let stopping = stop(shutdown, draining, threads, parts, background);
    #[expect(clippy::disallowed_methods, reason = "this is the task that shutdown waits for")]
    let stopped = tokio::spawn(stopping);
    Ok(DataPlane { addr, ops_addr, config, stopped })
}

impl DataPlane {
    /// Waits until it has drained after its shutdown was asked for.
    pub async fn stopped(self) {
        // A panic in the last steps is logged by the panic hook; there is nothing left to do about it here.
        let _ = self.stopped.await;
    }
}

/// What request threads and background tasks share.
struct Shared {
    current: Arc<Current>,
    health: Arc<Health>,
    sticky: Arc<Stickiness>,
    retries: Arc<Budgets>,
    hedges: Arc<Budgets>,
    refusals: Arc<Refusals>,
    cache: Arc<Cache>,
    drift: Arc<Drift>,
    journal: Arc<Journal>,
    limits: Arc<Limits>,
    link: Arc<Link>,
    lookup: Arc<Lookup>,
    account: Arc<AccountApi>,
    signer: Arc<Signer>,
    room: Arc<Room>,
    shipper: Shipper,
    disk: std::sync::Mutex<Option<Disk>>,
}

fn build(settings: &Arc<Settings>, background: &Background) -> Result<Shared, StartError> {
    let key = match settings.config_key.is_empty() {
        true => None,
        false => Some(SealKey::from_base64(settings.config_key.expose()).map_err(StartError::ConfigKey)?),
    };
    let (journal, replay) = Journal::open(&settings.data_dir, &settings.journal)?;
    let (disk, found) = Disk::open(&settings.data_dir, key);
    let Found { snapshot, age } = found.unwrap_or_else(|error| {
        tracing::error!(%error, "the last good config is not used");
        Found::default()
    });
    let current = Arc::new(Current::new(snapshot, age, settings.config_max_age));
    let link = Link::new(&settings.control_plane, &settings.fleet_tls, background)?;
    let rates = match settings.redis_url.is_empty() {
        true => RateLimiter::memory(),
        false => RateLimiter::redis(&settings.redis_url, journal.instance(), background)?,
    };
    let limits = Limits::new(Parts {
        settings: settings.leases,
        journal: journal.clone(),
        replay,
        lender: link.clone(),
        rates,
        session: link.session(),
        background: background.clone(),
    });
    let signer = Signer::new(settings.cloud.clone(), background).map_err(StartError::Signer)?;
    let drift = Drift::start(&settings.watched_for_drift(), background);
    let shipper = Shipper::start(journal.clone(), link.clone(), drift.clone(), &settings.journal, background);
    let health = Arc::default();
    usage::health::start(Arc::clone(&health), link.clone(), background);
    Ok(Shared {
        current,
        health,
        sticky: Arc::default(),
        retries: Arc::default(),
        hedges: Arc::default(),
        refusals: Arc::new(Refusals::new(settings.routing.keep_refused_per_second)),
        cache: Arc::new(Cache::new(&settings.cache)),
        drift,
        limits,
        lookup: Arc::new(Lookup::new(link.clone())),
        account: Arc::new(AccountApi::new(link.clone())),
        signer: Arc::new(signer),
        room: Room::new(&settings.fetch),
        shipper,
        journal,
        link,
        disk: std::sync::Mutex::new(Some(disk)),
    })
}

impl Shared {
    fn watch(
        &self,
        settings: &Settings,
        background: &Background,
    ) -> impl Future<Output = ()> + Send + 'static {
        let disk = self.disk.lock().expect("nobody panics while holding it").take().expect("watched once");
        let watch = Watch {
            link: self.link.clone(),
            current: self.current.clone(),
            limits: self.limits.clone(),
            health: self.health.clone(),
            disk,
            instance: self.journal.instance().to_string(),
            region: settings.region.clone(),
            distrusts: false,
        };
        watch.run(background.stopping().clone())
    }
}

fn worker(
    listener: TcpListener,
    shared: &Shared,
    settings: &Arc<Settings>,
    threads: usize,
    tls: Option<tokio_rustls::TlsAcceptor>,
    draining: CancellationToken,
) -> Worker {
    let (config, health, limits) = (shared.current.clone(), shared.health.clone(), shared.limits.clone());
    let drift = shared.drift.clone();
    let (journal, lookup, account) = (shared.journal.clone(), shared.lookup.clone(), shared.account.clone());
    let (signer, room) = (shared.signer.clone(), shared.room.clone());
    let (sticky, retries, hedges) = (shared.sticky.clone(), shared.retries.clone(), shared.hedges.clone());
    let (refusals, cache) = (shared.refusals.clone(), shared.cache.clone());
    let drain = settings.requests.drain;
    let settings = settings.clone();
    let router = move |tasks, closing| {
        let client = HttpClient::new(settings.deadlines.connect, PrivateUpstreams::of(&settings.requests));
        let fetcher = Fetcher::new(settings.fetch, room);
        let most = settings.requests.max_concurrent.div_ceil(threads);
        let pipeline = Arc::new(Pipeline {
            config,
            health,
            drift,
            limits,
            journal,
            lookup,
            client,
            fetcher,
            signer,
            sticky,
            retries,
            hedges,
            refusals,
            cache,
            settings,
            tasks,
            closing,
        });
        routes::router(Arc::new(Client { pipeline, account, most }))
    };
    Worker { listener, router: Box::new(router), tls, draining, drain }
}

async fn serve_ops(listener: TcpListener, ops: Ops, stopping: CancellationToken) {
    let router = ops::router(ops);
    if let Err(error) = listen::serve(listener, router, None, stopping, Duration::from_secs(1)).await {
        tracing::error!(%error, "the ops port cannot be served");
    }
}

/// Waits for the shutdown and carries it out.
async fn stop(
    shutdown: CancellationToken,
    draining: CancellationToken,
    threads: Vec<JoinHandle<()>>,
    shared: Shared,
    background: Background,
) {
    shutdown.cancelled().await;
    draining.cancel();
    let joined =
        tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
    // A request thread that panicked has been reported by the panic hook.
    let _ = joined.await;
    if !shared.shipper.drain(LAST_CALLS).await {
        tracing::warn!("not every record was handed over; the journal keeps the rest for the next start");
    }
    shared.limits.close(LAST_CALLS).await;
    background.stop(LAST_CALLS).await;
}

fn bind(setting: &'static str, address: SocketAddr, sockets: usize) -> Result<Vec<TcpListener>, StartError> {
    listen::bind(address, sockets).map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => StartError::PortTaken { address, setting },
        _ => StartError::Bind { address, setting, source },
    })
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a bound socket has an address")
}
