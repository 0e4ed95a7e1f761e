//! The way to the database: its pool, and its schema before anything else.

use std::{str::FromStr, time::Duration};

use sqlx::{
    Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{sync::watch, time};

use crate::{
    app::{StartError, setting},
    catalogue,
    settings::Settings,
    store::schema::{self, SchemaError},
    store::{self, StoreError},
};

/// Longest wait for a connection: what a caller of the admin API waits for its 503.
const PATIENCE: Duration = Duration::from_secs(2);
/// Wait before the database is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Reads `database_url`.
pub(super) fn options(settings: &Settings) -> Result<PgConnectOptions, StartError> {
    let url = settings.database_url.expose();
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    // The cause may hold the password.
    let options = PgConnectOptions::from_str(url).ok().filter(|_| is_url);
    let options = options.ok_or_else(|| setting("database_url", "is not a postgres:// URL"))?;
    Ok(options.application_name("switchyard-control-plane"))
}

/// A pool that hands nothing out before the schema is there, so that nobody meets half of it.
pub(super) fn pool(
    settings: &Settings,
    options: PgConnectOptions,
    is_ready: watch::Receiver<bool>,
) -> PgPool {
    PgPoolOptions::new()
        .max_connections(settings.database_connections.max(2))
        .acquire_timeout(PATIENCE)
        .after_connect(move |connection, _| {
            let is_ready = *is_ready.borrow();
            Box::pin(async move {
                if !is_ready {
                    return Err(sqlx::Error::WorkerCrashed);
                }
                schema::set_patience(connection).await
            })
        })
        .connect_lazy_with(options)
}

/// Waits for the database, brings its schema up to date and notes the built-in catalogue; tells the log what it waits for, each thing once.
pub(super) async fn prepare(options: PgConnectOptions, migrate: bool) {
    let mut said = String::new();
    while let Err(error) = attempt(&options, migrate).await {
        let reason = chain(&error);
        if reason != said {
            tracing::error!(error = reason, "the database is not ready; trying again");
            said = reason;
        }
        time::sleep(AGAIN).await;
    }
}

async fn attempt(options: &PgConnectOptions, migrate: bool) -> Result<(), SchemaError> {
    if migrate {
        schema::migrate(options).await?
    } else {
        schema::check(options).await?
    };
    // Before anything is served: whoever asks then sees one catalogue only.
    let mut db = PgConnection::connect_with(options).await.map_err(StoreError::from)?;
    schema::set_patience(&mut db).await.map_err(StoreError::from)?;
    if store::catalogue::refresh(&mut db, &catalogue::edition()).await? {
        tracing::info!("the built-in catalogue changed; providers and endpoints are pushed again");
    }
    db.close().await.map_err(StoreError::from)?;
    Ok(())
}

/// Brings the schema up to date and does nothing else: for a job that runs before the control planes.
///
/// # Errors
/// When the database is out of reach or a migration fails.
pub async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    Ok(schema::migrate(&options(settings)?).await?)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    texts.join(": ")
}
