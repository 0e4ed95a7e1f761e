//! SQL of endpoints' health: added to by data planes' reports, read by every control plane, removed by a job.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, types::Json};
use switchyard_proto::sketch::{BUCKETS, Sketch};

use crate::{
    domain::health::{Breaker, Breakers, Counts, Minute, Name, Share, State},
    store::{StoreError, signed, unsigned},
};

/// Counts' columns.
#[derive(Debug, Serialize, Deserialize, sqlx::FromRow)]
struct CountsRow {
    ok: i64,
    rate_limited: i64,
    overloaded: i64,
    timeout: i64,
    server: i64,
    malformed: i64,
    credential: i64,
    permission: i64,
    not_found: i64,
    tools_valid: i64,
    tools_invalid: i64,
}

#[derive(Serialize)]
struct NewMinute<'a> {
    minute: DateTime<Utc>,
    model: &'a str,
    endpoint: &'a str,
    #[serde(flatten)]
    counts: CountsRow,
}

#[derive(Serialize)]
struct NewSketches<'a> {
    minute: DateTime<Utc>,
    model: &'a str,
    endpoint: &'a str,
    latency: Vec<i64>,
    throughput: Vec<i64>,
}

#[derive(Serialize)]
struct NewBreaker<'a> {
    model: &'a str,
    endpoint: &'a str,
    instance: &'a str,
    consecutive_failures: i64,
    state: i32,
    until: Option<DateTime<Utc>>,
    failed_at: Option<DateTime<Utc>>,
    succeeded_at: Option<DateTime<Utc>>,
    reported_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct MinuteRow {
    minute: DateTime<Utc>,
    model: String,
    endpoint: String,
    #[sqlx(flatten)]
    counts: CountsRow,
    latency: Option<Vec<i64>>,
    throughput: Option<Vec<i64>>,
}

#[derive(sqlx::FromRow)]
struct BreakerRow {
    model: String,
    endpoint: String,
    instance: String,
    consecutive_failures: i64,
    state: i32,
    until: Option<DateTime<Utc>>,
    failed_at: Option<DateTime<Utc>>,
    succeeded_at: Option<DateTime<Utc>>,
    reported_at: DateTime<Utc>,
}

/// Adds to a minute. All reports lock rows in the same order.
pub async fn add(
    db: &mut PgConnection,
    minute: DateTime<Utc>,
    news: &BTreeMap<Name, Minute>,
) -> Result<(), StoreError> {
    let rows: Vec<NewMinute<'_>> = news
        .iter()
        .map(|(Name { model, endpoint }, row)| NewMinute {
            minute,
            model,
            endpoint,
            counts: row.counts.into(),
        })
        .collect();
    sqlx::query(
        "INSERT INTO health_minutes AS held
             (minute, model, endpoint, ok, rate_limited, overloaded, timeout, server, malformed, credential,
             permission, not_found, tools_valid, tools_invalid)
         SELECT minute, model, endpoint, ok, rate_limited, overloaded, timeout, server, malformed, credential,
             permission, not_found, tools_valid, tools_invalid
         FROM jsonb_populate_recordset(NULL::health_minutes, $1) ORDER BY minute, model, endpoint
         ON CONFLICT ON CONSTRAINT health_minutes_key DO UPDATE SET
             ok = held.ok + excluded.ok,
             rate_limited = held.rate_limited + excluded.rate_limited,
             overloaded = held.overloaded + excluded.overloaded,
             timeout = held.timeout + excluded.timeout,
             server = held.server + excluded.server,
             malformed = held.malformed + excluded.malformed,
             credential = held.credential + excluded.credential,
             permission = held.permission + excluded.permission,
             not_found = held.not_found + excluded.not_found,
             tools_valid = held.tools_valid + excluded.tools_valid,
             tools_invalid = held.tools_invalid + excluded.tools_invalid",
    )
    .bind(Json(rows))
    .execute(db)
    .await?;
    Ok(())
}

/// Adds to a minute's sketches, bucket by bucket.
pub async fn add_sketches(
    db: &mut PgConnection,
    minute: DateTime<Utc>,
    news: &BTreeMap<Name, Minute>,
) -> Result<(), StoreError> {
    let is_measured =
        |row: &Minute| row.latency.filled().next().is_some() || row.throughput.filled().next().is_some();
    let rows: Vec<NewSketches<'_>> = news
        .iter()
        .filter(|(_, row)| is_measured(row))
        .map(|(Name { model, endpoint }, row)| NewSketches {
            minute,
            model,
            endpoint,
            latency: buckets(&row.latency),
            throughput: buckets(&row.throughput),
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO health_sketches AS held (minute, model, endpoint, latency, throughput)
         SELECT minute, model, endpoint, latency, throughput
         FROM jsonb_populate_recordset(NULL::health_sketches, $1) ORDER BY minute, model, endpoint
         ON CONFLICT ON CONSTRAINT health_sketches_key DO UPDATE SET
             latency = ARRAY(SELECT coalesce(one, 0) + coalesce(other, 0)
                 FROM unnest(held.latency, excluded.latency) WITH ORDINALITY AS pair(one, other, place)
                 ORDER BY place),
             throughput = ARRAY(SELECT coalesce(one, 0) + coalesce(other, 0)
                 FROM unnest(held.throughput, excluded.throughput) WITH ORDINALITY AS pair(one, other, place)
                 ORDER BY place)",
    )
    .bind(Json(rows))
    .execute(db)
    .await?;
    Ok(())
}

/// Writes down what one data plane says of endpoints now.
pub async fn put_breakers(
    db: &mut PgConnection,
    breakers: &BTreeMap<Name, Breaker>,
) -> Result<(), StoreError> {
    let rows: Vec<NewBreaker<'_>> = breakers
        .iter()
        .map(|(Name { model, endpoint }, breaker)| NewBreaker {
            model,
            endpoint,
            instance: &breaker.instance,
            consecutive_failures: breaker.consecutive_failures.into(),
            state: breaker.state as i32,
            until: breaker.until,
            failed_at: breaker.failed_at,
            succeeded_at: breaker.succeeded_at,
            reported_at: breaker.reported_at,
        })
        .collect();
    sqlx::query(
        "INSERT INTO health_instances
             (model, endpoint, instance, consecutive_failures, state, until, failed_at, succeeded_at, reported_at)
         SELECT model, endpoint, instance, consecutive_failures, state, until, failed_at, succeeded_at, reported_at
         FROM jsonb_populate_recordset(NULL::health_instances, $1) ORDER BY model, endpoint, instance
         ON CONFLICT ON CONSTRAINT health_instances_key DO UPDATE SET
             consecutive_failures = excluded.consecutive_failures,
             state = excluded.state,
             until = excluded.until,
             failed_at = excluded.failed_at,
             succeeded_at = excluded.succeeded_at,
             reported_at = excluded.reported_at",
    )
    .bind(Json(rows))
    .execute(db)
    .await?;
    Ok(())
}

/// Minutes from one on.
pub async fn minutes(
    db: &mut PgConnection,
    from: DateTime<Utc>,
) -> Result<Vec<(DateTime<Utc>, Name, Minute)>, StoreError> {
    let rows: Vec<MinuteRow> = sqlx::query_as(
        "SELECT counted.*, latency, throughput FROM health_minutes AS counted
         LEFT JOIN health_sketches USING (minute, model, endpoint) WHERE minute >= $1",
    )
    .bind(from)
    .fetch_all(db)
    .await?;
    let read = |row: MinuteRow| {
        let minute = Minute {
            counts: row.counts.into(),
            latency: sketch(row.latency.as_deref()),
            throughput: sketch(row.throughput.as_deref()),
        };
        (row.minute, Name { model: row.model, endpoint: row.endpoint }, minute)
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Uptimes from one minute on.
pub async fn uptimes(
    db: &mut PgConnection,
    from: DateTime<Utc>,
) -> Result<BTreeMap<Name, Share>, StoreError> {
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "SELECT model, endpoint, sum(ok)::bigint,
             sum(ok + overloaded + timeout + server + malformed + credential + not_found)::bigint
         FROM health_minutes WHERE minute >= $1 GROUP BY model, endpoint",
    )
    .bind(from)
    .fetch_all(db)
    .await?;
    let read = |(model, endpoint, good, all)| {
        (Name { model, endpoint }, Share { good: unsigned(good), all: unsigned(all) })
    };
    Ok(rows.into_iter().map(read).collect())
}

/// What data planes said last, of those that said something since.
pub async fn breakers(db: &mut PgConnection, since: DateTime<Utc>) -> Result<Breakers, StoreError> {
    let rows: Vec<BreakerRow> = sqlx::query_as(
        "SELECT model, endpoint, instance, consecutive_failures, state, until, failed_at, succeeded_at, reported_at
         FROM health_instances WHERE reported_at >= $1 ORDER BY model, endpoint, instance",
    )
    .bind(since)
    .fetch_all(db)
    .await?;
    let mut breakers = Breakers::new();
    for row in rows {
        let name = Name { model: row.model, endpoint: row.endpoint };
        breakers.entry(name).or_default().push(Breaker {
            instance: row.instance,
            state: State::try_from(row.state).unwrap_or_default(),
            until: row.until,
            consecutive_failures: u32::try_from(row.consecutive_failures).unwrap_or(u32::MAX),
            failed_at: row.failed_at,
            succeeded_at: row.succeeded_at,
            reported_at: row.reported_at,
        });
    }
    Ok(breakers)
}

/// Removes minutes, sketches, and what data planes said, from before these times; answers how many rows.
pub async fn forget(
    db: &mut PgConnection,
    minutes: DateTime<Utc>,
    sketches: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let mut removed = 0;
    for (statement, before) in [
        ("DELETE FROM health_minutes WHERE minute < $1", minutes),
        ("DELETE FROM health_sketches WHERE minute < $1", sketches),
        ("DELETE FROM health_instances WHERE reported_at < $1", sketches),
    ] {
        removed += sqlx::query(statement).bind(before).execute(&mut *db).await?.rows_affected();
    }
    Ok(removed)
}

fn buckets(sketch: &Sketch) -> Vec<i64> {
    sketch.counts().iter().copied().map(i64::from).collect()
}

fn sketch(buckets: Option<&[i64]>) -> Sketch {
    let mut sketch = Sketch::default();
    for (bucket, count) in buckets.unwrap_or_default().iter().take(BUCKETS).enumerate() {
        sketch.add(bucket, u32::try_from(*count).unwrap_or(u32::MAX));
    }
    sketch
}

impl From<Counts> for CountsRow {
    fn from(counts: Counts) -> Self {
        Self {
            ok: signed(counts.ok),
            rate_limited: signed(counts.rate_limited),
            overloaded: signed(counts.overloaded),
            timeout: signed(counts.timeout),
            server: signed(counts.server),
            malformed: signed(counts.malformed),
            credential: signed(counts.credential),
            permission: signed(counts.permission),
            not_found: signed(counts.not_found),
            tools_valid: signed(counts.tools_valid),
            tools_invalid: signed(counts.tools_invalid),
        }
    }
}

impl From<CountsRow> for Counts {
    fn from(row: CountsRow) -> Self {
        Self {
            ok: unsigned(row.ok),
            rate_limited: unsigned(row.rate_limited),
            overloaded: unsigned(row.overloaded),
            timeout: unsigned(row.timeout),
            server: unsigned(row.server),
            malformed: unsigned(row.malformed),
            credential: unsigned(row.credential),
            permission: unsigned(row.permission),
            not_found: unsigned(row.not_found),
            tools_valid: unsigned(row.tools_valid),
            tools_invalid: unsigned(row.tools_invalid),
        }
    }
}
