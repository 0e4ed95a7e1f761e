//! Child processes of the bench: started from its own executable, found by the address they print, ended with it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A running child; dropping it ends it.
pub struct Child {
    pub addr: SocketAddr,
    process: std::process::Child,
}

#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    #[error("cannot start {program} {arguments}")]
    Spawn { program: PathBuf, arguments: String, source: std::io::Error },
    #[error("`{arguments}` ended without saying where it listens")]
    Silent { arguments: String },
}

impl Child {
    /// Starts `program fault-lab`.
    pub fn fault_lab(program: &Path) -> Result<Self, ChildError> {
        Self::start(program, &["fault-lab", "--keep", "0"])
    }

    /// Starts `program bench pass-through`.
    pub fn pass_through(program: &Path, upstream: SocketAddr) -> Result<Self, ChildError> {
        Self::start(program, &["bench", "pass-through", "--upstream", &upstream.to_string()])
    }

    /// Starts a command that prints `listening on http://ADDR` and stops at the end of its stdin.
    fn start(program: &Path, arguments: &[&str]) -> Result<Self, ChildError> {
        let told = arguments.join(" ");
        let failed =
            |source| ChildError::Spawn { program: program.to_owned(), arguments: told.clone(), source };
        let mut command = Command::new(program);
        command.args(arguments).arg("--until-stdin-ends").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(failed)?;
        let addr = process.stdout.take().and_then(|out| {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).ok()?;
            line.trim().strip_prefix("listening on http://")?.parse().ok()
        });
        match addr {
            Some(addr) => Ok(Self { addr, process }),
            None => {
                end(&mut process);
                Err(ChildError::Silent { arguments: told })
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn end(process: &mut std::process::Child) {
    // Both fail only if it has ended already.
    let _ = process.kill();
    let _ = process.wait();
}
