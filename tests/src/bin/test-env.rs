//! `test-env COMMAND...` runs a command with the servers that all tests share, and ends with its exit status.
//!
//! `make test` puts it around the test runner. What the environment names already is not started.

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result};
use switchyard_cli::dev::tied;
use switchyard_tests::{postgres, redis};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut words = env::args_os().skip(1);
    let mut command = tokio::process::Command::new(words.next().context("usage: test-env COMMAND...")?);
    command.args(words);
    let postgres = match env::var_os(postgres::SERVER) {
        Some(_) => None,
        None => Some(postgres::own().await.context("start PostgreSQL")?),
    };
    let redis = match env::var_os(redis::SERVER) {
        Some(_) => None,
        None => Some(redis::Redis::start().await.context("start redis-server")?),
    };
    command.envs(postgres.iter().map(|server| (postgres::SERVER, server.url("postgres"))));
    command.envs(redis.iter().map(|server| (redis::SERVER, server.url())));
    let status = outlive(command.spawn().context("run the command")?).await;
    if let Some(server) = redis {
        server.stop().await?;
    }
    if let Some(server) = postgres {
        server.stop().await?;
    }
    status
}

/// Waits for the command whatever we are told, so that its tests keep their servers to the end.
async fn outlive(mut command: Child) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let pid = command.id().context("the command has a process")?;
    loop {
        tokio::select! {
            status = command.wait() => {
                let code = status?.code().and_then(|code| u8::try_from(code).ok());
                return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
            }
            // The terminal has told the command as well.
            _ = interrupt.recv() => {}
            _ = terminate.recv() => drop(tied::signal(pid, tied::Signal::Terminate).await?),
        }
    }
}
