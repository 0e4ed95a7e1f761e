//! What an earlier run left behind: a server that still runs on the data, or its stale pid file.
//!
//! Asked only by the holder of the place's lock, so whatever is found belongs to nobody any more.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::dev::postgres::{Error, at};
use crate::dev::tied::{Signal, command, is_alive, signal};

/// A fast shutdown writes a checkpoint first.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// What the server writes about itself while it runs.
#[derive(Debug, PartialEq, Eq)]
pub struct PidFile {
    pub pid: u32,
    pub is_ready: bool,
}

impl PidFile {
    pub fn read(cluster: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(path(cluster)).ok()?)
    }

    /// Line 1 is the pid, negative for a single-user server; line 8 the state, padded with blanks.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().trim_start_matches('-').parse().ok()?;
        Some(Self { pid, is_ready: lines.nth(6).is_some_and(|state| state.trim() == "ready") })
    }
}

/// Leaves nobody running on the cluster.
///
/// The pid file of a dead server stays: the next server reads in it whether its predecessor's children
/// still hold the shared memory. It goes only when its number belongs to a stranger by now, which the
/// server would take for its predecessor.
pub async fn clear(cluster: &Path) -> Result<(), Error> {
    let Some(PidFile { pid, .. }) = PidFile::read(cluster) else { return Ok(()) };
    let failed = || at("end the server of an earlier run on", cluster);
    if works_on(cluster, pid).await {
        end(cluster, pid).await.map_err(failed())?;
    } else if is_alive(pid).await.map_err(failed())? {
        fs::remove_file(path(cluster)).map_err(at("remove", &path(cluster)))?;
    }
    Ok(())
}

async fn end(cluster: &Path, pid: u32) -> std::io::Result<()> {
    signal(pid, Signal::Interrupt).await?;
    // Were it stopped, it would never notice.
    signal(pid, Signal::Continue).await?;
    let patience = Instant::now() + SHUTDOWN;
    while works_on(cluster, pid).await {
        if Instant::now() > patience {
            signal(pid, Signal::Kill).await?;
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Whether this process is the server of this cluster, in which every server stands.
async fn works_on(cluster: &Path, pid: u32) -> bool {
    if Path::new("/proc/self/cwd").exists() {
        return fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == cluster);
    }
    let output = command("ps", None).args(["-o", "command=", "-p", &pid.to_string()]).output().await;
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).contains(&*cluster.as_os_str().to_string_lossy())
    })
}

fn path(cluster: &Path) -> PathBuf {
    cluster.join("postmaster.pid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_when_line_eight_says_so() {
        let file = |state| format!("4711\n/data\n1700000000\n5432\n/socket\n\n 1 2\n{state}\n");
        let cases = [("ready   ", true), ("starting", false), ("stopping", false), ("", false)];
        for (state, is_ready) in cases {
            assert_eq!(PidFile::parse(&file(state)), Some(PidFile { pid: 4711, is_ready }), "{state}");
        }
    }

    #[test]
    fn a_half_written_pid_file_is_nobodys() {
        assert_eq!(PidFile::parse(""), None);
        assert_eq!(PidFile::parse("4711"), Some(PidFile { pid: 4711, is_ready: false }));
    }
}
