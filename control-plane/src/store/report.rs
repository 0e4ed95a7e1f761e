//! SQL that asks for usage: sums of whole days from the roll-up, and of what is not rolled up yet from the rows themselves.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder, Transaction};
use uuid::Uuid;

use crate::{
    domain::{
        permission::{Allowed, ReadUsage},
        report::{Dimension, Question, Row, Sums},
    },
    store::{
        StoreError,
        follow::{self, Stretch, start},
        rollup::{attempts, finished, sums},
        unsigned,
    },
};

/// The follower that rolls usage up.
pub const FOLLOWER: &str = "usage";
/// Rows beside the roll-up that are added up for one question; with more it is answered from the roll-up alone.
const MOST_FRESH: i64 = 20_000;
/// Days that were booked for late, of which the same holds.
const MOST_LATE: usize = 8;

#[derive(sqlx::FromRow)]
struct ReportRow {
    day: Option<NaiveDate>,
    tenant: String,
    key: String,
    model: String,
    provider: String,
    user_id: String,
    requests: i64,
    errors: i64,
    attempts: i64,
    prompt_tokens: i64,
    cached_tokens: i64,
    cache_write_tokens: i64,
    completion_tokens: i64,
    reasoning_tokens: i64,
    images: i64,
    cost_nano: i64,
    charge_nano: i64,
    byok_cost_nano: i64,
}

impl From<ReportRow> for Row {
    fn from(row: ReportRow) -> Self {
        Self {
            day: row.day,
            tenant: row.tenant,
            key: row.key,
            model: row.model,
            provider: row.provider,
            user: row.user_id,
            sums: Sums {
                requests: unsigned(row.requests),
                errors: unsigned(row.errors),
                attempts: unsigned(row.attempts),
                prompt: unsigned(row.prompt_tokens),
                cached: unsigned(row.cached_tokens),
                cache_write: unsigned(row.cache_write_tokens),
                completion: unsigned(row.completion_tokens),
                reasoning: unsigned(row.reasoning_tokens),
                images: unsigned(row.images),
                cost_nano: row.cost_nano,
                charge_nano: row.charge_nano,
                byok_cost_nano: row.byok_cost_nano,
            },
        }
    }
}

/// A transaction that sees one state of roll-ups and rows, and writes nothing.
pub async fn reading(
    pool: &PgPool,
    _allowed: &Allowed<ReadUsage>,
) -> Result<Transaction<'static, Postgres>, StoreError> {
    let mut tx = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *tx).await?;
    Ok(tx)
}

/// Answers a question with at most `most` rows, and says until when it is complete; `None`: until now.
///
/// The connection must be one of [`reading`].
pub async fn ask(
    db: &mut PgConnection,
    allowed: &Allowed<ReadUsage>,
    question: &Question,
    most: i64,
) -> Result<(Vec<Row>, Option<DateTime<Utc>>), StoreError> {
    let rest = follow::rest(db, FOLLOWER).await?;
    let is_short =
        rest.stretch.ids.len() <= MOST_LATE && !follow::is_longer_than(db, &rest.stretch, MOST_FRESH).await?;
    let fresh = is_short.then_some(&rest.stretch);
    let mut query = statement(allowed.scope(), question, fresh, most);
    let rows: Vec<ReportRow> = query.build_query_as().persistent(false).fetch_all(db).await?;
    Ok((rows.into_iter().map(Row::from).collect(), (!is_short).then_some(rest.complete_until)))
}

fn statement(
    tenant: Option<&str>,
    question: &Question,
    fresh: Option<&Stretch>,
    most: i64,
) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("SELECT ");
    for dimension in Dimension::ALL {
        let (column, nothing) = column(dimension);
        let is_asked = question.by.contains(&dimension);
        query.push(if is_asked { column } else { nothing });
        query.push(format!(" AS {column}, "));
    }
    query.push(concat!(sums!(), " FROM (SELECT day, tenant, key, user_id, model, provider, requests, errors, attempts,
        prompt_tokens, cached_tokens, cache_write_tokens, completion_tokens, reasoning_tokens, images, cost_nano,
        charge_nano, byok_cost_nano FROM usage_days WHERE grain = "));
    let grain = question.grain(tenant.is_some());
    query.push_bind(grain);
    if grain == 0 {
        query.push(" AND tenant = ''");
    }
    query.push(" AND day >= ").push_bind(question.from);
    query.push(" AND day < ").push_bind(question.until);
    conditions(&mut query, tenant, question);
    for range in fresh.iter().flat_map(|stretch| &stretch.ids) {
        let stretch = fresh.expect("there is a range of it");
        // By user everything is told by finished requests, else they tell no more than that they were made.
        if grain < 3 {
            part(&mut query, (attempts!(), WHOLE), (stretch, *range), (tenant, question));
            part(&mut query, (finished!(), COUNTED), (stretch, *range), (tenant, question));
        } else {
            part(&mut query, (finished!(), WHOLE), (stretch, *range), (tenant, question));
        }
    }
    query.push(") AS part");
    let asked: Vec<&str> = question.by.iter().map(|dimension| column(*dimension).0).collect();
    if asked.is_empty() {
        query.push(" HAVING count(*) > 0");
    } else {
        query.push(format!(" GROUP BY {}", asked.join(", ")));
        let day = if question.by.contains(&Dimension::Day) { "day, " } else { "" };
        query.push(format!(" ORDER BY {day}sum(charge_nano + byok_cost_nano) DESC, {}", asked.join(", ")));
    }
    query.push(" LIMIT ");
    query.push_bind(most);
    query
}

const WHOLE: &str = "day, tenant, key, user_id, model, provider, requests, errors, attempts, prompt_tokens, \
    cached_tokens, cache_write_tokens, completion_tokens, reasoning_tokens, images, cost_nano, charge_nano, \
    byok_cost_nano";
const COUNTED: &str = "day, tenant, key, user_id, model, provider, requests, errors, 0::bigint, \
    0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint";

/// Adds rows that are not rolled up yet. The source's own parameters come as values of one row.
fn part(
    query: &mut QueryBuilder<Postgres>,
    (source, columns): (&str, &str),
    (stretch, (from, until)): (&Stretch, (Uuid, Uuid)),
    (tenant, question): (Option<&str>, &Question),
) {
    // Days are those of ids, so that none has to be made of an id to leave rows out.
    let (from, until) = (from.max(start(question.from)), until.min(start(question.until)));
    query.push(format!(" UNION ALL SELECT {columns} FROM ("));
    let mut rest = source;
    while let Some((text, after)) = rest.split_once('$') {
        query.push(text);
        match after.as_bytes().first() {
            Some(b'1') => query.push_bind(stretch.from_xid.clone()),
            Some(b'2') => query.push_bind(stretch.until_xid.clone()),
            Some(b'3') => query.push_bind(from),
            _ => query.push_bind(until),
        };
        rest = &after[1..];
    }
    query.push(rest);
    query.push(") AS row WHERE true");
    conditions(query, tenant, question);
}

fn conditions(query: &mut QueryBuilder<Postgres>, tenant: Option<&str>, question: &Question) {
    let wanted = [
        ("tenant", tenant),
        ("key", question.key.as_deref()),
        ("model", question.model.as_deref()),
        ("provider", question.provider.as_deref()),
        ("user_id", question.user.as_deref()),
    ];
    for (column, value) in wanted {
        if let Some(value) = value {
            query.push(format!(" AND {column} = ")).push_bind(value.to_owned());
        }
    }
}

/// A dimension's column, and what stands for it where nobody asks.
fn column(dimension: Dimension) -> (&'static str, &'static str) {
    match dimension {
        Dimension::Day => ("day", "NULL::date"),
        Dimension::Tenant => ("tenant", "''"),
        Dimension::Key => ("key", "''"),
        Dimension::Model => ("model", "''"),
        Dimension::Provider => ("provider", "''"),
        Dimension::User => ("user_id", "''"),
    }
}
