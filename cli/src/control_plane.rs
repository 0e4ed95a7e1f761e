//! `switchyard control-plane`: the plane that remembers, as a process of its own; and its migrations.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::{PgPool, postgres::PgPoolOptions};
use switchyard_control_plane::{
    app::{self, Host},
    settings::Settings,
};
use switchyard_data_plane::adapters::ADAPTERS;
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
                let section = settings.control_plane_to_migrate()?;
                let process = Process::start("switchyard-control-plane", &log, &settings.warnings)?;
                let done = migrate(&section).await;
                process.end();
                done
            }
            None => {
                let section = settings.control_plane()?;
                let process = Process::start("switchyard-control-plane", &log, &settings.warnings)?;
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

/// What a control plane is told about the process: its metrics, and the dialects that our data planes speak.
pub fn host(metrics: PrometheusHandle) -> Host {
    Host { metrics: Some(metrics), adapters: ADAPTERS.iter().map(|adapter| adapter.name()).collect() }
}

async fn serve(settings: Settings, process: &Process) -> anyhow::Result<()> {
    ensure_free(&[
        (settings.admin_listen, "`control_plane.admin_listen` (SWITCHYARD_ADMIN_LISTEN)"),
        (settings.fleet_listen, "`control_plane.fleet_listen` (SWITCHYARD_FLEET_LISTEN)"),
        (settings.ops_listen, "`control_plane.ops_listen` (SWITCHYARD_OPS_LISTEN)"),
    ])?;
    let plane = app::start(settings, host(process.metrics()), process.stop()).await?;
    plane.stopped().await;
    Ok(())
}

async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    app::migrate(settings).await.context("cannot bring the schema up to date")?;
    tracing::info!("the schema is up to date");
    Ok(())
}
