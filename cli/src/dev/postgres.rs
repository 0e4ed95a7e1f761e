//! A private PostgreSQL server: found, set up, started, watched and stopped by ourselves, as a child process.
//!
//! `dev` and the tests run on it. It listens on a socket in a folder of mode 0700 and on no port, ends when we
//! end (killed with -9 included), and runs as an unprivileged user when we are root. What is stored in it,
//! and when it is migrated, is the caller's business.

mod binaries;
mod leftover;
mod place;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::{Instant, sleep};

use crate::dev::postgres::binaries::Binaries;
use crate::dev::postgres::leftover::PidFile;
use crate::dev::postgres::place::Place;
use crate::dev::tied::{Job, Signal, Tied, command};

/// The one user, and the owner of everything.
const USER: &str = "switchyard";

/// Names the socket; no port of this machine is taken.
const PORT: u16 = 5432;

/// From the command to a server that answers; recovery after a crash is part of it.
const START: Duration = Duration::from_secs(60);

/// Between two crashes of a server that ran for less than this lies a pause of this.
const CALM: Duration = Duration::from_secs(2);

/// A running server. Dropping it stops it, without waiting; it is gone when this process is.
#[derive(Debug)]
pub struct Postgres {
    options: Options,
    binaries: Binaries,
    place: Place,
    /// `None` only while the server is stopped by [`Postgres::halt`].
    server: Option<Tied>,
}

#[derive(Debug, Clone)]
pub struct Options {
    /// The server's own folder, made at the first start. One process at a time may hold it.
    pub data_dir: PathBuf,
    pub durability: Durability,
    /// Whether the data goes when the server does.
    pub ephemeral: bool,
    pub max_connections: u16,
}

/// What survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// What was committed survives everything.
    Machine,
    /// What was committed survives a crash of the server; a crash of the machine may cost all of it.
    Process,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no PostgreSQL 15 to 18 on this machine (found: {seen}); `scripts/get-postgres` fetches one")]
    NoBinaries { seen: String },
    #[error("the data was made by PostgreSQL {made_by}, which is not on this machine (found: {seen})")]
    OtherMajor { made_by: u32, seen: String },
    #[error("`{}` is in use by another switchyard (process {pid})", folder.display())]
    InUse { folder: PathBuf, pid: String },
    #[error("`{}` belongs to user {uid}: run as that user, or remove the folder", folder.display())]
    OtherOwner { folder: PathBuf, uid: u32 },
    #[error("initdb failed: {output}")]
    Setup { output: String },
    #[error("PostgreSQL did not start, see `{}`: {last_lines}", log.display())]
    Start { log: PathBuf, last_lines: String },
    #[error("cannot {action} `{}`", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("PostgreSQL refused a statement")]
    Statement(#[source] sqlx::Error),
}

impl Options {
    pub fn dev(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self { data_dir, durability: Durability::Machine, ephemeral: false, max_connections: 100 }
    }

    /// Fast, roomy, and gone afterwards.
    pub fn test(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self { data_dir, durability: Durability::Process, ephemeral: true, max_connections: 400 }
    }
}

impl Postgres {
    /// Starts a server, after `initdb` if the folder is new, and waits until it answers.
    ///
    /// A server that an earlier run left on the same data is ended first. Under a second, the first time too.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let place = Place::take(&options.data_dir).await?;
        let cluster = place.cluster();
        let binaries = binaries::find(place.user, made_by(&cluster)).await?;
        if !cluster.exists() {
            set_up(&place, &binaries).await?;
        }
        leftover::clear(&cluster).await?;
        if options.ephemeral {
            place.give_away()?;
        }
        place.new_log()?;
        let mut postgres = Self { options, binaries, place, server: None };
        postgres.launch().await?;
        Ok(postgres)
    }

    /// A URL for sqlx and libpq. Stays the same over restarts.
    pub fn url(&self, database: &str) -> String {
        let database = percent_encode(database);
        let socket = percent_encode(&self.place.socket.to_string_lossy());
        format!("postgres://{USER}@localhost:{PORT}/{database}?host={socket}")
    }

    /// Makes a database, as a copy of `template` if one is given, and says whether it was missing.
    pub async fn create_database(&self, name: &str, template: Option<&str>) -> Result<bool, Error> {
        create_database(&self.url("postgres"), name, template).await
    }

    /// Waits until the server has ended, whatever the reason. May be cancelled and asked again.
    pub async fn exited(&mut self) {
        if let Some(server) = &mut self.server {
            server.exited().await;
        }
    }

    /// Stops the server, if it runs, and starts it again on the same data under the same URL.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.halt().await?;
        leftover::clear(&self.place.cluster()).await?;
        self.launch().await
    }

    /// Starts the server again whenever it ends, until `until` resolves; then stops it.
    ///
    /// # Errors
    /// When the server ends and cannot be started again.
    pub async fn supervise(mut self, until: impl Future<Output = ()>) -> Result<(), Error> {
        let mut until = pin!(until);
        loop {
            let started = Instant::now();
            tokio::select! {
                () = &mut until => return self.stop().await,
                () = self.exited() => {}
            }
            if started.elapsed() < CALM {
                sleep(CALM).await;
            }
            self.restart().await?;
        }
    }

    /// Stops the server and waits for it; [`Postgres::restart`] brings it back.
    pub async fn halt(&mut self) -> Result<(), Error> {
        let Some(server) = self.server.take() else { return Ok(()) };
        server.halt().await.map_err(at("stop", &self.binaries.program("postgres")))
    }

    /// Stops the server in an orderly way, cutting its connections, and waits until it is gone.
    pub async fn stop(mut self) -> Result<(), Error> {
        let Some(server) = self.server.take() else { return Ok(()) };
        server.end().await.map_err(at("stop", &self.binaries.program("postgres")))
    }

    /// The server's own process, for tests that kill it.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Tied::pid)
    }

    /// Where the data is, if not where it was asked to be: behind a folder that the server cannot enter.
    pub fn elsewhere(&self) -> Option<&Path> {
        self.place.is_elsewhere.then_some(&*self.place.home)
    }

    /// Holds what the server says, readable by us alone.
    pub fn log(&self) -> PathBuf {
        self.place.log()
    }

    /// Tries again while the children of a server that was killed still hold its memory.
    async fn launch(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + START;
        loop {
            let mut server = self.spawn().await?;
            let is_ready = tokio::select! {
                is_ready = self.wait_until_ready(server.pid(), deadline) => is_ready,
                _ = server.exited() => false,
            };
            if is_ready {
                self.server = Some(server);
                return Ok(());
            }
            let last_lines = tail(&self.place.log());
            let is_temporary = last_lines.contains("pre-existing shared memory block");
            if !is_temporary || Instant::now() > deadline {
                return Err(Error::Start { log: self.place.log(), last_lines });
            }
            server.halt().await.map_err(at("stop", &self.binaries.program("postgres")))?;
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn spawn(&self) -> Result<Tied, Error> {
        let program = self.binaries.program("postgres");
        let mut remove_at_end: Vec<PathBuf> = self.place.stray_socket().into_iter().collect();
        if self.options.ephemeral {
            remove_at_end.push(self.place.home.clone());
        }
        let job = Job {
            program: program.clone(),
            args: arguments(&self.options, &self.place),
            environment: environment(),
            log: self.place.open_log()?,
            user: self.place.user,
            stop_signal: Signal::Interrupt,
            remove_at_end,
        };
        Tied::spawn(job).await.map_err(at("start", &program))
    }

    async fn wait_until_ready(&self, pid: u32, deadline: Instant) -> bool {
        let cluster = self.place.cluster();
        while Instant::now() < deadline {
            if PidFile::read(&cluster).is_some_and(|file| file.pid == pid && file.is_ready) {
                return true;
            }
            sleep(Duration::from_millis(5)).await;
        }
        false
    }
}

/// Makes a database on the server behind `admin_url`; see [`Postgres::create_database`].
pub async fn create_database(admin_url: &str, name: &str, template: Option<&str>) -> Result<bool, Error> {
    const ALREADY_THERE: &str = "42P04";
    let mut statement = format!("CREATE DATABASE {}", quote(name));
    if let Some(template) = template {
        statement.push_str(&format!(" TEMPLATE {}", quote(template)));
    }
    let mut connection = PgConnection::connect(admin_url).await.map_err(Error::Statement)?;
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await;
    connection.close().await.map_err(Error::Statement)?;
    match done {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(ALREADY_THERE) => Ok(false),
        Err(error) => Err(Error::Statement(error)),
    }
}

/// An identifier for SQL, whatever is in it.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn made_by(cluster: &Path) -> Option<u32> {
    fs::read_to_string(cluster.join("PG_VERSION")).ok()?.trim().parse().ok()
}

/// Makes the cluster aside, so that an `initdb` cut short leaves nothing that looks like one.
async fn set_up(place: &Place, binaries: &Binaries) -> Result<(), Error> {
    let draft = place.home.join("cluster.new");
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(at("remove", &draft))?;
    }
    place.make_private(&draft)?;
    let initdb = binaries.program("initdb");
    let mut setup = command(&initdb, place.user);
    // Whoever gets through to the 0700 folder of the socket is us.
    setup.args(["--auth-local=trust", "--auth-host=reject", "--username", USER, "--no-sync"]);
    setup.args(["--no-instructions", "--locale=C", "--encoding=UTF8", "--pgdata"]).arg(&draft);
    let output = setup.env_clear().envs(environment()).output().await.map_err(at("run", &initdb))?;
    if !output.status.success() {
        let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Setup { output });
    }
    fs::rename(&draft, place.cluster()).map_err(at("put in place", &draft))
}

fn arguments(options: &Options, place: &Place) -> Vec<OsString> {
    let mut settings = vec![
        "listen_addresses=".to_owned(),
        format!("port={PORT}"),
        format!("max_connections={}", options.max_connections),
        // Nobody replicates from here.
        "wal_level=minimal".to_owned(),
        "max_wal_senders=0".to_owned(),
        // Our statements are short: compiling them costs more than it brings.
        "jit=off".to_owned(),
        // Details would quote rows.
        "log_error_verbosity=terse".to_owned(),
    ];
    if options.durability == Durability::Process {
        // Not `synchronous_commit=off`: that would lose commits when the server alone is killed.
        settings.extend(["fsync=off".to_owned(), "full_page_writes=off".to_owned()]);
    }
    let mut arguments: Vec<OsString> = vec!["-D".into(), place.cluster().into(), "-k".into()];
    arguments.push(place.socket.clone().into());
    arguments.extend(settings.into_iter().flat_map(|setting| ["-c".into(), setting.into()]));
    arguments
}

/// Nothing of ours: no secret, no `PGDATA` that would lead astray, one locale everywhere.
fn environment() -> Vec<(OsString, OsString)> {
    let kept = ["PATH", "LD_LIBRARY_PATH"].into_iter();
    let kept = kept.filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    kept.chain([("LC_ALL".into(), "C".into())]).collect()
}

/// The end of a log, in one line.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

/// For a path segment or a query value of a URL.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Names what was tried, where an I/O error alone would not.
fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}
