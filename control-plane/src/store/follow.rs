//! SQL of following the ledger: which rows a reader has not taken yet, each once, whatever is booked meanwhile.
//!
//! Below the oldest transaction that runs, all are over. A follower takes the rows of transactions from where it stood
//! up to there, so that a slow one only delays it. Who follows, and what is made of the rows, is other files' business.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::{StoreError, usage::first_id};

/// Days before today whose partitions a follower always looks into; what is booked for older ones is marked.
const ALWAYS: Days = Days::new(3);
/// Days before today for which nothing is marked. A day less, so that clocks may differ.
const UNMARKED: Days = Days::new(2);

/// How far a follower of which nothing is new may be behind.
const MOVES_UP: TimeDelta = TimeDelta::minutes(1);

/// Rows of `lines` and `generations`: those of some transactions, in some ranges of ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Transactions: from, and up to but without.
    pub from_xid: String,
    pub until_xid: String,
    /// Ids: from, and up to but without. Few, so that few partitions are touched.
    pub ids: Vec<(Uuid, Uuid)>,
}

/// A follower that is about to take a stretch; it stays where it was unless [`finish`] is called and committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    name: String,
    pub stretch: Stretch,
    /// Everything committed by then will be taken.
    pub complete_until: DateTime<Utc>,
    from_day: NaiveDate,
    promised: (String, DateTime<Utc>),
    /// Set: what was made of the days from this one on is to be removed first.
    pub afresh_from: Option<NaiveDate>,
}

#[derive(sqlx::FromRow)]
struct Position {
    seen: String,
    from_day: NaiveDate,
    complete_until: DateTime<Utc>,
    promised_at: DateTime<Utc>,
    is_promise_kept: bool,
    is_over: bool,
    /// Transactions are numbered from the beginning: the store was copied into another server.
    is_ahead: bool,
    promised: String,
}

/// The transactions that run, as this moment sees them.
struct Front {
    /// All below are over.
    oldest: String,
    /// None from this one on has begun.
    next: String,
}

impl Front {
    async fn read(db: &mut PgConnection) -> Result<Self, StoreError> {
        let (oldest, next) = sqlx::query_as(
            "SELECT pg_snapshot_xmin(s)::text, pg_snapshot_xmax(s)::text FROM pg_current_snapshot() AS s",
        )
        .fetch_one(db)
        .await?;
        Ok(Self { oldest, next })
    }
}

/// Reads where the follower $1 stands before the front of $2 and $3.
macro_rules! position {
    ($lock:literal) => {
        concat!(
            "SELECT seen::text, from_day, complete_until, promised_at, promised::text,
                 promised <= $2::xid8 AS is_promise_kept, seen >= $2::xid8 AS is_over, seen > $3::xid8 AS is_ahead
             FROM followers WHERE name = $1",
            $lock
        )
    };
}

impl Position {
    async fn read(
        db: &mut PgConnection,
        statement: &'static str,
        (name, front): (&str, &Front),
    ) -> Result<Option<Self>, StoreError> {
        let at = sqlx::query_as(statement).bind(name).bind(&front.oldest).bind(&front.next);
        Ok(at.fetch_optional(db).await?)
    }

    /// Whether it may stay where it is: nothing is new, and it need not move up for its own sake either.
    async fn is_idle(
        &self,
        db: &mut PgConnection,
        front: &Front,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        if self.is_ahead || self.is_over {
            return Ok(!self.is_ahead);
        }
        if self.complete_until < now - MOVES_UP {
            return Ok(false);
        }
        let ids = ranges(db, self.from_day, (&self.seen, Some(&front.oldest))).await?;
        let stretch = Stretch { from_xid: self.seen.clone(), until_xid: front.oldest.clone(), ids };
        Ok(!is_longer_than(db, &stretch, 0).await?)
    }
}

/// Locks a follower and says what it has not taken; `None` where nothing is new, or another process takes it right now.
///
/// Where nothing is new nothing is locked or written, so that an idle store stays idle: a lock takes the number of a
/// transaction, which would be new to the other followers.
pub async fn begin(
    db: &mut PgConnection,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Option<Step>, StoreError> {
    // Before the lock, which makes this transaction one of those that run.
    let front = Front::read(db).await?;
    let at = Position::read(db, position!(""), (name, &front)).await?;
    let Some(at) = at else { return Ok(None) };
    if at.is_idle(db, &front, now).await? {
        return Ok(None);
    }
    let at = Position::read(db, position!(" FOR UPDATE SKIP LOCKED"), (name, &front)).await?;
    let Some(at) = at else { return Ok(None) };
    let Front { oldest, next } = front;
    if at.is_ahead {
        return start_over(db, (name, oldest, next), now).await.map(Some);
    }
    if at.is_over {
        return Ok(None);
    }
    let (complete_until, promised) = match (oldest == next, at.is_promise_kept) {
        (true, _) => (now, (next, now)),
        (false, true) => (at.promised_at.max(at.complete_until), (next, now)),
        (false, false) => (at.complete_until, (at.promised, at.promised_at)),
    };
    let today = now.date_naive();
    let ids = ranges(db, at.from_day, (&at.seen, Some(&oldest))).await?;
    Ok(Some(Step {
        name: name.to_owned(),
        stretch: Stretch { from_xid: at.seen, until_xid: oldest, ids },
        complete_until,
        from_day: today.checked_sub_days(ALWAYS).unwrap_or(at.from_day),
        promised,
        afresh_from: None,
    }))
}

/// The first step on another server: a dump does not keep the numbers of transactions, so it cannot be told what was taken.
///
/// Days whose rows are all there still are taken afresh; what was made of them is removed by the step. Rows of before
/// lose their old numbers, since the new server will come to them again.
async fn start_over(
    db: &mut PgConnection,
    (name, oldest, next): (&str, String, String),
    now: DateTime<Utc>,
) -> Result<Step, StoreError> {
    for statement in [
        "UPDATE lines SET xid = '0' WHERE xid >= $1::xid8",
        "UPDATE generations SET xid = '0' WHERE xid >= $1::xid8",
        "UPDATE late_days SET xid = '0' WHERE xid >= $1::xid8",
    ] {
        sqlx::query(statement).bind(&next).execute(&mut *db).await?;
    }
    let dropped: Option<NaiveDate> =
        sqlx::query_scalar("SELECT max(before) FROM dropped").fetch_one(&mut *db).await?;
    let from_day = dropped.unwrap_or_default();
    tracing::warn!(follower = name, %from_day, "the store was copied into another server; what follows it starts over");
    Ok(Step {
        name: name.to_owned(),
        stretch: Stretch {
            from_xid: "0".to_owned(),
            until_xid: oldest,
            ids: vec![(start(from_day), Uuid::max())],
        },
        complete_until: DateTime::UNIX_EPOCH,
        from_day: now.date_naive().checked_sub_days(ALWAYS).unwrap_or(from_day),
        promised: (next, now),
        afresh_from: Some(from_day),
    })
}

/// Moves a follower behind what it has taken.
pub async fn finish(db: &mut PgConnection, step: &Step) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE followers SET seen = $2::xid8, from_day = $3, complete_until = $4, promised = $5::xid8,
             promised_at = $6 WHERE name = $1",
    )
    .bind(&step.name)
    .bind(&step.stretch.until_xid)
    .bind(step.from_day)
    .bind(step.complete_until)
    .bind(&step.promised.0)
    .bind(step.promised.1)
    .execute(&mut *db)
    .await?;
    sqlx::query("DELETE FROM late_days WHERE xid < (SELECT min(seen) FROM followers)").execute(db).await?;
    Ok(())
}

/// Until when everything is taken.
pub async fn complete_until(db: &mut PgConnection, name: &str) -> Result<DateTime<Utc>, StoreError> {
    let complete_until = sqlx::query_scalar("SELECT complete_until FROM followers WHERE name = $1");
    Ok(complete_until.bind(name).fetch_one(db).await?)
}

/// What a follower has not taken, as this snapshot sees it: to be added to what it has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    pub stretch: Stretch,
    pub complete_until: DateTime<Utc>,
}

/// Reads where a follower stands. In one snapshot with what it has made, nothing is missing or doubled.
pub async fn rest(db: &mut PgConnection, name: &str) -> Result<Rest, StoreError> {
    let (from_xid, from_day, complete_until): (String, NaiveDate, DateTime<Utc>) =
        sqlx::query_as("SELECT seen::text, from_day, complete_until FROM followers WHERE name = $1")
            .bind(name)
            .fetch_one(&mut *db)
            .await?;
    let ids = ranges(db, from_day, (&from_xid, None)).await?;
    // No transaction is that late.
    let until_xid = u64::MAX.to_string();
    Ok(Rest { stretch: Stretch { from_xid, until_xid, ids }, complete_until })
}

/// Whether a stretch has more than so many ledger lines, or finished requests.
pub async fn is_longer_than(db: &mut PgConnection, stretch: &Stretch, most: i64) -> Result<bool, StoreError> {
    let mut rows = 0;
    for (from, until) in &stretch.ids {
        let (lines, generations): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM (SELECT FROM lines
                     WHERE xid >= $1::xid8 AND xid < $2::xid8 AND id >= $3 AND id < $4 LIMIT $5) AS l),
                 (SELECT count(*) FROM (SELECT FROM generations
                     WHERE xid >= $1::xid8 AND xid < $2::xid8 AND id >= $3 AND id < $4 LIMIT $5) AS g)",
        )
        .bind(&stretch.from_xid)
        .bind(&stretch.until_xid)
        .bind(from)
        .bind(until)
        .bind(most + 1)
        .persistent(false)
        .fetch_one(&mut *db)
        .await?;
        rows += lines.max(generations);
        if rows > most {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The last days, and each earlier day that something was booked for.
async fn ranges(
    db: &mut PgConnection,
    from_day: NaiveDate,
    (from_xid, until_xid): (&str, Option<&String>),
) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    let late: Vec<NaiveDate> = sqlx::query_scalar(
        "SELECT DISTINCT day FROM late_days
         WHERE day < $1 AND xid >= $2::xid8 AND ($3::text IS NULL OR xid < $3::xid8) ORDER BY day",
    )
    .bind(from_day)
    .bind(from_xid)
    .bind(until_xid)
    .fetch_all(db)
    .await?;
    let next = |day: NaiveDate| day.checked_add_days(Days::new(1)).unwrap_or(day);
    let late = late.into_iter().map(|day| (start(day), start(next(day))));
    Ok(late.chain([(start(from_day), Uuid::max())]).collect())
}

/// The smallest id of a day.
pub fn start(day: NaiveDate) -> Uuid {
    first_id(day.and_time(NaiveTime::MIN).and_utc())
}

/// Marks days for which something is booked long afterwards, in the transaction that books it.
pub async fn mark_late(
    db: &mut PgConnection,
    days: impl Iterator<Item = NaiveDate>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let since = now.date_naive().checked_sub_days(UNMARKED).unwrap_or_default();
    let mut late: Vec<NaiveDate> = days.filter(|day| *day < since).collect();
    late.sort_unstable();
    late.dedup();
    if late.is_empty() {
        return Ok(());
    }
    sqlx::query("INSERT INTO late_days (day) SELECT unnest($1::date[]) ON CONFLICT DO NOTHING")
        .bind(late)
        .execute(db)
        .await?;
    Ok(())
}
