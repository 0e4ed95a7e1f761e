//! SQL that reads usage: generations, ledger lines, accounts. Booking and lending are other files' business.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use switchyard_proto::{
    id::{GenerationId, KeyId, ModelId, TenantId},
    price::Parts,
};
use uuid::Uuid;

use crate::{
    domain::{
        account::{Account, AccountKind},
        meta::Revision,
        page::{Listed, Page},
        permission::{Allowed, ReadUsage},
        report::CreditKind,
        usage::{Filter, Generation, Line, Tokens},
    },
    store::{StoreError, unsigned},
};

/// Place of a line in a list: id, attempt and kind.
pub type LinePlace = (Uuid, i32, String);
/// Place of an account in a list: kind, owner and period.
pub type AccountPlace = (i16, String, String);

#[derive(sqlx::FromRow)]
struct TokensRow {
    prompt_tokens: i64,
    cached_tokens: i64,
    cache_write_tokens: i64,
    cache_write_1h_tokens: i64,
    completion_tokens: i64,
    reasoning_tokens: i64,
    audio_prompt_tokens: i64,
    images: i64,
    audio_completion_tokens: i64,
    image_completion_tokens: i64,
    searches: i64,
}

impl From<TokensRow> for Tokens {
    fn from(row: TokensRow) -> Self {
        Self {
            prompt: unsigned(row.prompt_tokens),
            cached: unsigned(row.cached_tokens),
            cache_write: unsigned(row.cache_write_tokens),
            cache_write_1h: unsigned(row.cache_write_1h_tokens),
            completion: unsigned(row.completion_tokens),
            reasoning: unsigned(row.reasoning_tokens),
            audio_prompt: unsigned(row.audio_prompt_tokens),
            images: unsigned(row.images),
            audio_completion: unsigned(row.audio_completion_tokens),
            image_completion: unsigned(row.image_completion_tokens),
            searches: unsigned(row.searches),
        }
    }
}

macro_rules! tokens {
    () => {
        "prompt_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, completion_tokens, \
         reasoning_tokens, audio_prompt_tokens, images, audio_completion_tokens, image_completion_tokens, \
         searches"
    };
}

macro_rules! generation_columns {
    () => {
        concat!(
            "id, tenant, key, requested_model, model, provider, surface, streamed, cancelled, status, error_type, \
             finish_reason, native_finish_reason, cost_nano, charge_nano, attempts, admitted_at, first_content_ms, \
             duration_ms, instance, region, config_incarnation, config_revision, user_id, trace_id, ",
            tokens!()
        )
    };
}

#[derive(sqlx::FromRow)]
struct GenerationRow {
    id: Uuid,
    tenant: String,
    key: String,
    requested_model: String,
    model: String,
    provider: String,
    surface: String,
    streamed: bool,
    cancelled: bool,
    status: i32,
    error_type: String,
    finish_reason: String,
    native_finish_reason: String,
    #[sqlx(flatten)]
    tokens: TokensRow,
    cost_nano: i64,
    charge_nano: i64,
    attempts: i32,
    admitted_at: DateTime<Utc>,
    first_content_ms: i64,
    duration_ms: i64,
    instance: String,
    region: String,
    config_incarnation: String,
    config_revision: i64,
    user_id: String,
    trace_id: String,
    /// Read with one generation alone.
    #[sqlx(default)]
    decision: String,
}

impl TryFrom<GenerationRow> for Generation {
    type Error = StoreError;

    fn try_from(row: GenerationRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: generation_id(row.id)?,
            tenant: row.tenant,
            key: row.key,
            requested_model: row.requested_model,
            model: row.model,
            provider: row.provider,
            surface: row.surface,
            streamed: row.streamed,
            cancelled: row.cancelled,
            status: row.status.unsigned_abs(),
            error_type: row.error_type,
            finish_reason: row.finish_reason,
            native_finish_reason: row.native_finish_reason,
            tokens: row.tokens.into(),
            cost_nano: row.cost_nano,
            charge_nano: row.charge_nano,
            attempts: row.attempts.unsigned_abs(),
            admitted_at: row.admitted_at,
            first_content_ms: unsigned(row.first_content_ms),
            duration_ms: unsigned(row.duration_ms),
            instance: row.instance,
            region: row.region,
            config_revision: Revision {
                incarnation: row.config_incarnation,
                number: unsigned(row.config_revision),
            },
            user: row.user_id,
            trace_id: row.trace_id,
            decision: row.decision,
        })
    }
}

fn generation_id(id: Uuid) -> Result<GenerationId, StoreError> {
    GenerationId::from_bytes(id.as_bytes())
        .ok_or_else(|| StoreError::Broken(sqlx::Error::Decode("an id is not a UUIDv7".into())))
}

/// The ids between two times, given as the first id of each; and below the place of a page.
///
/// UUIDv7 order is time order, so every condition is one on the partition key.
fn id_range(filter: &Filter, before: Option<Uuid>) -> (Uuid, Uuid) {
    let from = filter.since.map_or(Uuid::nil(), first_id);
    let until = filter.until.map_or(Uuid::max(), first_id);
    (from, before.map_or(until, |before| before.min(until)))
}

/// The smallest UUIDv7 of a time, as the database's function of that name.
pub(in crate::store) fn first_id(at: DateTime<Utc>) -> Uuid {
    let ms = u128::try_from(at.timestamp_millis().max(0)).expect("not negative");
    Uuid::from_u128(ms << 80)
}

/// Lists generations that the access covers, newest first.
pub async fn list_generations(
    db: &mut PgConnection,
    allowed: &Allowed<ReadUsage>,
    filter: &Filter,
    page: &Page<Uuid>,
) -> Result<Listed<Generation>, StoreError> {
    let (from, until) = id_range(filter, page.after);
    let rows: Vec<GenerationRow> = sqlx::query_as(concat!(
        "SELECT ",
        generation_columns!(),
        " FROM generations WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR key = $2)
          AND ($3::text IS NULL OR model = $3) AND id >= $4 AND id < $5 ORDER BY id DESC LIMIT $6"
    ))
    .bind(allowed.scope())
    .bind(filter.key.as_ref().map(KeyId::as_str))
    .bind(filter.model.as_ref().map(ModelId::as_str))
    .bind(from)
    .bind(until)
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    let generations = rows.into_iter().map(Generation::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(page.cut(generations, |generation: &Generation| generation.id.as_uuid()))
}

/// One generation, if the access covers it.
pub async fn get_generation(
    db: &mut PgConnection,
    allowed: &Allowed<ReadUsage>,
    id: GenerationId,
) -> Result<Generation, StoreError> {
    let row: GenerationRow = sqlx::query_as(concat!(
        "SELECT ",
        generation_columns!(),
        ", decision FROM generations WHERE id = $1 AND ($2::text IS NULL OR tenant = $2)"
    ))
    .bind(id.as_uuid())
    .bind(allowed.scope())
    .fetch_one(db)
    .await?;
    row.try_into()
}

macro_rules! line_columns {
    () => {
        concat!(
            "id, attempt, kind, booked_at, tenant, key, payer_kind, payer_owner, payer_period, model, endpoint, \
             provider, cost_nano, charge_nano, house_nano, reserved_nano, provenance, price_incarnation, \
             price_revision, price, markup_ppm, tenant_price, outcome, ended_at, instance, epoch, reason, actor, credit, ",
            tokens!()
        )
    };
}

#[derive(sqlx::FromRow)]
struct LineRow {
    id: Uuid,
    attempt: i32,
    kind: String,
    booked_at: DateTime<Utc>,
    tenant: String,
    key: String,
    payer_kind: i16,
    payer_owner: String,
    payer_period: String,
    model: String,
    endpoint: String,
    provider: String,
    #[sqlx(flatten)]
    tokens: TokensRow,
    cost_nano: i64,
    charge_nano: i64,
    house_nano: i64,
    reserved_nano: i64,
    provenance: i16,
    price_incarnation: String,
    price_revision: i64,
    price: Json<Parts>,
    markup_ppm: i64,
    tenant_price: Json<Parts>,
    outcome: String,
    ended_at: Option<DateTime<Utc>>,
    instance: String,
    epoch: i64,
    reason: String,
    actor: String,
    credit: String,
}

impl TryFrom<LineRow> for Line {
    type Error = StoreError;

    fn try_from(row: LineRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: generation_id(row.id)?,
            attempt: row.attempt.unsigned_abs(),
            credit: (row.kind == "credit").then(|| CreditKind::parse(&row.credit, -row.charge_nano)),
            kind: row.kind,
            tenant: row.tenant,
            key: row.key,
            payer_kind: row.payer_kind,
            payer_owner: row.payer_owner,
            payer_period: row.payer_period,
            model: row.model,
            endpoint: row.endpoint,
            provider: row.provider,
            tokens: row.tokens.into(),
            cost_nano: row.cost_nano,
            charge_nano: row.charge_nano,
            house_nano: row.house_nano,
            reserved_nano: row.reserved_nano,
            provenance: i32::from(row.provenance),
            outcome: row.outcome,
            at: row.ended_at.unwrap_or(row.booked_at),
            price_revision: Revision {
                incarnation: row.price_incarnation,
                number: unsigned(row.price_revision),
            },
            price: row.price.0,
            markup_ppm: unsigned(row.markup_ppm),
            tenant_price: row.tenant_price.0,
            instance: row.instance,
            epoch: unsigned(row.epoch),
            reason: row.reason,
            actor: row.actor,
        })
    }
}

/// Lists ledger lines that the access covers, newest first.
pub async fn list_lines(
    db: &mut PgConnection,
    allowed: &Allowed<ReadUsage>,
    filter: &Filter,
    page: &Page<LinePlace>,
) -> Result<Listed<Line>, StoreError> {
    let (from, until) = id_range(filter, None);
    let (before, attempt, kind) = page.after.clone().unwrap_or((Uuid::max(), 0, String::new()));
    let rows: Vec<LineRow> = sqlx::query_as(concat!(
        "SELECT ",
        line_columns!(),
        " FROM lines WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR key = $2)
          AND ($3::text IS NULL OR model = $3) AND ($4::uuid IS NULL OR id = $4) AND id >= $5 AND id < $6 AND id <= $7
          AND (id, attempt, kind) < ($7, $8, $9) ORDER BY id DESC, attempt DESC, kind DESC LIMIT $10"
    ))
    .bind(allowed.scope())
    .bind(filter.key.as_ref().map(KeyId::as_str))
    .bind(filter.model.as_ref().map(ModelId::as_str))
    .bind(filter.generation.map(GenerationId::as_uuid))
    .bind(from)
    .bind(until)
    .bind(before)
    .bind(attempt)
    .bind(&kind)
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    let lines = rows.into_iter().map(Line::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(page.cut(lines, |line: &Line| {
        (line.id.as_uuid(), i32::try_from(line.attempt).unwrap_or(i32::MAX), line.kind.clone())
    }))
}

#[derive(sqlx::FromRow)]
struct AccountRow {
    kind: i16,
    owner: String,
    period: String,
    tenant: String,
    limit_nano: Option<i64>,
    charged: i64,
    presumed: i64,
    lent: i64,
}

impl From<AccountRow> for Account {
    fn from(row: AccountRow) -> Self {
        Self {
            kind: row.kind,
            owner: row.owner,
            period: row.period,
            tenant: row.tenant,
            limit_nano: row.limit_nano,
            charged_nano: row.charged,
            presumed_nano: row.presumed,
            lent_nano: row.lent,
        }
    }
}

/// Lists accounts that the access covers.
pub async fn list_accounts(
    db: &mut PgConnection,
    allowed: &Allowed<ReadUsage>,
    page: &Page<AccountPlace>,
) -> Result<Listed<Account>, StoreError> {
    let (kind, owner, period) = page.after.clone().unwrap_or_default();
    let rows: Vec<AccountRow> = sqlx::query_as(
        "SELECT kind, owner, period, tenant, limit_nano, charged, presumed, lent FROM accounts
         WHERE ($1::text IS NULL OR tenant = $1) AND (kind, owner, period) > ($2, $3, $4)
         ORDER BY kind, owner, period LIMIT $5",
    )
    .bind(allowed.scope())
    .bind(kind)
    .bind(owner)
    .bind(period)
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    let accounts = rows.into_iter().map(Account::from).collect();
    Ok(page.cut(accounts, |account: &Account| (account.kind, account.owner.clone(), account.period.clone())))
}

/// What was charged to keys in the given periods, by key; absent: nothing. Any right that showed the keys will do.
pub async fn charged_to_keys<A>(
    db: &mut PgConnection,
    allowed: &Allowed<A>,
    keys: &[(KeyId, String)],
) -> Result<HashMap<String, i64>, StoreError> {
    let (owners, periods): (Vec<&str>, Vec<&str>) =
        keys.iter().map(|(key, period)| (key.as_str(), period.as_str())).unzip();
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT owner, charged FROM accounts JOIN unnest($2::text[], $3::text[]) AS wanted(owner, period)
         USING (owner, period) WHERE kind = $1 AND ($4::text IS NULL OR tenant = $4)",
    )
    .bind(AccountKind::KeyLimit as i16)
    .bind(owners)
    .bind(periods)
    .bind(allowed.scope())
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().collect())
}

/// What is spent, presumed or lent of tenants' credits, by tenant; absent: nothing. Any right that showed the tenants
/// will do.
pub async fn credits_taken<A>(
    db: &mut PgConnection,
    allowed: &Allowed<A>,
    tenants: &[TenantId],
) -> Result<HashMap<String, i64>, StoreError> {
    let ids: Vec<&str> = tenants.iter().map(TenantId::as_str).collect();
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT owner, charged + presumed + lent FROM accounts
         WHERE kind = $1 AND owner = ANY($2) AND period = 'all' AND ($3::text IS NULL OR owner = $3)",
    )
    .bind(AccountKind::TenantCredits as i16)
    .bind(ids)
    .bind(allowed.scope())
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_bounds_of_ids() {
        let at: DateTime<Utc> = "2026-11-23T10:00:00Z".parse().unwrap();
        let id = GenerationId::generate().as_uuid();
        let filter = Filter { since: Some(at), ..Filter::default() };
        let (from, until) = id_range(&filter, None);
        assert_eq!((from, until), (first_id(at), Uuid::max()));
        assert_eq!(id_range(&Filter::default(), Some(id)), (Uuid::nil(), id));
        let now = GenerationId::generate();
        assert!(first_id(now.admitted_at()) <= now.as_uuid());
    }
}
