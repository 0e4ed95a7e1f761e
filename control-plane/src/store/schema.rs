//! The database's schema: brought up to date by migrations, or waited for.

use sqlx::{
    Connection, PgConnection,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
};

use crate::store::StoreError;

/// All migrations. One that this program does not know was made by a newer one, beside which it still runs.
pub fn migrations() -> Migrator {
    let mut migrations = sqlx::migrate!("../migrations");
    migrations.set_ignore_missing(true);
    migrations
}

/// Bounds what a connection waits for, and what others wait for when its program is frozen inside a transaction.
pub async fn set_patience(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql("SET lock_timeout = '3s'; SET idle_in_transaction_session_timeout = '5min'")
        .execute(connection)
        .await?;
    Ok(())
}

/// Why the schema is not as it must be.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a migration failed")]
    Migration(#[source] MigrateError),
    #[error("migration {0} has not run, and `migrate` is off")]
    Behind(i64),
}

/// Brings the schema up to date. Several control planes at once take turns.
///
/// # Errors
/// [`SchemaError::Migration`] needs a person; [`SchemaError::Store`] is worth another try.
pub async fn migrate(options: &PgConnectOptions) -> Result<(), SchemaError> {
    let mut connection = PgConnection::connect_with(options).await.map_err(StoreError::from)?;
    // `run` is generic over how to acquire a connection, and its future is then not seen to be `Send`.
    let done = migrations().run_direct(None, &mut connection, false).await;
    connection.close().await.ok();
    done.map_err(SchemaError::Migration)
}

/// Checks that every migration of this program has run.
///
/// # Errors
/// [`SchemaError::Behind`] names the first that has not.
pub async fn check(options: &PgConnectOptions) -> Result<(), SchemaError> {
    let mut connection = PgConnection::connect_with(options).await.map_err(StoreError::from)?;
    let done = applied(&mut connection).await;
    connection.close().await.ok();
    let done = done?;
    match migrations().iter().find(|migration| !done.contains(&migration.version)) {
        Some(missing) => Err(SchemaError::Behind(missing.version)),
        None => Ok(()),
    }
}

async fn applied(connection: &mut PgConnection) -> Result<Vec<i64>, StoreError> {
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !is_there {
        return Ok(Vec::new());
    }
    let versions = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success");
    Ok(versions.fetch_all(connection).await?)
}
