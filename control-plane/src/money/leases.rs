//! Lends money to data planes and takes back what they do not need.
//!
//! What is lent is decided by `money::desk` while the accounts are locked. The gRPC face is `money::service`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use crate::{
    domain::{
        booking::Why,
        ledger::AccountPeriod,
        lending::{Ask, Balance, Holder, Lease, Others, Outcome},
    },
    money::desk::Desk,
    store::{self, StoreError, account::Opening},
};

/// Why a call by a session was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum MoneyError {
    /// A newer session of the same instance exists, or the store has never heard of this one.
    #[error("fenced")]
    Fenced,
    /// The connection broke during the commit: it may have happened or not.
    #[error("whether it was committed is not known")]
    InDoubt(#[source] sqlx::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for MoneyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What became of an ask, and how the account stands then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub account: AccountPeriod,
    pub outcome: Outcome,
    pub headroom: i64,
    pub limit: i64,
    pub is_overdrawn: bool,
}

/// Lends what is affordable of each ask, in one transaction. Of asks of one group all or nothing is lent: half of what an
/// attempt needs would only keep others from the other half.
///
/// Accounts that are busy are recalled from everybody else. An account gets a row with its first loan and not before, so
/// that asking for accounts that are never lent from leaves nothing behind.
///
/// # Errors
/// [`MoneyError::Fenced`] unless the holder's session is its instance's newest.
pub async fn acquire(
    pool: &PgPool,
    holder: &Holder,
    asks: &[Ask],
    now: DateTime<Utc>,
) -> Result<Vec<Answer>, MoneyError> {
    for _ in 0..OPENINGS {
        match try_acquire(pool, holder, asks, now).await? {
            Tried::Answered(answers) => return Ok(answers),
            // In a transaction of its own: locks are only ever taken in one sweep.
            Tried::Lacks(rows) => {
                let rows: Vec<Opening<'_>> =
                    rows.iter().map(|(account, tenant)| Opening { account, tenant }).collect();
                let mut db = pool.acquire().await.map_err(StoreError::from)?;
                store::account::open(&mut db, &rows).await?;
            }
        }
    }
    let gone = sqlx::Error::Protocol("accounts vanish as soon as they are opened".to_owned());
    Err(StoreError::Broken(gone).into())
}

/// Opening once is enough, unless an owner is made at the same moment.
const OPENINGS: usize = 3;

/// How far a transaction came.
enum Tried {
    Answered(Vec<Answer>),
    /// These would be lent from, but have no row yet; with their tenants. Nothing was changed.
    Lacks(Vec<(AccountPeriod, String)>),
}

async fn try_acquire(
    pool: &PgPool,
    holder: &Holder,
    asks: &[Ask],
    now: DateTime<Utc>,
) -> Result<Tried, MoneyError> {
    let wanted = accounts(asks);
    let mut tx = pool.begin().await?;
    store::window::lock(&mut tx, &wanted).await?;
    let balances = store::account::lock(&mut tx, &wanted).await?;
    // Under the locks: a newer session that closes this one's leases waits for them, and so sees what is granted here.
    check_session(&mut tx, holder).await?;
    // Read after the locks: whoever changes a limit writes the account's row too, so this is the limit in force.
    let owners = store::owner::of(&mut tx, &wanted).await?;
    let own = store::lease::rests(&mut tx, &holder.instance, &wanted).await?;
    let others = store::window::others(&mut tx, &wanted).await?;
    let rows: BTreeSet<AccountPeriod> = balances.keys().cloned().collect();
    let mut desk = Desk { balances, others, owners, own, lent_now: BTreeMap::new(), now };
    let answers = desk.answer_all(asks);
    let grants = desk.grants(&answers);
    let lacking: Vec<_> = grants.iter().filter(|grant| !rows.contains(&grant.account)).collect();
    if !lacking.is_empty() {
        tx.rollback().await?;
        return Ok(Tried::Lacks(lacking.into_iter().map(|grant| desk.with_tenant(&grant.account)).collect()));
    }
    if !grants.is_empty() && store::lease::grant(&mut tx, holder, &grants).await? != grants.len() as u64 {
        let moved = sqlx::Error::Protocol("an account moved under its lock".to_owned());
        return Err(StoreError::Broken(moved).into());
    }
    recall(&mut tx, holder, &answers, &desk.others).await?;
    tx.commit().await.map_err(MoneyError::InDoubt)?;
    Ok(Tried::Answered(answers))
}

fn accounts(asks: &[Ask]) -> Vec<&AccountPeriod> {
    let mut accounts: Vec<_> = asks.iter().map(|ask| &ask.account).collect();
    accounts.sort();
    accounts.dedup();
    accounts
}

/// Checks that a session is its instance's newest.
pub(super) async fn check_session(db: &mut PgConnection, holder: &Holder) -> Result<(), MoneyError> {
    match store::instance::epoch(db, &holder.instance).await? {
        Some(epoch) if epoch == holder.epoch => Ok(()),
        _ => Err(MoneyError::Fenced),
    }
}

/// Asks everybody else for idle money of busy accounts, once the transaction commits.
async fn recall(
    db: &mut PgConnection,
    holder: &Holder,
    answers: &[Answer],
    others: &BTreeMap<AccountPeriod, Others>,
) -> Result<(), MoneyError> {
    // Without a limit it is busy because its period is not now, and nobody can help.
    let is_lent = |answer: &&Answer| answer.outcome == Outcome::Busy && answer.limit > 0;
    let busy: BTreeSet<&AccountPeriod> =
        answers.iter().filter(is_lent).map(|answer| &answer.account).collect();
    for account in busy {
        store::instance::recall(db, account, &holder.instance).await?;
        // Of earlier slots the asker itself may hold something that it has no use for any more.
        for period in others.get(account).into_iter().flat_map(|others| &others.lent_periods) {
            let other = AccountPeriod { period: period.clone(), ..account.clone() };
            store::instance::recall(db, &other, store::instance::NOBODY).await?;
        }
    }
    Ok(())
}

/// Takes back what a session does not need, in one transaction.
///
/// The session may be an earlier one of the same instance. More than a lease has left gives back all of it, also what
/// was presumed lost: so a restarted data plane settles an earlier epoch once its last line is booked.
///
/// # Errors
/// [`MoneyError::Fenced`] for a session that never was.
pub async fn give_back(
    pool: &PgPool,
    holder: &Holder,
    surplus: &BTreeMap<AccountPeriod, i64>,
    now: DateTime<Utc>,
) -> Result<(), MoneyError> {
    let mut tx = pool.begin().await?;
    match store::instance::epoch(&mut tx, &holder.instance).await? {
        Some(epoch) if (1..=epoch).contains(&holder.epoch) => {}
        _ => return Err(MoneyError::Fenced),
    }
    let names: Vec<_> = surplus.keys().map(|account| (account.clone(), holder.clone())).collect();
    let give_back = |account: &AccountPeriod, lease: &mut Lease, balance: &mut Balance| {
        -lease.give_back(balance, surplus.get(account).copied().unwrap_or(0)).presumed
    };
    store::lease::change(&mut tx, &names, &Why::of("given back", now), give_back).await?;
    tx.commit().await.map_err(MoneyError::InDoubt)?;
    Ok(())
}

/// Books what a lost instance never accounted for as presumed: it stays counted, and is never silently released.
///
/// Answers how many leases that concerned; none when the instance said hello meanwhile.
pub async fn presume(
    pool: &PgPool,
    instance: &str,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<usize, MoneyError> {
    let mut tx = pool.begin().await?;
    if !store::instance::is_lost(&mut tx, instance, before).await? {
        return Ok(0);
    }
    let open = store::lease::open_leases(&mut tx, instance).await?;
    let presume = |_: &AccountPeriod, lease: &mut Lease, balance: &mut Balance| lease.presume(balance);
    let why = Why::of("its holder was lost", now);
    let presumed = store::lease::change(&mut tx, &open, &why, presume).await?;
    tx.commit().await.map_err(MoneyError::InDoubt)?;
    Ok(presumed)
}
