//! Sends the events that are due to their webhooks: each at least once, however often it takes.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream::FuturesUnordered};
use sqlx::PgPool;
use tokio::time;

use crate::{
    jobs,
    store::{
        StoreError,
        delivery::{self, Due, Outcome},
    },
    telemetry,
    webhooks::send::Sender,
};

/// Tries that are under way at once.
const AT_ONCE: usize = 16;
/// Events that are taken out at once.
const BITE: usize = 4;
/// Tries of one webhook at once after which no more of its events are taken: whoever is slow is slow for itself.
const OF_ONE: usize = 4;
/// Between two looks at what is due while tries are under way.
const LOOK: Duration = Duration::from_secs(1);
/// What a try has beyond its own time to be written down, before another process takes it for lost.
const SLACK: Duration = Duration::from_secs(15);
/// What was sent is shown for so long.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Tries all that is due, some at a time; each is written down as soon as it is over, whatever becomes of the others.
///
/// # Errors
/// The first that came up, after everything that was under way has ended.
pub async fn run_once(pool: &PgPool, sender: &Sender, now: DateTime<Utc>) -> anyhow::Result<()> {
    let clock = Clock { start: now, since: Instant::now() };
    let mut under_way = FuturesUnordered::new();
    let mut busy: Vec<(String, String)> = Vec::new();
    let mut done = Ok(());
    loop {
        while done.is_ok() && under_way.len() < AT_ONCE {
            let room = BITE.min(AT_ONCE - under_way.len());
            match take(pool, sender, room, (&busy, clock.now())).await {
                Ok(due) if due.is_empty() => break,
                Ok(due) => {
                    busy.extend(due.iter().map(|due| due.webhook.clone()));
                    under_way.extend(due.into_iter().map(|due| try_once(pool, sender, due, &clock)));
                }
                Err(error) => done = Err(error),
            }
        }
        // Nobody waits for a slow receiver: what falls due meanwhile is taken too.
        match time::timeout(LOOK, under_way.next()).await {
            Err(_) => {}
            Ok(None) => return Ok(done?),
            Ok(Some((webhook, tried))) => {
                let at = busy.iter().position(|one| *one == webhook);
                busy.swap_remove(at.expect("it was put in when it was taken"));
                done = done.and(tried);
            }
        }
    }
}

/// The time, from the one that a run was told.
struct Clock {
    start: DateTime<Utc>,
    since: Instant,
}

impl Clock {
    fn now(&self) -> DateTime<Utc> {
        self.start + TimeDelta::from_std(self.since.elapsed()).unwrap_or_default()
    }
}

async fn take(
    pool: &PgPool,
    sender: &Sender,
    most: usize,
    (busy, now): (&[(String, String)], DateTime<Utc>),
) -> Result<Vec<Due>, StoreError> {
    let is_full = |webhook: &&(String, String)| busy.iter().filter(|one| one == webhook).count() >= OF_ONE;
    let full: Vec<&(String, String)> = busy.iter().filter(is_full).collect();
    let mut db = pool.acquire().await?;
    delivery::take_due(&mut db, most as i64, &full, (sender.timeout() + SLACK, now)).await
}

/// One try and its outcome, written down; answers whose it was.
async fn try_once(
    pool: &PgPool,
    sender: &Sender,
    due: Due,
    clock: &Clock,
) -> ((String, String), Result<(), StoreError>) {
    let outcome = sender.send(&due, clock.now(), rand::random()).await;
    let settled = settle(pool, &due, &outcome, clock.now()).await;
    (due.webhook, settled)
}

async fn settle(pool: &PgPool, due: &Due, outcome: &Outcome, now: DateTime<Utc>) -> Result<(), StoreError> {
    tell(due, outcome);
    let mut db = pool.acquire().await?;
    delivery::settle(&mut db, due, outcome, now).await
}

fn tell(due: &Due, outcome: &Outcome) {
    match (outcome.error.is_empty(), outcome.again_after) {
        (true, _) => telemetry::sent("delivered"),
        (false, Some(_)) => telemetry::sent("again"),
        (false, None) => {
            telemetry::sent("failed");
            let (delivery, error) = (due.id, &outcome.error);
            tracing::warn!(%delivery, error, tries = due.tries, "an event could not be delivered to its webhook");
        }
    }
}

/// Forgets what was sent long ago.
pub async fn forget(pool: &PgPool, now: DateTime<Utc>) -> anyhow::Result<()> {
    let mut db = pool.acquire().await.map_err(StoreError::from)?;
    delivery::forget(&mut db, jobs::before(now, KEPT)).await?;
    Ok(())
}
