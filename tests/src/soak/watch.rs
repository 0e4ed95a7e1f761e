//! Looks at every account in the store ten times a second, past everything that is cut: P1 must hold at each look.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::soak::books::table;
use crate::soak::furnish::Furniture;
use crate::soak::plan::PLANES;
use crate::soak::system::{System, name};

const EVERY: Duration = Duration::from_millis(100);
/// A store that is frozen or gone does not answer; that look is missed.
const PATIENCE: Duration = Duration::from_secs(1);

/// A watch that goes on until it is stopped.
pub struct Watch {
    stop: CancellationToken,
    task: JoinSet<Watched>,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Watched {
    pub looks: u64,
    /// The store was dead, frozen or starting.
    pub missed: u64,
    /// The most, at any look, that all accounts together were over their limits, in nano-dollars.
    pub overspend: i64,
    /// The account that was furthest over.
    pub worst: Option<(i64, String)>,
    /// The most that was presumed at once, in nano-dollars.
    pub presumed: i64,
    /// One for each time that a data plane was dead, frozen or cut off.
    pub stranded: Vec<Stranded>,
}

/// What a data plane held while nobody could ask it for that.
#[derive(Debug, Clone, Copy)]
pub struct Stranded {
    pub plane: usize,
    /// Nano-dollars, at most.
    pub amount: i64,
    pub lasted: Duration,
}

impl Watch {
    pub fn start(system: &Arc<System>, furniture: &Furniture, is_unguarded: bool) -> Self {
        let stop = CancellationToken::new();
        let limits = furniture.limits();
        let eye = Eye {
            system: Arc::clone(system),
            limits,
            table: table(is_unguarded),
            seen: Watched::default(),
            open: [None; PLANES],
        };
        let mut task = JoinSet::new();
        task.spawn(eye.watch(stop.clone()));
        Self { stop, task }
    }

    pub async fn stop(mut self) -> Result<Watched> {
        self.stop.cancel();
        Ok(self.task.join_next().await.context("the watch is one task")??)
    }
}

struct Eye {
    system: Arc<System>,
    limits: BTreeMap<(i16, String), i64>,
    table: &'static str,
    seen: Watched,
    /// Since when a data plane is cut off, and the most that it held.
    open: [Option<(Instant, i64)>; PLANES],
}

impl Eye {
    async fn watch(mut self, stop: CancellationToken) -> Watched {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let store = self.system.store.clone();
            match timeout(PATIENCE, look(&store, self.table)).await {
                Ok(Ok((accounts, held))) => self.take(&accounts, &held),
                Ok(Err(_)) | Err(_) => self.seen.missed += 1,
            }
        }
        self.seen
    }

    fn take(&mut self, accounts: &[Account], held: &BTreeMap<String, i64>) {
        self.seen.looks += 1;
        let mut sum = 0;
        for (kind, owner, charged, presumed, lent) in accounts {
            let Some(limit) = self.limits.get(&(*kind, owner.clone())) else { continue };
            let over = (charged + presumed + lent - limit).max(0);
            sum += over;
            if over > self.seen.worst.as_ref().map_or(0, |(over, _)| *over) {
                self.seen.worst = Some((over, format!("{owner}: {charged} + {presumed} + {lent} > {limit}")));
            }
        }
        self.seen.overspend = self.seen.overspend.max(sum);
        self.seen.presumed = self.seen.presumed.max(accounts.iter().map(|account| account.3).sum());
        (0..PLANES).for_each(|plane| self.follow(plane, held.get(&name(plane)).copied().unwrap_or(0)));
    }

    fn follow(&mut self, plane: usize, held: i64) {
        let is_cut_off = self.system.is_cut_off[plane].load(Ordering::Acquire);
        match (&mut self.open[plane], is_cut_off) {
            (Some((_, most)), true) => *most = held.max(*most),
            (open @ None, true) => *open = Some((Instant::now(), held)),
            (open @ Some(_), false) => {
                if let Some((since, amount)) = open.take() {
                    self.seen.stranded.push(Stranded { plane, amount, lasted: since.elapsed() });
                }
            }
            (None, false) => {}
        }
    }
}

/// Kind, owner, charged, presumed, lent.
type Account = (i16, String, i64, i64, i64);

/// Every account with what counts against its limit, and what each data plane holds, by its region.
async fn look(store: &PgPool, table: &'static str) -> sqlx::Result<(Vec<Account>, BTreeMap<String, i64>)> {
    let statement = format!("SELECT kind, owner, charged, presumed, lent FROM {table} WHERE kind IN (1, 3)");
    let accounts = sqlx::query_as(sqlx::AssertSqlSafe(statement)).fetch_all(store).await?;
    let held: Vec<(String, i64)> = sqlx::query_as(
        "SELECT i.region, sum(l.granted - l.used)::bigint FROM leases l JOIN instances i ON i.id = l.instance
         WHERE l.granted > l.used GROUP BY i.region",
    )
    .fetch_all(store)
    .await?;
    Ok((accounts, held.into_iter().collect()))
}
