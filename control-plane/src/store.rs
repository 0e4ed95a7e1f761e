//! All SQL of what is configured, one file per noun; and what the database's errors mean to us.
//!
//! Rows of tenants are only reachable with an [`Allowed`](crate::domain::permission::Allowed).
//! Rules are `domain`'s and `service`'s business. Writes go through a [`Change`](revision::Change).

use chrono::{DateTime, Utc};
use sqlx::error::DatabaseError;
use switchyard_proto::money::NanoUsd;

use crate::domain::{
    account::{Reset, SpendLimit},
    meta::Meta,
    page,
    page::Page,
    rates::Rates,
};

pub mod account;
pub mod alert;
pub mod apply;
pub mod audit;
pub mod catalogue;
pub mod credential;
pub mod credit;
pub mod delivery;
pub mod drift;
pub mod endpoint;
pub mod feed;
pub mod follow;
pub mod health;
pub mod ingest;
pub mod instance;
pub mod key;
pub mod lease;
pub mod limit;
pub mod model;
pub mod own;
pub mod owner;
pub mod policy;
pub mod preset;
pub mod proof;
pub mod provider;
pub mod report;
pub mod retention;
pub mod revision;
pub mod rollup;
pub mod schema;
pub mod sealed;
pub mod statement;
pub mod tenant;
pub mod token;
pub mod usage;
pub mod webhook;
pub mod window;

/// Why the store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    #[error("no such row")]
    NotFound,
    /// Names the unique constraint.
    #[error("violates `{0}`")]
    Duplicate(String),
    /// Two transactions stood in each other's way; doing it again helps.
    #[error("another change got in between")]
    Raced(#[source] sqlx::Error),
    /// A text that Postgres cannot hold: a NUL, in practice.
    #[error("a text cannot be stored")]
    BadText,
    #[error("the database refused a statement")]
    Broken(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound => Self::NotFound,
            sqlx::Error::Database(cause) => match meaning(cause.as_ref()) {
                Meaning::Unavailable => Self::Unavailable(error),
                Meaning::Duplicate => Self::Duplicate(cause.constraint().unwrap_or("unique").to_owned()),
                Meaning::Raced => Self::Raced(error),
                Meaning::BadText => Self::BadText,
                Meaning::Broken => Self::Broken(error),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unavailable(error),
            _ => Self::Broken(error),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Unavailable,
    Duplicate,
    Raced,
    BadText,
    Broken,
}

/// Reads a SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn meaning(error: &dyn DatabaseError) -> Meaning {
    meaning_of(error.code().as_deref().unwrap_or_default())
}

fn meaning_of(sqlstate: &str) -> Meaning {
    match sqlstate {
        "23505" => Meaning::Duplicate,
        "40001" | "40P01" | "55P03" => Meaning::Raced,
        "22021" | "22P05" => Meaning::BadText,
        // A standby after a failover; a cancelled statement; a database that is not there yet.
        "25006" | "57014" | "3D000" => Meaning::Unavailable,
        // Connection, authorisation, resources, operator's intervention, system.
        code if ["08", "28", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
            Meaning::Unavailable
        }
        _ => Meaning::Broken,
    }
}

/// The tail of every config row.
#[derive(sqlx::FromRow)]
struct MetaRow {
    revision: i64,
    managed_by: String,
    managed_revision: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<MetaRow> for Meta {
    fn from(row: MetaRow) -> Self {
        Self {
            revision: unsigned(row.revision),
            managed_by: row.managed_by,
            managed_revision: unsigned(row.managed_revision),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

#[derive(sqlx::FromRow)]
struct RatesRow {
    requests_per_minute: Option<i64>,
    tokens_per_minute: Option<i64>,
    concurrency: Option<i64>,
}

impl From<RatesRow> for Rates {
    fn from(row: RatesRow) -> Self {
        Self {
            requests_per_minute: row.requests_per_minute.map(unsigned),
            tokens_per_minute: row.tokens_per_minute.map(unsigned),
            concurrency: row.concurrency.map(unsigned),
        }
    }
}

/// A spending limit from its two columns.
fn spend_limit(nano: Option<i64>, reset: &str) -> Option<SpendLimit> {
    let reset = Reset::parse(reset).unwrap_or_default();
    nano.map(|nano| SpendLimit { usd: NanoUsd(unsigned(nano)), reset })
}

/// A spending limit's two columns.
fn limit_columns(limit: Option<SpendLimit>) -> (Option<i64>, &'static str) {
    let reset = limit.map_or(Reset::Never, |limit| limit.reset);
    (limit.map(|limit| limit.usd.to_i64()), reset.as_str())
}

/// A count from the database, whose checks keep it from being negative.
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A count for the database; `domain` has refused what does not fit.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Where a page by age starts: exclusive.
fn start(page: &Page<page::ByAge>) -> (DateTime<Utc>, &str) {
    let (micros, id) = page.after.as_ref().map_or((0, ""), |(micros, id)| (*micros, id.as_str()));
    (DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::UNIX_EPOCH), id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_the_database_are_told_apart() {
        for (sqlstate, expected) in [
            ("23505", Meaning::Duplicate),
            ("40P01", Meaning::Raced),
            ("22021", Meaning::BadText),
            ("57P03", Meaning::Unavailable),
            ("53300", Meaning::Unavailable),
            ("25006", Meaning::Unavailable),
            ("42P01", Meaning::Broken),
            ("23503", Meaning::Broken),
            ("", Meaning::Broken),
        ] {
            assert_eq!(meaning_of(sqlstate), expected, "{sqlstate}");
        }
    }

    #[test]
    fn a_lost_connection_is_not_a_broken_statement() {
        let lost = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(matches!(StoreError::from(sqlx::Error::Io(lost)), StoreError::Unavailable(_)));
        assert!(matches!(StoreError::from(sqlx::Error::PoolTimedOut), StoreError::Unavailable(_)));
        assert!(matches!(StoreError::from(sqlx::Error::RowNotFound), StoreError::NotFound));
    }
}
