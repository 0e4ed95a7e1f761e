//! All that is held of one endpoint. Told by attempts and read by plans from all threads, without locks while it is well.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use switchyard_proto::sketch::{Better, Marks, Sketch};

use crate::routing::health::breaker::{Breaker, ENDPOINT, Millis, Told};
use crate::routing::health::count::{COUNTS, Count, Counts, sum};
use crate::routing::health::fleet::View;
use crate::routing::health::measured::Measured;
use crate::routing::health::reading::{Band, Quantiles, Reading, permille};
use crate::routing::health::report::{Outcome, Report};
use crate::routing::health::ring::{self, Ring, join, split};

/// Attempts are counted in slots of so long.
const SLOT: Millis = 10_000;
const SLOTS: usize = 30;
/// Latencies and throughputs, which need more room, in longer ones.
const SKETCH_SLOT: Millis = 60_000;

/// A failure this recent, with no success since, puts an endpoint behind those without.
pub const OUTAGE: Millis = 30_000;
/// Sums are added up again for a reading after so long.
const FRESH: Millis = 1_000;

/// The ratio that opens the breaker: of so many slots, over so many attempts, half failed.
const RATIO_SLOTS: u32 = 6;
const RATIO_ATTEMPTS: u32 = 20;

/// One unit of the throughput sketch, in tokens per second.
pub const THROUGHPUT_UNIT: f32 = 0.1;

/// One endpoint.
#[derive(Debug)]
pub struct Cell {
    pub breaker: Breaker,
    counts: Ring<SLOTS, COUNTS>,
    latency: Measured,
    throughput: Measured,
    failed_at: AtomicU64,
    succeeded_at: AtomicU64,
    sums: Sums,
    /// What was counted since it was last reported.
    unreported: Unreported,
    /// What the whole fleet knows, for a while.
    pub fleet: ArcSwapOption<View>,
}

/// What a reading needs of the rings, added up now and then, so that reading is a handful of loads.
#[derive(Debug, Default)]
struct Sums {
    at: AtomicU64,
    /// Attempts that uptime is of, and those that were answered well.
    uptime: AtomicU64,
    /// Answers with tool calls, and those whose calls were all valid.
    tools: AtomicU64,
    latency: PackedMarks,
    throughput: PackedMarks,
}

/// Marks in one word, so that readers never see half of them.
#[derive(Debug, Default)]
struct PackedMarks(AtomicU64);

/// Counts that are not reported yet.
#[derive(Debug, Default)]
struct Unreported {
    is_changed: AtomicBool,
    counts: [AtomicU32; COUNTS],
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            breaker: Breaker::new(ENDPOINT),
            counts: Ring::default(),
            latency: Measured::default(),
            throughput: Measured::default(),
            failed_at: AtomicU64::default(),
            succeeded_at: AtomicU64::default(),
            sums: Sums::default(),
            unreported: Unreported::default(),
            fleet: ArcSwapOption::empty(),
        }
    }
}

impl Cell {
    /// Takes an attempt that ended now.
    pub fn tell(&self, now: Millis, report: &Report<'_>) {
        let slot = slot(now, SLOT);
        let count = report.count();
        if let Some(count) = count {
            self.count(slot, count);
        }
        self.measure(now, report);
        let told = match count {
            None if report.outcome == Outcome::Outrun => Told::Outrun,
            None => Told::Nothing,
            Some(_) if report.is_about_the_credential() => Told::Nothing,
            Some(Count::Ok) => Told::Well,
            Some(Count::RateLimited) => Told::Limited(report.retry_after),
            Some(count) if count.is_infrastructure() => Told::Failed { ratio: self.is_mostly_failing(slot) },
            Some(_) => Told::Nothing,
        };
        match count {
            Some(Count::Ok) => self.succeeded_at.store(now, Ordering::Relaxed),
            Some(_) if !report.is_about_the_credential() => self.failed_at.store(now, Ordering::Relaxed),
            Some(_) | None => {}
        }
        let age = report.duration.saturating_add(report.held);
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.breaker.tell(now.saturating_sub(age).max(1), now, report.seed, told);
    }

    /// Takes what was found in an answer with tool calls.
    pub fn tell_tools(&self, now: Millis, are_valid: bool) {
        self.count(slot(now, SLOT), if are_valid { Count::ToolsValid } else { Count::ToolsInvalid });
    }

    fn count(&self, slot: u32, count: Count) {
        self.counts.add(slot, count.place(), 1);
        self.unreported.count(count);
    }

    fn measure(&self, now: Millis, report: &Report<'_>) {
        let slot = slot(now, SKETCH_SLOT);
        if let Some(latency) = report.latency_ms() {
            self.latency.record(slot, latency);
        }
        if let Some(speed) = report.tokens_per_second() {
            self.throughput.record(slot, speed / f64::from(THROUGHPUT_UNIT));
        }
    }

    /// Whether at least half of the last minute's attempts, and enough of them, failed by the provider's fault.
    /// What came before the breaker closed again is over.
    fn is_mostly_failing(&self, now: u32) -> bool {
        let closed = self.breaker.closed_at();
        let first = if closed > 0 { slot(closed, SLOT) + 1 } else { 0 };
        let slots = ring::last(RATIO_SLOTS, now);
        let counts = self.counts.sums(first.max(*slots.start())..=*slots.end());
        let failed = sum(&counts, Count::is_infrastructure);
        let all = failed.saturating_add(counts[Count::Ok.place()]);
        all >= RATIO_ATTEMPTS && failed >= all.div_ceil(2)
    }

    /// How it does at this time.
    pub fn reading(&self, now: Millis) -> Reading {
        self.add_up(now);
        let (requests, ok) = split(self.sums.uptime.load(Ordering::Relaxed));
        let (tool_requests, tools_ok) = split(self.sums.tools.load(Ordering::Relaxed));
        let uptime_permille = permille(ok, requests);
        let own = Reading {
            state: self.breaker.state(now),
            recent_outage: self.is_out(now),
            uptime: Band::of(uptime_permille, requests),
            uptime_permille,
            requests,
            latency_ms: Quantiles::of(self.sums.latency.get(), 1.0),
            throughput: Quantiles::of(self.sums.throughput.get(), THROUGHPUT_UNIT),
            tool_success_permille: permille(tools_ok, tool_requests),
            tool_requests,
        };
        let fleet = self.fleet.load();
        match fleet.as_deref().filter(|view| view.until > now) {
            Some(view) => {
                let (_, answered) = self.ages(now);
                view.complete(own, answered.is_some_and(|age| age <= OUTAGE))
            }
            None => own,
        }
    }

    /// Takes what was counted since it was last taken; `None` if nothing was.
    pub fn take_unreported(&self) -> Option<(Counts, Sketch, Sketch)> {
        if !self.unreported.is_changed.swap(false, Ordering::Relaxed) {
            return None;
        }
        let counts = self.unreported.counts.each_ref().map(|count| count.swap(0, Ordering::Relaxed));
        Some((counts, self.latency.take_unreported(), self.throughput.take_unreported()))
    }

    /// Whether it failed within the last half minute and has not answered well since.
    fn is_out(&self, now: Millis) -> bool {
        let failed = self.failed_at.load(Ordering::Relaxed);
        failed > self.succeeded_at.load(Ordering::Relaxed) && now.saturating_sub(failed) <= OUTAGE
    }

    /// Milliseconds since the last failure and the last success.
    pub fn ages(&self, now: Millis) -> (Option<Millis>, Option<Millis>) {
        let age = |at: &AtomicU64| {
            Some(at.load(Ordering::Relaxed)).filter(|at| *at > 0).map(|at| now.saturating_sub(at))
        };
        (age(&self.failed_at), age(&self.succeeded_at))
    }

    /// Adds up the rings again where that was a while ago. One thread does it; the others read what was.
    fn add_up(&self, now: Millis) {
        let at = self.sums.at.load(Ordering::Relaxed);
        let is_fresh = at > 0 && now.saturating_sub(at) < FRESH;
        if is_fresh || self.sums.at.compare_exchange(at, now, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let counts: Counts = self.counts.sums(ring::last(SLOTS as u32, slot(now, SLOT)));
        let ok = counts[Count::Ok.place()];
        let valid = counts[Count::ToolsValid.place()];
        let down = sum(&counts, Count::is_downtime);
        self.sums.uptime.store(join(ok.saturating_add(down), ok), Ordering::Relaxed);
        let tools = valid.saturating_add(counts[Count::ToolsInvalid.place()]);
        self.sums.tools.store(join(tools, valid), Ordering::Relaxed);
        let slot = slot(now, SKETCH_SLOT);
        self.sums.latency.set(self.latency.recent(slot).marks(Better::Lower));
        self.sums.throughput.set(self.throughput.recent(slot).marks(Better::Higher));
    }
}

impl PackedMarks {
    fn set(&self, marks: Marks) {
        self.0.store(join(marks.samples, u32::from_le_bytes(marks.buckets)), Ordering::Relaxed);
    }

    fn get(&self) -> Marks {
        let (samples, buckets) = split(self.0.load(Ordering::Relaxed));
        Marks { samples, buckets: buckets.to_le_bytes() }
    }
}

impl Unreported {
    fn count(&self, count: Count) {
        self.counts[count.place()].fetch_add(1, Ordering::Relaxed);
        self.is_changed.store(true, Ordering::Relaxed);
    }
}

/// The slot of a time.
fn slot(now: Millis, length: Millis) -> u32 {
    u32::try_from(now / length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
