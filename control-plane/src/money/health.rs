//! Takes data planes' news of endpoints into the store, in a transaction of its own: the ledger never waits for it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use switchyard_proto::{
    sketch::{BUCKETS, Sketch},
    v1,
};

use crate::{
    domain::{
        health::{self, Breaker, Counts, Minute, Name, State},
        lending::Holder,
    },
    money::leases::{MoneyError, check_session},
    store::{self, StoreError},
};

/// The furthest that a breaker's pause or an age may be from now: more is nonsense.
const FURTHEST: TimeDelta = TimeDelta::hours(24);

/// A report, read: what can be taken, and how much cannot.
#[derive(Debug)]
pub struct Reading {
    pub minutes: BTreeMap<Name, Minute>,
    pub breakers: BTreeMap<Name, Breaker>,
    pub refused: u64,
}

/// Reads what a data plane says.
pub fn read(news: Vec<v1::EndpointNews>, instance: &str, now: DateTime<Utc>) -> Reading {
    let mut reading = Reading { minutes: BTreeMap::new(), breakers: BTreeMap::new(), refused: 0 };
    for news in news {
        let name = Name { model: news.model.clone(), endpoint: news.endpoint.clone() };
        let sketches = sketch(news.latency.as_ref()).zip(sketch(news.throughput.as_ref()));
        let (Some((latency, throughput)), true) = (sketches, name.is_sound()) else {
            reading.refused += 1;
            continue;
        };
        let counts = news.counts.as_ref().map(counts).unwrap_or_default();
        reading.minutes.entry(name.clone()).or_default().add(&Minute { counts, latency, throughput });
        reading.breakers.insert(name, breaker(&news, instance, now));
    }
    reading
}

/// Adds what a session reports.
///
/// # Errors
/// [`MoneyError::Fenced`] unless the session is its instance's newest.
pub async fn report(
    pool: &PgPool,
    holder: &Holder,
    reading: &Reading,
    now: DateTime<Utc>,
) -> Result<(), MoneyError> {
    let mut tx = pool.begin().await.map_err(StoreError::from)?;
    check_session(&mut tx, holder).await?;
    store::health::add(&mut tx, health::minute(now), &reading.minutes).await?;
    store::health::add_sketches(&mut tx, health::minute(now), &reading.minutes).await?;
    store::health::put_breakers(&mut tx, &reading.breakers).await?;
    tx.commit().await.map_err(MoneyError::InDoubt)
}

fn breaker(news: &v1::EndpointNews, instance: &str, now: DateTime<Utc>) -> Breaker {
    let span = |ms: u64| TimeDelta::milliseconds(i64::try_from(ms).unwrap_or(i64::MAX)).min(FURTHEST);
    let ago = |ms: Option<u64>| ms.map(|ms| now - span(ms));
    Breaker {
        instance: instance.to_owned(),
        state: State::try_from(news.state).unwrap_or_default(),
        until: (news.until_ms > 0).then(|| now + span(news.until_ms)),
        consecutive_failures: news.consecutive_failures,
        failed_at: ago(news.failed_ago_ms),
        succeeded_at: ago(news.succeeded_ago_ms),
        reported_at: now,
    }
}

fn counts(told: &v1::HealthCounts) -> Counts {
    let counts = Counts {
        ok: told.ok.into(),
        rate_limited: told.rate_limited.into(),
        overloaded: told.overloaded.into(),
        timeout: told.timeout.into(),
        server: told.server.into(),
        malformed: told.malformed.into(),
        credential: told.credential.into(),
        permission: told.permission.into(),
        not_found: told.not_found.into(),
        tools_valid: told.tools_valid.into(),
        tools_invalid: told.tools_invalid.into(),
    };
    counts.bounded()
}

/// `None` where buckets and counts do not belong together, or a bucket does not exist.
fn sketch(told: Option<&v1::Sketch>) -> Option<Sketch> {
    let Some(v1::Sketch { buckets, counts }) = told else { return Some(Sketch::default()) };
    if buckets.len() != counts.len() {
        return None;
    }
    let mut sketch = Sketch::default();
    for (bucket, count) in buckets.iter().zip(counts) {
        let bucket = usize::try_from(*bucket).ok().filter(|bucket| *bucket < BUCKETS)?;
        sketch.add(bucket, *count);
    }
    Some(sketch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn news(endpoint: &str) -> v1::EndpointNews {
        v1::EndpointNews {
            model: "a/m".to_owned(),
            endpoint: endpoint.to_owned(),
            counts: Some(v1::HealthCounts { ok: 2, server: 1, ..Default::default() }),
            latency: Some(v1::Sketch { buckets: vec![3, 159], counts: vec![1, 2] }),
            state: v1::BreakerState::BreakerOpen.into(),
            until_ms: 2_000,
            failed_ago_ms: Some(500),
            ..Default::default()
        }
    }

    #[test]
    fn times_are_counted_from_now_and_an_endpoint_named_twice_is_one() {
        let reading = read(vec![news("p"), news("p")], "dp", now());
        assert_eq!((reading.minutes.len(), reading.refused), (1, 0));
        let (name, minute) = reading.minutes.first_key_value().unwrap();
        assert_eq!((minute.counts.ok, minute.counts.server), (4, 2));
        assert_eq!(minute.latency.filled().collect::<Vec<_>>(), [(3, 2), (159, 4)]);
        let breaker = &reading.breakers[name];
        assert_eq!((breaker.state, breaker.until), (State::Open, Some(now() + TimeDelta::seconds(2))));
        assert_eq!(breaker.failed_at, Some(now() - TimeDelta::milliseconds(500)));
        assert_eq!(breaker.succeeded_at, None);
    }

    #[test]
    fn what_is_not_formed_like_news_is_refused_and_the_rest_is_taken() {
        let uneven = Some(v1::Sketch { buckets: vec![1, 2], counts: vec![1] });
        let beyond = Some(v1::Sketch { buckets: vec![160], counts: vec![1] });
        let told = vec![
            news("p"),
            news(""),
            v1::EndpointNews { latency: uneven, ..news("q") },
            v1::EndpointNews { throughput: beyond, ..news("r") },
            v1::EndpointNews { until_ms: u64::MAX, failed_ago_ms: Some(u64::MAX), state: 99, ..news("s") },
        ];
        let reading = read(told, "dp", now());
        let taken: Vec<&str> = reading.minutes.keys().map(|name| name.endpoint.as_str()).collect();
        assert_eq!((taken, reading.refused), (vec!["p", "s"], 3));
    }
}
