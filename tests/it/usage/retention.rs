//! Dropping old days: what their lines added up to stays.

use switchyard_control_plane::settings::Retention;

use super::*;

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
