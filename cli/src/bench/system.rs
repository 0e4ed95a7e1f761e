//! A whole system for the bench: a private PostgreSQL, a control plane and two data planes, one of them with
//! governance off, each a process of its own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use switchyard_proto::key::{KEY_PREFIX, generate};
use switchyard_proto::seal;
use switchyard_proto::secret::Secret;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::bench::target::Shot;
use crate::dev::postgres::{Error as PostgresError, Options, Postgres};

/// How long a plane may take until it is ready.
const READY: Duration = Duration::from_secs(30);

/// A running system; dropping it ends it.
pub struct System {
    pub governed: Plane,
    pub ungoverned: Plane,
    pub key: Secret,
    _control_plane: Process,
    postgres: Option<Postgres>,
    runtime: Runtime,
    _folder: TempDir,
}

/// A data plane of the system.
pub struct Plane {
    pub addr: SocketAddr,
    process: Process,
}

impl Plane {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    #[error("cannot start PostgreSQL")]
    Postgres(#[from] PostgresError),
    #[error("input or output failed")]
    Io(#[from] std::io::Error),
    #[error("`switchyard {command}` failed: {output}")]
    Command { command: String, output: String },
    #[error("`switchyard {command}` was not ready within {READY:?}")]
    NotReady { command: &'static str },
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(postgres) = self.postgres.take() {
            // What does not stop now dies with this process.
            let _ = self.runtime.block_on(postgres.stop());
        }
    }
}

impl System {
    /// Starts everything against a fault lab.
    ///
    /// # Errors
    /// Names the part that did not start, with what it said.
    pub fn start(program: &Path, lab: SocketAddr, shots: &[Shot]) -> Result<Self, SystemError> {
        let runtime = Runtime::new()?;
        let folder = tempfile::Builder::new().prefix("switchyard-bench-").tempdir()?;
        let postgres = runtime.block_on(Postgres::start(Options::test(folder.path().join("postgres"))))?;
        runtime.block_on(postgres.create_database("bench", None))?;
        let [admin, fleet, ops] = free_ports()?;
        let environment = [
            ("SWITCHYARD_DATABASE_URL", postgres.url("bench")),
            ("SWITCHYARD_MASTER_KEY", seal::generate_base64()),
            ("SWITCHYARD_MIGRATE", "true".to_owned()),
            ("SWITCHYARD_ADMIN_LISTEN", admin.to_string()),
            ("SWITCHYARD_FLEET_LISTEN", fleet.to_string()),
            ("SWITCHYARD_OPS_LISTEN", ops.to_string()),
        ];
        let control_plane = start(program, "control-plane", &environment, ops)?;
        let key = generate(KEY_PREFIX);
        let manifest = manifest(lab, shots);
        configure(program, folder.path(), &environment, admin, &manifest, &key)?;
        let governed = data_plane(program, &folder.path().join("on"), fleet, "true")?;
        let ungoverned = data_plane(program, &folder.path().join("off"), fleet, "false")?;
        let postgres = Some(postgres);
        Ok(Self {
            governed,
            ungoverned,
            key,
            _control_plane: control_plane,
            postgres,
            runtime,
            _folder: folder,
        })
    }
}

fn data_plane(
    program: &Path,
    folder: &Path,
    fleet: SocketAddr,
    governance: &str,
) -> Result<Plane, SystemError> {
    let [client, ops, _] = free_ports()?;
    std::fs::create_dir_all(folder)?;
    let environment = [
        ("SWITCHYARD_LISTEN", client.to_string()),
        ("SWITCHYARD_OPS_LISTEN", ops.to_string()),
        ("SWITCHYARD_CONTROL_PLANE", format!("http://{fleet}")),
        ("SWITCHYARD_DATA_DIR", folder.display().to_string()),
        ("SWITCHYARD_CONFIG_KEY", seal::generate_base64()),
        ("SWITCHYARD_THREADS", "1".to_owned()),
        ("SWITCHYARD_GOVERNANCE", governance.to_owned()),
        // The lab is on loopback.
        ("SWITCHYARD_REQUESTS_ALLOW_PRIVATE_UPSTREAMS", "true".to_owned()),
    ];
    let process = start(program, "data-plane", &environment, ops)?;
    Ok(Plane { addr: client, process })
}

/// Makes the first admin token, then a tenant with a limited key and the lab's models.
fn configure(
    program: &Path,
    folder: &Path,
    environment: &[(&str, String)],
    admin: SocketAddr,
    manifest: &str,
    key: &Secret,
) -> Result<(), SystemError> {
    let token = command(program, &["admin", "init"], environment, &[])?;
    let token = token.split_whitespace().find(|word| word.starts_with(switchyard_proto::key::TOKEN_PREFIX));
    let token = token.unwrap_or_default().to_owned();
    let file = folder.join("bench.yaml");
    std::fs::write(&file, manifest)?;
    let access = [
        ("SWITCHYARD_ADMIN_ADDR", format!("http://{admin}")),
        ("SWITCHYARD_ADMIN_TOKEN", token),
        ("SWITCHYARD_BENCH_SECRET", key.expose().to_owned()),
    ];
    command(program, &["apply", "-f", &file.display().to_string()], environment, &access).map(drop)
}

fn manifest(lab: SocketAddr, shots: &[Shot]) -> String {
    let mut names: Vec<String> = shots.iter().map(|shot| shot.model()).collect();
    names.sort();
    names.dedup();
    let model = |name: &String| {
        format!(
            "  - id: echo/{name}\n    endpoints:\n      - {{provider: echo, upstream_id: {name}, \
             context_length: 4000000, max_output_tokens: 1000, price: {{input: \"0.01\", output: \"0.01\"}}}}\n"
        )
    };
    let models: String = names.iter().map(model).collect();
    format!(
        "providers:\n  - {{id: echo, adapter: openai, base_url: \"http://{lab}/v1\"}}\nmodels:\n{models}tenants:\n  \
         - id: bench\n    credits: \"100000\"\n    keys:\n      \
         - {{name: bench, secret: \"${{SWITCHYARD_BENCH_SECRET}}\", limit: {{usd: \"50000\", reset: daily}}}}\n"
    )
}

/// Runs a command to its end and answers what it printed.
fn command(
    program: &Path,
    arguments: &[&str],
    environment: &[(&str, String)],
    more: &[(&str, String)],
) -> Result<String, SystemError> {
    let ran = Command::new(program)
        .args(arguments)
        .envs(environment.iter().chain(more).map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    let output = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    Err(SystemError::Command { command: arguments.join(" "), output })
}

fn start(
    program: &Path,
    name: &'static str,
    environment: &[(&str, String)],
    ops: SocketAddr,
) -> Result<Process, SystemError> {
    let child = Command::new(program)
        .arg(name)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env("SWITCHYARD_LOG", "error")
        .stdin(Stdio::null())
        .spawn()?;
    let process = Process(child);
    let until = Instant::now() + READY;
    while Instant::now() < until {
        if is_ready(ops) {
            return Ok(process);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(SystemError::NotReady { command: name })
}

/// Whether `/readyz` answers 200.
fn is_ready(ops: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = TcpStream::connect(ops) else { return false };
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}

/// Three free loopback ports. Another process could take one before it is used; then the plane says so.
fn free_ports() -> std::io::Result<[SocketAddr; 3]> {
    let sockets = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    Ok([sockets[0].local_addr()?, sockets[1].local_addr()?, sockets[2].local_addr()?])
}
