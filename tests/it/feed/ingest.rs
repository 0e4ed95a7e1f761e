//! Booking: every record once, nothing lost, and one that cannot be booked stops nobody.

use switchyard_proto::{clock, id::GenerationId};

use super::*;

fn credits() -> v1::AccountPeriod {
    account(v1::AccountKind::TenantCredits, "acme", "all")
}

fn attempt(data_plane: &DataPlane, charged_nano: u64, leased: bool) -> v1::AttemptRecord {
    let charge = v1::Charge { account: Some(credits()), charged_nano, reserved_nano: charged_nano, leased };
    v1::AttemptRecord {
        generation: GenerationId::generate().to_bytes(),
        attempt: 1,
        instance: data_plane.instance.clone(),
        epoch: data_plane.epoch,
        tenant: "acme".into(),
        key: "key_1".into(),
        model: "openai/gpt".into(),
        provider: "openai".into(),
        charges: vec![charge],
        cost_nano: charged_nano,
        charge_nano: charged_nano,
        reserved_nano: charged_nano,
        tokens: Some(v1::TokenUsage { prompt: 10, completion: 5, ..Default::default() }),
        provenance: v1::Provenance::ProviderFinal.into(),
        price: Some(v1::Price { input: "0.25".into(), ..Default::default() }),
        outcome: "ok".into(),
        ..Default::default()
    }
}

fn generation(data_plane: &DataPlane, id: &[u8]) -> v1::GenerationRecord {
    v1::GenerationRecord {
        id: id.to_vec(),
        instance: data_plane.instance.clone(),
        tenant: "acme".into(),
        key: "key_1".into(),
        model: "openai/gpt".into(),
        status: 200,
        attempts: 1,
        ..Default::default()
    }
}

fn of_attempt(record: v1::AttemptRecord) -> Vec<u8> {
    v1::UsageRecord { kind: Some(v1::usage_record::Kind::Attempt(record)) }.encode_to_vec()
}

fn of_generation(record: v1::GenerationRecord) -> Vec<u8> {
    v1::UsageRecord { kind: Some(v1::usage_record::Kind::Generation(record)) }.encode_to_vec()
}

async fn report(plane: &Plane, data_plane: &DataPlane, records: &[Vec<u8>]) -> (u64, u64) {
    let request = v1::ReportRequest {
        instance: data_plane.instance.clone(),
        epoch: data_plane.epoch,
        records: records.iter().cloned().map(Into::into).collect(),
        traceparents: Vec::new(),
    };
    let answer = plane.usage().await.report(request).await.unwrap().into_inner();
    (answer.booked, answer.quarantined)
}

async fn lend(plane: &Plane, data_plane: &DataPlane, amount: u64) {
    let ask = v1::Ask { account: Some(credits()), wanted_nano: amount, least_nano: amount, group: 0 };
    let (instance, epoch) = (data_plane.instance.clone(), data_plane.epoch);
    let request = v1::AcquireRequest { instance, epoch, asks: vec![ask] };
    let grants = plane.leases().await.acquire(request).await.unwrap().into_inner().grants;
    assert_eq!(grants[0].granted_nano, amount);
}

#[tokio::test]
async fn a_record_that_is_sent_twice_is_booked_once() {
    let plane = Plane::start().await;
    plane.tenant("acme", "1.00").await;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    lend(&plane, &data_plane, 100).await;
    let record = attempt(&data_plane, 30, true);
    let records = [of_generation(generation(&data_plane, &record.generation)), of_attempt(record)];
    assert_eq!(report(&plane, &data_plane, &records).await, (2, 0));
    assert_eq!(report(&plane, &data_plane, &records).await, (0, 0));
    // Also within a batch, and by many at once.
    let other = of_attempt(attempt(&data_plane, 20, true));
    let twice = [other.clone(), other.clone()];
    let one = [other];
    let reports = tokio::join!(
        report(&plane, &data_plane, &twice),
        report(&plane, &data_plane, &one),
        report(&plane, &data_plane, &one)
    );
    assert_eq!(reports.0.0 + reports.1.0 + reports.2.0, 1);
    assert_eq!(plane.balance(&credits()).await, (50, 0, 50));
    assert_eq!(plane.count("SELECT count(*) FROM lines WHERE kind = 'attempt'").await, 2);
    assert_eq!(plane.count("SELECT count(*) FROM generations").await, 1);
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn a_poisoned_record_goes_to_quarantine_and_the_others_are_booked() {
    let plane = Plane::start().await;
    plane.tenant("acme", "1.00").await;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    let fine = of_attempt(attempt(&data_plane, 10, false));
    let of_somebody_else =
        of_attempt(v1::AttemptRecord { instance: "dp-2".into(), ..attempt(&data_plane, 1, false) });
    // Only the database knows that it cannot hold these.
    let with_nul = of_attempt(v1::AttemptRecord { key: "key\0".into(), ..attempt(&data_plane, 1, false) });
    let huge = i64::MAX.unsigned_abs();
    let overflow =
        [of_attempt(attempt(&data_plane, huge, false)), of_attempt(attempt(&data_plane, huge, false))];
    let last = of_generation(generation(&data_plane, &GenerationId::generate().to_bytes()));
    let garbage = b"\xff\xff\xff".to_vec();
    let mut records = vec![fine, garbage, of_somebody_else, with_nul, last];
    assert_eq!(report(&plane, &data_plane, &records).await, (2, 3));
    assert_eq!(report(&plane, &data_plane, &records).await, (0, 3), "acknowledged again, kept once");
    records.extend(overflow);
    assert_eq!(report(&plane, &data_plane, &records).await, (0, 5));
    assert_eq!(plane.balance(&credits()).await, (10, 0, 0));
    let reasons: Vec<String> = sqlx::query_scalar("SELECT reason FROM quarantine ORDER BY reason")
        .fetch_all(&plane.pool)
        .await
        .unwrap();
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    assert!(reasons.contains(&"`instance` is not the one that sends it".to_owned()), "{reasons:?}");
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn what_the_house_takes_over_is_booked_though_nobody_has_prepared_for_today() {
    switchyard_tests::wait::clear_of_midnight().await;
    let plane = Plane::start().await;
    plane.tenant("acme", "0.00000001").await;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    lend(&plane, &data_plane, 10).await;
    // As after a week in which no control plane ran.
    let today = clock::now().format("DROP TABLE lines_%Y%m%d").to_string();
    until("the day's partition is gone", async || {
        sqlx::query(sqlx::AssertSqlSafe(today.clone())).execute(&plane.pool).await.ok()
    })
    .await;
    let mut record = attempt(&data_plane, 30, true);
    let yesterday = clock::now() - chrono::TimeDelta::days(1);
    record.generation[..6].copy_from_slice(&yesterday.timestamp_millis().to_be_bytes()[2..]);
    assert_eq!(report(&plane, &data_plane, &[of_attempt(record)]).await, (1, 0));
    assert_eq!(plane.balance(&account(v1::AccountKind::House, "", "all")).await, (20, 0, 0));
}

#[tokio::test]
async fn a_text_with_a_nul_costs_nobody_a_generation() {
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    let id = GenerationId::generate().to_bytes();
    let record = v1::GenerationRecord { user: "a\0b".into(), ..generation(&data_plane, &id) };
    assert_eq!(report(&plane, &data_plane, &[of_generation(record)]).await, (1, 0));
}

#[tokio::test]
async fn charges_beyond_a_lease_never_push_an_account_over_its_limit() {
    let plane = Plane::start().await;
    plane.tenant("acme", "0.000001").await;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    lend(&plane, &data_plane, 400).await;
    // 1,000 nano-dollars of credits; 1,500 are charged against a lease of 400.
    let records = [of_attempt(attempt(&data_plane, 700, true)), of_attempt(attempt(&data_plane, 800, true))];
    assert_eq!(report(&plane, &data_plane, &records).await, (2, 0));
    assert_eq!(plane.balance(&credits()).await, (1000, 0, 0));
    assert_eq!(plane.balance(&account(v1::AccountKind::House, "", "all")).await, (500, 0, 0));
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn what_the_reservation_did_not_cover_is_the_houses() {
    let plane = Plane::start().await;
    plane.tenant("acme", "1.00").await;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    let record = of_attempt(v1::AttemptRecord { house_nano: 7, ..attempt(&data_plane, 10, false) });
    for _ in 0..2 {
        report(&plane, &data_plane, std::slice::from_ref(&record)).await;
    }
    assert_eq!(plane.balance(&account(v1::AccountKind::House, "", "all")).await, (7, 0, 0));
    assert_eq!(plane.count("SELECT count(*) FROM lines WHERE kind = 'house'").await, 1);
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn late_lines_of_a_lost_session_draw_its_presumed_money_down() {
    let plane = Plane::start().await;
    plane.tenant("acme", "1.00").await;
    let lost = DataPlane::attach(&plane, "dp", None).await;
    lend(&plane, &lost, 100).await;
    let later = switchyard_proto::clock::now() + chrono::TimeDelta::seconds(700);
    jobs::presume::run_once(&plane.pool, later, Duration::from_secs(600)).await.unwrap();
    assert_eq!(plane.balance(&credits()).await, (0, 100, 0));
    let late = of_attempt(attempt(&lost, 30, true));
    let back = DataPlane::attach(&plane, "dp", None).await;
    assert_eq!(report(&plane, &back, &[late]).await, (1, 0));
    assert_eq!(plane.balance(&credits()).await, (30, 70, 0));
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn old_records_find_a_partition() {
    let plane = Plane::start().await;
    plane.tenant("acme", "1.00").await;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    let then = switchyard_proto::clock::now() - chrono::TimeDelta::days(40);
    let mut id = GenerationId::generate().to_bytes();
    id[..6].copy_from_slice(&then.timestamp_millis().to_be_bytes()[2..]);
    let record = v1::AttemptRecord { generation: id, ..attempt(&data_plane, 10, false) };
    assert_eq!(report(&plane, &data_plane, &[of_attempt(record)]).await, (1, 0));
    assert_eq!(plane.balance(&credits()).await, (10, 0, 0));
}

#[tokio::test]
async fn many_batches_at_once_add_up() {
    let plane = std::sync::Arc::new(Plane::start().await);
    plane.tenant("acme", "1.00").await;
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..4 {
        let plane = std::sync::Arc::clone(&plane);
        workers.spawn(async move {
            let data_plane = DataPlane::attach(&plane, &format!("dp-{number}"), None).await;
            for _ in 0..5 {
                lend(&plane, &data_plane, 1000).await;
                let records: Vec<_> = (0..20).map(|_| of_attempt(attempt(&data_plane, 40, true))).collect();
                assert_eq!(report(&plane, &data_plane, &records).await, (20, 0));
                report(&plane, &data_plane, &records).await;
            }
        });
    }
    workers.join_all().await;
    assert_eq!(plane.balance(&credits()).await, (16_000, 0, 4_000));
    plane.assert_adds_up().await;
}
