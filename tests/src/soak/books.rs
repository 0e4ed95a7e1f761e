//! The ledger and the accounts, as the store has them.

use std::collections::HashSet;

use anyhow::Result;
use sqlx::PgPool;
use switchyard_cli::fault_lab::Called;
use switchyard_proto::id::GenerationId;
use switchyard_proto::v1::Provenance;
use uuid::Uuid;

use crate::soak::unguarded;

/// All that is booked.
#[derive(Debug, Default)]
pub struct Books {
    /// One for each attempt.
    pub lines: Vec<Line>,
    pub accounts: Vec<Account>,
    /// Nano-dollars that data planes charged without holding them, and that the house took over.
    pub uncovered: i64,
    /// Lines of lost data planes' money, and what draws it down again.
    pub presumed_lines: i64,
    /// Records that could not be booked.
    pub quarantined: i64,
}

/// An attempt's line.
#[derive(Debug)]
pub struct Line {
    /// As the provider was told it: the generation and the attempt's number.
    pub id: String,
    pub generation: String,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// Nano-dollars.
    pub cost: u64,
    pub charge: u64,
    pub provenance: Provenance,
    pub outcome: String,
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Account {
    pub kind: i16,
    pub owner: String,
    pub charged: i64,
    pub presumed: i64,
    pub lent: i64,
}

/// The table with the accounts' sums.
pub fn table(is_unguarded: bool) -> &'static str {
    if is_unguarded { unguarded::TABLE } else { "accounts" }
}

/// Whether nothing is lent or presumed any more.
pub async fn is_settled(store: &PgPool) -> Result<bool> {
    let statement = "SELECT NOT EXISTS (SELECT FROM accounts WHERE lent <> 0 OR presumed <> 0)";
    Ok(sqlx::query_scalar(statement).fetch_one(store).await?)
}

impl Books {
    pub async fn read(store: &PgPool, is_unguarded: bool) -> Result<Self> {
        let statement = format!("SELECT kind, owner, charged, presumed, lent FROM {}", table(is_unguarded));
        let accounts = sqlx::query_as(sqlx::AssertSqlSafe(statement)).fetch_all(store).await?;
        let number = async |statement: &'static str| -> Result<i64> {
            Ok(sqlx::query_scalar(statement).fetch_one(store).await?)
        };
        Ok(Self {
            lines: lines(store).await?,
            accounts,
            uncovered: number(
                "SELECT coalesce(-sum(c.charged), 0)::bigint
                 FROM lines, jsonb_to_recordset(charges) AS c(charged bigint)
                 WHERE lines.kind = 'house' AND reason = 'no lease covers it' AND c.charged < 0",
            )
            .await?,
            presumed_lines: number("SELECT count(*) FROM lines WHERE kind = 'presumed'").await?,
            quarantined: number("SELECT count(*) FROM quarantine").await?,
        })
    }

    /// Whether each of these calls has a line.
    pub fn have_all(&self, calls: &[Called]) -> bool {
        let lines: HashSet<&str> = self.lines.iter().map(|line| line.id.as_str()).collect();
        calls.iter().all(|call| lines.contains(call.id.as_str()))
    }

    /// What is still lent to data planes, in nano-dollars.
    pub fn lent(&self) -> i64 {
        self.accounts.iter().map(|account| account.lent).sum()
    }

    /// What is still presumed, in nano-dollars.
    pub fn presumed(&self) -> i64 {
        self.accounts.iter().map(|account| account.presumed).sum()
    }
}

async fn lines(store: &PgPool) -> Result<Vec<Line>> {
    type Row = (Uuid, i32, i64, i64, i64, i64, i16, String);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, attempt, prompt_tokens, completion_tokens, cost_nano, charge_nano, provenance, outcome
         FROM lines WHERE kind = 'attempt'",
    )
    .fetch_all(store)
    .await?;
    Ok(rows.into_iter().map(line).collect())
}

fn line(row: (Uuid, i32, i64, i64, i64, i64, i16, String)) -> Line {
    let (id, attempt, prompt, completion, cost, charge, provenance, outcome) = row;
    let generation = GenerationId::from_bytes(id.as_bytes()).map_or_else(String::new, |id| id.to_string());
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    Line {
        id: format!("{generation}/{attempt}"),
        generation,
        prompt_tokens: count(prompt),
        completion_tokens: count(completion),
        cost: count(cost),
        charge: count(charge),
        provenance: Provenance::try_from(i32::from(provenance)).unwrap_or_default(),
        outcome,
    }
}
