//! `switchyard data-plane`: the plane that carries requests, as a process of its own.

use std::path::PathBuf;

use clap::Args;
use switchyard_data_plane::{app, settings::Settings};

use crate::{
    ports::ensure_free,
    process::Process,
    settings::{self, Sources},
};

/// Arguments.
#[derive(Debug, Args)]
#[command(after_long_help = settings::manual("data_plane"))]
pub struct DataPlane {
    /// A TOML file of settings; `--help` lists them
    #[arg(long, value_name = "FILE", env = "SWITCHYARD_SETTINGS", hide_env_values = true)]
    settings: Option<PathBuf>,
}

impl DataPlane {
    /// Runs until SIGTERM or SIGINT, then drains.
    ///
    /// # Errors
    /// Wrong settings, a taken port, a folder that cannot be used.
    pub async fn run(self) -> anyhow::Result<()> {
        let settings = Sources::of_process(self.settings).read()?;
        let (section, log) = (settings.data_plane()?, settings.log()?);
        let process = Process::start("switchyard-data-plane", &log, &settings.warnings)?;
        let done = serve(section, &process).await;
        process.end();
        done
    }
}

async fn serve(settings: Settings, process: &Process) -> anyhow::Result<()> {
    ensure_free(&[
        (settings.listen, "`data_plane.listen` (SWITCHYARD_LISTEN)"),
        (settings.ops_listen, "`data_plane.ops_listen` (SWITCHYARD_OPS_LISTEN)"),
    ])?;
    let plane = app::start(settings, process.metrics(), process.stop()).await?;
    tracing::info!(listen = %plane.addr, ops = %plane.ops_addr, "the data plane is up");
    plane.stopped().await;
    Ok(())
}
