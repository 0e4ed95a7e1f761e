//! The gRPC face of money: `LeaseService` and `IngestService` on the fleet port.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sqlx::PgPool;
use switchyard_proto::{
    clock,
    code::NOTHING_DONE,
    v1::{self, ingest_service_server::IngestService, lease_service_server::LeaseService},
};
use tokio::time;
use tonic::{Request, Response, Status, metadata::MetadataValue};
use tracing::Instrument;

use crate::{
    domain::{
        ledger::{self, AccountPeriod},
        lending::{self, Ask, Holder, Outcome},
    },
    error::ServiceError,
    money::{
        drift, health,
        ingest::{Booked, Ingest},
        leases::{self, Answer, MoneyError},
    },
    store::StoreError,
    telemetry,
};

/// Longest wait for the store.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a transaction is tried that others stood in the way of.
const TRIES: u32 = 4;
/// Asks of one call, and records of one batch.
const MOST_ASKS: usize = 1_000;
const MOST_RECORDS: usize = 10_000;
const MOST_FINDINGS: usize = 1_000;
const MOST_ENDPOINTS: usize = 1_000;

/// Serves leases and books usage. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pool: PgPool,
    ingest: Arc<Ingest>,
}

impl Service {
    pub fn new(pool: PgPool) -> Self {
        Self { ingest: Arc::new(Ingest::new(pool.clone())), pool }
    }
}

#[tonic::async_trait]
impl LeaseService for Service {
    async fn acquire(
        &self,
        request: Request<v1::AcquireRequest>,
    ) -> Result<Response<v1::AcquireResponse>, Status> {
        let span = tracing::debug_span!("lease.acquire");
        telemetry::continue_trace(&span, &telemetry::traceparent(&request));
        let request = request.into_inner();
        let holder = holder(request.instance, request.epoch)?;
        let asks = request.asks.into_iter().map(ask).collect::<Result<Vec<_>, _>>()?;
        if asks.len() > MOST_ASKS {
            return Err(ServiceError::invalid("asks", format!("has more than {MOST_ASKS} entries")).into());
        }
        let call = insist(|| leases::acquire(&self.pool, &holder, &asks, clock::now()));
        let answers = call.instrument(span).await?;
        Ok(Response::new(v1::AcquireResponse { grants: answers.into_iter().map(grant).collect() }))
    }

    async fn r#return(
        &self,
        request: Request<v1::ReturnRequest>,
    ) -> Result<Response<v1::ReturnResponse>, Status> {
        let span = tracing::debug_span!("lease.return");
        telemetry::continue_trace(&span, &telemetry::traceparent(&request));
        let request = request.into_inner();
        let holder = holder(request.instance, request.epoch)?;
        let mut surplus = BTreeMap::new();
        for part in request.surplus {
            let sum: &mut i64 = surplus.entry(account(part.account)?).or_default();
            *sum = sum.saturating_add(amount(part.amount_nano));
        }
        let call = insist(|| leases::give_back(&self.pool, &holder, &surplus, clock::now()));
        call.instrument(span).await?;
        Ok(Response::new(v1::ReturnResponse {}))
    }
}

#[tonic::async_trait]
impl IngestService for Service {
    async fn report(
        &self,
        request: Request<v1::ReportRequest>,
    ) -> Result<Response<v1::ReportResponse>, Status> {
        let span = tracing::debug_span!("usage.report", records = request.get_ref().records.len());
        telemetry::continue_trace(&span, &telemetry::traceparent(&request));
        let request = request.into_inner();
        let holder = holder(request.instance, request.epoch)?;
        if request.records.len() > MOST_RECORDS {
            let reason = format!("has more than {MOST_RECORDS} entries");
            return Err(ServiceError::invalid("records", reason).into());
        }
        let spans = book_spans(&request.traceparents);
        let call = insist(|| self.ingest.report(&holder, &request.records, clock::now()));
        let Booked { booked, quarantined } = call.instrument(span).await?;
        drop(spans);
        let known = (request.records.len() as u64).saturating_sub(booked + quarantined);
        telemetry::reported(booked, known, quarantined);
        Ok(Response::new(v1::ReportResponse { booked, quarantined }))
    }

    async fn report_drift(
        &self,
        request: Request<v1::ReportDriftRequest>,
    ) -> Result<Response<v1::ReportDriftResponse>, Status> {
        let span = tracing::debug_span!("drift.report", findings = request.get_ref().findings.len());
        telemetry::continue_trace(&span, &telemetry::traceparent(&request));
        let request = request.into_inner();
        let holder = holder(request.instance, request.epoch)?;
        if request.findings.len() > MOST_FINDINGS {
            let reason = format!("has more than {MOST_FINDINGS} entries");
            return Err(ServiceError::invalid("findings", reason).into());
        }
        let read = drift::read(request.findings, clock::now());
        insist(|| drift::report(&self.pool, &holder, &read.findings)).instrument(span).await?;
        Ok(Response::new(v1::ReportDriftResponse { refused: read.refused }))
    }

    async fn report_health(
        &self,
        request: Request<v1::ReportHealthRequest>,
    ) -> Result<Response<v1::ReportHealthResponse>, Status> {
        let span = tracing::debug_span!("health.report", endpoints = request.get_ref().endpoints.len());
        telemetry::continue_trace(&span, &telemetry::traceparent(&request));
        let request = request.into_inner();
        let holder = holder(request.instance, request.epoch)?;
        if request.endpoints.len() > MOST_ENDPOINTS {
            let reason = format!("has more than {MOST_ENDPOINTS} entries");
            return Err(ServiceError::invalid("endpoints", reason).into());
        }
        let now = clock::now();
        let read = health::read(request.endpoints, &holder.instance, now);
        insist(|| health::report(&self.pool, &holder, &read, now)).instrument(span).await?;
        Ok(Response::new(v1::ReportHealthResponse { refused: read.refused }))
    }
}

/// One span for each record whose request was sampled, so that its trace ends in the ledger.
///
/// They last from the batch's arrival to its commit.
fn book_spans(traceparents: &[String]) -> Vec<tracing::Span> {
    let sampled = traceparents.iter().filter(|traceparent| !traceparent.is_empty());
    let book = |traceparent: &String| {
        let span = tracing::info_span!(parent: None, "usage.book");
        telemetry::continue_trace(&span, traceparent);
        span
    };
    sampled.map(book).collect()
}

/// Runs a transaction until nobody stands in its way any more; a frozen database counts as out of reach.
async fn insist<T, F>(call: impl Fn() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, MoneyError>>,
{
    let tries = async {
        for _ in 1..TRIES {
            match call().await {
                Err(MoneyError::Store(StoreError::Raced(_))) => {}
                done => return done,
            }
        }
        call().await
    };
    match time::timeout(PATIENCE, tries).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(MoneyError::Fenced)) => Err(Status::failed_precondition("fenced")),
        Ok(Err(MoneyError::Store(error))) => Err(nothing_done(ServiceError::from(error).into())),
        Ok(Err(MoneyError::InDoubt(error))) => Err(ServiceError::from(StoreError::Unavailable(error)).into()),
        Err(_) => Err(ServiceError::from(StoreError::Unavailable(sqlx::Error::PoolTimedOut)).into()),
    }
}

/// Says that a failed call changed nothing, so that a data plane keeps what it wanted to give back.
pub fn nothing_done(mut status: Status) -> Status {
    status.metadata_mut().insert(NOTHING_DONE, MetadataValue::from_static("1"));
    status
}

fn holder(instance: String, epoch: u64) -> Result<Holder, ServiceError> {
    match i64::try_from(epoch) {
        Ok(epoch) if epoch > 0 => Ok(Holder { instance, epoch }),
        _ => Err(ServiceError::invalid("epoch", "is none that was ever issued")),
    }
}

fn ask(ask: v1::Ask) -> Result<Ask, ServiceError> {
    let account = account(ask.account)?;
    let (wanted, least) = (amount(ask.wanted_nano), amount(ask.least_nano));
    Ok(Ask { account, wanted, least, group: ask.group })
}

fn account(account: Option<v1::AccountPeriod>) -> Result<AccountPeriod, ServiceError> {
    let account = account.ok_or_else(|| ServiceError::invalid("account", "is required"))?;
    let Some(kind) = ledger::kind_from_number(account.kind) else {
        return Err(ServiceError::invalid("account.kind", "is unknown"));
    };
    if !lending::is_period(&account.period) {
        return Err(ServiceError::invalid("account.period", "is no period"));
    }
    Ok(AccountPeriod { kind, owner: account.owner, period: account.period })
}

/// More than the ledger can hold is as good as all of it.
fn amount(nano: u64) -> i64 {
    i64::try_from(nano).unwrap_or(i64::MAX)
}

fn grant(answer: Answer) -> v1::Grant {
    use v1::GrantOutcome::{Busy, Exhausted, Granted, UnknownAccount, Unlimited, Withheld};
    let (outcome, label, granted) = match answer.outcome {
        Outcome::Granted(amount) => (Granted, "granted", amount),
        Outcome::Exhausted => (Exhausted, "exhausted", 0),
        Outcome::Busy => (Busy, "busy", 0),
        Outcome::Unlimited => (Unlimited, "unlimited", 0),
        Outcome::UnknownAccount => (UnknownAccount, "unknown_account", 0),
        Outcome::Withheld => (Withheld, "withheld", 0),
    };
    telemetry::asked(label);
    let account = v1::AccountPeriod {
        kind: (answer.account.kind as i16).into(),
        owner: answer.account.owner,
        period: answer.account.period,
    };
    v1::Grant {
        account: Some(account),
        outcome: outcome.into(),
        granted_nano: unsigned(granted),
        headroom_nano: unsigned(answer.headroom),
        limit_nano: unsigned(answer.limit),
        overdrawn: answer.is_overdrawn,
    }
}

/// Amounts that are never negative.
fn unsigned(nano: i64) -> u64 {
    u64::try_from(nano).unwrap_or(0)
}
