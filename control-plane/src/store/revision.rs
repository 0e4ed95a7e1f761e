//! One change of the config: its transaction, its audit entries, and the revision that it becomes.
//!
//! Everything is written first, limits of accounts at the end, all in one sweep. Then, last, the advisory lock is taken and the revision drawn, so that revision order is
//! commit order and nothing slow ever runs under the lock. Rows that were written are marked with the revision.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::{
    domain::{audit::NewEntry, ledger::AccountPeriod, meta::Revision},
    store::{
        StoreError, audit,
        limit::{self, Limit, Limits},
        unsigned,
    },
};

/// The channel that every control plane listens on; the payload is the new revision.
pub const CHANNEL: &str = "switchyard_config";

/// Held from the drawing of a revision to its commit.
pub(in crate::store) const REVISION_LOCK: i64 = 0x0053_5759_5245_5631;

/// The tables whose rows carry a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum Table {
    Tenants,
    Keys,
    Credentials,
    Providers,
    Models,
    Endpoints,
    Policies,
    Presets,
    AdminTokens,
    Webhooks,
}

/// A transaction that changes config. Dropped without [`Change::commit`] nothing has happened.
pub struct Change {
    tx: Transaction<'static, Postgres>,
    actor: String,
    owner: String,
    touched: BTreeMap<Table, Vec<(String, String)>>,
    limits: Limits,
    entries: Vec<NewEntry>,
}

impl Change {
    /// Begins a change by `actor`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begin(pool: &PgPool, actor: &str) -> Result<Self, StoreError> {
        Ok(Self {
            tx: pool.begin().await?,
            actor: actor.to_owned(),
            owner: String::new(),
            touched: BTreeMap::new(),
            limits: Limits::new(),
            entries: Vec::new(),
        })
    }

    /// The same on behalf of `apply`: what it makes is `owner`'s. Changing a row does not change whose it is.
    pub fn owned_by(self, owner: &str) -> Self {
        Self { owner: owner.to_owned(), ..self }
    }

    /// Whose is what this change makes; empty: nobody's in particular.
    pub fn managed_by(&self) -> String {
        self.owner.clone()
    }

    /// The transaction's connection, for reads that must see what was written.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// The audit entries so far.
    pub fn entries(&self) -> &[NewEntry] {
        &self.entries
    }

    /// Adds an audit entry.
    pub fn record(&mut self, entry: NewEntry) {
        self.entries.push(entry);
    }

    /// Whether anything was written.
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.entries.is_empty()
    }

    /// Remembers a row that the new revision will be written on; `part` tells an endpoint from its model's others, a
    /// credential or a preset from its tenant's, and a policy from its owner's.
    pub(in crate::store) fn touch(&mut self, table: Table, id: &str, part: &str) {
        self.touched.entry(table).or_default().push((id.to_owned(), part.to_owned()));
    }

    /// Remembers a limit that the commit sets; of one account the last one holds.
    pub(in crate::store) fn limit(&mut self, account: AccountPeriod, limit: Limit) {
        self.limits.insert(account, limit);
    }

    /// Sets limits, draws the revision, marks what was written with it, and commits. A change without config rows keeps the
    /// revision.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], among others; then nothing has happened, unless the connection broke during the
    /// commit itself.
    pub async fn commit(mut self) -> Result<Revision, StoreError> {
        limit::write(&mut self.tx, &self.limits).await?;
        let revision =
            if self.touched.is_empty() { current(&mut self.tx).await? } else { self.draw().await? };
        audit::insert(&mut self.tx, &self.actor, revision.number, &self.entries).await?;
        self.tx.commit().await?;
        Ok(revision)
    }

    async fn draw(&mut self) -> Result<Revision, StoreError> {
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(REVISION_LOCK).execute(&mut *self.tx).await?;
        let (incarnation, number): (String, i64) = sqlx::query_as(
            "UPDATE config_state SET revision = revision + 1 RETURNING incarnation::text, revision",
        )
        .fetch_one(&mut *self.tx)
        .await?;
        for (table, rows) in &self.touched {
            mark(&mut self.tx, *table, rows, number, &self.owner).await?;
        }
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(number.to_string())
            .execute(&mut *self.tx)
            .await?;
        Ok(Revision { incarnation, number: unsigned(number) })
    }
}

/// Writes the statement that marks rows of one table: $1 is the revision, $2 and $3 name the rows.
macro_rules! mark {
    ($table:literal, $also:literal, $rows:literal) => {
        concat!(
            "UPDATE ",
            $table,
            " AS row SET revision = $1 ",
            $also,
            "FROM unnest($2::text[], $3::text[]) AS touched(first, second) WHERE ",
            $rows,
        )
    };
}

/// The same for a table whose rows may be owned: $4 is the owner who changes them.
macro_rules! mark_owned {
    ($table:literal, $rows:literal) => {
        mark!(
            $table,
            ", managed_revision = CASE WHEN $4 <> '' AND managed_by = $4 THEN $1 ELSE managed_revision END ",
            $rows
        )
    };
}

async fn mark(
    db: &mut PgConnection,
    table: Table,
    rows: &[(String, String)],
    revision: i64,
    owner: &str,
) -> Result<(), StoreError> {
    let (statement, owner) = match table {
        Table::Tenants => (mark_owned!("tenants", "row.id = touched.first"), Some(owner)),
        Table::Keys => (mark_owned!("keys", "row.id = touched.first"), Some(owner)),
        Table::Credentials => (
            mark_owned!("credentials", "row.tenant = touched.first AND row.id = touched.second"),
            Some(owner),
        ),
        Table::Providers => (mark_owned!("providers", "row.id = touched.first"), Some(owner)),
        Table::Models => (mark_owned!("models", "row.id = touched.first"), Some(owner)),
        Table::Endpoints => {
            (mark_owned!("endpoints", "row.model = touched.first AND row.id = touched.second"), Some(owner))
        }
        Table::Policies => {
            (mark_owned!("policies", "row.owner = touched.first AND row.id = touched.second"), Some(owner))
        }
        Table::Presets => {
            (mark_owned!("presets", "row.tenant = touched.first AND row.id = touched.second"), Some(owner))
        }
        Table::Webhooks => {
            (mark_owned!("webhooks", "row.owner = touched.first AND row.id = touched.second"), Some(owner))
        }
        Table::AdminTokens => (mark!("admin_tokens", "", "row.id = touched.first"), None),
    };
    let (first, second): (Vec<&str>, Vec<&str>) =
        rows.iter().map(|(first, second)| (first.as_str(), second.as_str())).unzip();
    let query = sqlx::query(statement).bind(revision).bind(first).bind(second);
    let query = match owner {
        Some(owner) => query.bind(owner),
        None => query,
    };
    query.execute(db).await?;
    Ok(())
}

/// The newest revision.
///
/// # Errors
/// [`StoreError::Unavailable`], among others.
pub async fn current(db: &mut PgConnection) -> Result<Revision, StoreError> {
    let (incarnation, number): (String, i64) =
        sqlx::query_as("SELECT incarnation::text, revision FROM config_state").fetch_one(db).await?;
    Ok(Revision { incarnation, number: unsigned(number) })
}

/// How long tombstones are kept.
pub const TOMBSTONES_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Removes tombstones older than `before`; who holds less than the newest removed one needs a full state from then on.
///
/// Returns how many were removed. Rows that something else still refers to stay until that is gone.
///
/// # Errors
/// [`StoreError::Unavailable`], among others.
pub async fn purge(pool: &PgPool, before: DateTime<Utc>) -> Result<u64, StoreError> {
    let mut tx = pool.begin().await?;
    let mut newest = 0;
    let mut removed = 0;
    for statement in PURGES {
        let revisions: Vec<i64> = sqlx::query_scalar(*statement).bind(before).fetch_all(&mut *tx).await?;
        newest = revisions.iter().copied().fold(newest, i64::max);
        removed += revisions.len();
    }
    sqlx::query("UPDATE config_state SET tombstones_from = greatest(tombstones_from, $1)")
        .bind(newest)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(removed as u64)
}

/// Children first.
const PURGES: &[&str] = &[
    "DELETE FROM webhooks WHERE deleted_at < $1 RETURNING revision",
    "DELETE FROM policies WHERE deleted_at < $1 RETURNING revision",
    "DELETE FROM presets WHERE deleted_at < $1 RETURNING revision",
    "DELETE FROM keys WHERE deleted_at < $1 RETURNING revision",
    "DELETE FROM credentials WHERE deleted_at < $1 RETURNING revision",
    "DELETE FROM endpoints WHERE deleted_at < $1 RETURNING revision",
    "DELETE FROM models m WHERE deleted_at < $1
         AND NOT EXISTS (SELECT FROM endpoints e WHERE e.model = m.id) RETURNING revision",
    "DELETE FROM providers p WHERE deleted_at < $1
         AND NOT EXISTS (SELECT FROM endpoints e WHERE e.provider = p.id)
         AND NOT EXISTS (SELECT FROM credentials c WHERE c.provider = p.id) RETURNING revision",
    "DELETE FROM admin_tokens WHERE deleted_at < $1 RETURNING revision",
    // Their credit lines stay in the ledger, and so does what these add up to.
    "WITH gone AS (
         DELETE FROM tenants t WHERE deleted_at < $1
             AND NOT EXISTS (SELECT FROM keys k WHERE k.tenant = t.id)
             AND NOT EXISTS (SELECT FROM credentials c WHERE c.tenant = t.id)
             AND NOT EXISTS (SELECT FROM policies p WHERE p.tenant = t.id)
             AND NOT EXISTS (SELECT FROM presets p WHERE p.tenant = t.id)
             AND NOT EXISTS (SELECT FROM webhooks w WHERE w.tenant = t.id)
             AND NOT EXISTS (SELECT FROM providers p WHERE p.tenant = t.id)
             AND NOT EXISTS (SELECT FROM admin_tokens a WHERE a.tenant = t.id)
         RETURNING id, credits_nano, revision
     ), kept AS (
         INSERT INTO purged_tenants AS p (tenant, credits_nano)
         SELECT id, credits_nano FROM gone WHERE credits_nano <> 0
         ON CONFLICT (tenant) DO UPDATE SET credits_nano = p.credits_nano + excluded.credits_nano
     )
     SELECT revision FROM gone",
];
