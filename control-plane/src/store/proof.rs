//! SQL that proves the ledger: balances against lines and leases, credits against their lines, lines against their charges.
//!
//! Each proof is one statement, so it sees one state, whatever is booked meanwhile.

use sqlx::PgPool;
use uuid::Uuid;

use crate::store::StoreError;

/// Differences of each sort that are looked for: with so many, what is wrong is not with single rows.
const MOST: i64 = 1_000;

/// An account whose balances are not what the ledger and its leases add up to.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Mismatch {
    pub kind: i16,
    pub owner: String,
    pub period: String,
    pub tenant: String,
    pub charged: i64,
    pub charged_by_lines: i64,
    pub presumed: i64,
    pub presumed_by_lines: i64,
    pub lent: i64,
    pub lent_by_leases: i64,
}

/// Adds up the whole ledger, with what its dropped days added up to, and every lease, account by account, and answers the accounts that say something else.
pub async fn accounts(pool: &PgPool) -> Result<Vec<Mismatch>, StoreError> {
    Ok(sqlx::query_as(
        "WITH charges AS (
             -- A charge without a name is nobody's, and a difference.
             SELECT coalesce(c.kind, 0::smallint) AS kind, coalesce(c.owner, '') AS owner,
                 coalesce(c.period, '') AS period, sum(c.charged)::bigint AS total
             FROM lines, jsonb_to_recordset(charges) AS c(kind smallint, owner text, period text, charged bigint)
             WHERE lines.kind IN ('attempt', 'house')
             GROUP BY 1, 2, 3
         ), presumptions AS (
             SELECT payer_kind AS kind, payer_owner AS owner, payer_period AS period, sum(charge_nano)::bigint AS total
             FROM lines WHERE lines.kind = 'presumed' GROUP BY payer_kind, payer_owner, payer_period
         ), booked AS (
             SELECT kind, owner, period, sum(charged)::bigint AS charged, sum(presumed)::bigint AS presumed FROM (
                 SELECT kind, owner, period, total AS charged, 0 AS presumed FROM charges
                 UNION ALL SELECT kind, owner, period, 0, total FROM presumptions
                 UNION ALL SELECT kind, owner, period, charged, presumed FROM ledger_openings
             ) AS part GROUP BY kind, owner, period
         ), loans AS (
             SELECT kind, owner, period, sum(granted - used - presumed)::bigint AS total
             FROM leases GROUP BY kind, owner, period
         )
         SELECT kind, owner, period, coalesce(a.tenant, '') AS tenant,
             coalesce(a.charged, 0) AS charged, coalesce(b.charged, 0) AS charged_by_lines,
             coalesce(a.presumed, 0) AS presumed, coalesce(b.presumed, 0) AS presumed_by_lines,
             coalesce(a.lent, 0) AS lent, coalesce(l.total, 0) AS lent_by_leases
         FROM accounts a
         FULL JOIN booked b USING (kind, owner, period)
         FULL JOIN loans l USING (kind, owner, period)
         WHERE (coalesce(a.charged, 0), coalesce(a.presumed, 0), coalesce(a.lent, 0))
             IS DISTINCT FROM (coalesce(b.charged, 0), coalesce(b.presumed, 0), coalesce(l.total, 0))
         ORDER BY kind, owner, period LIMIT $1",
    )
    .bind(MOST)
    .fetch_all(pool)
    .await?)
}

/// A tenant whose granted credits are not what its credit lines add up to.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct CreditMismatch {
    pub tenant: String,
    pub credits: i64,
    pub credits_by_lines: i64,
}

/// The same proof for credits granted: a tenant's sum against its credit lines, which are negative charges. Tenants whose rows
/// are gone have theirs in `purged_tenants`.
pub async fn credits(pool: &PgPool) -> Result<Vec<CreditMismatch>, StoreError> {
    Ok(sqlx::query_as(
        "WITH granted AS (
             SELECT tenant, sum(credits)::bigint AS total FROM (
                 SELECT tenant, -charge_nano AS credits FROM lines WHERE kind = 'credit'
                 UNION ALL SELECT tenant, credits FROM credit_openings
             ) AS part GROUP BY tenant
         ), recorded AS (
             SELECT tenant, sum(credits_nano)::bigint AS total FROM (
                 SELECT id AS tenant, credits_nano FROM tenants
                 UNION ALL SELECT tenant, credits_nano FROM purged_tenants
             ) AS part GROUP BY tenant
         )
         SELECT tenant, coalesce(r.total, 0) AS credits, coalesce(g.total, 0) AS credits_by_lines
         FROM recorded r FULL JOIN granted g USING (tenant)
         WHERE coalesce(r.total, 0) <> coalesce(g.total, 0) ORDER BY tenant LIMIT $1",
    )
    .bind(MOST)
    .fetch_all(pool)
    .await?)
}

/// A line whose own amount is not that of its charges.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct LineMismatch {
    pub id: Uuid,
    pub attempt: i32,
    pub kind: String,
    pub tenant: String,
    pub charge: i64,
    pub charge_by_charges: i64,
}

/// The lines whose amount differs from what they move: of an attempt what its payer of record is charged, of a house line
/// what the house bears.
pub async fn lines(pool: &PgPool) -> Result<Vec<LineMismatch>, StoreError> {
    Ok(sqlx::query_as(
        "SELECT id, attempt, kind, tenant, charge_nano AS charge, moved AS charge_by_charges
         FROM lines, LATERAL (
             SELECT CASE kind
                 WHEN 'attempt' THEN coalesce((charges -> 0 ->> 'charged')::bigint, 0)
                 ELSE coalesce((SELECT sum(charged) FROM jsonb_to_recordset(charges) AS c(kind smallint, charged bigint)
                     WHERE c.kind = 6), 0)::bigint END AS moved
         ) AS of
         WHERE kind IN ('attempt', 'house') AND charge_nano <> moved ORDER BY id, attempt, kind LIMIT $1",
    )
    .bind(MOST)
    .fetch_all(pool)
    .await?)
}

/// How many accounts, tenants and lines there are.
pub async fn sizes(pool: &PgPool) -> Result<(i64, i64, i64), StoreError> {
    Ok(sqlx::query_as(
        "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM tenants), (SELECT count(*) FROM lines)",
    )
    .fetch_one(pool)
    .await?)
}
