//! The parts of the system, the wires between them, and how they are struck.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use switchyard_cli::client::{Admin, Answer as _, endpoint};
use switchyard_cli::dev::postgres::{Options, Postgres};
use switchyard_cli::dev::tied::{Signal, signal};
use switchyard_cli::fault_lab::{self, FaultLab};
use switchyard_proto::v1;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::plane::{Place, Plane};
use crate::postgres;
use crate::redis::Redis;
use crate::soak::furnish::Furniture;
use crate::soak::plan::{Fault, Kind, PLANES};
use crate::wait;
use crate::wire::{Condition, Wire};

const DATABASE: &str = "soak";

/// What a data plane is set to: deadlines that a run of a minute sees end many times over.
const PLANE_SETTINGS: &[(&str, &str)] = &[
    ("SWITCHYARD_LOG", "error"),
    ("SWITCHYARD_LEASES_WAIT_MS", "2000"),
    ("SWITCHYARD_LEASES_IDLE_S", "4"),
    ("SWITCHYARD_RETRIES_MOST", "1"),
    ("SWITCHYARD_RETRIES_BASE_MS", "50"),
    ("SWITCHYARD_DEADLINES_CONNECT_MS", "800"),
    ("SWITCHYARD_DEADLINES_HEADERS_MS", "1200"),
    ("SWITCHYARD_DEADLINES_FIRST_CONTENT_MS", "1200"),
    ("SWITCHYARD_DEADLINES_WHOLE_MS", "1500"),
    ("SWITCHYARD_DEADLINES_IDLE_MS", "1000"),
    ("SWITCHYARD_DEADLINES_TOTAL_MS", "3000"),
    // Small, so that a run sees many of them begun, replayed and removed.
    ("SWITCHYARD_JOURNAL_SEGMENT_BYTES", "1048576"),
];

/// A data plane that is silent for some seconds more than this is presumed lost, and comes back later.
const CONTROL_SETTINGS: &[(&str, &str)] =
    &[("SWITCHYARD_LOG", "error"), ("SWITCHYARD_MONEY_PRESUME_AFTER_S", "1")];

/// A running system.
pub struct System {
    pub lab: FaultLab,
    /// Where the three data planes serve clients.
    pub urls: Vec<String>,
    /// Past the wires.
    pub store: PgPool,
    /// Which data planes are dead, frozen or cut off from the control plane.
    pub is_cut_off: [AtomicBool; PLANES],
    planes: Vec<Mutex<Plane>>,
    to_control: Vec<Wire>,
    to_redis: Vec<Wire>,
    control: Mutex<Plane>,
    to_postgres: Wire,
    redis: Mutex<Option<Redis>>,
    postgres: Mutex<Option<Postgres>>,
    _folder: TempDir,
}

impl System {
    /// Starts everything and makes what callers need.
    pub async fn start(furniture: &Furniture) -> Result<Arc<Self>> {
        let folder = tempfile::tempdir()?;
        let server = Postgres::start(Options::test(postgres::folder("postgres")?)).await?;
        server.create_database(DATABASE, None).await?;
        let direct = server.url(DATABASE);
        let (to_postgres, url) = wire_to_postgres(folder.path(), &direct)?;
        let mut control = Plane::control(Place::Child, &url, folder.path())?;
        control.set(CONTROL_SETTINGS);
        control.start().await?;
        wait::until_true("the control plane has made its schema", async || control.is_ready().await).await;
        let store = crate::soak::pool(&direct)?;
        let token = switchyard_control_plane::service::token::init(&store).await?;
        let token = token.context("a new store has no admin yet")?;
        let admin = Admin::connect(endpoint(&control.url())?, &token).await?;
        let lab_settings = fault_lab::Settings { keep_calls: usize::MAX, ..Default::default() };
        let lab = FaultLab::start(lab_settings).await?;
        // Before there are data planes: none has to be waited for.
        furniture.make(&admin, &lab.url()).await?;
        let redis = Redis::start().await?;
        let mut system = Self {
            lab,
            urls: Vec::new(),
            store,
            is_cut_off: Default::default(),
            planes: Vec::new(),
            to_control: Vec::new(),
            to_redis: Vec::new(),
            control: Mutex::new(control),
            to_postgres,
            redis: Mutex::new(Some(redis)),
            postgres: Mutex::new(Some(server)),
            _folder: folder,
        };
        for number in 0..PLANES {
            system.add_plane(number).await?;
        }
        wait::until_true("every data plane serves the newest revision", async || {
            let fleet = admin.fleet().get_revision(v1::GetRevisionRequest {}).await.answer();
            fleet.is_ok_and(|fleet| fleet.attached as usize == PLANES && fleet.attached == fleet.current)
        })
        .await;
        Ok(Arc::new(system))
    }

    async fn add_plane(&mut self, number: usize) -> Result<()> {
        let fleet = address(&self.control.get_mut().fleet_url())?;
        let redis = self.redis.get_mut().as_ref().context("redis runs")?.url();
        let (to_control, control_addr) = Wire::to_port(fleet).await?;
        let (to_redis, redis_addr) = Wire::to_port(address(&redis)?).await?;
        let (control, redis) = (format!("http://{control_addr}"), format!("redis://{redis_addr}"));
        let mut plane = Plane::data(Place::Child, &control, self._folder.path(), &name(number))?;
        plane.set(PLANE_SETTINGS);
        plane.set(&[("SWITCHYARD_REDIS_URL", &redis)]);
        plane.start().await?;
        self.urls.push(plane.url());
        self.planes.push(Mutex::new(plane));
        self.to_control.push(to_control);
        self.to_redis.push(to_redis);
        Ok(())
    }

    /// Does what a fault says and undoes it. Answers how often a part ended by itself on its way back.
    pub async fn strike(&self, fault: &Fault) -> Result<u32> {
        let Fault { kind, plane, lasts, .. } = *fault;
        match kind {
            Kind::KillPlane => {
                let _mark = self.mark(plane);
                restart(&self.planes[plane], lasts).await
            }
            Kind::FreezePlane => {
                let _mark = self.mark(plane);
                freeze(&self.planes[plane], lasts).await
            }
            Kind::PartPlane => {
                let _mark = self.mark(plane);
                part(&self.to_control[plane], fault).await
            }
            Kind::KillControl => restart(&self.control, lasts).await,
            Kind::FreezeControl => freeze(&self.control, lasts).await,
            Kind::PartControl => part(&self.to_postgres, fault).await,
            Kind::KillPostgres => self.kill_postgres(lasts).await,
            Kind::FreezePostgres => self.freeze_postgres(lasts).await,
            Kind::KillRedis => self.kill_redis(lasts).await,
            Kind::FreezeRedis => self.freeze_redis(lasts).await,
            Kind::PartRedis => part(&self.to_redis[plane], fault).await,
        }
        .with_context(|| kind.name())
    }

    fn mark(&self, plane: usize) -> Mark<'_> {
        self.is_cut_off[plane].store(true, Ordering::Release);
        Mark(&self.is_cut_off[plane])
    }

    async fn kill_postgres(&self, lasts: Duration) -> Result<u32> {
        let mut postgres = self.postgres.lock().await;
        let postgres = postgres.as_mut().context("Postgres runs")?;
        signal(postgres.pid().context("Postgres runs")?, Signal::Kill).await?;
        sleep(lasts).await;
        postgres.restart().await?;
        Ok(0)
    }

    /// The server and all its children: each serves one connection.
    async fn freeze_postgres(&self, lasts: Duration) -> Result<u32> {
        let postgres = self.postgres.lock().await;
        let server = postgres.as_ref().and_then(Postgres::pid).context("Postgres runs")?;
        signal(server, Signal::Stop).await?;
        let children = children(server)?;
        for child in &children {
            signal(*child, Signal::Stop).await?;
        }
        sleep(lasts).await;
        for process in children.iter().chain([&server]) {
            signal(*process, Signal::Continue).await?;
        }
        Ok(0)
    }

    async fn kill_redis(&self, lasts: Duration) -> Result<u32> {
        let mut redis = self.redis.lock().await;
        let redis = redis.as_mut().context("Redis runs")?;
        redis.kill().await?;
        sleep(lasts).await;
        redis.restart().await?;
        Ok(0)
    }

    async fn freeze_redis(&self, lasts: Duration) -> Result<u32> {
        let redis = self.redis.lock().await;
        let redis = redis.as_ref().context("Redis runs")?;
        redis.pause().await?;
        sleep(lasts).await;
        redis.resume().await?;
        Ok(0)
    }

    /// Stops everything in order. Answers what a part said that had ended by itself.
    pub async fn stop(&self) -> Result<Vec<String>> {
        let mut strays = Vec::new();
        for plane in self.planes.iter().chain([&self.control]) {
            let mut plane = plane.lock().await;
            if plane.has_ended().await {
                strays.push(plane.log());
            } else {
                plane.stop().await?;
            }
        }
        self.lab.stop().await;
        self.store.close().await;
        if let Some(redis) = self.redis.lock().await.take() {
            redis.stop().await?;
        }
        if let Some(postgres) = self.postgres.lock().await.take() {
            postgres.stop().await?;
        }
        Ok(strays)
    }
}

/// The name of a data plane: its region, too.
pub fn name(number: usize) -> String {
    format!("data-plane-{}", number + 1)
}

/// A data plane counts as cut off until this is dropped.
struct Mark<'a>(&'a AtomicBool);

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

async fn restart(plane: &Mutex<Plane>, lasts: Duration) -> Result<u32> {
    let mut plane = plane.lock().await;
    plane.kill().await?;
    sleep(lasts).await;
    plane.insist().await
}

async fn freeze(plane: &Mutex<Plane>, lasts: Duration) -> Result<u32> {
    let plane = plane.lock().await;
    plane.pause().await?;
    sleep(lasts).await;
    plane.resume().await?;
    Ok(0)
}

async fn part(wire: &Wire, fault: &Fault) -> Result<u32> {
    wire.set(if fault.is_silent { Condition::Silent } else { Condition::Cut });
    sleep(fault.lasts).await;
    wire.set(Condition::Whole);
    Ok(0)
}

/// A wire to the store's socket, and the store's URL over it.
fn wire_to_postgres(folder: &Path, direct: &str) -> Result<(Wire, String)> {
    let options = PgConnectOptions::from_str(direct)?;
    let socket = options.get_socket().context("the server listens on a socket")?;
    let name = format!(".s.PGSQL.{}", options.get_port());
    let wire = Wire::to_socket(&folder.join(&name), socket.join(&name))?;
    let (head, _) = direct.split_once("?host=").context("the URL names the socket's folder")?;
    let host = folder.display().to_string().replace('/', "%2F");
    Ok((wire, format!("{head}?host={host}")))
}

fn address(url: &str) -> Result<std::net::SocketAddr> {
    let (_, address) = url.split_once("://").context("an address has a scheme")?;
    Ok(address.parse()?)
}

/// The processes whose parent this is, by the kernel's own listing.
fn children(parent: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").context("freezing Postgres needs /proc")? {
        let path = entry?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        if parent_of(&path) == Some(parent) {
            children.push(pid);
        }
    }
    Ok(children)
}

/// The second word after the command's name, which stands in brackets and may hold anything.
fn parent_of(process: &Path) -> Option<u32> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
