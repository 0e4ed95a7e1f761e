//! A child process that cannot outlive us: when this process ends, killed with -9 included, so does the child.
//!
//! A small shell holds the child and reads from a pipe, the leash, whose other end only we hold. The kernel
//! closes it when we are gone, however that came. `dev::postgres` and the test harness start their servers here.
//! What is started, and when it counts as ready, is the caller's business.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Holds the child. Its stdin is the leash; its stdout tells the child's pid, then the child's exit status.
///
/// On the leash: a first line, or its end, ends the child. After the child has ended the shell waits for one
/// more line, and removes the folders unless it gets one.
const SHELL: &str = r#"
signal=$1 folders=$2
shift 2
exec 3<&0 </dev/null
"$@" >&2 3<&- &
server=$!
trap '' PIPE
echo "$server"
(
  read -r _ <&3
  kill -s "$signal" "$server"
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    kill -0 "$server" || exit
    sleep 1
  done
  kill -s KILL "$server"
) >/dev/null 2>&1 &
watcher=$!
wait "$server"
echo "$?"
kill "$watcher" 2>/dev/null
read -r _ <&3 && exit
IFS='
'
set -f
[ -z "$folders" ] || rm -rf -- $folders
"#;

/// A running child, and the leash it hangs on. Dropping it ends the child, without waiting.
#[derive(Debug)]
pub struct Tied {
    shell: Child,
    leash: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
    pid: u32,
    status: Option<i32>,
}

/// What to start, and how it ends.
#[derive(Debug)]
pub struct Job {
    pub program: PathBuf,
    pub args: Vec<OsString>,
    /// The child's whole environment: it inherits nothing.
    pub environment: Vec<(OsString, OsString)>,
    /// Gets what the child prints.
    pub log: File,
    /// Who the child runs as, when not as ourselves. Only root may ask.
    pub user: Option<User>,
    /// Asks the child to end. Ten seconds later it is killed.
    pub stop_signal: Signal,
    /// Folders to remove once the child is dropped or we are gone.
    pub remove_at_end: Vec<PathBuf>,
}

/// A user and its group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
    Kill,
    Stop,
    Continue,
}

impl Tied {
    /// Starts the child in a process group of its own, so that a Ctrl-C in the terminal is ours to handle.
    pub async fn spawn(job: Job) -> io::Result<Self> {
        let mut shell = command("sh", job.user);
        shell.args(["-c", SHELL, "sh", job.stop_signal.name()]);
        shell.arg(lines(&job.remove_at_end)).arg(&job.program).args(&job.args);
        shell.env_clear().envs(job.environment);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(job.log).process_group(0);
        let mut shell = shell.spawn()?;
        let leash = shell.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let said = shell.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut said = BufReader::new(said).lines();
        let pid = next_number(&mut said).await?;
        Ok(Self { shell, leash, said, pid, status: None })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the child has ended, and says with which status (128 + n after signal n).
    ///
    /// May be cancelled and asked again.
    pub async fn exited(&mut self) -> i32 {
        if self.status.is_none() {
            // A shell that says no more has been killed, and cannot know.
            self.status = Some(next_number(&mut self.said).await.unwrap_or(-1));
        }
        self.status.unwrap_or(-1)
    }

    /// Ends the child and waits for that; its folders stay.
    pub async fn halt(mut self) -> io::Result<()> {
        // A shell that does not read any more was killed; the closed leash ends the child all the same.
        if self.status.is_none() {
            self.leash.write_all(b"end\n").await.ok();
            self.exited().await;
        }
        self.leash.write_all(b"keep\n").await.ok();
        drop(self.leash);
        self.shell.wait().await.map(drop)
    }

    /// Ends the child, removes the folders named in the [`Job`], and waits for both.
    pub async fn end(mut self) -> io::Result<()> {
        drop(self.leash);
        self.shell.wait().await.map(drop)
    }
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// Sends a signal, and says whether the process was there and ours to signal.
pub async fn signal(pid: u32, signal: Signal) -> io::Result<bool> {
    kill(signal.name(), pid).await
}

/// Whether a process exists that we could signal.
pub async fn is_alive(pid: u32) -> io::Result<bool> {
    kill("0", pid).await
}

/// A command that runs as `user` and stands in a folder that everyone may stand in.
pub fn command(program: impl Into<OsString>, user: Option<User>) -> Command {
    let mut command = Command::new(program.into());
    command.current_dir("/").stdin(Stdio::null());
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// The shell's own `kill`: the program of that name is missing from small images.
async fn kill(signal: &str, pid: u32) -> io::Result<bool> {
    let mut shell = command("sh", None);
    shell.args(["-c", r#"kill -s "$1" "$2" 2>/dev/null"#, "sh", signal, &pid.to_string()]);
    Ok(shell.status().await?.success())
}

async fn next_number<N: std::str::FromStr>(said: &mut Lines<BufReader<ChildStdout>>) -> io::Result<N> {
    let line = said.next_line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    line.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

fn lines(folders: &[PathBuf]) -> OsString {
    folders.iter().map(|folder| folder.as_os_str()).collect::<Vec<_>>().join("\n".as_ref())
}
