//! One redis-server per run, one numbered database per test.
//!
//! Shared between test processes as `postgres` is, under the name `SWITCHYARD_TEST_REDIS`.
//! Tests that pause, kill or restart a server start one of their own with [`Redis::start`].

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use switchyard_cli::dev::tied::{Job, Signal, Tied, signal};
use tokio::net::UnixStream;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::postgres::folder;

/// A URL of the server that all test processes share.
pub const SERVER: &str = "SWITCHYARD_TEST_REDIS";

/// More than a run has tests. Number 0 counts the ones given out.
const DATABASES: u32 = 100_000;

/// Starting takes some 20 ms on an idle machine.
const START: Duration = Duration::from_secs(20);

/// A running server on a port of loopback. Dropping it ends it, and so does the end of this process.
#[derive(Debug)]
pub struct Redis {
    folder: PathBuf,
    port: u16,
    /// `None` only while the server is stopped by [`Redis::halt`].
    server: Option<Tied>,
}

/// The URL of an empty database that no other test knows.
pub async fn database() -> Result<String> {
    static OWN: OnceCell<Redis> = OnceCell::const_new();
    let server = match env::var_os(SERVER) {
        Some(url) => url.into_string().ok().with_context(|| format!("{SERVER} is not text"))?,
        None => OWN.get_or_try_init(Redis::start).await?.url(),
    };
    let mut connection = redis::Client::open(&*server)?.get_multiplexed_async_connection().await?;
    let number: u32 = redis::cmd("INCR").arg("databases given out").query_async(&mut connection).await?;
    Ok(format!("{}/{number}", server.trim_end_matches('/')))
}

impl Redis {
    pub async fn start() -> Result<Self> {
        let folder = folder("redis")?;
        // Another process may take a free port before our server does.
        for _ in 0..5 {
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            if let Some(server) = launch(&folder, port).await? {
                return Ok(Self { folder, port, server: Some(server) });
            }
        }
        bail!("redis-server did not start: {}", std::fs::read_to_string(log(&folder))?)
    }

    /// Stays the same over restarts.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Stops the process in its tracks: connections stay open and nothing answers.
    pub async fn pause(&self) -> Result<()> {
        self.signal(Signal::Stop).await
    }

    pub async fn resume(&self) -> Result<()> {
        self.signal(Signal::Continue).await
    }

    /// Ends the server, and with it all that is in it; [`Redis::restart`] brings an empty one.
    pub async fn halt(&mut self) -> Result<()> {
        match self.server.take() {
            Some(server) => Ok(server.halt().await?),
            None => Ok(()),
        }
    }

    /// Ends the server in its tracks; [`Redis::restart`] brings an empty one.
    pub async fn kill(&mut self) -> Result<()> {
        self.signal(Signal::Kill).await?;
        self.halt().await
    }

    /// Starts an empty server on the same port.
    pub async fn restart(&mut self) -> Result<()> {
        self.halt().await?;
        self.server = launch(&self.folder, self.port).await?;
        if self.server.is_none() {
            bail!("port {} is taken", self.port)
        }
        Ok(())
    }

    /// Ends the server and waits until it is gone.
    pub async fn stop(mut self) -> Result<()> {
        match self.server.take() {
            Some(server) => Ok(server.end().await?),
            None => Ok(()),
        }
    }

    async fn signal(&self, what: Signal) -> Result<()> {
        let server = self.server.as_ref().context("the server is stopped")?;
        signal(server.pid(), what).await?;
        Ok(())
    }
}

/// `None` if the server ended at once, as it does when the port is taken.
async fn launch(folder: &Path, port: u16) -> Result<Option<Tied>> {
    let socket = folder.join("redis.sock");
    std::fs::remove_file(&socket).ok();
    let mut server = Tied::spawn(job(folder, &socket, port)?).await?;
    let deadline = Instant::now() + START;
    // It listens on the port first. On the port alone a stranger might answer.
    while UnixStream::connect(&socket).await.is_err() {
        tokio::select! {
            _ = server.exited() => return Ok(None),
            () = sleep(Duration::from_millis(5)) => {}
        }
        if Instant::now() > deadline {
            bail!("redis-server is not ready after {START:?}, see {}", log(folder).display());
        }
    }
    Ok(Some(server))
}

fn job(folder: &Path, socket: &Path, port: u16) -> Result<Job> {
    let path = env::var_os("PATH").unwrap_or_default();
    let program = env::split_paths(&path).map(|place| place.join("redis-server")).find(|file| file.is_file());
    let settings = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning"];
    let mut args: Vec<OsString> = settings.iter().map(OsString::from).collect();
    args.extend(["--port".into(), port.to_string().into(), "--unixsocket".into(), socket.into()]);
    args.extend(["--databases".into(), DATABASES.to_string().into(), "--dir".into(), folder.into()]);
    Ok(Job {
        program: program.context("no redis-server on PATH; `make test` installs it")?,
        args,
        environment: vec![("PATH".into(), path)],
        log: File::create(log(folder))?,
        user: None,
        stop_signal: Signal::Terminate,
        remove_at_end: vec![folder.to_owned()],
    })
}

fn log(folder: &Path) -> PathBuf {
    folder.join("redis.log")
}
