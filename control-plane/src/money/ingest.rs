//! Books usage records: every one once, however often it is sent; what cannot be booked goes to quarantine.
//!
//! Reading records is `money::record`'s business, moving money `domain::booking`'s. The gRPC face is `money::service`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{PgConnection, PgPool};
use switchyard_proto::id::GenerationId;
use uuid::Uuid;

use crate::{
    domain::{
        booking::{self, Conditions, Demand},
        ledger::{AccountPeriod, Generation, Line},
        lending::Holder,
    },
    money::{
        leases::{MoneyError, check_session},
        record::{self, Entry, Sender},
    },
    store::{
        self, StoreError,
        account::Opening,
        ingest::{LineName, Quarantined},
    },
    telemetry,
};

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Booked {
    /// Booked now; the rest were known already.
    pub booked: u64,
    pub quarantined: u64,
}

/// Books batches.
#[derive(Debug)]
pub struct Ingest {
    pool: PgPool,
    /// Days whose partitions are there.
    days: Mutex<BTreeSet<NaiveDate>>,
}

impl Ingest {
    pub fn new(pool: PgPool) -> Self {
        Self { pool, days: Mutex::default() }
    }

    /// Books records of one session. When this answers, each of them is in the ledger or in quarantine.
    ///
    /// # Errors
    /// [`MoneyError::Fenced`] unless the session is its instance's newest. After an error nothing is known to be booked,
    /// and sending the same again is harmless.
    pub async fn report<R: AsRef<[u8]>>(
        &self,
        holder: &Holder,
        records: &[R],
        now: DateTime<Utc>,
    ) -> Result<Booked, MoneyError> {
        let sender = Sender { instance: holder.instance.clone(), now };
        let batch = Batch::read(records, &sender);
        self.ensure_partitions(&batch.entries, now).await?;
        match self.book(holder, &batch, now).await {
            Err(Refused::Data(_)) => self.book_one_by_one(holder, batch, now).await,
            Err(Refused::Money(error)) => Err(error),
            Ok(booked) => Ok(booked),
        }
    }

    /// Partitions come from the ids' times, and of today are the lines that booking adds; made apart, since that takes locks.
    async fn ensure_partitions(
        &self,
        entries: &[(&[u8], Entry)],
        now: DateTime<Utc>,
    ) -> Result<(), MoneyError> {
        let days = entries.iter().filter_map(|(_, entry)| day(entry.id()));
        let wanted: BTreeSet<NaiveDate> = days.chain([now.date_naive()]).collect();
        let known = self.days.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for day in wanted.difference(&known) {
            store::ingest::ensure_partitions(&self.pool, *day).await?;
            self.days.lock().unwrap_or_else(PoisonError::into_inner).insert(*day);
        }
        Ok(())
    }

    /// Books a whole batch in one transaction.
    async fn book(&self, holder: &Holder, batch: &Batch<'_>, now: DateTime<Utc>) -> Result<Booked, Refused> {
        let mut tx = self.pool.begin().await.map_err(StoreError::from)?;
        check_session(&mut tx, holder).await?;
        store::ingest::quarantine(&mut tx, &holder.instance, holder.epoch, &batch.bad, now).await?;
        let entries: Vec<&Entry> = batch.entries.iter().map(|(_, entry)| entry).collect();
        let booked = book_entries(&mut tx, &entries, now).await?;
        tx.commit().await.map_err(MoneyError::InDoubt)?;
        Ok(Booked { booked, quarantined: batch.bad.len() as u64 })
    }

    /// The same when the database refused something in the batch: each record in a savepoint of its own.
    async fn book_one_by_one(
        &self,
        holder: &Holder,
        mut batch: Batch<'_>,
        now: DateTime<Utc>,
    ) -> Result<Booked, MoneyError> {
        let mut tx = self.pool.begin().await.map_err(StoreError::from)?;
        check_session(&mut tx, holder).await?;
        let mut booked = 0;
        for (record, entry) in &batch.entries {
            let mut savepoint = sqlx::Acquire::begin(&mut *tx).await.map_err(StoreError::from)?;
            match book_entries(&mut savepoint, &[entry], now).await {
                Ok(new) => {
                    savepoint.commit().await.map_err(StoreError::from)?;
                    booked += new;
                }
                Err(Refused::Data(reason)) => {
                    savepoint.rollback().await.map_err(StoreError::from)?;
                    batch.bad.push(Quarantined { record: record.to_vec(), reason });
                }
                Err(Refused::Money(error)) => return Err(error),
            }
        }
        store::ingest::quarantine(&mut tx, &holder.instance, holder.epoch, &batch.bad, now).await?;
        tx.commit().await.map_err(MoneyError::InDoubt)?;
        Ok(Booked { booked, quarantined: batch.bad.len() as u64 })
    }
}

/// A batch, read: what can be tried to book, beside its bytes, and what cannot.
struct Batch<'a> {
    entries: Vec<(&'a [u8], Entry)>,
    bad: Vec<Quarantined>,
}

impl<'a> Batch<'a> {
    fn read<R: AsRef<[u8]>>(records: &'a [R], sender: &Sender) -> Self {
        let mut batch = Self { entries: Vec::with_capacity(records.len()), bad: Vec::new() };
        for record in records {
            let record = record.as_ref();
            match record::read(record, sender) {
                Ok(entry) => batch.entries.push((record, entry)),
                Err(reason) => {
                    tracing::warn!(instance.id = sender.instance, %reason, "a usage record goes to quarantine");
                    batch.bad.push(Quarantined { record: record.to_vec(), reason: reason.to_string() });
                }
            }
        }
        batch
    }
}

/// Why a transaction was given up.
enum Refused {
    /// A record holds something that the ledger cannot; the others may be fine.
    Data(String),
    Money(MoneyError),
}

impl From<MoneyError> for Refused {
    fn from(error: MoneyError) -> Self {
        match error {
            MoneyError::Store(error) => error.into(),
            other @ (MoneyError::Fenced | MoneyError::InDoubt(_)) => Self::Money(other),
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match store::ingest::is_about_data(&error) {
            true => {
                Self::Data(std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string))
            }
            false => Self::Money(error.into()),
        }
    }
}

impl From<booking::TooMuch> for Refused {
    fn from(error: booking::TooMuch) -> Self {
        Self::Data(error.to_string())
    }
}

/// Inserts what is new and moves the money of that alone. Answers how many records were new.
async fn book_entries(db: &mut PgConnection, entries: &[&Entry], now: DateTime<Utc>) -> Result<u64, Refused> {
    let generations: Vec<&Generation> = entries.iter().filter_map(|entry| entry.generation()).collect();
    let lines: Vec<&Line> = entries.iter().flat_map(|entry| entry.lines()).collect();
    let new = store::ingest::insert_lines(db, &lines).await?;
    store::follow::mark_late(db, entries.iter().filter_map(|entry| day(entry.id())), now).await?;
    let mut taken = new.clone();
    // A batch may hold the same record twice; the second is not new.
    let fresh: Vec<&Line> = lines.into_iter().filter(|line| taken.remove(&name(line))).collect();
    move_money(db, &booking::demands(fresh.iter().copied())?, now).await?;
    let attempts = fresh.iter().filter(|line| line.attempt > 0 && !is_house(line)).count() as u64;
    report_house(&fresh);
    Ok(attempts + store::ingest::insert_generations(db, &generations).await?)
}

/// The day that an id belongs to.
fn day(id: Uuid) -> Option<NaiveDate> {
    GenerationId::from_bytes(id.as_bytes()).map(|id| id.admitted_at().date_naive())
}

fn is_house(line: &Line) -> bool {
    line.kind == crate::domain::ledger::LineKind::House
}

fn name(line: &Line) -> LineName {
    (line.id, line.attempt, line.kind.as_str().to_owned())
}

async fn move_money(
    db: &mut PgConnection,
    demands: &BTreeMap<AccountPeriod, Demand>,
    now: DateTime<Utc>,
) -> Result<(), Refused> {
    if demands.is_empty() {
        return Ok(());
    }
    let openings: Vec<Opening<'_>> =
        demands.iter().map(|(account, demand)| Opening { account, tenant: &demand.tenant }).collect();
    store::account::open(db, &openings).await?;
    let balances = store::account::lock(db, &demands.keys().collect::<Vec<_>>()).await?;
    let names: Vec<_> = demands
        .iter()
        .flat_map(|(account, demand)| demand.leased.keys().map(move |holder| (account, holder)))
        .collect();
    let mut held = store::lease::held(db, balances, &names).await?;
    let released = store::lease::released(db, &booking::short(demands, &held)).await?;
    let conditions = Conditions { now, released };
    let mut extra = Vec::new();
    for (account, demand) in demands {
        let held = held.entry(account.clone()).or_default();
        extra.extend(booking::settle(account, demand, held, &conditions)?);
    }
    store::account::write(db, &held).await?;
    store::lease::write(db, &held).await?;
    if !extra.is_empty() {
        store::ingest::insert_lines(db, &extra.iter().collect::<Vec<_>>()).await?;
        bear(db, &extra).await?;
    }
    Ok(())
}

/// Charges the house for what it took over. Its account is always the last in order, so it may be locked late.
async fn bear(db: &mut PgConnection, extra: &[Line]) -> Result<(), Refused> {
    let amount: i64 = extra.iter().filter(|line| is_house(line)).map(|line| line.charge_nano).sum();
    if amount == 0 {
        return Ok(());
    }
    tracing::error!(amount_nano = amount, "charges that no lease covers; the house bears them");
    telemetry::borne_by_house(amount);
    store::account::charge_house(db, amount).await?;
    Ok(())
}

/// An alarm: an endpoint's worst case was not the worst.
fn report_house(fresh: &[&Line]) {
    for line in fresh.iter().filter(|line| is_house(line)) {
        tracing::warn!(
            model.id = line.model,
            endpoint.id = line.endpoint,
            provider.id = line.provider,
            amount_nano = line.charge_nano,
            "an attempt cost more than was reserved for it"
        );
        telemetry::borne_by_house(line.charge_nano);
    }
}
