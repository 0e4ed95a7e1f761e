//! What runs under `dev`, in the order in which it starts; it stops the other way round.
//!
//! PostgreSQL and the fault lab, then the control plane, then the data plane. PostgreSQL is started again when
//! it dies, so the planes outlive it.

use std::{fs::DirBuilder, net::SocketAddr, os::unix::fs::DirBuilderExt, path::Path};

use anyhow::{Context, anyhow, bail};
use metrics_exporter_prometheus::PrometheusHandle;
use switchyard_control_plane::app::{self as control_plane, ControlPlane};
use switchyard_data_plane::app::{self as data_plane, DataPlane};
use switchyard_data_plane::settings::Settings as DataPlaneSettings;
use switchyard_proto::secret::Secret;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    control_plane::host,
    data_dir::{DataDir, Running},
    dev::postgres::{self, Options, Postgres},
    fault_lab::{self, FaultLab},
    settings::Settings,
};

const DATABASE: &str = "switchyard";

/// Remembers the lab's port, so that the provider's address stays the same over restarts.
const LAB_PORT: &str = "echo-port";

/// Everything that runs.
pub struct Parts {
    lab: FaultLab,
    postgres: Supervised,
    database_url: String,
    control_plane: ControlPlane,
    stop_control_plane: CancellationToken,
    data_plane_settings: DataPlaneSettings,
    data_plane: Option<DataPlane>,
    stop_data_plane: CancellationToken,
    metrics: PrometheusHandle,
}

/// PostgreSQL, brought back when it dies.
struct Supervised {
    task: JoinHandle<Result<(), postgres::Error>>,
    stop: CancellationToken,
}

impl Parts {
    /// Starts all but the data plane.
    ///
    /// # Errors
    /// The first part that does not start; those before it are stopped.
    pub async fn start(
        place: &DataDir,
        settings: &Settings,
        metrics: PrometheusHandle,
    ) -> anyhow::Result<Self> {
        let options = Options::dev(place.path("postgres"));
        let (postgres, lab) = tokio::join!(Postgres::start(options), start_lab(place));
        let (postgres, lab) = (postgres.context("cannot start PostgreSQL")?, lab?);
        tracing::debug!("PostgreSQL is up");
        postgres.create_database(DATABASE, None).await.context("cannot make the database")?;
        let database_url = postgres.url(DATABASE);
        let postgres = Supervised::new(postgres);
        let stop_control_plane = CancellationToken::new();
        let mut section = settings.control_plane()?;
        section.database_url = Secret::new(&*database_url);
        let control_plane =
            control_plane::start(section, host(metrics.clone()), stop_control_plane.clone()).await?;
        if !control_plane.ready().await {
            bail!("the control plane ended before it was ready");
        }
        tracing::debug!("the control plane is up");
        let mut data_plane_settings = settings.data_plane()?;
        create_private(&data_plane_settings.data_dir)?;
        data_plane_settings.control_plane = format!("http://{}", reachable(control_plane.fleet_addr));
        Ok(Self {
            lab,
            postgres,
            database_url,
            control_plane,
            stop_control_plane,
            data_plane_settings,
            data_plane: None,
            stop_data_plane: CancellationToken::new(),
            metrics,
        })
    }

    /// Starts the data plane.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_data_plane(&mut self) -> anyhow::Result<()> {
        let (settings, metrics) = (self.data_plane_settings.clone(), self.metrics.clone());
        let started = data_plane::start(settings, metrics, self.stop_data_plane.clone()).await;
        self.data_plane = Some(started?);
        tracing::debug!("the data plane is up");
        Ok(())
    }

    /// Where everything listens.
    pub fn running(&self) -> Running {
        let origin = |addr: SocketAddr| format!("http://{}", reachable(addr));
        let (client, ops) = match &self.data_plane {
            Some(plane) => (plane.addr, plane.ops_addr),
            None => (self.data_plane_settings.listen, self.data_plane_settings.ops_listen),
        };
        Running {
            pid: std::process::id(),
            client: origin(client),
            admin: origin(self.control_plane.admin_addr),
            data_plane_ops: origin(ops),
            control_plane_ops: origin(self.control_plane.ops_addr),
            database_url: self.database_url.clone(),
        }
    }

    /// The fault lab's origin.
    pub fn lab_url(&self) -> String {
        self.lab.url()
    }

    /// Waits until it is time to stop.
    ///
    /// # Errors
    /// When PostgreSQL is gone for good.
    pub async fn until(&mut self, stop: CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = &mut self.postgres.task => match ended {
                Ok(Ok(())) => Err(anyhow!("PostgreSQL ended")),
                Ok(Err(error)) => Err(error).context("PostgreSQL ended and cannot be started again"),
                Err(error) => Err(error).context("PostgreSQL's keeper ended"),
            },
        }
    }

    /// Stops everything: open requests finish, the journal is handed over, leases go back, PostgreSQL ends last.
    ///
    /// # Errors
    /// When PostgreSQL does not stop in order.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop_data_plane.cancel();
        if let Some(plane) = self.data_plane {
            plane.stopped().await;
        }
        tracing::debug!("the data plane has ended");
        self.stop_control_plane.cancel();
        self.control_plane.stopped().await;
        tracing::debug!("the control plane has ended");
        self.lab.stop().await;
        self.postgres.stop().await
    }
}

impl Supervised {
    fn new(postgres: Postgres) -> Self {
        let stop = CancellationToken::new();
        let asked = stop.clone();
        let task = TaskTracker::new().spawn(async move { postgres.supervise(asked.cancelled_owned()).await });
        Self { task, stop }
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        // It may have ended before, which `until` has told.
        if self.task.is_finished() {
            return Ok(());
        }
        self.task.await?.context("cannot stop PostgreSQL")
    }
}

/// The journal and the last good config are nobody else's to read.
fn create_private(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the folder `{}`", folder.display()))
}

/// On the port of last time if that is free, so that the provider's row need not change.
async fn start_lab(place: &DataDir) -> anyhow::Result<FaultLab> {
    let last = place.secret(LAB_PORT)?.and_then(|port| port.expose().parse::<u16>().ok());
    let on = |port| {
        FaultLab::start(fault_lab::Settings { listen: ([127, 0, 0, 1], port).into(), ..Default::default() })
    };
    let again = match last {
        Some(port) => on(port).await.ok(),
        None => None,
    };
    let lab = match again {
        Some(lab) => lab,
        None => on(0).await?,
    };
    if last != Some(lab.addr.port()) {
        place.write_secret(LAB_PORT, &lab.addr.port().to_string())?;
    }
    Ok(lab)
}

/// An address that this machine can dial: listening everywhere is dialled on loopback.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (std::net::Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_everywhere_is_dialled_on_loopback() {
        for (listen, dial) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), dial.parse().unwrap());
        }
    }

    #[tokio::test]
    async fn the_lab_comes_back_on_its_port_or_on_another() {
        let folder = tempfile::tempdir().unwrap();
        let place = DataDir::create(folder.path()).unwrap();
        let first = start_lab(&place).await.unwrap();
        let addr = first.addr;
        let beside = start_lab(&place).await.unwrap();
        assert_ne!(beside.addr, addr, "its port is taken");
        let kept = beside.addr;
        beside.stop().await;
        let again = start_lab(&place).await.unwrap();
        assert_eq!(again.addr, kept);
    }
}
