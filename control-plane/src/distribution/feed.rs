//! The newest revision and everything that is told to all data planes at once; wakes the sessions.
//!
//! Notifications of the store wake within a millisecond; a poll every second catches what they miss, and finds out
//! whether the store can be reached at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions},
};
use switchyard_proto::clock;
use tokio::{
    sync::{Semaphore, watch},
    time::{self, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    crypto::Crypto,
    distribution::{
        fleet::Sessions,
        health::Board,
        push::{Shared, Source},
    },
    domain::{fleet::Instance, health::Endpoint, meta::Revision},
    error::ServiceError,
    service::Fleet,
    store::{
        self, StoreError,
        instance::{self, Fenced, Progress, Recalled},
        revision,
    },
    telemetry,
};

/// How often the revision is looked up, whatever the notifications say.
const POLL: Duration = Duration::from_secs(1);
/// Longest wait for the store before it counts as out of reach.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often progress of sessions is written down.
const WRITE_DOWN: Duration = Duration::from_millis(200);
/// How often every session is marked as seen.
pub const TOUCH: Duration = Duration::from_secs(5);
/// How often the fleet's view of endpoints is read and, if it has changed, told.
const VIEW: Duration = Duration::from_secs(5);
/// How often instances of other control planes are looked at while somebody waits for them.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Full states that are read at the same time: each is a scan of everything.
const FULL_READS: usize = 2;

/// The distribution of config. Cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

pub(super) struct Inner {
    pub source: Source,
    /// One connection of its own: a busy pool must not look like a lost store.
    watcher: PgPool,
    /// This control plane among others on the same store.
    pub replica: Uuid,
    pub newest: watch::Sender<Option<Revision>>,
    pub sessions: Sessions,
    pub health: Board,
    pub shared: Shared,
    pub full_reads: Semaphore,
    reachable: AtomicBool,
}

impl Feed {
    /// Makes the distribution; [`Feed::run`] drives it.
    pub fn new(pool: PgPool, crypto: Crypto) -> Self {
        let options = PgConnectOptions::clone(&pool.connect_options());
        let watcher = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
        Self(Arc::new(Inner {
            watcher: watcher.connect_lazy_with(options),
            source: Source { pool, crypto },
            replica: Uuid::new_v4(),
            newest: watch::Sender::new(None),
            sessions: Sessions::default(),
            health: Board::default(),
            shared: Shared::default(),
            full_reads: Semaphore::new(FULL_READS),
            reachable: AtomicBool::new(true),
        }))
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    fn pool(&self) -> &PgPool {
        &self.0.source.pool
    }

    /// Whether the store answered when it was last asked, at most a second ago.
    pub fn is_store_reachable(&self) -> bool {
        self.0.reachable.load(Ordering::Relaxed)
    }

    /// Follows the store and writes down what sessions have reached, until shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.poll() => {}
            () = self.listen() => {}
            () = self.write_down() => {}
            () = self.view_health() => {}
        }
    }

    async fn poll(&self) {
        let mut ticks = time::interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let looked = time::timeout(PATIENCE, self.refresh()).await;
            self.note(looked.map_err(|_| StoreError::Unavailable(sqlx::Error::PoolTimedOut)).flatten());
        }
    }

    /// Says once when the store goes and comes.
    fn note(&self, looked: Result<(), StoreError>) {
        let was_reachable = self.0.reachable.swap(looked.is_ok(), Ordering::Relaxed);
        match looked {
            Ok(()) if !was_reachable => tracing::info!("the database can be reached again"),
            Err(error) if was_reachable => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(%error, cause, "the database is out of reach");
            }
            _ => {}
        }
        telemetry::store_reachable(self.is_store_reachable());
        let (attached, behind) = self.0.sessions.reading();
        let newest = self.0.newest.borrow().as_ref().map_or(0, |newest| newest.number);
        telemetry::fleet(attached, newest, behind);
    }

    /// Looks the newest revision up and wakes the sessions if it is new.
    pub(super) async fn refresh(&self) -> Result<(), StoreError> {
        let mut db = self.0.watcher.acquire().await?;
        let found = revision::current(&mut db).await?;
        let is_new = self.0.newest.send_if_modified(|known| {
            // A notification may have overtaken this look.
            let is_new = known
                .as_ref()
                .is_none_or(|known| known.incarnation != found.incarnation || known.number < found.number);
            if is_new {
                *known = Some(found);
            }
            is_new
        });
        if !is_new {
            self.0.shared.forget().await;
        }
        Ok(())
    }

    async fn listen(&self) {
        loop {
            if let Err(error) = self.follow().await {
                tracing::debug!(%error, "notifications are interrupted; polling goes on");
            }
            time::sleep(POLL).await;
        }
    }

    async fn follow(&self) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(self.pool()).await?;
        listener.listen_all([revision::CHANNEL, instance::FENCED, instance::RECALLED]).await?;
        // What happened before this moment was not heard.
        self.refresh().await.map_err(|error| sqlx::Error::Protocol(error.to_string()))?;
        while let Some(notification) = listener.try_recv().await? {
            self.heard(&notification).await;
        }
        Ok(())
    }

    async fn heard(&self, notification: &PgNotification) {
        let payload = notification.payload();
        match notification.channel() {
            revision::CHANNEL => self.heard_of(payload).await,
            instance::FENCED => {
                if let Ok(Fenced { instance, epoch }) = serde_json::from_str(payload) {
                    self.0.sessions.fence(&instance, epoch);
                }
            }
            _ => {
                if let Ok(recalled) = serde_json::from_str::<Recalled>(payload) {
                    self.0.sessions.recall(&recalled);
                }
            }
        }
    }

    /// A revision that was notified is the newest unless a newer one is known; anything odd is left to the poll.
    async fn heard_of(&self, payload: &str) {
        let Ok(number) = payload.parse::<u64>() else { return };
        self.0.newest.send_if_modified(|known| match known {
            Some(known) if known.number < number => {
                known.number = number;
                true
            }
            _ => false,
        });
    }

    async fn view_health(&self) {
        let mut ticks = time::interval(VIEW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.refresh_health().await {
                tracing::debug!(%error, "the fleet's view of endpoints is not read");
            }
        }
    }

    /// Reads how endpoints do over the whole fleet and tells the sessions if it has changed.
    pub async fn refresh_health(&self) -> Result<(), StoreError> {
        self.0.health.refresh(self.pool(), clock::now()).await
    }

    async fn write_down(&self) {
        let mut ticks = time::interval(WRITE_DOWN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut touched = time::Instant::now();
        loop {
            ticks.tick().await;
            let is_due = touched.elapsed() >= TOUCH;
            let progress = match is_due {
                true => self.0.sessions.touch_all(clock::now()),
                false => self.0.sessions.take_dirty(),
            };
            if is_due {
                touched = time::Instant::now();
            }
            self.record(&progress).await;
        }
    }

    /// Writes progress down; what fails is written with the next touch.
    pub(super) async fn record(&self, progress: &[Progress]) {
        if progress.is_empty() {
            return;
        }
        if let Err(error) = instance::record(self.pool(), progress).await {
            tracing::debug!(%error, "progress of data planes is not written down");
        }
    }

    async fn wait_for_all(&self, revision: u64) {
        self.0.sessions.all_applied(revision).await;
        loop {
            match instance::behind(self.pool(), self.0.replica, revision, clock::now()).await {
                Ok(0) => return,
                Ok(_) | Err(_) => time::sleep(LOOK_AGAIN).await,
            }
        }
    }
}

impl Fleet for Feed {
    fn served(&self, revision: u64, within: Duration) -> BoxFuture<'_, bool> {
        Box::pin(async move { time::timeout(within, self.wait_for_all(revision)).await.is_ok() })
    }

    fn instances(&self) -> BoxFuture<'_, Result<Vec<Instance>, ServiceError>> {
        Box::pin(async move {
            self.record(&self.0.sessions.touch_all(clock::now())).await;
            let mut db = self.pool().acquire().await.map_err(StoreError::from)?;
            Ok(store::instance::list(&mut db, clock::now()).await?)
        })
    }

    fn health(&self) -> BoxFuture<'_, Result<Vec<Endpoint>, ServiceError>> {
        Box::pin(async move { Ok(self.0.health.endpoints(self.pool(), clock::now()).await?) })
    }
}
