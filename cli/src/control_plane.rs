//! `switchyard control-plane`: the plane that remembers, as a process of its own; and its migrations.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use sqlx::{PgPool, postgres::PgPoolOptions};
use switchyard_control_plane::{app, settings::Settings, store};
use switchyard_proto::secret::Secret;

use crate::{
    ports::ensure_free,
    process::Process,
    settings::{self, Sources},
};

/// Arguments.
#[derive(Debug, Args)]
#[command(after_long_help = settings::manual("control_plane"))]
pub struct ControlPlane {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// A TOML file of settings; `--help` lists them
    #[arg(long, value_name = "FILE", env = "SWITCHYARD_SETTINGS", hide_env_values = true, global = true)]
    settings: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bring the database's schema up to date, and end
    Migrate,
}

impl ControlPlane {
    /// Runs until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// Wrong settings, a taken port, a database that does not answer.
    pub async fn run(self) -> anyhow::Result<()> {
        let settings = Sources::of_process(self.settings).read()?;
        let log = settings.log()?;
        match self.verb {
            Some(Verb::Migrate) => {
                let url = settings.database_url()?;
                let process = Process::start(&log, &settings.warnings)?;
                let done = migrate(&url).await;
                process.end();
                done
            }
            None => {
                let section = settings.control_plane()?;
                let process = Process::start(&log, &settings.warnings)?;
                let done = serve(section, &process).await;
                process.end();
                done
            }
        }
    }
}

/// One connection to the database, for commands that work on it directly.
///
/// # Errors
/// When it does not answer.
pub async fn database(url: &Secret) -> anyhow::Result<PgPool> {
    let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(std::time::Duration::from_secs(10));
    pool.connect(url.expose()).await.context("cannot reach PostgreSQL (SWITCHYARD_DATABASE_URL)")
}

async fn serve(settings: Settings, process: &Process) -> anyhow::Result<()> {
    ensure_free(&[
        (settings.admin_listen, "`control_plane.admin_listen` (SWITCHYARD_ADMIN_LISTEN)"),
        (settings.fleet_listen, "`control_plane.fleet_listen` (SWITCHYARD_FLEET_LISTEN)"),
        (settings.ops_listen, "`control_plane.ops_listen` (SWITCHYARD_OPS_LISTEN)"),
    ])?;
    let plane = app::start(settings, process.metrics(), process.stop()).await?;
    tracing::info!(admin = %plane.admin_addr, fleet = %plane.fleet_addr, ops = %plane.ops_addr, "the control plane is up");
    plane.stopped().await;
    Ok(())
}

async fn migrate(url: &Secret) -> anyhow::Result<()> {
    let pool = database(url).await?;
    store::migrate(&pool).await.context("cannot bring the schema up to date")?;
    tracing::info!("the schema is up to date");
    Ok(())
}
