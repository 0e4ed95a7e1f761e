//! PostgreSQL, its clock beside ours, and Redis.

use std::time::Duration;

use sqlx::{Connection, PgConnection, Row};
use switchyard_proto::clock;
use tokio::time::timeout;

use crate::doctor::{Finding, Patient, Verdict};

const ANSWER: Duration = Duration::from_secs(5);

/// Versions whose SQL we speak.
const VERSIONS: std::ops::RangeInclusive<i32> = 15..=18;

/// Clocks that differ by more disagree about when a limit starts afresh.
const APART: i64 = 2_000;

pub(super) async fn check(patient: &Patient) -> Vec<Finding> {
    let (mut findings, redis) = tokio::join!(postgres(patient), redis(patient));
    findings.push(redis);
    findings
}

async fn postgres(patient: &Patient) -> Vec<Finding> {
    let subject = "postgres";
    let set = patient.settings.text("control_plane.database_url");
    let url = match (&patient.running, set) {
        (_, set) if !set.is_empty() => set,
        (Some(running), _) => &running.database_url,
        (None, _) => {
            let finding = Finding::new(subject, Verdict::Skip, "no database is named");
            return vec![finding.hint("set SWITCHYARD_DATABASE_URL, or start `switchyard dev`")];
        }
    };
    let looked = timeout(ANSWER, look(url)).await;
    match looked {
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => {
            let finding = Finding::new(subject, Verdict::Fail, error.to_string());
            vec![finding.hint("check that it runs, and SWITCHYARD_DATABASE_URL")]
        }
        Err(_) => vec![Finding::new(subject, Verdict::Fail, "does not answer").hint("check that it runs")],
    }
}

async fn look(url: &str) -> Result<Vec<Finding>, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let asked = clock::now();
    let row = sqlx::query("SELECT current_setting('server_version_num')::int, clock_timestamp()")
        .fetch_one(&mut connection)
        .await?;
    let (version, theirs): (i32, chrono::DateTime<chrono::Utc>) = (row.try_get(0)?, row.try_get(1)?);
    let answered = clock::now();
    connection.close().await?;
    let ours = asked + (answered - asked) / 2;
    Ok(vec![version_finding(version / 10_000), clock_finding((theirs - ours).num_milliseconds())])
}

fn version_finding(major: i32) -> Finding {
    let detail = format!("PostgreSQL {major}");
    if VERSIONS.contains(&major) {
        return Finding::new("postgres", Verdict::Ok, detail);
    }
    let hint = format!("use PostgreSQL {} to {}", VERSIONS.start(), VERSIONS.end());
    Finding::new("postgres", Verdict::Fail, detail).hint(hint)
}

fn clock_finding(apart_ms: i64) -> Finding {
    let detail = format!("{apart_ms} ms from PostgreSQL's");
    if apart_ms.abs() <= APART {
        return Finding::new("clock", Verdict::Ok, detail);
    }
    Finding::new("clock", Verdict::Warn, detail)
        .hint("run NTP on both machines: limits start afresh by these clocks")
}

async fn redis(patient: &Patient) -> Finding {
    let subject = "redis";
    let url = patient.settings.text("data_plane.redis_url");
    if url.is_empty() {
        return Finding::new(subject, Verdict::Skip, "not set: each data plane counts rates for itself");
    }
    let hint = "rate limits are approximate without it; check that it runs, and SWITCHYARD_REDIS_URL";
    match timeout(ANSWER, ping(url)).await {
        Ok(Ok(())) => Finding::new(subject, Verdict::Ok, "answers"),
        // The error may quote the URL, and the URL may hold a password.
        Ok(Err(error)) => Finding::new(subject, Verdict::Fail, format!("{:?}", error.kind())).hint(hint),
        Err(_) => Finding::new(subject, Verdict::Fail, "does not answer").hint(hint),
    }
}

async fn ping(url: &str) -> redis::RedisResult<()> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    redis::cmd("PING").query_async(&mut connection).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_we_do_not_know_fail() {
        for (major, verdict) in
            [(14, Verdict::Fail), (15, Verdict::Ok), (18, Verdict::Ok), (19, Verdict::Fail)]
        {
            assert_eq!(version_finding(major).verdict, verdict, "{major}");
        }
    }

    #[test]
    fn clocks_apart_are_worth_a_warning() {
        for (apart, verdict) in
            [(0, Verdict::Ok), (-1_999, Verdict::Ok), (5_000, Verdict::Warn), (-5_000, Verdict::Warn)]
        {
            assert_eq!(clock_finding(apart).verdict, verdict, "{apart}");
        }
    }
}
