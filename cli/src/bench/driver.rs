//! Measures every target in turn, round after round, within one run.
//!
//! Rounds alternate in direction, so that a machine that grows slower or faster treats the targets alike. The
//! load comes from this process, on the thread that calls [`run`].

use std::io::{self, Write};
use std::time::Duration;

use crate::bench::connection::LoadError;
use crate::bench::load::{Fleet, Latencies, Tally};
use crate::bench::plan::Plan;
use crate::bench::process;
use crate::bench::report::Report;
use crate::bench::samples::{Samples, median};
use crate::bench::target::{Shot, TargetSpec};

pub const MEGABYTE: usize = 1_000_000;
pub const LARGE_PROMPT: usize = 300_000;

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("the load failed")]
    Load(#[from] LoadError),
    #[error("cannot read the time or memory of a target's process")]
    Process(#[source] io::Error),
    #[error("cannot print")]
    Print(#[from] io::Error),
}

/// What all rounds together found out about one target.
#[derive(Debug, Default)]
pub struct Findings {
    pub requests_per_second: Option<f64>,
    pub cpu_us_per_request: Option<f64>,
    pub latency: Samples,
    pub first_content: Samples,
    pub late: Samples,
    pub cpu_us_per_chunk: Option<f64>,
    pub cpu_us_per_megabyte: Option<f64>,
    pub megabyte_prompts_per_second: Option<f64>,
    pub large_prompts_per_second: Option<f64>,
    pub cpu_us_per_large_prompt: Option<f64>,
    pub idle_kib: Option<f64>,
    pub loaded_kib: Option<f64>,
    pub peak_kib: Option<f64>,
}

/// The raw results of one target, before they are put together.
#[derive(Default)]
struct Notes {
    small: Vec<Stretch>,
    chunks: Vec<Stretch>,
    megabyte: Vec<Stretch>,
    large: Vec<Stretch>,
    latency: Samples,
    first_content: Samples,
    late: Samples,
    idle_kib: Option<u64>,
    loaded_kib: Option<u64>,
    peak_kib: Option<u64>,
}

/// A stretch of closed-loop load and the time the target's process spent on it.
#[derive(Clone, Copy)]
struct Stretch {
    tally: Tally,
    cpu: Option<Duration>,
}

/// Runs the whole plan, telling on `progress` what is being done. Added times are over `targets[0]`, the
/// upstream itself; ratios are to `targets[1]`, the pass-through.
///
/// Blocks for as long as the plan takes; call it outside any runtime.
pub fn run(targets: &[TargetSpec], plan: &Plan, progress: &mut dyn Write) -> Result<Report, BenchError> {
    // Polls the sockets between any two tasks, so that a waiting scheduler does not delay answers.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1).build()?;
    runtime.block_on(async {
        let mut notes: Vec<Notes> = targets.iter().map(|_| Notes::default()).collect();
        for (target, notes) in targets.iter().zip(&mut notes) {
            notes.idle_kib = memory_of(target)?.map(|memory| memory.resident_kib);
        }
        for round in 0..plan.rounds {
            writeln!(progress, "round {} of {}", round + 1, plan.rounds)?;
            self::round(targets, &mut notes, plan, !round.is_multiple_of(2)).await?;
        }
        let names = targets.iter().map(|target| target.name.clone()).collect();
        Ok(Report::new(names, notes.into_iter().map(Findings::from).collect(), *plan))
    })
}

async fn round(
    targets: &[TargetSpec],
    notes: &mut [Notes],
    plan: &Plan,
    backwards: bool,
) -> Result<(), BenchError> {
    let mut order: Vec<usize> = (0..targets.len()).collect();
    if backwards {
        order.reverse();
    }
    let chunks = Shot::Chunks { count: plan.chunks, every_ms: plan.chunk_every_ms };
    for &i in &order {
        notes[i].small.push(closed(&targets[i], Shot::Small, plan.connections, plan, Duration::ZERO).await?);
        note_memory(&targets[i], &mut notes[i])?;
    }
    for &i in &order {
        let seen = open(&targets[i], Shot::Small, plan).await?;
        notes[i].latency.add_round(seen.to_end);
        notes[i].late.add_round(seen.late);
    }
    for &i in &order {
        notes[i].first_content.add_round(open(&targets[i], Shot::Stream, plan).await?.to_first_content);
    }
    for &i in &order {
        notes[i].chunks.push(closed(&targets[i], chunks, plan.streams, plan, plan.stream_spread()).await?);
    }
    for &i in &order {
        let shot = Shot::Prompt { bytes: MEGABYTE };
        notes[i]
            .megabyte
            .push(closed(&targets[i], shot, plan.large_connections, plan, Duration::ZERO).await?);
        let shot = Shot::Prompt { bytes: LARGE_PROMPT };
        notes[i].large.push(closed(&targets[i], shot, plan.large_connections, plan, Duration::ZERO).await?);
        note_memory(&targets[i], &mut notes[i])?;
    }
    Ok(())
}

async fn closed(
    target: &TargetSpec,
    shot: Shot,
    connections: usize,
    plan: &Plan,
    spread: Duration,
) -> Result<Stretch, BenchError> {
    let mut fleet = Fleet::connect(target, shot, connections).await?;
    fleet.closed(plan.warm_up()).await?;
    let before = cpu_of(target)?;
    let tally = fleet.each(plan.stretch(), spread).await?;
    let cpu = cpu_of(target)?.zip(before).map(|(after, before)| after.saturating_sub(before));
    Ok(Stretch { tally, cpu })
}

async fn open(target: &TargetSpec, shot: Shot, plan: &Plan) -> Result<Latencies, BenchError> {
    let mut fleet = Fleet::connect(target, shot, plan.connections).await?;
    fleet.open(plan.rate, plan.warm_up()).await?;
    Ok(fleet.open(plan.rate, plan.latency_time()).await?)
}

fn cpu_of(target: &TargetSpec) -> Result<Option<Duration>, BenchError> {
    target.pid.map(process::cpu_time).transpose().map_err(BenchError::Process)
}

fn memory_of(target: &TargetSpec) -> Result<Option<process::Memory>, BenchError> {
    target.pid.map(process::memory).transpose().map_err(BenchError::Process)
}

fn note_memory(target: &TargetSpec, notes: &mut Notes) -> Result<(), BenchError> {
    let memory = memory_of(target)?;
    notes.loaded_kib = notes.loaded_kib.max(memory.map(|memory| memory.resident_kib));
    notes.peak_kib = notes.peak_kib.max(memory.map(|memory| memory.peak_kib));
    Ok(())
}

impl From<Notes> for Findings {
    fn from(notes: Notes) -> Self {
        let requests = |tally: &Tally| tally.requests;
        Self {
            requests_per_second: rate(&notes.small),
            cpu_us_per_request: cpu_us_per(&notes.small, requests),
            latency: notes.latency,
            first_content: notes.first_content,
            late: notes.late,
            cpu_us_per_chunk: cpu_us_per(&notes.chunks, |tally| tally.pieces),
            cpu_us_per_megabyte: cpu_us_per(&notes.megabyte, requests),
            megabyte_prompts_per_second: rate(&notes.megabyte),
            large_prompts_per_second: rate(&notes.large),
            cpu_us_per_large_prompt: cpu_us_per(&notes.large, requests),
            idle_kib: notes.idle_kib.map(|kib| kib as f64),
            loaded_kib: notes.loaded_kib.map(|kib| kib as f64),
            peak_kib: notes.peak_kib.map(|kib| kib as f64),
        }
    }
}

/// Requests per second, the median of the stretches.
fn rate(stretches: &[Stretch]) -> Option<f64> {
    let of = |stretch: &Stretch| stretch.tally.requests as f64 / stretch.tally.took.as_secs_f64();
    median(&stretches.iter().map(of).collect::<Vec<f64>>())
}

/// Processor time per unit over all stretches: longer than any one of them, so coarse clocks weigh less.
fn cpu_us_per(stretches: &[Stretch], units: fn(&Tally) -> u64) -> Option<f64> {
    let cpu: Duration = stretches.iter().map(|stretch| stretch.cpu).sum::<Option<Duration>>()?;
    let units: u64 = stretches.iter().map(|stretch| units(&stretch.tally)).sum();
    (units > 0).then(|| cpu.as_secs_f64() * 1e6 / units as f64)
}
