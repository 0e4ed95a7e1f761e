//! What a caller may spend, and how fast: admission, a reservation before each attempt, one settlement after it.
//!
//! `rates` counts requests, tokens and concurrency; `leases` holds money; the journal remembers both sides of every
//! attempt. Which accounts an attempt bills, and its worst case, is decided by the pipeline.

mod hold;
mod leases;
mod lender;
mod permit;
pub mod rates;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use switchyard_proto::{
    code::ErrorCode,
    money::NanoUsd,
    v1::{self, AccountKind},
};
use tokio::sync::watch;

pub use self::{
    hold::{Due, Hold, Reservation, Settled},
    leases::Lots,
    lender::Lender,
    permit::Permit,
    rates::{Admission, Level, Limit, Limited, Measure, Owner, Passage, Rates, Scope, tightest},
};
use self::{leases::Leases, rates::RateLimiter};
use crate::{
    background::Background,
    journal::{Journal, JournalError, Replay},
    link::Session,
    settings,
};
pub use crate::{
    journal::{Account, Period},
    usage::record::{Facts, Settlement},
};

/// Admission and money of one instance, shared by all request threads.
pub struct Limits {
    journal: Arc<Journal>,
    leases: Arc<Leases>,
    rates: RateLimiter,
    background: Background,
}

/// What [`Limits`] is built from.
pub struct Parts {
    pub settings: settings::Leases,
    pub journal: Arc<Journal>,
    /// What the journal's earlier run left: its leases are still ours.
    pub replay: Replay,
    pub lender: Arc<dyn Lender>,
    pub rates: RateLimiter,
    pub session: watch::Receiver<Option<Session>>,
    pub background: Background,
}

/// Why a request was not admitted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdmitError {
    #[error("the limit of {ceiling} {limit} is reached; retry in {retry_after:?}")]
    Limited {
        limit: Limit,
        ceiling: u64,
        retry_after: Duration,
        /// How the bucket stands; absent where there is none.
        level: Option<Level>,
    },
}

/// Why an attempt may not be sent.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// The account's limit cannot cover it; a smaller reservation of at most `affordable` may pass. Of several accounts that
    /// cannot, the first that the attempt bills.
    #[error("{account} of {limit} USD can cover {affordable} USD only")]
    Exhausted { account: Account, limit: NanoUsd, affordable: NanoUsd },
    #[error("the money is lent to other instances; retry in {retry_after:?}")]
    Busy { retry_after: Duration },
    #[error("money cannot be borrowed while the control plane is out of reach")]
    Unavailable,
    #[error("{} has an owner that the control plane does not know", kind.as_str_name())]
    UnknownAccount { kind: AccountKind },
    #[error("the journal took no intent")]
    Journal(#[source] JournalError),
}

impl ReserveError {
    /// The code that callers see when no candidate is left.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Exhausted { account, .. } => account.kind.rule().refusal,
            Self::Busy { .. } => ErrorCode::BudgetBusy,
            Self::Unavailable => ErrorCode::BudgetUnavailable,
            Self::UnknownAccount { .. } => ErrorCode::PermissionDenied,
            Self::Journal(_) => ErrorCode::JournalUnavailable,
        }
    }

    /// The metric label.
    fn reason(&self) -> &'static str {
        match self {
            Self::Exhausted { .. } => "exhausted",
            Self::Busy { .. } => "busy",
            Self::Unavailable => "unavailable",
            Self::UnknownAccount { .. } => "unknown_account",
            Self::Journal(_) => "journal",
        }
    }
}

impl Limits {
    /// Starts borrowing in the background.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { settings, journal, replay, lender, rates, session, background } = parts;
        let leases = Arc::new(Leases::new(settings, Arc::clone(&journal), replay, lender, session));
        leases.start(&background);
        Arc::new(Self { journal, leases, rates, background })
    }

    /// Admits a request under its key's and its tenant's rates.
    ///
    /// # Errors
    /// [`AdmitError::Limited`] names the limit and when it may pass.
    pub async fn admit(self: &Arc<Self>, admission: &Admission<'_>) -> Result<Permit, AdmitError> {
        let granted = self.rates.admit(admission).await?;
        Ok(Permit::new(Arc::clone(self), granted))
    }

    /// Takes what one attempt, or one request's attempts at a model, need of the owner's rates; nothing where there are
    /// none.
    ///
    /// # Errors
    /// [`AdmitError::Limited`] names the limit and when it may pass.
    pub async fn pass(
        &self,
        owner: (Owner<'_>, Rates),
        tokens: u64,
    ) -> Result<Option<Arc<Passage>>, AdmitError> {
        Ok(self.rates.pass(owner, tokens).await?.map(Arc::new))
    }

    /// The most that one attempt could reserve on this account; `None` while nothing is known of it.
    ///
    /// An estimate: other instances borrow too.
    #[cfg(test)]
    pub fn affordable(&self, account: &Account) -> Option<NanoUsd> {
        self.leases.affordable(account)
    }

    /// The share of this account's limit, 0 to 1, that is left as far as this instance knows; `None` while nothing is
    /// known of it.
    ///
    /// An estimate: what other instances hold counts as spent.
    pub fn left(&self, account: &Account) -> Option<f64> {
        self.leases.left(account)
    }

    /// Tenants, keys and providers' credentials changed: what was denied to them is asked again.
    pub fn config_changed(&self, owners: &[&str]) {
        self.leases.config_changed(owners);
    }

    /// The whole config changed.
    pub fn config_replaced(&self) {
        self.leases.config_replaced();
    }

    /// The control plane asks for idle money back.
    pub fn recall(&self, accounts: &[v1::AccountPeriod]) {
        self.leases.recall(accounts, &self.background);
    }

    /// At shutdown, when no request is left: gives the leases back.
    pub async fn close(&self, within: Duration) {
        self.leases.close(within).await;
    }
}
