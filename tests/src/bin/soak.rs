//! `soak [SECONDS]` runs the kill test and prints its table; the last line is what it is judged by.
//!
//! `SEED=n` replays a run's faults and requests. Ends with 1 unless nothing was overspent, nothing was lost, and the floors
//! were reached.

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::{BuildHasher, Hasher};
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use switchyard_tests::soak::{Plan, run};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let seconds = match env::args().nth(1) {
        Some(word) => word.parse().context("usage: soak [SECONDS]")?,
        None => 60,
    };
    let seed = match env::var_os("SEED") {
        Some(seed) => seed.to_string_lossy().parse().context("SEED is a number")?,
        None => RandomState::new().build_hasher().finish() % 1_000_000,
    };
    let report = run(Plan::new(seed, Duration::from_secs(seconds))).await?;
    let short = report.shortfalls(1.0);
    for floor in &short {
        writeln!(stderr(), "not reached: {floor}")?;
    }
    write!(stdout(), "{report}")?;
    let is_fine = report.is_clean() && short.is_empty();
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
