//! The roll-up: it takes everything once, however late it is committed, and starts over on another server.

use chrono::TimeDelta;
use switchyard_tests::wait::until;
use tokio::task::JoinSet;

use super::*;

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

/// What a row's version is: it changes with every write and every lock.
async fn versions(port: &AdminPort) -> Vec<(String, String)> {
    sqlx::query_as("SELECT xmin::text, xmax::text FROM followers ORDER BY name")
        .fetch_all(&port.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn followers_of_which_nothing_is_new_write_and_lock_nothing() {
    let port = AdminPort::start().await.unwrap();
    book(&port, Request::default()).await;
    let now = clock::now();
    let run = async |now| {
        jobs::rollup::run_once(&port.pool, now).await.unwrap();
        jobs::alerts::run_once(&port.pool, now).await.unwrap();
        versions(&port).await
    };
    // Others' transactions on the same server may hold them up.
    let still = until("both stand still", async || {
        let before = run(now).await;
        (run(now).await == before && rolled_up(&port).await == (1, 2, 10)).then_some(before)
    })
    .await;
    for seconds in 1..5 {
        // A transaction of which nothing is booked.
        sqlx::query("SELECT pg_current_xact_id()").execute(&port.pool).await.unwrap();
        assert_eq!(run(now + TimeDelta::seconds(seconds)).await, still);
    }
    until_true("they move up each minute all the same", async || {
        let moved = run(now + TimeDelta::minutes(2)).await;
        moved.iter().zip(&still).all(|(now, then)| now != then)
    })
    .await;
    book(&port, Request { charged: 5, ..Request::default() }).await;
    roll_up(&port).await;
    assert_eq!(rolled_up(&port).await, (2, 4, 15));
}
