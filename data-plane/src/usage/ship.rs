//! Hands the journal's closings and generations to the control plane, in order, until each is acknowledged.
//!
//! One batch is under way at a time, so that leases go first. Nothing is held in memory: an outage only makes the
//! journal longer. Drift goes after the records and never stands in their way.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use switchyard_proto::v1;
use tokio::{
    sync::{Notify, watch},
    time::{MissedTickBehavior, interval},
};

use crate::{
    background::Background,
    drift::Drift,
    journal::{Batch, Journal, Position},
    link::{CallError, Link, Session},
    settings,
    telemetry::metrics as names,
};

/// Records in one batch.
const MOST: usize = 500;
/// Bytes in one batch, about: a gRPC message is at most 4 MiB.
const MOST_BYTES: usize = 1 << 20;
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// After drift could not be handed over.
const DRIFT_PAUSE: Duration = Duration::from_secs(10);

/// Who books records.
pub trait Sink: Send + Sync + 'static {
    /// Books them once, however often they are sent.
    fn report(&self, request: v1::ReportRequest) -> BoxFuture<'_, Result<v1::ReportResponse, CallError>>;

    /// Adds to the list of what is new in providers' answers.
    fn report_drift(
        &self,
        request: v1::ReportDriftRequest,
    ) -> BoxFuture<'_, Result<v1::ReportDriftResponse, CallError>>;
}

impl Sink for Link {
    fn report(&self, request: v1::ReportRequest) -> BoxFuture<'_, Result<v1::ReportResponse, CallError>> {
        Box::pin(Link::report(self, request))
    }

    fn report_drift(
        &self,
        request: v1::ReportDriftRequest,
    ) -> BoxFuture<'_, Result<v1::ReportDriftResponse, CallError>> {
        Box::pin(Link::report_drift(self, request))
    }
}

/// Takes batches from a journal to who books them, one at a time.
#[derive(Clone)]
pub struct Courier {
    pub journal: Arc<Journal>,
    pub sink: Arc<dyn Sink>,
    pub background: Background,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handed {
    pub records: u64,
    /// Booked now; the rest were known already, or went to quarantine.
    pub booked: u64,
    pub quarantined: u64,
    /// Until where the journal is acknowledged.
    pub upto: Position,
}

/// Why nothing could be handed over.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    #[error("the journal's disk failed")]
    Disk(#[source] io::Error),
    #[error("the control plane did not book a batch")]
    Call(#[from] CallError),
}

impl Courier {
    /// Offers everything that is still here again where the session's store is another than the one that acknowledged.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn offer(&self, session: &Session) -> Result<(), ShipError> {
        let (journal, incarnation) = (Arc::clone(&self.journal), session.incarnation.clone());
        if self.blocking(move || Ok(journal.offer_to(&incarnation))).await? {
            tracing::warn!(
                "the control plane's store was replaced: everything that is still here is sent again"
            );
        }
        Ok(())
    }

    /// The next batch that is not acknowledged.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn next(&self) -> Result<Batch, ShipError> {
        let journal = Arc::clone(&self.journal);
        self.blocking(move || journal.backlog(journal.acknowledged(), MOST, MOST_BYTES)).await
    }

    /// Hands a batch over, and remembers that it was booked.
    ///
    /// # Errors
    /// When the call or the disk fails: then it may or may not be booked, and is to be handed over again.
    pub async fn hand(&self, batch: Batch, session: &Session) -> Result<Handed, ShipError> {
        let (upto, records) = (batch.upto, batch.records.len() as u64);
        let mut handed = Handed { records, upto, ..Handed::default() };
        if upto == self.journal.acknowledged() {
            return Ok(handed);
        }
        if records > 0 {
            let answer = self.sink.report(request(batch, session)).await?;
            (handed.booked, handed.quarantined) = (answer.booked, answer.quarantined);
            metrics::counter!(names::SHIPPED_RECORDS).increment(records);
        }
        let (journal, incarnation) = (Arc::clone(&self.journal), session.incarnation.clone());
        let acknowledge = move || journal.acknowledge(upto, &incarnation);
        self.blocking(move || {
            acknowledge();
            Ok(())
        })
        .await?;
        Ok(handed)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, ShipError> {
        let done = self.background.spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done);
        done.map_err(ShipError::Disk)
    }
}

/// The running shipment.
#[derive(Debug)]
pub struct Shipper {
    journal: Arc<Journal>,
    acknowledged: watch::Receiver<Position>,
    now: Arc<Notify>,
}

impl Shipper {
    /// Starts shipping, and the journal's own chores.
    pub fn start(
        journal: Arc<Journal>,
        link: Arc<Link>,
        drift: Arc<Drift>,
        settings: &settings::Journal,
        background: &Background,
    ) -> Self {
        journal.start(background);
        let session = link.session();
        Self::start_to(journal, drift, link, session, settings, background)
    }

    fn start_to(
        journal: Arc<Journal>,
        drift: Arc<Drift>,
        sink: Arc<dyn Sink>,
        session: watch::Receiver<Option<Session>>,
        settings: &settings::Journal,
        background: &Background,
    ) -> Self {
        let (told, acknowledged) = watch::channel(journal.acknowledged());
        let now = Arc::new(Notify::new());
        let courier = Courier { journal: Arc::clone(&journal), sink, background: background.clone() };
        let shipment = Shipment {
            courier,
            drift,
            drift_from: Instant::now(),
            session,
            now: Arc::clone(&now),
            told,
            every: settings.ship_every.max(Duration::from_millis(1)),
            behind_since: None,
        };
        let stopping = background.stopping().clone();
        background.spawn(async move { stopping.run_until_cancelled(shipment.run()).await });
        Self { journal, acknowledged, now }
    }

    /// At shutdown: ships what is written; whether all of it was acknowledged in time.
    pub async fn drain(&self, within: Duration) -> bool {
        let target = self.journal.written();
        let mut acknowledged = self.acknowledged.clone();
        self.now.notify_one();
        let done = acknowledged.wait_for(|upto| *upto >= target);
        matches!(tokio::time::timeout(within, done).await, Ok(Ok(_)))
    }
}

struct Shipment {
    courier: Courier,
    drift: Arc<Drift>,
    /// Not before this is drift handed over.
    drift_from: Instant,
    session: watch::Receiver<Option<Session>>,
    now: Arc<Notify>,
    told: watch::Sender<Position>,
    every: Duration,
    behind_since: Option<Instant>,
}

impl Shipment {
    async fn run(mut self) {
        let mut ticker = interval(self.every);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failures = 0;
        loop {
            tokio::select! {
                _ = ticker.tick() => {}
                () = self.now.notified() => {}
            }
            match self.ship_all().await {
                Ok(()) => {
                    failures = 0;
                    self.ship_drift().await;
                }
                Err(error) => {
                    self.complain(&error, failures);
                    self.pause(failures).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
    }

    /// Ships batch after batch until less than a full one is left.
    async fn ship_all(&mut self) -> Result<(), ShipError> {
        let Some(session) = self.session.borrow_and_update().clone() else { return Ok(()) };
        self.courier.offer(&session).await?;
        loop {
            let batch = self.courier.next().await?;
            self.note_lag(batch.records.is_empty());
            let is_full = batch.is_full;
            let handed = self.courier.hand(batch, &session).await?;
            self.told.send_replace(handed.upto);
            if !is_full {
                self.note_lag(true);
                return Ok(());
            }
        }
    }

    /// Hands over what is new in providers' answers; what does not arrive is sent again, later.
    async fn ship_drift(&mut self) {
        let Some(session) = self.session.borrow().clone() else { return };
        if Instant::now() < self.drift_from {
            return;
        }
        let Some(report) = self.drift.unreported() else { return };
        let request = v1::ReportDriftRequest {
            instance: session.instance.as_str().to_owned(),
            epoch: session.epoch,
            findings: report.findings(),
        };
        match self.courier.sink.report_drift(request).await {
            Ok(v1::ReportDriftResponse { refused }) => {
                self.drift.reported(&report);
                if refused > 0 {
                    tracing::warn!(refused, "the control plane does not list some of what is new in answers");
                }
            }
            Err(error) => {
                self.drift_from = Instant::now() + DRIFT_PAUSE;
                tracing::debug!(%error, "what is new in providers' answers could not be handed over yet");
            }
        }
    }

    fn note_lag(&mut self, caught_up: bool) {
        let since = match caught_up {
            true => None,
            false => Some(self.behind_since.unwrap_or_else(Instant::now)),
        };
        self.behind_since = since;
        metrics::gauge!(names::SHIPPING_LAG).set(since.map_or(0.0, |since| since.elapsed().as_secs_f64()));
    }

    /// Once per outage aloud, then quietly.
    fn complain(&self, error: &ShipError, failures: u32) {
        metrics::counter!(names::SHIPPING_FAILURES).increment(1);
        let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        match failures {
            0 => tracing::warn!(%error, source, "usage could not be handed over; it stays in the journal"),
            _ => tracing::debug!(%error, source, failures, "usage could still not be handed over"),
        }
    }

    /// Longer after each failure, with jitter; a new session or a drain ends it.
    async fn pause(&mut self, failures: u32) {
        let full = SHORTEST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
        let pause = full.mul_f64(rand::random_range(0.5..=1.0));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Ok(()) = self.session.changed() => {}
            () = self.now.notified() => self.now.notify_one(),
        }
    }
}

fn request(batch: Batch, session: &Session) -> v1::ReportRequest {
    let is_traced = batch.traceparents.iter().any(|traceparent| !traceparent.is_empty());
    v1::ReportRequest {
        instance: session.instance.as_str().to_owned(),
        epoch: session.epoch,
        records: batch.records,
        traceparents: if is_traced { batch.traceparents } else { Vec::new() },
    }
}

#[cfg(test)]
mod tests;
