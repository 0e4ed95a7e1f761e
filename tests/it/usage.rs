//! Usage by day, statements, and dropping old days: sums that nothing is lost from or counted in twice.

use chrono::{DateTime, Days, NaiveDate, Utc};
use switchyard_control_plane::{
    domain::lending::Holder,
    jobs,
    money::ingest::{Booked, Ingest},
    service,
};
use switchyard_proto::{clock, id::GenerationId, v1};
use switchyard_tests::{
    admin::AdminPort,
    wait::{clear_of_midnight, until_true},
};

mod report;
mod retention;
mod rollup;
mod statement;

/// A record's id, of some time ago.
fn id_of(at: DateTime<Utc>) -> Vec<u8> {
    let mut id = GenerationId::generate().to_bytes();
    id[..6].copy_from_slice(&at.timestamp_millis().to_be_bytes()[2..]);
    id
}

fn days_ago(days: u64) -> DateTime<Utc> {
    clock::now().checked_sub_days(Days::new(days)).unwrap()
}

/// A data plane that may report, without one.
async fn holder(port: &AdminPort) -> Holder {
    sqlx::query(
        "INSERT INTO instances (id, epoch, replica, attached, attached_at, last_seen)
         VALUES ('dp', 1, gen_random_uuid(), true, now(), now()) ON CONFLICT DO NOTHING",
    )
    .execute(&port.pool)
    .await
    .unwrap();
    Holder { instance: "dp".to_owned(), epoch: 1 }
}

/// What a request of `acme` was like.
#[derive(Clone, Copy)]
struct Request<'a> {
    at: DateTime<Utc>,
    key: &'a str,
    user: &'a str,
    model: &'a str,
    charged: u64,
    status: u32,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self { at: clock::now(), key: "key_1", user: "", model: "a/m", charged: 10, status: 200 }
    }
}

/// The records of one request: a try that failed for nothing, one that was charged, and its end.
fn records(request: Request<'_>) -> Vec<Vec<u8>> {
    use prost::Message;
    let id = id_of(request.at);
    let account = |kind: v1::AccountKind, owner: &str| {
        Some(v1::AccountPeriod { kind: kind.into(), owner: owner.into(), period: "all".into() })
    };
    let charge = |account| v1::Charge {
        account,
        charged_nano: request.charged,
        reserved_nano: request.charged,
        leased: false,
    };
    let tokens = Some(v1::TokenUsage { prompt: 7, completion: 3, ..Default::default() });
    let attempt = v1::AttemptRecord {
        generation: id.clone(),
        attempt: 2,
        instance: "dp".into(),
        epoch: 1,
        tenant: "acme".into(),
        key: request.key.into(),
        model: request.model.into(),
        provider: "p".into(),
        charges: vec![
            charge(account(v1::AccountKind::TenantCredits, "acme")),
            charge(account(v1::AccountKind::KeyLimit, request.key)),
        ],
        cost_nano: request.charged,
        charge_nano: request.charged,
        reserved_nano: request.charged,
        tokens,
        provenance: v1::Provenance::ProviderFinal.into(),
        ..Default::default()
    };
    let failed = v1::AttemptRecord {
        attempt: 1,
        charges: Vec::new(),
        cost_nano: 0,
        charge_nano: 0,
        reserved_nano: 0,
        tokens: None,
        provider: "q".into(),
        ..attempt.clone()
    };
    let generation = v1::GenerationRecord {
        id,
        instance: "dp".into(),
        tenant: "acme".into(),
        key: request.key.into(),
        user: request.user.into(),
        model: request.model.into(),
        provider: "p".into(),
        status: request.status,
        tokens,
        cost_nano: request.charged,
        charge_nano: request.charged,
        attempts: 2,
        ..Default::default()
    };
    [
        v1::usage_record::Kind::Attempt(failed),
        v1::usage_record::Kind::Attempt(attempt),
        v1::usage_record::Kind::Generation(generation),
    ]
    .map(|kind| v1::UsageRecord { kind: Some(kind) }.encode_to_vec())
    .to_vec()
}

async fn book(port: &AdminPort, request: Request<'_>) -> Booked {
    let holder = holder(port).await;
    Ingest::new(port.pool.clone()).report(&holder, &records(request), clock::now()).await.unwrap()
}

/// Rolls up until nothing is left. Transactions of other tests on the same server may hold it up.
async fn roll_up(port: &AdminPort) {
    until_true("everything is rolled up", async || {
        jobs::rollup::run_once(&port.pool, clock::now()).await.unwrap();
        let rest: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM lines, followers WHERE xid >= seen AND name = 'usage')
                 + (SELECT count(*) FROM generations, followers WHERE xid >= seen AND name = 'usage')",
        )
        .fetch_one(&port.pool)
        .await
        .unwrap();
        rest == 0
    })
    .await;
}

/// Requests, attempts and charges that the roll-up has, at its coarsest.
async fn rolled_up(port: &AdminPort) -> (i64, i64, i64) {
    sqlx::query_as(
        "SELECT coalesce(sum(requests), 0)::bigint, coalesce(sum(attempts), 0)::bigint,
             coalesce(sum(charge_nano), 0)::bigint
         FROM usage_days WHERE grain = 0",
    )
    .fetch_one(&port.pool)
    .await
    .unwrap()
}

async fn report(port: &AdminPort, request: &v1::ReportUsageRequest) -> v1::ReportUsageResponse {
    port.call("UsageService/ReportUsage", request).await.unwrap()
}

fn by(names: &[&str]) -> v1::ReportUsageRequest {
    let by = names.iter().map(ToString::to_string).collect();
    v1::ReportUsageRequest { by, tenant: "acme".to_owned(), ..Default::default() }
}

/// What tells a row apart, and what it says.
fn shown(report: &v1::ReportUsageResponse) -> Vec<(String, u64, u64, u64, &str)> {
    let row = |row: &v1::UsageRow| {
        [&row.day, &row.tenant, &row.key, &row.model, &row.provider, &row.user].map(String::as_str).join("|")
    };
    let rows = report.rows.iter();
    let mut rows: Vec<_> =
        rows.map(|one| (row(one), one.requests, one.errors, one.attempts, one.charge_usd.as_str())).collect();
    rows.sort();
    rows
}

async fn proof_holds(port: &AdminPort) {
    let proof = service::ledger::prove_all(&port.pool).await.unwrap();
    assert!(proof.holds(), "{proof:#?}");
}

async fn statement(port: &AdminPort, month: &str) -> v1::Statement {
    let request = v1::GetStatementRequest { tenant: "acme".to_owned(), month: month.to_owned() };
    port.call("UsageService/GetStatement", &request).await.unwrap()
}

/// A month and the one before, with a day in each.
fn months() -> [(String, DateTime<Utc>); 2] {
    let now = clock::now();
    let first = now.date_naive().format("%Y-%m-01").to_string().parse::<NaiveDate>().unwrap();
    let before = first.and_hms_opt(12, 0, 0).unwrap().and_utc() - Days::new(3);
    [now, before].map(|at| (at.format("%Y-%m").to_string(), at))
}
