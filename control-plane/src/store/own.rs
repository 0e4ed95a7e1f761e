//! SQL of what a tenant sees of itself through its own keys: spending, credits, one generation.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        account::AccountKind,
        permission::{Allowed, ReadUsage},
    },
    store::{StoreError, follow, report::FOLLOWER},
};

/// What a key has been charged, in nano-dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Spent {
    pub ever: i64,
    pub today: i64,
    pub this_week: i64,
    pub this_month: i64,
}

impl Spent {
    fn plus(self, other: Self) -> Self {
        Self {
            ever: self.ever + other.ever,
            today: self.today + other.today,
            this_week: self.this_week + other.this_week,
            this_month: self.this_month + other.this_month,
        }
    }
}

/// Sums of charges by their days.
macro_rules! spent {
    () => {
        "coalesce(sum(charge_nano), 0)::bigint AS ever,
         coalesce(sum(charge_nano) FILTER (WHERE day >= $2), 0)::bigint AS today,
         coalesce(sum(charge_nano) FILTER (WHERE day >= $3), 0)::bigint AS this_week,
         coalesce(sum(charge_nano) FILTER (WHERE day >= $4), 0)::bigint AS this_month"
    };
}

/// Where the running day, week and month began.
#[derive(Debug, Clone, Copy)]
pub struct Since {
    pub day: DateTime<Utc>,
    pub week: DateTime<Utc>,
    pub month: DateTime<Utc>,
}

/// What keys of the access's tenant have been charged, by admission time: whole days of the roll-up, and what is not in it
/// yet. Keys that never spent are absent.
///
/// The connection must be one of [`report::reading`](crate::store::report::reading).
pub async fn spent(
    db: &mut PgConnection,
    allowed: &Allowed<ReadUsage>,
    keys: &[&str],
    since: Since,
) -> Result<HashMap<String, Spent>, StoreError> {
    let rolled_up: Vec<ByKey> = sqlx::query_as(concat!(
        "SELECT key, ",
        spent!(),
        " FROM usage_days WHERE grain = 2 AND ($5::text IS NULL OR tenant = $5) AND key = ANY($1) GROUP BY key"
    ))
    .bind(keys)
    .bind(since.day.date_naive())
    .bind(since.week.date_naive())
    .bind(since.month.date_naive())
    .bind(allowed.scope())
    .fetch_all(&mut *db)
    .await?;
    let mut all = HashMap::new();
    add(&mut all, rolled_up);
    let rest = follow::rest(db, FOLLOWER).await?.stretch;
    for (from, until) in &rest.ids {
        let fresh: Vec<ByKey> = sqlx::query_as(concat!(
            "SELECT key, ",
            spent!(),
            " FROM (SELECT key, day_of(id) AS day, charge_nano FROM lines WHERE kind = 'attempt' AND key = ANY($1)
                  AND ($5::text IS NULL OR tenant = $5) AND xid >= $6::xid8 AND id >= $7 AND id < $8) AS line
              GROUP BY key"
        ))
        .persistent(false)
        .bind(keys)
        .bind(since.day.date_naive())
        .bind(since.week.date_naive())
        .bind(since.month.date_naive())
        .bind(allowed.scope())
        .bind(&rest.from_xid)
        .bind(from)
        .bind(until)
        .fetch_all(&mut *db)
        .await?;
        add(&mut all, fresh);
    }
    Ok(all)
}

/// What a tenant's own credentials were billed for keys' calls, by admission day. Nothing of it was charged.
pub async fn byok_spent(
    db: &mut PgConnection,
    allowed: &Allowed<ReadUsage>,
    keys: &[&str],
    since: Since,
) -> Result<HashMap<String, Spent>, StoreError> {
    let rows: Vec<ByKey> = sqlx::query_as(
        "SELECT owner AS key, coalesce(sum(charged), 0)::bigint AS ever,
             coalesce(sum(charged) FILTER (WHERE period::date >= $4), 0)::bigint AS today,
             coalesce(sum(charged) FILTER (WHERE period::date >= $5), 0)::bigint AS this_week,
             coalesce(sum(charged) FILTER (WHERE period::date >= $6), 0)::bigint AS this_month
         FROM accounts WHERE kind = $1 AND owner = ANY($2) AND ($3::text IS NULL OR tenant = $3) GROUP BY owner",
    )
    .bind(AccountKind::ByokUsage as i16)
    .bind(keys)
    .bind(allowed.scope())
    .bind(since.day.date_naive())
    .bind(since.week.date_naive())
    .bind(since.month.date_naive())
    .fetch_all(db)
    .await?;
    let mut all = HashMap::new();
    add(&mut all, rows);
    Ok(all)
}

#[derive(sqlx::FromRow)]
struct ByKey {
    key: String,
    #[sqlx(flatten)]
    spent: Spent,
}

fn add(all: &mut HashMap<String, Spent>, rows: Vec<ByKey>) {
    for row in rows {
        let sum = all.entry(row.key).or_default();
        *sum = sum.plus(row.spent);
    }
}

/// What counts against accounts' limits, by owner, each in one period: charged and presumed, not lent. Accounts that were
/// never used are absent.
pub async fn taken(
    db: &mut PgConnection,
    allowed: &Allowed<ReadUsage>,
    kind: AccountKind,
    wanted: &[(&str, &str)],
) -> Result<HashMap<String, i64>, StoreError> {
    let (owners, periods): (Vec<&str>, Vec<&str>) = wanted.iter().copied().unzip();
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT owner, charged + presumed FROM accounts
         JOIN unnest($2::text[], $3::text[]) AS wanted(owner, period) USING (owner, period)
         WHERE kind = $1 AND ($4::text IS NULL OR tenant = $4)",
    )
    .bind(kind as i16)
    .bind(owners)
    .bind(periods)
    .bind(allowed.scope())
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Credits ever granted to the access's tenant.
pub async fn credits(db: &mut PgConnection, allowed: &Allowed<ReadUsage>) -> Result<i64, StoreError> {
    let credits = sqlx::query_scalar("SELECT credits_nano FROM tenants WHERE id = $1 AND deleted_at IS NULL");
    Ok(credits.bind(allowed.scope()).fetch_one(db).await?)
}

/// What `/generation` shows of a finished request.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Generation {
    pub model: String,
    pub provider: String,
    pub upstream_id: String,
    pub surface: String,
    pub streamed: bool,
    pub cancelled: bool,
    pub finish_reason: String,
    pub native_finish_reason: String,
    pub prompt_tokens: i64,
    pub cached_tokens: i64,
    pub completion_tokens: i64,
    pub reasoning_tokens: i64,
    pub cost_nano: i64,
    pub charge_nano: i64,
    pub admitted_at: DateTime<Utc>,
    pub first_content_ms: i64,
    pub duration_ms: i64,
    pub user_id: String,
    pub session_id: String,
    pub app_url: String,
    pub user_agent: String,
    pub preset: String,
    /// The generation whose answer was given again; empty: none.
    pub cache_source: String,
}

/// One try of a finished request.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Attempt {
    pub provider: String,
    pub model: String,
    pub endpoint: String,
    pub upstream_status: i32,
    pub latency_ms: Option<i64>,
    /// The tenant's own credential was used, and its provider bills the tenant.
    pub is_byok: bool,
}

/// A generation of the access's tenant.
///
/// # Errors
/// [`StoreError::NotFound`] where there is none, also for another tenant's.
pub async fn generation(
    db: &mut PgConnection,
    allowed: &Allowed<ReadUsage>,
    id: Uuid,
) -> Result<(Generation, Vec<Attempt>), StoreError> {
    let generation = sqlx::query_as(
        "SELECT model, provider, upstream_id, surface, streamed, cancelled, finish_reason, native_finish_reason,
             prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, cost_nano, charge_nano, admitted_at,
             first_content_ms, duration_ms, user_id, session_id, app_url, user_agent, preset, cache_source
         FROM generations WHERE id = $1 AND ($2::text IS NULL OR tenant = $2)",
    )
    .bind(id)
    .bind(allowed.scope())
    .fetch_one(&mut *db)
    .await?;
    let attempts = sqlx::query_as(
        "SELECT provider, model, endpoint, upstream_status,
             (extract(epoch FROM ended_at - started_at) * 1000)::bigint AS latency_ms,
             charge_nano = 0 AND cost_nano > 0 AND EXISTS (SELECT FROM credentials c
                 WHERE c.tenant = lines.tenant AND c.id = lines.credential) AS is_byok
         FROM lines WHERE id = $1 AND kind = 'attempt' AND ($2::text IS NULL OR tenant = $2) ORDER BY attempt",
    )
    .bind(id)
    .bind(allowed.scope())
    .fetch_all(db)
    .await?;
    Ok((generation, attempts))
}
