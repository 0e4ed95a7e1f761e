//! SQL of what a tenant sees of itself through its own keys: spending, credits, one generation.

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

/// What a key of the access's tenant has been charged, by admission time: whole days of the roll-up, and what is not in it
/// yet.
///
/// The connection must be one of [`report::reading`](crate::store::report::reading).
pub async fn spent(
    db: &mut PgConnection,
    allowed: &Allowed<ReadUsage>,
    key: &str,
    since: Since,
) -> Result<Spent, StoreError> {
    let rolled_up: Spent = sqlx::query_as(concat!(
        "SELECT ",
        spent!(),
        " FROM usage_days WHERE grain = 2 AND ($5::text IS NULL OR tenant = $5) AND key = $1"
    ))
    .bind(key)
    .bind(since.day.date_naive())
    .bind(since.week.date_naive())
    .bind(since.month.date_naive())
    .bind(allowed.scope())
    .fetch_one(&mut *db)
    .await?;
    let rest = follow::rest(db, FOLLOWER).await?.stretch;
    let mut spent = rolled_up;
    for (from, until) in &rest.ids {
        let fresh: Spent = sqlx::query_as(concat!(
            "SELECT ",
            spent!(),
            " FROM (SELECT day_of(id) AS day, charge_nano FROM lines WHERE kind = 'attempt' AND key = $1
                  AND ($5::text IS NULL OR tenant = $5) AND xid >= $6::xid8 AND id >= $7 AND id < $8) AS line"
        ))
        .persistent(false)
        .bind(key)
        .bind(since.day.date_naive())
        .bind(since.week.date_naive())
        .bind(since.month.date_naive())
        .bind(allowed.scope())
        .bind(&rest.from_xid)
        .bind(from)
        .bind(until)
        .fetch_one(&mut *db)
        .await?;
        spent = spent.plus(fresh);
    }
    Ok(spent)
}

/// What a tenant's own credentials were billed for a key's calls, by admission day. Nothing of it was charged.
pub async fn byok_spent(
    db: &mut PgConnection,
    allowed: &Allowed<ReadUsage>,
    key: &str,
    since: Since,
) -> Result<Spent, StoreError> {
    Ok(sqlx::query_as(
        "SELECT coalesce(sum(charged), 0)::bigint AS ever,
             coalesce(sum(charged) FILTER (WHERE period::date >= $4), 0)::bigint AS today,
             coalesce(sum(charged) FILTER (WHERE period::date >= $5), 0)::bigint AS this_week,
             coalesce(sum(charged) FILTER (WHERE period::date >= $6), 0)::bigint AS this_month
         FROM accounts WHERE kind = $1 AND owner = $2 AND ($3::text IS NULL OR tenant = $3)",
    )
    .bind(AccountKind::ByokUsage as i16)
    .bind(key)
    .bind(allowed.scope())
    .bind(since.day.date_naive())
    .bind(since.week.date_naive())
    .bind(since.month.date_naive())
    .fetch_one(db)
    .await?)
}

/// What counts against an account's limit: charged and presumed, not lent. Nothing where the account was never used.
pub async fn taken(
    db: &mut PgConnection,
    allowed: &Allowed<ReadUsage>,
    kind: AccountKind,
    owner: &str,
    period: &str,
) -> Result<i64, StoreError> {
    let taken: Option<i64> = sqlx::query_scalar(
        "SELECT charged + presumed FROM accounts
         WHERE kind = $1 AND owner = $2 AND period = $3 AND ($4::text IS NULL OR tenant = $4)",
    )
    .bind(kind as i16)
    .bind(owner)
    .bind(period)
    .bind(allowed.scope())
    .fetch_optional(db)
    .await?;
    Ok(taken.unwrap_or(0))
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
}

/// One try of a finished request.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Attempt {
    pub provider: String,
    pub model: String,
    pub endpoint: String,
    pub upstream_status: i32,
    pub latency_ms: Option<i64>,
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
             first_content_ms, duration_ms, user_id, session_id, app_url, user_agent
         FROM generations WHERE id = $1 AND ($2::text IS NULL OR tenant = $2)",
    )
    .bind(id)
    .bind(allowed.scope())
    .fetch_one(&mut *db)
    .await?;
    let attempts = sqlx::query_as(
        "SELECT provider, model, endpoint, upstream_status,
             (extract(epoch FROM ended_at - started_at) * 1000)::bigint AS latency_ms
         FROM lines WHERE id = $1 AND kind = 'attempt' AND ($2::text IS NULL OR tenant = $2) ORDER BY attempt",
    )
    .bind(id)
    .bind(allowed.scope())
    .fetch_all(db)
    .await?;
    Ok((generation, attempts))
}
