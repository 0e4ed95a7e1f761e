//! One plane, in this process or as a child, that can be stopped, killed and started again on the same ports.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use switchyard_cli::settings::{Settings, Sources};
use switchyard_cli::telemetry::Telemetry;
use switchyard_data_plane::config::snapshot::Snapshot;
use tokio_util::sync::CancellationToken;

use crate::client;
use crate::process::{Environment, Process, free_port};
use crate::wait;

/// Base64 of 32 bytes.
pub const SEALING_KEY: &str = "c3dpdGNoeWFyZCB0ZXN0cyBzZWFsIHdpdGggdGhpcyE=";

/// Where a plane runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the test's own runtime: quick to start.
    Here,
    /// As the real program, which can be killed.
    Child,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Control,
    Data,
}

/// A plane with its settings and its place.
#[derive(Debug)]
pub struct Plane {
    kind: Kind,
    place: Place,
    /// What it is set to, as its environment says it.
    pub environment: Environment,
    /// What a child prints.
    log: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
enum Running {
    Control(CancellationToken, switchyard_control_plane::app::ControlPlane),
    Data(CancellationToken, switchyard_data_plane::app::DataPlane),
    Child(Box<Process>),
}

impl Plane {
    /// A control plane on this database, not started yet.
    pub fn control(place: Place, database_url: &str, folder: &Path) -> Result<Self> {
        let own = [
            ("SWITCHYARD_DATABASE_URL", database_url.to_owned()),
            ("SWITCHYARD_MASTER_KEY", SEALING_KEY.to_owned()),
            ("SWITCHYARD_DATABASE_CONNECTIONS", "8".to_owned()),
        ];
        let ports = ["SWITCHYARD_ADMIN_LISTEN", "SWITCHYARD_FLEET_LISTEN", "SWITCHYARD_OPS_LISTEN"];
        Self::new(Kind::Control, place, environment(&own, &ports)?, folder.join("control-plane.log"))
    }

    /// A data plane of this control plane, not started yet. Its data goes to a folder of this name.
    pub fn data(place: Place, fleet_url: &str, folder: &Path, name: &str) -> Result<Self> {
        let data = folder.join(name);
        let own = [
            ("SWITCHYARD_CONTROL_PLANE", fleet_url.to_owned()),
            ("SWITCHYARD_DATA_DIR", data.display().to_string()),
            ("SWITCHYARD_CONFIG_KEY", SEALING_KEY.to_owned()),
            ("SWITCHYARD_REGION", name.to_owned()),
            ("SWITCHYARD_THREADS", "1".to_owned()),
            ("SWITCHYARD_REQUESTS_ALLOW_PRIVATE_UPSTREAMS", "true".to_owned()),
            ("SWITCHYARD_REQUESTS_DRAIN_S", "5".to_owned()),
            // A machine that is busy with other things must not look like an unreachable control plane.
            ("SWITCHYARD_LEASES_WAIT_MS", "5000".to_owned()),
            // A failure is told once, so that attempts can be counted; tests of retries say their own.
            ("SWITCHYARD_RETRIES_MOST", "0".to_owned()),
        ];
        let ports = ["SWITCHYARD_LISTEN", "SWITCHYARD_OPS_LISTEN"];
        Self::new(Kind::Data, place, environment(&own, &ports)?, folder.join(format!("{name}.log")))
    }

    fn new(kind: Kind, place: Place, environment: Environment, log: PathBuf) -> Result<Self> {
        Ok(Self { kind, place, environment, log, running: None })
    }

    /// Changes settings, by the names of their variables, for the next start.
    pub fn set(&mut self, settings: &[(&str, &str)]) {
        self.environment
            .extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    }

    /// Starts it and waits until it answers; a data plane need not be ready yet.
    pub async fn start(&mut self) -> Result<()> {
        let running = match self.place {
            Place::Here => self.start_here().await?,
            Place::Child => self.start_child().await?,
        };
        self.running = Some(running);
        let live = format!("{}/livez", self.ops_url());
        let http = client::http();
        wait::until_true(&format!("{live} answers\n{}", self.log()), async || {
            http.get(&live).send().await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        Ok(())
    }

    /// Starts a child again and again until it answers, as a supervisor does while what it needs is missing.
    ///
    /// Answers how often it ended by itself.
    ///
    /// # Errors
    /// When it does not answer in a minute.
    pub async fn insist(&mut self) -> Result<u32> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let (live, http) = (format!("{}/livez", self.ops_url()), client::http());
        let (began, mut ended) = (Instant::now(), 0);
        self.running = Some(self.start_child().await?);
        while !http.get(&live).send().await.is_ok_and(|answer| answer.status().is_success()) {
            anyhow::ensure!(began.elapsed() < PATIENCE, "{live} does not answer: {}", self.log());
            if self.has_ended().await {
                ended += 1;
                self.running = Some(self.start_child().await?);
            }
        }
        Ok(ended)
    }

    /// Whether a child has ended by itself. Takes a moment where it has not.
    pub async fn has_ended(&mut self) -> bool {
        const MOMENT: Duration = Duration::from_millis(20);
        match &mut self.running {
            Some(Running::Child(process)) => tokio::time::timeout(MOMENT, process.exited()).await.is_ok(),
            _ => false,
        }
    }

    /// Stops a child in its tracks; see [`Process::pause`].
    pub async fn pause(&self) -> Result<()> {
        self.child()?.pause().await
    }

    pub async fn resume(&self) -> Result<()> {
        self.child()?.resume().await
    }

    fn child(&self) -> Result<&Process> {
        match &self.running {
            Some(Running::Child(process)) => Ok(process),
            _ => bail!("only a running child has a process"),
        }
    }

    async fn start_here(&self) -> Result<Running> {
        client::install_crypto();
        let (settings, shutdown) = (self.settings()?, CancellationToken::new());
        let metrics = telemetry(&settings)?.metrics();
        Ok(match self.kind {
            Kind::Control => {
                let plane = settings.control_plane()?;
                let adapters =
                    switchyard_data_plane::adapters::ADAPTERS.iter().map(|adapter| adapter.name()).collect();
                let host = switchyard_control_plane::app::Host { metrics: Some(metrics), adapters };
                let started = switchyard_control_plane::app::start(plane, host, shutdown.clone()).await?;
                started.ready().await;
                Running::Control(shutdown, started)
            }
            Kind::Data => {
                let plane = settings.data_plane()?;
                let started = switchyard_data_plane::app::start(plane, metrics, shutdown.clone());
                Running::Data(shutdown, started.await?)
            }
        })
    }

    async fn start_child(&self) -> Result<Running> {
        let command = match self.kind {
            Kind::Control => "control-plane",
            Kind::Data => "data-plane",
        };
        Ok(Running::Child(Box::new(Process::start(&[command], &self.environment, &self.log).await?)))
    }

    /// What a data plane in this process serves from.
    ///
    /// # Panics
    /// Where it is none.
    pub fn config(&self) -> Arc<Snapshot> {
        match &self.running {
            Some(Running::Data(_, plane)) => plane.config.load(),
            _ => panic!("only a running data plane in this process shows its config"),
        }
    }

    /// Asks it to end and waits for that.
    pub async fn stop(&mut self) -> Result<()> {
        match self.running.take() {
            None => {}
            Some(Running::Control(shutdown, plane)) => {
                shutdown.cancel();
                plane.stopped().await;
            }
            Some(Running::Data(shutdown, plane)) => {
                shutdown.cancel();
                plane.stopped().await;
            }
            Some(Running::Child(mut process)) => {
                let code = process.terminate().await?;
                anyhow::ensure!(code == 0, "ended with {code}: {}", process.printed());
            }
        }
        Ok(())
    }

    /// Ends it with -9. Only a child can be killed.
    pub async fn kill(&mut self) -> Result<()> {
        match self.running.take() {
            Some(Running::Child(process)) => process.kill().await,
            _ => bail!("only a running child can be killed"),
        }
    }

    /// Where clients (data plane) or admins (control plane) are served.
    pub fn url(&self) -> String {
        let name = if self.kind == Kind::Control { "SWITCHYARD_ADMIN_LISTEN" } else { "SWITCHYARD_LISTEN" };
        self.url_of(name)
    }

    pub fn fleet_url(&self) -> String {
        self.url_of("SWITCHYARD_FLEET_LISTEN")
    }

    pub fn ops_url(&self) -> String {
        self.url_of("SWITCHYARD_OPS_LISTEN")
    }

    /// What a child has printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether `/readyz` says yes.
    pub async fn is_ready(&self) -> bool {
        let answer = client::http().get(format!("{}/readyz", self.ops_url())).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    fn url_of(&self, setting: &str) -> String {
        format!("http://{}", self.environment.get(setting).map_or("", String::as_str))
    }

    fn settings(&self) -> Result<Settings> {
        Sources { environment: self.environment.clone(), ..Sources::default() }
            .read()
            .context("the test's settings")
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        if let Some(Running::Control(shutdown, _) | Running::Data(shutdown, _)) = &self.running {
            shutdown.cancel();
        }
    }
}

fn environment(own: &[(&str, String)], ports: &[&str]) -> Result<Environment> {
    let mut environment: Environment =
        own.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<BTreeMap<_, _>>();
    for name in ports {
        environment.insert((*name).to_owned(), format!("127.0.0.1:{}", free_port()?));
    }
    Ok(environment)
}

/// Logs, traces and metrics belong to the process, so all planes of a test share them.
fn telemetry(settings: &Settings) -> Result<&'static Telemetry> {
    static TELEMETRY: OnceLock<Result<Telemetry, String>> = OnceLock::new();
    let log = settings.log()?;
    let started = TELEMETRY
        .get_or_init(|| Telemetry::start("switchyard-tests", &log).map_err(|error| format!("{error:#}")));
    started.as_ref().map_err(|error| anyhow::anyhow!(error.clone()))
}
