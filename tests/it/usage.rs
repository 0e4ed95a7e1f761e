//! Usage by day, statements, and dropping old days: sums that nothing is lost from or counted in twice.

use chrono::{DateTime, Days, NaiveDate, Utc};
use prost_types::Timestamp;
use switchyard_control_plane::{
    domain::lending::Holder,
    jobs,
    money::ingest::{Booked, Ingest},
    service,
    settings::Retention,
};
use switchyard_proto::{clock, id::GenerationId, v1};
use switchyard_tests::{
    admin::AdminPort,
    wait::{clear_of_midnight, until_true},
};
use tokio::task::JoinSet;

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

#[tokio::test]
async fn a_slow_transaction_is_rolled_up_when_it_is_committed_and_once() {
    let port = AdminPort::start().await.unwrap();
    // Begun first, committed last.
    let mut slow = port.pool.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO lines (id, attempt, kind, tenant, key, model, provider, charge_nano)
         VALUES ($1, 1, 'attempt', 'acme', 'key_1', 'a/m', 'p', 5)",
    )
    .bind(GenerationId::generate().as_uuid())
    .execute(&mut *slow)
    .await
    .unwrap();
    book(&port, Request::default()).await;
    for _ in 0..3 {
        jobs::rollup::run_once(&port.pool, clock::now()).await.unwrap();
    }
    assert_eq!(rolled_up(&port).await, (0, 0, 0), "what is committed behind a slow transaction waits for it");
    assert_eq!(report(&port, &by(&[])).await.rows[0].charge_usd, "0.00000001", "but it is reported");
    slow.commit().await.unwrap();
    assert_eq!(report(&port, &by(&[])).await.rows[0].charge_usd, "0.000000015");
    roll_up(&port).await;
    for _ in 0..3 {
        jobs::rollup::run_once(&port.pool, clock::now()).await.unwrap();
    }
    assert_eq!(rolled_up(&port).await, (1, 3, 15));
    assert_eq!(report(&port, &by(&[])).await.rows[0].charge_usd, "0.000000015");
}

#[tokio::test]
async fn many_writers_and_two_control_planes_lose_nothing_and_double_nothing() {
    let port = std::sync::Arc::new(AdminPort::start().await.unwrap());
    let mut writers = JoinSet::new();
    for writer in 0..3_u64 {
        let port = port.clone();
        writers.spawn(async move {
            for day in 0..10 {
                // Late ones among them.
                let at = days_ago(if day % 3 == 0 { 20 + writer } else { 0 });
                book(&port, Request { at, ..Request::default() }).await;
            }
        });
    }
    let (over, is_over) = tokio::sync::watch::channel(false);
    let mut planes = JoinSet::new();
    for _ in 0..2 {
        let (port, is_over) = (port.clone(), is_over.clone());
        planes.spawn(async move {
            while !*is_over.borrow() {
                jobs::rollup::run_once(&port.pool, clock::now()).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    over.send(true).unwrap();
    planes.join_all().await;
    roll_up(&port).await;
    assert_eq!(rolled_up(&port).await, (30, 60, 300));
    let by_grain: Vec<(i16, i64)> = sqlx::query_as(
        "SELECT grain, sum(charge_nano)::bigint FROM usage_days GROUP BY grain ORDER BY grain",
    )
    .fetch_all(&port.pool)
    .await
    .unwrap();
    assert_eq!(by_grain, [(0, 300), (1, 300), (2, 300), (3, 300)]);
}

#[tokio::test]
async fn late_lines_of_an_old_day_go_to_that_day() {
    clear_of_midnight().await;
    let port = AdminPort::start().await.unwrap();
    book(&port, Request::default()).await;
    roll_up(&port).await;
    let from_day: NaiveDate = sqlx::query_scalar("SELECT from_day FROM followers WHERE name = 'usage'")
        .fetch_one(&port.pool)
        .await
        .unwrap();
    assert!(from_day > days_ago(10).date_naive(), "the follower looks into the last days only: {from_day}");
    let at = days_ago(40);
    book(&port, Request { at, charged: 7, ..Request::default() }).await;
    let wanted = v1::ReportUsageRequest {
        since: Some(clock::to_timestamp(days_ago(50))),
        until: Some(clock::to_timestamp(days_ago(30))),
        ..by(&["day"])
    };
    let expected = [(format!("{}|||||", at.date_naive()), 1, 0, 2, "0.000000007")];
    assert_eq!(shown(&report(&port, &wanted).await), expected);
    roll_up(&port).await;
    assert_eq!(shown(&report(&port, &wanted).await), expected);
    let marks: i64 =
        sqlx::query_scalar("SELECT count(*) FROM late_days").fetch_one(&port.pool).await.unwrap();
    assert_eq!(marks, 1, "kept for the other follower");
}

#[tokio::test]
async fn reports_say_the_same_before_and_after_the_roll_up() {
    clear_of_midnight().await;
    let port = AdminPort::start().await.unwrap();
    let yesterday = days_ago(1);
    for request in [
        Request { user: "ann", ..Request::default() },
        Request { user: "ann", model: "a/n", charged: 20, status: 500, ..Request::default() },
        Request { user: "bob", key: "key_2", at: yesterday, ..Request::default() },
        Request { at: days_ago(60), charged: 1000, ..Request::default() },
    ] {
        book(&port, request).await;
    }
    let today = clock::now().date_naive().to_string();
    let yesterday = yesterday.date_naive().to_string();
    let row =
        |place: &str, requests, errors, attempts, usd| (place.to_owned(), requests, errors, attempts, usd);
    let mut expected = vec![
        (by(&[]), vec![row("|||||", 3, 1, 6, "0.00000004")]),
        (
            by(&["model"]),
            vec![row("|||a/m||", 2, 0, 4, "0.00000002"), row("|||a/n||", 1, 1, 2, "0.00000002")],
        ),
        (
            by(&["key"]),
            vec![row("||key_1|||", 2, 1, 4, "0.00000003"), row("||key_2|||", 1, 0, 2, "0.00000001")],
        ),
        (by(&["provider"]), vec![row("||||p|", 3, 1, 3, "0.00000004"), row("||||q|", 0, 0, 3, "0")]),
        (by(&["user"]), vec![row("|||||ann", 2, 1, 4, "0.00000003"), row("|||||bob", 1, 0, 2, "0.00000001")]),
        (by(&["tenant"]), vec![row("|acme||||", 3, 1, 6, "0.00000004")]),
    ];
    let day = |day: &str, requests, errors, attempts, usd| {
        row(&format!("{day}|||||"), requests, errors, attempts, usd)
    };
    expected.push((
        by(&["day"]),
        vec![day(&yesterday, 1, 0, 2, "0.00000001"), day(&today, 2, 1, 4, "0.00000003")],
    ));
    let narrowed = v1::ReportUsageRequest { user: "ann".into(), model: "a/n".into(), ..by(&["key"]) };
    expected.push((narrowed, vec![row("||key_1|||", 1, 1, 2, "0.00000002")]));
    let elsewhere = v1::ReportUsageRequest { tenant: "rival".into(), ..by(&["model"]) };
    expected.push((elsewhere, Vec::new()));
    for round in ["before", "after"] {
        for (request, rows) in &expected {
            let answer = report(&port, request).await;
            assert_eq!(&shown(&answer), rows, "{round}: {request:?}");
            let until = clock::from_timestamp(answer.complete_until.as_ref().unwrap()).unwrap();
            assert!((clock::now() - until).num_seconds() < 60, "{round}: complete until {until}");
        }
        roll_up(&port).await;
    }
    let all = report(&port, &by(&["model"])).await;
    assert_eq!(all.total.unwrap().tokens.unwrap().prompt, 3 * 7);
}

#[tokio::test]
async fn a_report_is_asked_for_by_days_and_names_that_exist() {
    let port = AdminPort::start().await.unwrap();
    for (request, field) in [
        (by(&["model", "hour"]), "by[1]"),
        (by(&["day", "day"]), "by[1]"),
        (
            v1::ReportUsageRequest {
                since: Some(Timestamp { seconds: i64::MAX, nanos: 0 }),
                ..Default::default()
            },
            "since",
        ),
    ] {
        let refused =
            port.call::<_, v1::ReportUsageResponse>("UsageService/ReportUsage", &request).await.unwrap_err();
        assert!(refused.message().starts_with(field), "{refused:?}");
    }
}

#[tokio::test]
async fn what_a_tenant_pays_its_providers_itself_is_told_apart() {
    clear_of_midnight().await;
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    port.provider("p", "sk-upstream").await.unwrap();
    port.credential("acme", "mine", "p").await.unwrap();
    let own = r#"[{"kind": 1, "owner": "acme", "period": "all", "charged": 0},
        {"kind": 7, "owner": "key_1", "period": "2026-11-23", "charged": 5}]"#;
    for (credential, cost, charges) in [
        ("operators", 5, "[]"),
        // Lines of today say so themselves, also once their credential is gone.
        ("deleted", 20, own),
        // Those from before do not.
        ("mine", 300, "[]"),
    ] {
        sqlx::query(
            "INSERT INTO lines (id, attempt, kind, tenant, key, model, provider, credential, cost_nano, charges)
             VALUES ($1, 1, 'attempt', 'acme', 'key_1', 'a/m', 'p', $2, $3, $4::jsonb)",
        )
        .bind(GenerationId::generate().as_uuid())
        .bind(credential)
        .bind(cost)
        .bind(charges)
        .execute(&port.pool)
        .await
        .unwrap();
    }
    for _ in 0..2 {
        let row = report(&port, &by(&[])).await.rows.remove(0);
        assert_eq!(
            (row.cost_usd.as_str(), row.byok_cost_usd.as_str(), row.charge_usd.as_str()),
            ("0.000000005", "0.00000032", "0")
        );
        roll_up(&port).await;
    }
}

async fn statement(port: &AdminPort, month: &str) -> v1::Statement {
    let request = v1::GetStatementRequest { tenant: "acme".to_owned(), month: month.to_owned() };
    port.call("UsageService/GetStatement", &request).await.unwrap()
}

async fn credits(port: &AdminPort, usd: &str, kind: v1::CreditKind) {
    let request = v1::AdjustCreditsRequest {
        id: "acme".to_owned(),
        usd: usd.to_owned(),
        reason: "because".to_owned(),
        kind: kind.into(),
        ..Default::default()
    };
    port.call::<_, v1::Tenant>("TenantService/AdjustCredits", &request).await.unwrap();
}

/// A month and the one before, with a day in each.
fn months() -> [(String, DateTime<Utc>); 2] {
    let now = clock::now();
    let first = now.date_naive().format("%Y-%m-01").to_string().parse::<NaiveDate>().unwrap();
    let before = first.and_hms_opt(12, 0, 0).unwrap().and_utc() - Days::new(3);
    [now, before].map(|at| (at.format("%Y-%m").to_string(), at))
}

#[tokio::test]
async fn a_statement_is_what_the_ledger_adds_up_to() {
    clear_of_midnight().await;
    let port = AdminPort::start().await.unwrap();
    let tenant = v1::Tenant { id: "acme".to_owned(), ..Default::default() };
    let request = v1::CreateTenantRequest { tenant: Some(tenant), credits_usd: "10".to_owned() };
    port.call::<_, v1::CreateTenantResponse>("TenantService/CreateTenant", &request).await.unwrap();
    credits(&port, "5", v1::CreditKind::TopUp).await;
    credits(&port, "-2", v1::CreditKind::Refund).await;
    credits(&port, "0.5", v1::CreditKind::Adjustment).await;
    let [(month, now), (last_month, before)] = months();
    book(&port, Request { at: now, charged: 1_000_000_007, ..Request::default() }).await;
    book(&port, Request { at: before, charged: 500_000_000, ..Request::default() }).await;
    for round in ["before", "after"] {
        let one = statement(&port, &month).await;
        let shown = [
            &one.opening_usd,
            &one.top_ups_usd,
            &one.adjustments_usd,
            &one.refunds_usd,
            &one.charges_usd,
            &one.closing_usd,
        ];
        assert_eq!(shown, ["-0.5", "15", "0.5", "-2", "1.000000007", "11.999999993"], "{round}");
        let moved: Vec<_> = one.movements.iter().map(|one| (one.kind(), one.usd.as_str())).collect();
        use v1::CreditKind::{Adjustment, Refund, TopUp};
        assert_eq!(moved, [(TopUp, "10"), (TopUp, "5"), (Refund, "-2"), (Adjustment, "0.5")]);
        assert!(!one.is_over && one.movements.iter().all(|one| !one.actor.is_empty()));
        let last = statement(&port, &last_month).await;
        assert_eq!((last.closing_usd, last.charges_usd), (one.opening_usd, "0.5".to_owned()), "{round}");
        assert!(last.is_over);
        roll_up(&port).await;
    }
    let tenant: v1::Tenant =
        port.call("TenantService/GetTenant", &v1::GetTenantRequest { id: "acme".to_owned() }).await.unwrap();
    assert_eq!(tenant.credits_left_usd, "11.999999993", "the balance is the statement's");
    proof_holds(&port).await;
    let refused = v1::GetStatementRequest { tenant: "acme".to_owned(), month: "2026".to_owned() };
    let refused = port.call::<_, v1::Statement>("UsageService/GetStatement", &refused).await.unwrap_err();
    assert!(refused.message().starts_with("month"), "{refused:?}");
}

/// A dump that is read into a new server has small numbers of transactions again.
#[tokio::test]
async fn a_store_that_was_copied_into_another_server_is_rolled_up_afresh() {
    let port = AdminPort::start().await.unwrap();
    for charged in [10, 20] {
        book(&port, Request { charged, ..Request::default() }).await;
    }
    roll_up(&port).await;
    // As if the rows had been booked, and taken, under the numbers of a server that had counted further.
    for statement in [
        "UPDATE lines SET xid = '900000000000'",
        "UPDATE generations SET xid = '900000000000'",
        "UPDATE followers SET seen = '900000000001'",
    ] {
        sqlx::query(statement).execute(&port.pool).await.unwrap();
    }
    book(&port, Request { charged: 5, ..Request::default() }).await;
    until_true("everything is rolled up again", async || {
        jobs::rollup::run_once(&port.pool, clock::now()).await.unwrap();
        rolled_up(&port).await == (3, 6, 35)
    })
    .await;
    roll_up(&port).await;
    assert_eq!(rolled_up(&port).await, (3, 6, 35));
}

#[tokio::test]
async fn dropped_days_leave_their_sums_behind() {
    clear_of_midnight().await;
    let port = AdminPort::start().await.unwrap();
    let tenant = v1::Tenant { id: "acme".to_owned(), ..Default::default() };
    let request = v1::CreateTenantRequest { tenant: Some(tenant), credits_usd: "10".to_owned() };
    port.call::<_, v1::CreateTenantResponse>("TenantService/CreateTenant", &request).await.unwrap();
    for at in [days_ago(0), days_ago(40), days_ago(41)] {
        book(&port, Request { at, charged: 1_000_000_001, ..Request::default() }).await;
    }
    proof_holds(&port).await;
    let kept = Retention { generations_days: 20, lines_days: 30 };
    let lines = async || -> (i64, i64) {
        sqlx::query_as("SELECT (SELECT count(*) FROM lines), (SELECT count(*) FROM generations)")
            .fetch_one(&port.pool)
            .await
            .unwrap()
    };
    jobs::retention::run_once(&port.pool, clock::now(), kept).await.unwrap();
    assert_eq!(lines().await, (7, 3), "nothing goes that is not rolled up");
    // Both followers must have seen it.
    roll_up(&port).await;
    until_true("old days are dropped", async || {
        jobs::alerts::run_once(&port.pool, clock::now()).await.unwrap();
        jobs::retention::run_once(&port.pool, clock::now(), kept).await.unwrap();
        lines().await == (3, 1)
    })
    .await;
    proof_holds(&port).await;
    let charged: i64 = sqlx::query_scalar("SELECT charged FROM accounts WHERE kind = 1")
        .fetch_one(&port.pool)
        .await
        .unwrap();
    assert_eq!(charged, 3_000_000_003);
    let wanted = v1::ReportUsageRequest { since: Some(clock::to_timestamp(days_ago(60))), ..by(&[]) };
    assert_eq!(report(&port, &wanted).await.rows[0].charge_usd, "3.000000003", "usage by day stays");
    assert_eq!(statement(&port, &months()[0].0).await.closing_usd, "6.999999997", "statements stay");
    // What comes later for such a day cannot be told from what was booked before: it is put away, not booked twice.
    let late = book(&port, Request { at: days_ago(40), ..Request::default() }).await;
    assert_eq!((late.booked, late.quarantined), (0, 3));
    jobs::partitions::run_once(&port.pool, clock::now()).await.unwrap();
    proof_holds(&port).await;
    // One nano-dollar less is seen.
    sqlx::query("UPDATE ledger_openings SET charged = charged - 1 WHERE kind = 1")
        .execute(&port.pool)
        .await
        .unwrap();
    assert_eq!(service::ledger::prove_all(&port.pool).await.unwrap().differences.len(), 1);
}
