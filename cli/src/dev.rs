//! `switchyard dev`: both planes in one process, on parts that it starts and stops itself.
//!
//! A private PostgreSQL (`postgres`), rate counters in memory, the fault lab as provider `echo`, and the two
//! planes over real gRPC on loopback. What is there at the first start is `first_start`'s business, what is found
//! on the machine `discover`'s, what is printed `banner`'s; what runs, and in which order it stops, is `parts`'.

mod addresses;
mod banner;
pub mod discover;
pub mod first_start;
mod parts;
pub mod postgres;
pub mod tied;

use std::{path::PathBuf, time::Instant};

use anyhow::Context;
use clap::Args;
use metrics_exporter_prometheus::PrometheusHandle;
use switchyard_proto::secret::Secret;
use tokio_util::sync::CancellationToken;

use crate::{
    apply::{Prepared, variables::Variables},
    client::{self, Admin},
    data_dir::{self, DataDir},
    dev::{
        addresses::{Addresses, Resolved},
        discover::Found,
        first_start::{Identity, Ready},
        parts::Parts,
    },
    ports::ensure_free,
    process::Process,
    settings::{Settings, Sources, environment},
};

/// Arguments.
#[derive(Debug, Args)]
pub struct Dev {
    /// Where everything is kept; remove it to start afresh
    #[arg(long, value_name = "DIR", default_value = data_dir::DEFAULT)]
    data_dir: PathBuf,
    /// A file as for `switchyard apply`, applied at start
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A TOML file of settings
    #[arg(long, value_name = "FILE", env = "SWITCHYARD_SETTINGS", hide_env_values = true)]
    settings: Option<PathBuf>,
    #[command(flatten)]
    addresses: Addresses,
}

/// What holds while `dev` runs.
struct House {
    place: DataDir,
    settings: Settings,
    addresses: Resolved,
    variables: Variables,
    /// Read before anything is started, so that a mistake in it costs no time.
    config: Option<Prepared>,
}

impl Dev {
    /// Runs until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// Wrong settings, a taken port, another `dev` on the same folder, a part that does not start.
    pub async fn run(self) -> anyhow::Result<()> {
        let began = Instant::now();
        let place = DataDir::create(&self.data_dir)?;
        let _lock = place.lock()?;
        let settings = self.sources(&place)?.read()?;
        let log = settings.log()?;
        let addresses = addresses::of(&settings)?;
        ensure_free(&addresses.wanted())?;
        let variables: Variables = environment().into_iter().collect();
        let config = self.config.as_deref().map(|path| Prepared::read(path, &variables)).transpose()?;
        let process = Process::start("switchyard-dev", &log, &settings.warnings)?;
        let house = House { place, settings, addresses, variables, config };
        let done = house.run(began, process.stop(), process.metrics()).await;
        house.place.clear_running();
        process.end();
        done
    }

    /// The process's settings, with what `dev` decides itself below and above them.
    fn sources(&self, place: &DataDir) -> anyhow::Result<Sources> {
        let mut sources = Sources::of_process(self.settings.clone());
        sources.profile = profile();
        sources.flags = self.addresses.flags();
        sources.flags.extend(forced(place)?);
        Ok(sources)
    }
}

/// Defaults that are right for one person at one machine.
fn profile() -> Vec<(&'static str, toml::Value)> {
    let mut profile = addresses::defaults();
    profile.extend([
        ("log.filter", "warn".into()),
        ("log.format", "text".into()),
        ("log.otlp_sample_ratio", 1.0.into()),
        ("data_plane.region", "dev".into()),
        ("data_plane.requests.allow_private_upstreams", true.into()),
        ("data_plane.requests.drain_s", 5.into()),
        ("control_plane.webhooks.allow_private", true.into()),
        // On a machine that also builds, the first grant may take longer than a fleet would wait.
        ("data_plane.leases.wait_ms", 3_000.into()),
        ("data_plane.journal.max_bytes", (256 << 20).into()),
        ("data_plane.journal.segment_bytes", (16 << 20).into()),
    ]);
    profile
}

/// What belongs to this folder, whatever the environment says.
fn forced(place: &DataDir) -> anyhow::Result<Vec<(&'static str, toml::Value, &'static str)>> {
    let flag = "--data-dir";
    let text = |path: PathBuf| toml::Value::from(path.to_string_lossy().into_owned());
    let mut forced = vec![
        ("data_plane.data_dir", text(place.path("data-plane")), flag),
        ("data_plane.config_key", first_start::sealing_key(place, "config-key")?.into(), flag),
        ("control_plane.master_key", first_start::sealing_key(place, "master-key")?.into(), flag),
        // Replaced when the server is up.
        ("control_plane.database_url", "postgres://localhost/switchyard".into(), flag),
        ("control_plane.migrate", true.into(), flag),
        ("data_plane.control_plane", "http://127.0.0.1:50051".into(), flag),
    ];
    forced.extend(NO_FLEET_TLS.iter().map(|setting| (*setting, "".into(), flag)));
    Ok(forced)
}

/// Loopback needs no certificates between the planes.
const NO_FLEET_TLS: &[&str] = &[
    "data_plane.fleet_tls.ca",
    "data_plane.fleet_tls.cert",
    "data_plane.fleet_tls.key",
    "control_plane.fleet_tls.ca",
    "control_plane.fleet_tls.cert",
    "control_plane.fleet_tls.key",
];

impl House {
    async fn run(
        &self,
        began: Instant,
        stop: CancellationToken,
        metrics: PrometheusHandle,
    ) -> anyhow::Result<()> {
        let ours = self.addresses.ports();
        let start = async {
            tokio::join!(
                Parts::start(&self.place, &self.settings, metrics),
                discover::look(&self.variables, &ours),
            )
        };
        let (parts, found) = tokio::select! {
            started = start => started,
            () = stop.cancelled() => return Ok(()),
        };
        let mut parts = parts?;
        let opened = tokio::select! {
            opened = self.open(&mut parts, &found) => opened,
            () = stop.cancelled() => Ok(None),
        };
        let done = match opened {
            Ok(Some((identity, ready))) => {
                banner::print(&self.place, &parts.running(), &identity, &ready, &found, began.elapsed());
                parts.until(stop).await
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let stopped = parts.stop().await;
        done.and(stopped)
    }

    /// Makes what must be there, starts the data plane beside that, and waits until it serves all of it.
    async fn open(&self, parts: &mut Parts, found: &[Found]) -> anyhow::Result<Option<(Identity, Ready)>> {
        let running = parts.running();
        self.place.set_running(&running)?;
        let identity = first_start::identity(&self.place, &Secret::new(&*running.database_url)).await?;
        let endpoint = client::endpoint(&running.admin)?;
        let admin =
            Admin::connect(endpoint, &identity.token).await.context("the control plane does not answer")?;
        tracing::debug!("key and token are there");
        let wish = first_start::wish(&identity, found, &parts.lab_url());
        let (ready, data_plane) = tokio::join!(self.configure(&admin, &wish), parts.start_data_plane());
        data_plane?;
        let ready = ready?;
        tracing::debug!("everything is configured");
        first_start::wait_until_served(&admin).await?;
        Ok(Some((identity, ready)))
    }

    async fn configure(&self, admin: &Admin, wish: &first_start::Wish) -> anyhow::Result<Ready> {
        if let Some(config) = &self.config {
            let answer = config.apply(admin, false, false).await?;
            print!("{}", crate::apply::diff::to_text(&answer, false));
        }
        first_start::bring_about(admin, &self.place, wish).await
    }
}
