//! Lends money to data planes and takes back what they do not need.
//!
//! What is lent is decided in `domain::lending` while the accounts are locked. The gRPC face is `money::service`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use crate::{
    domain::{
        account::AccountKind,
        booking,
        ledger::{AccountPeriod, Line, LineKind},
        lending::{self, Ask, Balance, Holder, Lease, Outcome, Owner, Terms},
    },
    store::{self, StoreError, lease::Grant},
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
}

/// Lends what is affordable of each ask, in one transaction. Asks are independent: one that fails leaves the others'
/// grants standing, and the data plane gives back what it cannot use alone.
///
/// Accounts that are busy are recalled from everybody else.
///
/// # Errors
/// [`MoneyError::Fenced`] unless the holder's session is its instance's newest.
pub async fn acquire(
    pool: &PgPool,
    holder: &Holder,
    asks: &[Ask],
    now: DateTime<Utc>,
) -> Result<Vec<Answer>, MoneyError> {
    if let Some(answers) = try_acquire(pool, holder, asks, now, Missing::StopsIt).await? {
        return Ok(answers);
    }
    // Opened in a transaction of its own: locks are only ever taken in one sweep.
    store::account::open_known(pool, &accounts(asks)).await?;
    Ok(try_acquire(pool, holder, asks, now, Missing::MeansUnknown).await?.unwrap_or_default())
}

/// What an account without a row means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// Open it first, where it could have a limit.
    StopsIt,
    /// It was opened if it could be.
    MeansUnknown,
}

fn accounts(asks: &[Ask]) -> Vec<&AccountPeriod> {
    let mut accounts: Vec<_> = asks.iter().map(|ask| &ask.account).collect();
    accounts.sort();
    accounts.dedup();
    accounts
}

/// `None`: an account must be opened first.
async fn try_acquire(
    pool: &PgPool,
    holder: &Holder,
    asks: &[Ask],
    now: DateTime<Utc>,
    missing: Missing,
) -> Result<Option<Vec<Answer>>, MoneyError> {
    let wanted = accounts(asks);
    let mut tx = pool.begin().await?;
    let balances = store::account::lock(&mut tx, &wanted).await?;
    // Under the locks: a newer session that closes this one's leases waits for them, and so sees what is granted here.
    check_session(&mut tx, holder).await?;
    let is_missing = |account: &&AccountPeriod| has_config(account.kind) && !balances.contains_key(*account);
    if missing == Missing::StopsIt && wanted.iter().any(is_missing) {
        return Ok(None);
    }
    // Read after the locks: whoever changes a limit writes the account's row too, so this is the limit in force.
    let owners = store::lease::owners(&mut tx, &wanted).await?;
    let own = store::lease::rests(&mut tx, &holder.instance, &wanted).await?;
    let mut desk = Desk { balances, owners, own, now };
    let answers: Vec<Answer> = asks.iter().map(|ask| desk.answer(ask)).collect();
    let grants = grants(&answers);
    if !grants.is_empty() && store::lease::grant(&mut tx, holder, &grants).await? != grants.len() as u64 {
        let moved = sqlx::Error::Protocol("an account moved under its lock".to_owned());
        return Err(StoreError::Broken(moved).into());
    }
    recall(&mut tx, holder, &answers).await?;
    tx.commit().await.map_err(MoneyError::InDoubt)?;
    Ok(Some(answers))
}

fn has_config(kind: AccountKind) -> bool {
    matches!(kind, AccountKind::TenantCredits | AccountKind::KeyLimit)
}

/// Checks that a session is its instance's newest.
pub(super) async fn check_session(db: &mut PgConnection, holder: &Holder) -> Result<(), MoneyError> {
    match store::instance::epoch(db, &holder.instance).await? {
        Some(epoch) if epoch == holder.epoch => Ok(()),
        _ => Err(MoneyError::Fenced),
    }
}

/// Accounts under their locks, with what their owners allow.
struct Desk {
    balances: BTreeMap<AccountPeriod, Balance>,
    owners: BTreeMap<(AccountKind, String), Owner>,
    /// What the asker holds already, in all its sessions.
    own: BTreeMap<AccountPeriod, i64>,
    now: DateTime<Utc>,
}

impl Desk {
    /// Decides one ask and debits the account, so that a second ask of the same account sees the first.
    fn answer(&mut self, ask: &Ask) -> Answer {
        let owner = self.owners.get(&(ask.account.kind, ask.account.owner.clone()));
        let terms = lending::terms(&ask.account, owner, self.now);
        let balance = self.balances.get_mut(&ask.account);
        let own = self.own.entry(ask.account.clone()).or_default();
        let (outcome, after) = match (terms, balance) {
            (Terms::Unknown, _) => (Outcome::UnknownAccount, Balance::default()),
            (Terms::OtherPeriod, _) => (Outcome::Busy, Balance::default()),
            (_, None) => (Outcome::Unlimited, Balance::default()),
            (terms, Some(balance)) => {
                if let Terms::Limit(limit) = terms {
                    balance.limit = limit;
                }
                let outcome = lending::lend(balance, *own, ask.wanted, ask.least);
                if let Outcome::Granted(amount) = outcome {
                    balance.lent += amount;
                    *own += amount;
                }
                (outcome, *balance)
            }
        };
        Answer {
            account: ask.account.clone(),
            outcome,
            headroom: after.headroom().unwrap_or(0),
            limit: after.limit.unwrap_or(0),
        }
    }
}

/// Sums the grants account by account: one statement debits each of them once.
fn grants(answers: &[Answer]) -> Vec<Grant> {
    let mut sums: BTreeMap<&AccountPeriod, (i64, i64)> = BTreeMap::new();
    for answer in answers {
        if let Outcome::Granted(amount) = answer.outcome {
            let (sum, limit) = sums.entry(&answer.account).or_default();
            *sum += amount;
            *limit = answer.limit;
        }
    }
    let grant = |(account, (amount, limit_nano)): (&AccountPeriod, (i64, i64))| Grant {
        account: account.clone(),
        amount,
        limit_nano,
    };
    sums.into_iter().map(grant).collect()
}

/// Asks everybody else for idle money of busy accounts, once the transaction commits.
async fn recall(db: &mut PgConnection, holder: &Holder, answers: &[Answer]) -> Result<(), MoneyError> {
    // Without a limit it is busy because its period is not now, and nobody can help.
    let is_lent = |answer: &&Answer| answer.outcome == Outcome::Busy && answer.limit > 0;
    let busy: BTreeSet<&AccountPeriod> =
        answers.iter().filter(is_lent).map(|answer| &answer.account).collect();
    for account in busy {
        store::instance::recall(db, account, &holder.instance).await?;
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
    move_leases(&mut tx, &names, now, "given back", give_back).await?;
    tx.commit().await.map_err(MoneyError::InDoubt)?;
    Ok(())
}

/// Locks leases, changes each, and writes them back with a `presumed` line for what `change` says was presumed by it.
///
/// Answers how many lines that were.
async fn move_leases(
    db: &mut PgConnection,
    names: &[(AccountPeriod, Holder)],
    now: DateTime<Utc>,
    reason: &str,
    change: impl Fn(&AccountPeriod, &mut Lease, &mut Balance) -> i64,
) -> Result<usize, MoneyError> {
    let accounts: Vec<_> = names.iter().map(|(account, _)| account).collect();
    let balances = store::account::lock(db, &accounts).await?;
    let tenants = store::account::tenants(db, &accounts).await?;
    let names: Vec<_> = names.iter().map(|(account, holder)| (account, holder)).collect();
    let mut held = store::lease::held(db, balances, &names).await?;
    let mut lines = Vec::new();
    for (account, held) in &mut held {
        for (holder, lease) in &mut held.leases {
            let presumed = change(account, lease, &mut held.balance);
            if presumed != 0 {
                let tenant = tenants.get(account).map(String::as_str).unwrap_or_default();
                let line = Line::movement(LineKind::Presumed, account, presumed, now);
                lines.push(booking::of(line, tenant, holder, reason));
            }
        }
    }
    store::lease::write(db, &held).await?;
    store::account::write(db, &held).await?;
    store::ingest::insert_lines(db, &lines.iter().collect::<Vec<_>>()).await?;
    Ok(lines.len())
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
    let presumed = move_leases(&mut tx, &open, now, "its holder was lost", presume).await?;
    tx.commit().await.map_err(MoneyError::InDoubt)?;
    Ok(presumed)
}
