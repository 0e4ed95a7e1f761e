//! The fleet's view of endpoints: read from the store every few seconds, told to every session when it has changed.
//!
//! Every control plane reads the same rows, so all data planes hear the same. A view is no config: it has no revision,
//! and data planes forget it by themselves.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use switchyard_proto::{sketch, v1};
use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};

use crate::{
    domain::health::{Endpoint, Name, Share, minute, window::Window},
    store::{self, StoreError},
};

/// How long a data plane may use a view.
const VALID_MS: u64 = 20_000;
/// A view that has not changed is told again after so long, so that it stays good.
const TOLD_AGAIN: Duration = Duration::from_secs(10);
/// The day's sums are added up again after so long.
const DAY_FRESH: Duration = Duration::from_secs(60);
/// Data planes that said nothing for so long are not counted.
const BREAKERS: TimeDelta = TimeDelta::hours(1);
/// Endpoints in a view: a message is at most 4 MiB. Those with the most attempts go first.
const MOST: usize = 10_000;

/// What this control plane knows, and tells.
#[derive(Debug, Default)]
pub struct Board {
    known: Mutex<Known>,
    told: watch::Sender<v1::FleetHealth>,
}

#[derive(Debug, Default)]
struct Known {
    window: Window,
    day: BTreeMap<Name, Share>,
    day_read: Option<Instant>,
    told_at: Option<Instant>,
}

impl Board {
    /// Wakes with every view that is worth telling.
    pub fn subscribe(&self) -> watch::Receiver<v1::FleetHealth> {
        self.told.subscribe()
    }

    /// All endpoints, by name, as of now.
    pub async fn endpoints(&self, pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Endpoint>, StoreError> {
        let mut known = self.known.lock().await;
        known.read(pool, now).await
    }

    /// Reads what is new and tells it if it has changed.
    pub async fn refresh(&self, pool: &PgPool, now: DateTime<Utc>) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        let endpoints = known.read(pool, now).await?;
        let view = view(endpoints, now);
        let is_old = known.told_at.is_none_or(|at| at.elapsed() >= TOLD_AGAIN) && !view.endpoints.is_empty();
        if is_old || is_changed(&self.told.borrow(), &view) {
            known.told_at = Some(Instant::now());
            self.told.send_replace(view);
        }
        Ok(())
    }
}

impl Known {
    async fn read(&mut self, pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Endpoint>, StoreError> {
        let mut db = pool.acquire().await?;
        let rows = store::health::minutes(&mut db, self.window.lacks_from(now)).await?;
        self.window.fill(rows, now);
        if self.day_read.is_none_or(|at| at.elapsed() >= DAY_FRESH) {
            self.day = store::health::uptimes(&mut db, minute(now) - TimeDelta::days(1)).await?;
            self.day_read = Some(Instant::now());
        }
        let breakers = store::health::breakers(&mut db, now - BREAKERS).await?;
        Ok(self.window.endpoints(&self.day, &breakers, now))
    }
}

/// Whether two views differ in more than that time has passed.
fn is_changed(before: &v1::FleetHealth, after: &v1::FleetHealth) -> bool {
    let timeless = |endpoint: &v1::FleetEndpoint| v1::FleetEndpoint {
        failed_ago_ms: None,
        succeeded_ago_ms: None,
        ..endpoint.clone()
    };
    !before.endpoints.iter().map(timeless).eq(after.endpoints.iter().map(timeless))
}

fn view(mut endpoints: Vec<Endpoint>, now: DateTime<Utc>) -> v1::FleetHealth {
    if endpoints.len() > MOST {
        endpoints.sort_by_key(|endpoint| std::cmp::Reverse(endpoint.uptime_30m.all));
        endpoints.truncate(MOST);
        endpoints.sort_by(|one, other| one.name.cmp(&other.name));
    }
    let endpoints = endpoints.into_iter().map(|endpoint| to_proto(endpoint, now)).collect();
    v1::FleetHealth { valid_for_ms: VALID_MS, endpoints }
}

fn to_proto(endpoint: Endpoint, now: DateTime<Utc>) -> v1::FleetEndpoint {
    let ago = |at: Option<DateTime<Utc>>| {
        at.map(|at| u64::try_from((now - at).num_milliseconds()).unwrap_or_default())
    };
    v1::FleetEndpoint {
        uptime_5m: uptime(endpoint.uptime_5m),
        uptime_30m: uptime(endpoint.uptime_30m),
        uptime_1d: uptime(endpoint.uptime_1d),
        latency: marks(endpoint.latency),
        throughput: marks(endpoint.throughput),
        tools: uptime(endpoint.tools),
        failed_ago_ms: ago(endpoint.failed_at()),
        succeeded_ago_ms: ago(endpoint.succeeded_at()),
        open_instances: endpoint.open_instances(now),
        model: endpoint.name.model,
        endpoint: endpoint.name.endpoint,
    }
}

fn uptime(share: Share) -> Option<v1::Uptime> {
    let requests = u32::try_from(share.all).unwrap_or(u32::MAX);
    share.permille().map(|permille| v1::Uptime { permille, requests })
}

fn marks(marks: sketch::Marks) -> Option<v1::Marks> {
    (marks.samples > 0).then(|| v1::Marks {
        samples: marks.samples,
        buckets: marks.buckets.into_iter().map(u32::from).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_that_has_only_grown_older_is_not_told_again() {
        let told = |failed_ago_ms, open_instances| v1::FleetHealth {
            valid_for_ms: VALID_MS,
            endpoints: vec![v1::FleetEndpoint { failed_ago_ms, open_instances, ..Default::default() }],
        };
        assert!(!is_changed(&told(Some(1), 0), &told(Some(2), 0)));
        assert!(is_changed(&told(Some(1), 0), &told(Some(1), 1)));
        assert!(is_changed(&v1::FleetHealth::default(), &told(None, 0)));
        assert!(!is_changed(&v1::FleetHealth::default(), &view(Vec::new(), DateTime::UNIX_EPOCH)));
    }
}
