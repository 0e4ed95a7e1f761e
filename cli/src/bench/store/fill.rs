//! Makes finished requests and their ledger lines, day by day, by COPY; days that are there already are left alone.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    time::{Duration, Instant},
};

use chrono::{NaiveDate, NaiveTime};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::{PgPool, postgres::PgPoolCopyExt};
use tokio::{sync::mpsc, time::sleep};
use uuid::Uuid;

use crate::bench::store::{StoreError, days, figures::Figures};

pub const TENANTS: u32 = 200;
pub const KEYS: u32 = 5;
pub const MODELS: u32 = 40;
/// Of each key.
pub const USERS: u32 = 5;
/// Providers that serve each model.
pub const PROVIDERS: u32 = 3;

/// Rows of one COPY.
const BATCH: u64 = 20_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

const LINES: &str = "COPY lines (id, attempt, kind, booked_at, tenant, key, payer_kind, payer_owner, payer_period, charges,
    model, endpoint, provider, credential, prompt_tokens, completion_tokens, cost_nano, charge_nano, reserved_nano,
    provenance, price, outcome, upstream_status, started_at, ended_at, instance, epoch) FROM STDIN";
const GENERATIONS: &str = "COPY generations (id, booked_at, instance, region, tenant, key, requested_model, model, provider,
    upstream_id, surface, streamed, cancelled, status, error_type, finish_reason, native_finish_reason, prompt_tokens,
    cached_tokens, cache_write_tokens, cache_write_1h_tokens, completion_tokens, reasoning_tokens, audio_prompt_tokens,
    images, cost_nano, charge_nano, attempts, admitted_at, first_content_ms, duration_ms, config_incarnation,
    config_revision, user_id, session_id, app_title, app_url, user_agent, trace_id, decision) FROM STDIN";

/// One request; the same seed gives the same.
pub struct Made {
    pub id: Uuid,
    pub tenant: u32,
    pub key: u32,
    pub user: u32,
    pub model: u32,
    pub provider: u32,
    pub prompt: u64,
    pub completion: u64,
    pub charge_nano: u64,
    pub is_error: bool,
}

impl Made {
    /// A request at a time: few tenants and models make most of them.
    pub fn at(ms: u64, dice: &mut StdRng) -> Self {
        let skewed = |dice: &mut StdRng, most: u32| {
            let share: f64 = dice.random();
            ((share * share * share) * f64::from(most)) as u32
        };
        let (tenant, key, user) =
            (skewed(dice, TENANTS), dice.random_range(0..KEYS), dice.random_range(0..USERS));
        // The largest tenant uses everything; of the others each user has three models.
        let model = match tenant {
            0 => skewed(dice, MODELS),
            _ => (tenant * 7 + user * 3 + skewed(dice, 3)) % MODELS,
        };
        let (prompt, completion) = (dice.random_range(20..4_000), dice.random_range(1..800));
        let random: u128 = dice.random();
        let bits = (random & 0x0fff_3fff_ffff_ffff_ffff) | 0x7000_8000_0000_0000_0000;
        Self {
            id: Uuid::from_u128((u128::from(ms) << 80) | bits),
            tenant,
            key,
            user,
            model,
            provider: dice.random_range(0..PROVIDERS),
            prompt,
            completion,
            charge_nano: prompt * 250 + completion * 2_000,
            is_error: dice.random_range(0..50) == 0,
        }
    }

    pub fn tenant(&self) -> String {
        format!("tenant-{:03}", self.tenant)
    }

    pub fn key(&self) -> String {
        format!("key_{:03}_{}", self.tenant, self.key)
    }

    pub fn user(&self) -> String {
        format!("user-{:03}-{}-{}", self.tenant, self.key, self.user)
    }

    pub fn model(&self) -> String {
        format!("author-{}/model-{}", self.model % 8, self.model)
    }

    pub fn provider(&self) -> String {
        format!("provider-{}", (self.model + self.provider) % 10)
    }

    fn write_line(&self, text: &mut String, at: &str) {
        let (id, tenant, key, charge) = (self.id, self.tenant(), self.key(), self.charge_nano);
        let charges = format!(
            "[{{\"kind\": 1, \"owner\": \"{tenant}\", \"period\": \"all\", \"charged\": {charge}, \"reserved\": {charge}, \"leased\": false}}]"
        );
        writeln!(
            text,
            "{id}\t1\tattempt\t{at}\t{tenant}\t{key}\t1\t{tenant}\tall\t{charges}\t{}\t{provider}\t{provider}\tcred_1\t{}\t{}\t{charge}\t{charge}\t{charge}\t1\t{{\"input\": \"0.25\", \"output\": \"2\"}}\t{}\t200\t{at}\t{at}\tbench\t1",
            self.model(),
            self.prompt,
            self.completion,
            if self.is_error { "upstream_error" } else { "ok" },
            provider = self.provider(),
        )
        .expect("a string takes everything");
    }

    fn write_generation(&self, text: &mut String, at: &str) {
        let (id, model, charge) = (self.id, self.model(), self.charge_nano);
        let (status, error, finish) =
            if self.is_error { (502, "provider_unavailable", "") } else { (200, "", "stop") };
        writeln!(
            text,
            "{id}\t{at}\tbench\teu\t{}\t{}\t{model}\t{model}\t{}\tupstream-{}\tchat_completions\tt\tf\t{status}\t{error}\t{finish}\t{finish}\t{}\t0\t0\t0\t{}\t0\t0\t0\t{charge}\t{charge}\t1\t{at}\t350\t1800\tbench\t1\t{}\t\t\t\tbench/1.0\t\t",
            self.tenant(),
            self.key(),
            self.provider(),
            self.model,
            self.prompt,
            self.completion,
            self.user(),
        )
        .expect("a string takes everything");
    }
}

/// Makes the days that are missing.
pub async fn fill(pool: &PgPool, generations: u64, figures: &mut Figures) -> Result<(), StoreError> {
    sqlx::query("CREATE TABLE IF NOT EXISTS bench_filled (day date PRIMARY KEY, rows bigint NOT NULL)")
        .execute(pool)
        .await?;
    let days = days();
    let per_day = generations.div_ceil(days.len() as u64);
    let (began, mut made) = (Instant::now(), 0);
    for (number, day) in days.iter().enumerate() {
        let filled: Option<i64> = sqlx::query_scalar("SELECT rows FROM bench_filled WHERE day = $1")
            .bind(day)
            .fetch_optional(pool)
            .await?;
        if filled.is_some_and(|rows| rows.unsigned_abs() >= per_day) {
            continue;
        }
        sqlx::query("SELECT ensure_partitions($1)").bind(day).execute(pool).await?;
        fill_day(pool, *day, per_day).await?;
        sqlx::query("INSERT INTO bench_filled VALUES ($1, $2) ON CONFLICT (day) DO UPDATE SET rows = $2")
            .bind(day)
            .bind(i64::try_from(per_day).unwrap_or(i64::MAX))
            .execute(pool)
            .await?;
        made += per_day;
        let rate = made as f64 / began.elapsed().as_secs_f64();
        let (number, of) = (number + 1, days.len());
        writeln!(io::stderr(), "filling: day {number} of {of} ({day}), {rate:.0} requests a second")?;
    }
    if made > 0 {
        figures.filled(made, began.elapsed());
        add_up(pool).await?;
    } else {
        writeln!(io::stderr(), "filled by an earlier run")?;
    }
    Ok(())
}

/// Accounts are what their lines add up to, so that the ledger can be proven.
async fn add_up(pool: &PgPool) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO accounts (kind, owner, period, tenant, charged)
         SELECT 1, tenant, 'all', tenant, sum(charge_nano) FROM lines WHERE kind = 'attempt' GROUP BY tenant
         ON CONFLICT (kind, owner, period) DO UPDATE SET charged = excluded.charged",
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Waits while the control plane proves the ledger, which it does when it starts.
pub async fn wait_until_proven(pool: &PgPool) -> Result<(), StoreError> {
    loop {
        let is_proving: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'switchyard-control-plane'
                 AND state = 'active' AND query LIKE 'WITH charges%')",
        )
        .fetch_one(pool)
        .await?;
        if !is_proving {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Lines and requests go in beside each other, by two connections.
async fn fill_day(pool: &PgPool, day: NaiveDate, rows: u64) -> Result<(), StoreError> {
    let (lines, line_texts) = mpsc::channel(2);
    let (generations, generation_texts) = mpsc::channel(2);
    let maker = tokio::task::spawn_blocking(move || {
        let start = u64::try_from(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis()).unwrap_or(0);
        let mut dice = StdRng::seed_from_u64(start);
        let mut next = 0;
        while next < rows {
            let (mut line_text, mut generation_text) = (String::new(), String::new());
            for number in next..rows.min(next + BATCH) {
                let made = Made::at(start + number * DAY_MS / rows, &mut dice);
                let at = format!("{day} 12:00:00+00");
                made.write_line(&mut line_text, &at);
                made.write_generation(&mut generation_text, &at);
            }
            next += BATCH;
            // Nobody takes them any more where a COPY has failed.
            if lines.blocking_send(line_text).is_err() || generations.blocking_send(generation_text).is_err()
            {
                return;
            }
        }
    });
    let copied = tokio::try_join!(copy(pool, LINES, line_texts), copy(pool, GENERATIONS, generation_texts));
    maker.await.map_err(io::Error::other)?;
    copied?;
    Ok(())
}

async fn copy(pool: &PgPool, statement: &str, mut texts: mpsc::Receiver<String>) -> Result<(), StoreError> {
    while let Some(text) = texts.recv().await {
        let mut copy = pool.copy_in_raw(statement).await?;
        copy.send(text.into_bytes()).await?;
        copy.finish().await?;
    }
    Ok(())
}

/// Followers move only for what is new, so where they stand does not tell.
const NOTHING_IS_LEFT: &str =
    "SELECT NOT EXISTS (SELECT FROM lines WHERE xid >= f.seen AND xid < $1::text::xid8)
        AND NOT EXISTS (SELECT FROM generations WHERE xid >= f.seen AND xid < $1::text::xid8)
    FROM followers f WHERE f.name = 'usage'";

/// Waits until the control plane's job has taken everything that is committed now.
pub async fn wait_until_rolled_up(pool: &PgPool) -> Result<(), StoreError> {
    let newest: String =
        sqlx::query_scalar("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetch_one(pool).await?;
    loop {
        let is_done: bool = sqlx::query_scalar(NOTHING_IS_LEFT).bind(&newest).fetch_one(pool).await?;
        if is_done {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
}
