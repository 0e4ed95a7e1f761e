//! Hands over what a data plane that never comes back has left on its disk: its records, then the money it was lent.
//!
//! The parts of a running data plane that look towards the control plane, without those that look towards callers.
//! Called by `switchyard journal ship`; counting what is there without touching it is `journal::Survey`'s business.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use switchyard_proto::{
    money::NanoUsd,
    v1::{self, watch_request, watch_response},
};
use tokio::{runtime::Handle, time};
use tonic::{Code, Status};

use crate::{
    background::Background,
    journal::{Journal, JournalError, Replay},
    limits::{Limits, Parts, rates::RateLimiter},
    link::{CallError, Link, LinkError, Session},
    settings::Settings,
    usage::ship::{Courier, Handed, ShipError},
};

/// How long a hello may take.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// Between two tries, and two looks at what others are to do.
const PAUSE: Duration = Duration::from_millis(200);
/// For what is given back, and for tasks to end.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// What was handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shipped {
    /// Attempts that were open and are booked at their reservation.
    pub interrupted: usize,
    /// Stretches of the journal that could not be read and were put aside.
    pub damaged: usize,
    /// Records that the control plane has acknowledged.
    pub records: u64,
    /// Of these: booked now.
    pub booked: u64,
    /// Of these: unbookable, kept for an operator.
    pub quarantined: u64,
    /// Leases that were given back, and how much of them.
    pub returned: usize,
    pub returned_nano: NanoUsd,
    /// Leases that could not be given back, or of which it is not known whether they were.
    pub kept: usize,
    /// An operator released what sessions up to this one were lent: what is reported of them the house pays. 0: none.
    pub released_epoch: u64,
}

/// Why not everything was handed over. What was acknowledged stays so: another run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum OrphanError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the control plane cannot be dialled")]
    Link(#[from] LinkError),
    #[error("the control plane counts this data plane as attached: its process lives, or ended a moment ago")]
    Attached,
    #[error("the control plane does not take the journal over")]
    Refused(#[source] Status),
    #[error("the control plane did not answer in time")]
    Silent(#[source] Option<Status>),
    #[error(
        "a data plane said hello with this journal's id meanwhile: its process lives, here or on a copy of the disk"
    )]
    Fenced,
    #[error(transparent)]
    Ship(ShipError),
}

impl OrphanError {
    /// Whether it may pass by itself.
    fn is_passing(&self) -> bool {
        match self {
            Self::Attached | Self::Silent(_) => true,
            Self::Ship(ShipError::Call(CallError::Away | CallError::Lost(_))) => true,
            Self::Journal(_) | Self::Link(_) | Self::Refused(_) | Self::Fenced | Self::Ship(_) => false,
        }
    }
}

/// A fence is no error of shipping: somebody else owns what is shipped.
impl From<ShipError> for OrphanError {
    fn from(error: ShipError) -> Self {
        match error {
            ShipError::Call(CallError::Refused(status)) if status.code() == Code::FailedPrecondition => {
                Self::Fenced
            }
            other => Self::Ship(other),
        }
    }
}

/// Hands everything over that `<data_dir>/journal` owes, and gives back what is left of its leases.
///
/// Goes on trying for `patience` without any progress. `told` hears of every batch. Open attempts are closed as a restart
/// would: at their reservation.
///
/// # Errors
/// See [`OrphanError`].
pub async fn ship(
    settings: &Settings,
    patience: Duration,
    mut told: impl FnMut(&Shipped),
) -> Result<Shipped, OrphanError> {
    let background = Background::new(Handle::current());
    let (journal, replay) = Journal::open(&settings.data_dir, &settings.journal)?;
    let link = Link::new(&settings.control_plane, &settings.fleet_tls, &background)?;
    let mut shipped =
        Shipped { interrupted: replay.interrupted, damaged: replay.damaged, ..Shipped::default() };
    told(&shipped);
    let session = attach(&link, &journal, patience).await?;
    shipped.released_epoch = session.released_epoch;
    let limits = limits(settings, &journal, replay, &link, &background);
    let courier =
        Courier { journal: Arc::clone(&journal), sink: link.clone(), background: background.clone() };
    let run = Run { journal, courier, session, patience };
    let done = run.carry_out(&limits, &mut shipped, told).await;
    background.stop(LAST_CALLS).await;
    done.map(|()| shipped)
}

/// The money that the last run held; nothing is borrowed, for nobody asks.
fn limits(
    settings: &Settings,
    journal: &Arc<Journal>,
    replay: Replay,
    link: &Arc<Link>,
    background: &Background,
) -> Arc<Limits> {
    Limits::new(Parts {
        settings: settings.leases,
        journal: Arc::clone(journal),
        replay,
        lender: link.clone(),
        rates: RateLimiter::memory(),
        session: link.session(),
        background: background.clone(),
    })
}

/// Says hello until it is welcome.
async fn attach(link: &Link, journal: &Journal, patience: Duration) -> Result<Session, OrphanError> {
    let until = Instant::now() + patience;
    loop {
        match hello(link, journal).await {
            Ok(session) => {
                link.attach(session.clone());
                return Ok(session);
            }
            Err(error) if error.is_passing() && Instant::now() < until => time::sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

async fn hello(link: &Link, journal: &Journal) -> Result<Session, OrphanError> {
    let instance = journal.instance().clone();
    let hello = v1::Hello {
        instance: instance.as_str().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        orphan: true,
        ..Default::default()
    };
    let hello = v1::WatchRequest { kind: Some(watch_request::Kind::Hello(hello)) };
    let mut client = link.config_client();
    let welcome = async {
        let mut stream = client.watch(tokio_stream::once(hello)).await?.into_inner();
        stream.message().await
    };
    let welcome = time::timeout(WELCOME_WITHIN, welcome).await.map_err(|_| OrphanError::Silent(None))?;
    match welcome.map_err(turned_away)?.and_then(|answer| answer.kind) {
        Some(watch_response::Kind::Welcome(v1::Welcome { epoch, incarnation, released_epoch })) => {
            Ok(Session { instance, epoch, incarnation, released_epoch })
        }
        _ => Err(OrphanError::Silent(None)),
    }
}

fn turned_away(status: Status) -> OrphanError {
    match CallError::from(status.clone()) {
        CallError::Refused(status) if status.code() == Code::Aborted => OrphanError::Attached,
        CallError::Refused(status) => OrphanError::Refused(status),
        CallError::Away | CallError::Lost(_) => OrphanError::Silent(Some(status)),
    }
}

struct Run {
    journal: Arc<Journal>,
    courier: Courier,
    session: Session,
    patience: Duration,
}

impl Run {
    async fn carry_out(
        &self,
        limits: &Limits,
        shipped: &mut Shipped,
        mut told: impl FnMut(&Shipped),
    ) -> Result<(), OrphanError> {
        self.ship(|handed| {
            shipped.records += handed.records;
            shipped.booked += handed.booked;
            shipped.quarantined += handed.quarantined;
            told(shipped);
        })
        .await?;
        let (leases, nano) = self.journal.held();
        if self.is_followed().await {
            limits.close(LAST_CALLS).await;
        }
        self.resolve_doubts().await?;
        let (left, left_nano) = self.journal.held();
        shipped.returned = leases - left;
        shipped.returned_nano = NanoUsd(nano.saturating_sub(left_nano));
        shipped.kept = left + self.journal.doubts_before(u64::MAX).len();
        told(shipped);
        Ok(())
    }

    /// Ships until nothing is left, trying again while that may help.
    async fn ship(&self, mut told: impl FnMut(Handed)) -> Result<(), OrphanError> {
        let mut until = Instant::now() + self.patience;
        loop {
            match self.batch().await {
                Ok((handed, is_last)) => {
                    told(handed);
                    if is_last {
                        return Ok(());
                    }
                    until = Instant::now() + self.patience;
                }
                Err(error) if error.is_passing() && Instant::now() < until => time::sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// One batch; whether it was the last.
    async fn batch(&self) -> Result<(Handed, bool), OrphanError> {
        self.courier.offer(&self.session).await?;
        let batch = self.courier.next().await?;
        let is_last = !batch.is_full;
        Ok((self.courier.hand(batch, &self.session).await?, is_last))
    }

    /// Waits until the leases know of the session: what another store lent is void, and must not go back to this one.
    async fn is_followed(&self) -> bool {
        let is_known = || self.journal.known_session().is_some_and(|known| known.epoch == self.session.epoch);
        let until = Instant::now() + LAST_CALLS;
        while !is_known() && Instant::now() < until {
            time::sleep(PAUSE).await;
        }
        is_known()
    }

    /// A lease in doubt is closed in the background, once all that is written is acknowledged: also that it is in doubt.
    async fn resolve_doubts(&self) -> Result<(), OrphanError> {
        let until = Instant::now() + self.patience;
        self.ship(|_| {}).await?;
        while !self.journal.doubts_before(self.session.epoch).is_empty() && Instant::now() < until {
            time::sleep(PAUSE).await;
            self.ship(|_| {}).await?;
        }
        Ok(())
    }
}
