//! What a run is judged by, and how it is told.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use switchyard_control_plane::domain::proof::Proof;

use crate::soak::books::Books;
use crate::soak::load::Tally;
use crate::soak::plan::{KINDS, Kind, Plan};
use crate::soak::reckoning::Reckoning;
use crate::soak::watch::{Stranded, Watched};

/// What a run of a minute must reach to mean something; longer runs in proportion.
const REQUESTS: f64 = 20_000.0;
const FAULTS: f64 = 30.0;
const SPENT_KEYS: f64 = 50.0;
const REFUSED: f64 = 100.0;
/// Of ten a second: a store that is struck does not answer.
const LOOKS: f64 = 100.0;

/// One run from its plan to its reckoning.
#[derive(Debug)]
pub struct Report {
    pub plan: Plan,
    /// Requests a second before the first fault.
    pub speed: f64,
    pub loaded: Duration,
    pub took: Duration,
    /// From the end of the load until everything was booked and given back.
    pub quiet: Duration,
    /// How often parts were started again because they had ended by themselves.
    pub revived: u32,
    pub tally: Tally,
    pub watched: Watched,
    pub proof: Proof,
    pub books: Books,
    pub reckoning: Reckoning,
    /// What parts said that had ended by themselves and were not started again.
    pub strays: Vec<String>,
}

impl Report {
    /// Nano-dollars: what accounts were over their limits at the worst look, and what was charged that nobody held.
    pub fn overspend(&self) -> i64 {
        self.watched.overspend.max(self.reckoning.overspend) + self.books.uncovered
    }

    /// What the lab billed and the ledger lacks, and what the ledger itself does not add up to.
    pub fn lost(&self) -> u64 {
        let unbooked = u64::try_from(self.books.quarantined).unwrap_or(0);
        // Without the condition the accounts' own sums are kept elsewhere.
        let unproven = if self.plan.is_unguarded { 0 } else { self.proof.differences.len() };
        self.reckoning.lost + unbooked + unproven as u64
    }

    /// Whether everything that is promised was kept.
    pub fn is_clean(&self) -> bool {
        self.overspend() == 0 && self.lost() == 0 && self.strays.is_empty()
    }

    /// What is left with data planes, in nano-dollars.
    pub fn stranded(&self) -> i64 {
        self.books.lent() + self.books.presumed()
    }

    pub fn faults(&self, kind: Kind) -> usize {
        self.plan.faults.iter().filter(|fault| fault.kind == kind).count()
    }

    /// What all accounts together may spend, in nano-dollars.
    pub fn limits(&self) -> i64 {
        self.reckoning.limits
    }

    /// The floors that were missed. A slow machine is asked for a share of the requests, and not for what follows from many.
    pub fn shortfalls(&self, share: f64) -> Vec<String> {
        let of_many = if share < 1.0 { 0.0 } else { 1.0 };
        let minutes = self.plan.lasts.as_secs_f64() / 60.0;
        let mut short = Vec::new();
        let mut floor = |what: &str, seen: f64, least: f64| {
            if seen < least {
                short.push(format!("{what}: {seen:.0} of at least {least:.0}"));
            }
        };
        floor("requests", self.tally.sent as f64, REQUESTS * minutes * share);
        floor("faults", self.plan.faults.len() as f64, FAULTS * minutes.max(1.0));
        floor("keys spent", self.reckoning.spent_keys as f64, SPENT_KEYS * minutes * of_many);
        floor("refused for money", self.tally.refused_for_money as f64, REFUSED * minutes * of_many);
        floor("looks at the accounts", (self.watched.looks - self.watched.missed) as f64, LOOKS * minutes);
        for kind in KINDS {
            floor(kind.name(), self.faults(kind) as f64, 2.0);
        }
        short
    }

    /// `requests N faults N overspend_nano N lost N`.
    pub fn last_line(&self) -> String {
        let (requests, faults) = (self.tally.sent, self.plan.faults.len());
        format!(
            "requests {requests} faults {faults} overspend_nano {} lost {}",
            self.overspend(),
            self.lost()
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, tally, watched, books, reckoning, .. } = self;
        writeln!(
            f,
            "seed {} ({:.0} s of load, {:.0} s in all)",
            plan.seed,
            self.loaded.as_secs_f64(),
            self.took.as_secs_f64()
        )?;
        writeln!(f, "\nfaults")?;
        for kind in KINDS {
            let faults = plan.faults.iter().filter(|fault| fault.kind == kind);
            let lasted: Duration = faults.map(|fault| fault.lasts).sum();
            writeln!(f, "  {:<38} {:>6} {:>8.1} s", kind.name(), self.faults(kind), lasted.as_secs_f64())?;
        }
        writeln!(
            f,
            "  {:<38} {:>6}",
            "parts that ended by themselves",
            self.revived as usize + self.strays.len()
        )?;
        writeln!(f, "\ncalls ({:.0} a second before the first fault)", self.speed)?;
        for (word, count) in by_count(&tally.ended) {
            writeln!(f, "  {word:<38} {count:>6}")?;
        }
        writeln!(
            f,
            "\nlines {:>52} {:>11} {:>11} {:>13} {:>13}",
            "lines", "lab nano", "ledger nano", "over", "short"
        )?;
        for ((provenance, outcome), row) in &reckoning.rows {
            let (over, short) =
                (format!("{} {}", row.over.0, row.over.1), format!("{} {}", row.short.0, row.short.1));
            let name = format!("{provenance}, {outcome}");
            writeln!(
                f,
                "  {name:<48} {:>6} {:>11} {:>11} {over:>13} {short:>13}",
                row.lines, row.billed, row.booked
            )?;
        }
        let Reckoning { calls, billed_calls, billed, lines, spent_keys, .. } = reckoning;
        writeln!(
            f,
            "  the lab saw {calls} calls, billed {billed_calls} of them with {billed} nano-dollars; the ledger has {lines} lines"
        )?;
        for lost in &reckoning.named {
            writeln!(f, "  lost: {lost}")?;
        }
        if !self.proof.holds() && !plan.is_unguarded {
            writeln!(f, "  does not add up: {:?}", self.proof)?;
        }
        writeln!(f, "\naccounts")?;
        writeln!(f, "  looks {}, missed {} (the store was away)", watched.looks, watched.missed)?;
        writeln!(
            f,
            "  keys that ended within 5 % of their limit {spent_keys}; refused for money {}",
            tally.refused_for_money
        )?;
        if let Some((over, account)) = &watched.worst {
            writeln!(f, "  over its limit by {over}: {account}")?;
        }
        writeln!(
            f,
            "  charged without a lease {}; presumed lines {}; quarantined {}",
            books.uncovered, books.presumed_lines, books.quarantined
        )?;
        write_stranded(f, watched)?;
        writeln!(
            f,
            "  {:.1} s after the load {} nano-dollars are still lent, {} presumed",
            self.quiet.as_secs_f64(),
            books.lent(),
            books.presumed()
        )?;
        for said in &self.strays {
            writeln!(f, "  ended by itself: {said}")?;
        }
        writeln!(f, "{}", self.last_line())
    }
}

fn write_stranded(f: &mut fmt::Formatter<'_>, watched: &Watched) -> fmt::Result {
    let Some(most) = watched.stranded.iter().max_by_key(|stranded| stranded.amount) else { return Ok(()) };
    let longest = watched.stranded.iter().map(|stranded| stranded.lasted).max().unwrap_or_default();
    let Stranded { plane, amount, lasted } = most;
    writeln!(
        f,
        "  stranded {} times with data planes that were dead, frozen or cut off; at most {amount} nano-dollars ({} for {:.1} s), \
         the longest for {:.1} s; presumed at most {}",
        watched.stranded.len(),
        crate::soak::system::name(*plane),
        lasted.as_secs_f64(),
        longest.as_secs_f64(),
        watched.presumed
    )
}

fn by_count(ended: &BTreeMap<String, u64>) -> Vec<(&String, &u64)> {
    let mut rows: Vec<_> = ended.iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    rows
}
