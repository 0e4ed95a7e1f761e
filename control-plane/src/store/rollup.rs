//! SQL that rolls the ledger and finished requests up by day, and the rows both are rolled up from.
//!
//! Which rows is `store::follow`'s business, asking for the sums `store::report`'s and `store::statement`'s.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::{
    StoreError,
    follow::{Step, Stretch},
};

/// Rows of a stretch: $1 and $2 are transactions, $3 and $4 ids.
macro_rules! in_stretch {
    () => {
        "xid >= $1::xid8 AND xid < $2::xid8 AND id >= $3 AND id < $4"
    };
}

/// Attempts of a stretch, as parts of usage. That a tenant pays the provider itself is told by a charge of usage of own
/// credentials, kind 7; of lines from before there was one, by whose the credential is, as long as it is there.
macro_rules! attempts {
    () => {
        concat!(
            "SELECT tenant, day_of(id) AS day, key, ''::text AS user_id, model, provider, 0::bigint AS requests,
                 0::bigint AS errors, 1::bigint AS attempts, prompt_tokens, cached_tokens, cache_write_tokens, completion_tokens, reasoning_tokens,
                 images, CASE WHEN is_own THEN 0 ELSE cost_nano END AS cost_nano, charge_nano,
                 CASE WHEN is_own THEN cost_nano ELSE 0 END AS byok_cost_nano
             FROM (SELECT *, charges @> '[{\"kind\": 7}]' OR (charge_nano = 0 AND cost_nano > 0 AND EXISTS (
                       SELECT FROM credentials c WHERE c.tenant = lines.tenant AND c.id = lines.credential)) AS is_own
                   FROM lines WHERE kind = 'attempt' AND ",
            $crate::store::rollup::in_stretch!(),
            ") AS attempt"
        )
    };
}

/// Finished requests of a stretch, as parts of usage.
macro_rules! finished {
    () => {
        concat!(
            "SELECT tenant, day_of(id) AS day, key, user_id, model, provider, 1::bigint AS requests,
                 (status >= 400 OR error_type <> '')::integer::bigint AS errors, attempts::bigint AS attempts, prompt_tokens, cached_tokens,
                 cache_write_tokens, completion_tokens, reasoning_tokens, images, cost_nano, charge_nano,
                 0::bigint AS byok_cost_nano
             FROM generations WHERE ",
            $crate::store::rollup::in_stretch!()
        )
    };
}

/// What moved on tenants' credits in a stretch.
macro_rules! credit_movements {
    () => {
        concat!(
            "SELECT tenant, day_of(id) AS day,
                 CASE WHEN credit = 'top_up' OR (credit = '' AND charge_nano < 0) THEN -charge_nano ELSE 0 END
                     AS topped_up,
                 CASE WHEN credit = 'adjustment' OR (credit = '' AND charge_nano >= 0) THEN -charge_nano ELSE 0 END
                     AS adjusted,
                 CASE WHEN credit = 'refund' THEN -charge_nano ELSE 0 END AS refunded, 0::bigint AS charged,
                 0::bigint AS presumed
             FROM lines WHERE kind = 'credit' AND ",
            $crate::store::rollup::in_stretch!(),
            " UNION ALL SELECT payer_owner, day_of(id), 0, 0, 0, 0, charge_nano
             FROM lines WHERE kind = 'presumed' AND payer_kind = 1 AND ",
            $crate::store::rollup::in_stretch!(),
            " UNION ALL SELECT c.owner, day_of(id), 0, 0, 0, c.charged, 0
             FROM lines, jsonb_to_recordset(charges) AS c(kind smallint, owner text, charged bigint)
             WHERE lines.kind IN ('attempt', 'house') AND c.kind = 1 AND ",
            $crate::store::rollup::in_stretch!()
        )
    };
}

pub(in crate::store) use {attempts, credit_movements, finished, in_stretch};

/// Adds up the columns of usage.
macro_rules! sums {
    () => {
        "sum(requests)::bigint AS requests, sum(errors)::bigint AS errors, sum(attempts)::bigint AS attempts,
         sum(prompt_tokens)::bigint AS prompt_tokens, sum(cached_tokens)::bigint AS cached_tokens,
         sum(cache_write_tokens)::bigint AS cache_write_tokens, sum(completion_tokens)::bigint AS completion_tokens,
         sum(reasoning_tokens)::bigint AS reasoning_tokens, sum(images)::bigint AS images,
         sum(cost_nano)::bigint AS cost_nano, sum(charge_nano)::bigint AS charge_nano,
         sum(byok_cost_nano)::bigint AS byok_cost_nano"
    };
}

pub(in crate::store) use sums;

/// Ledger lines name no user: by user, money is what finished requests tell, and else they only tell that they were made.
const ADD_USAGE: &str = concat!(
    "WITH fine AS (
         SELECT is_finished, tenant, day, key, user_id, model, provider, ",
    sums!(),
    " FROM (SELECT false AS is_finished, attempt.* FROM (",
    attempts!(),
    ") AS attempt UNION ALL SELECT true, finished.* FROM (",
    finished!(),
    ") AS finished) AS part GROUP BY is_finished, tenant, day, key, user_id, model, provider
     )
     INSERT INTO usage_days AS u (grain, tenant, day, key, user_id, model, provider, requests, errors, attempts,
         prompt_tokens, cached_tokens, cache_write_tokens, completion_tokens, reasoning_tokens, images, cost_nano,
         charge_nano, byok_cost_nano)
     SELECT g.grain, g.tenant, f.day, g.key, g.user_id, f.model, f.provider, sum(f.requests), sum(f.errors),
         sum(f.attempts * g.tells), sum(f.prompt_tokens * g.tells), sum(f.cached_tokens * g.tells),
         sum(f.cache_write_tokens * g.tells), sum(f.completion_tokens * g.tells), sum(f.reasoning_tokens * g.tells),
         sum(f.images * g.tells), sum(f.cost_nano * g.tells), sum(f.charge_nano * g.tells),
         sum(f.byok_cost_nano * g.tells)
     FROM fine f CROSS JOIN LATERAL (VALUES
         (0::smallint, '', '', '', (NOT f.is_finished)::integer),
         (1::smallint, f.tenant, '', '', (NOT f.is_finished)::integer),
         (2::smallint, f.tenant, f.key, '', (NOT f.is_finished)::integer),
         (3::smallint, f.tenant, f.key, f.user_id, 1)) AS g(grain, tenant, key, user_id, tells)
     WHERE g.grain < 3 OR f.is_finished
     GROUP BY g.grain, g.tenant, f.day, g.key, g.user_id, f.model, f.provider
     ORDER BY g.grain, g.tenant, f.day, g.key, g.user_id, f.model, f.provider
     ON CONFLICT (grain, tenant, day, key, user_id, model, provider) DO UPDATE SET
         requests = u.requests + excluded.requests, errors = u.errors + excluded.errors,
         attempts = u.attempts + excluded.attempts, prompt_tokens = u.prompt_tokens + excluded.prompt_tokens,
         cached_tokens = u.cached_tokens + excluded.cached_tokens,
         cache_write_tokens = u.cache_write_tokens + excluded.cache_write_tokens,
         completion_tokens = u.completion_tokens + excluded.completion_tokens,
         reasoning_tokens = u.reasoning_tokens + excluded.reasoning_tokens, images = u.images + excluded.images,
         cost_nano = u.cost_nano + excluded.cost_nano, charge_nano = u.charge_nano + excluded.charge_nano,
         byok_cost_nano = u.byok_cost_nano + excluded.byok_cost_nano"
);

const ADD_CREDITS: &str = concat!(
    "INSERT INTO credit_days AS d (tenant, day, topped_up, adjusted, refunded, charged, presumed)
     SELECT tenant, day, sum(topped_up), sum(adjusted), sum(refunded), sum(charged), sum(presumed) FROM (",
    credit_movements!(),
    ") AS moved GROUP BY tenant, day
     ON CONFLICT (tenant, day) DO UPDATE SET topped_up = d.topped_up + excluded.topped_up,
         adjusted = d.adjusted + excluded.adjusted, refunded = d.refunded + excluded.refunded,
         charged = d.charged + excluded.charged, presumed = d.presumed + excluded.presumed"
);

/// Adds what a step takes to the sums of its days.
pub async fn take(db: &mut PgConnection, step: &Step) -> Result<(), StoreError> {
    if let Some(day) = step.afresh_from {
        for statement in ["DELETE FROM usage_days WHERE day >= $1", "DELETE FROM credit_days WHERE day >= $1"]
        {
            sqlx::query(statement).bind(day).execute(&mut *db).await?;
        }
    }
    for range in &step.stretch.ids {
        for statement in [ADD_USAGE, ADD_CREDITS] {
            run(db, statement, &step.stretch, *range).await?;
        }
    }
    Ok(())
}

async fn run(
    db: &mut PgConnection,
    statement: &'static str,
    stretch: &Stretch,
    (from, until): (Uuid, Uuid),
) -> Result<(), StoreError> {
    // Planned each time, so that only the partitions of these ids are opened.
    sqlx::query(statement)
        .persistent(false)
        .bind(&stretch.from_xid)
        .bind(&stretch.until_xid)
        .bind(from)
        .bind(until)
        .execute(db)
        .await?;
    Ok(())
}
