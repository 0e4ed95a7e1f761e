//! The real program as a child process, which a test may kill with -9.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use switchyard_cli::dev::tied::{Job, Signal, Tied, signal};

/// Variables of a process, all of them: it inherits only `PATH`, `HOME` and the like.
pub type Environment = BTreeMap<String, String>;

/// What every program may need to know about where it runs.
const INHERITED: &[&str] = &["PATH", "HOME", "TMPDIR", "LANG", "XDG_CACHE_HOME"];

/// A running `switchyard`. Dropping it ends it, and so does the end of the test's process.
#[derive(Debug)]
pub struct Process {
    child: Tied,
    /// What it prints.
    pub log: PathBuf,
}

impl Process {
    /// Starts `switchyard` with these words; its output goes to `log`.
    pub async fn start(words: &[&str], environment: &Environment, log: &Path) -> Result<Self> {
        let inherited = INHERITED.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?)));
        let own = environment.iter().map(|(name, value)| (name.into(), value.into()));
        let child = Tied::spawn(Job {
            program: program()?,
            args: words.iter().map(Into::into).collect(),
            environment: inherited.chain(own).collect(),
            log: File::options().create(true).append(true).open(log)?,
            user: None,
            stop_signal: Signal::Terminate,
            remove_at_end: Vec::new(),
        });
        Ok(Self { child: child.await?, log: log.to_owned() })
    }

    /// Ends the process in its tracks: no handler runs, no buffer is written.
    pub async fn kill(mut self) -> Result<()> {
        signal(self.child.pid(), Signal::Kill).await?;
        self.child.exited().await;
        Ok(())
    }

    /// Stops the process in its tracks: its connections stay open and nothing answers, until [`Process::resume`].
    pub async fn pause(&self) -> Result<()> {
        ensure!(signal(self.child.pid(), Signal::Stop).await?, "there is no process to pause");
        Ok(())
    }

    pub async fn resume(&self) -> Result<()> {
        ensure!(signal(self.child.pid(), Signal::Continue).await?, "there is no process to resume");
        Ok(())
    }

    /// Asks the process to end, and waits for its exit code.
    pub async fn terminate(&mut self) -> Result<i32> {
        signal(self.child.pid(), Signal::Terminate).await?;
        Ok(self.child.exited().await)
    }

    /// Waits until the process has ended by itself, and answers with its exit code.
    pub async fn exited(&mut self) -> i32 {
        self.child.exited().await
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// The program that was built beside these tests.
pub fn program() -> Result<PathBuf> {
    let tests = std::env::current_exe()?;
    // Tests are in a folder below the programs', the programs of this crate are beside it.
    let places = tests.ancestors().skip(1).take(2).map(|folder| folder.join("switchyard"));
    let program = places.into_iter().find(|place| place.is_file());
    program.with_context(|| format!("no switchyard near {}: cargo build --workspace --bins", tests.display()))
}

/// A port of loopback that was free a moment ago.
pub fn free_port() -> Result<u16> {
    const FROM: u64 = 12_000;
    const HOW_MANY: u64 = 20_000;
    // Below what the kernel hands out: no other test's port 0 is this one before it is used.
    let drawn = std::iter::repeat_with(|| RandomState::new().build_hasher().finish() % HOW_MANY + FROM);
    let free = drawn
        .take(200)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.context("two hundred ports in a row are taken")
}
