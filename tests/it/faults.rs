//! Every fault of the lab against a whole system: what the caller sees, what was tried, what it costs, how that is known.
//!
//! Each fault has four cells in each dialect, and on each surface: streamed and whole, alone and with a healthy provider behind
//! it. What must be in a cell is written in `faults/table.rs` and `faults/dialects.rs`, by reasoning, and `docs/faults.md` is what was seen:
//! `SWITCHYARD_BLESS=1` writes the page once both agree.

mod cells;
mod dialects;
mod heard;
mod page;
mod surfaces;
mod system;
mod table;

use std::collections::BTreeSet;

use futures_util::StreamExt;
use switchyard_cli::fault_lab::behaviours;

use crate::failover::DIALECTS;
use crate::faults::cells::{Cell, Run, Seen};
use crate::faults::heard::Heard;
use crate::faults::surfaces::SURFACES;
use crate::faults::system::System;
use crate::faults::table::{ANSWERS, Asks, FRAMINGS, Load, ROWS};

/// Kinds of cells with how many of them are under way at once. What waits for a deadline is silent and goes together; what
/// works is few enough not to look like a slow provider. What is large keeps lab and router busy, so that nothing beside
/// it would be in time.
const AT_ONCE: [(Run, usize); 3] = [(Run::Quick, 24), (Run::Timed, 48), (Run::Heavy, 1)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_ends_as_the_table_says_in_every_dialect_and_on_every_surface() {
    let system = System::start().await;
    let mut runs = Vec::new();
    for (kind, at_once) in AT_ONCE {
        let cells = cells::all().into_iter().filter(|cell| cell.run() == kind);
        runs.extend(run(&system, cells, at_once).await);
    }
    runs.sort_by_key(|(cell, _)| cell.place);
    let seen = system.settled(runs).await;
    let wrong: Vec<String> = seen.iter().filter_map(Seen::wrong).collect();
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), seen.len(), wrong.join("\n"));
    page::hold(&seen);
}

async fn run(system: &System, cells: impl Iterator<Item = Cell>, at_once: usize) -> Vec<(Cell, Heard)> {
    let calls = cells.map(|cell| async move {
        let heard = system.call(&cell).await;
        (cell, heard)
    });
    futures_util::stream::iter(calls).buffer_unordered(at_once).collect().await
}

#[test]
fn every_behaviour_of_the_lab_is_in_the_table_or_is_no_fault() {
    let covered: BTreeSet<&str> = ROWS.iter().map(|row| row.fault).chain(ANSWERS.iter().copied()).collect();
    let is_covered = |name: &str, family: Option<&str>| {
        covered.contains(name) || covered.iter().any(|fault| family.is_some() && stem(fault) == stem(name))
    };
    for row in behaviours() {
        // Each status has a treatment of its own.
        let family = row.family.filter(|_| !row.name.starts_with("status-"));
        assert!(is_covered(row.name, family), "{}", row.name);
    }
    assert_eq!(covered.len(), ROWS.len() + ANSWERS.len(), "a fault stands in the table twice");
}

#[test]
fn every_fault_has_four_cells_in_every_dialect_unless_it_is_large_and_on_every_surface_that_can_ask_for_it() {
    let cells = cells::all();
    for row in ROWS {
        let dialects = match row.load {
            Load::Light => DIALECTS.len(),
            Load::Heavy => FRAMINGS.len(),
            Load::Giant => 1,
        };
        let others =
            SURFACES.iter().filter(|surface| !surface.is_chat() && surface.can_ask(row.asks)).count();
        assert!(others == 3 || (others == 2 && row.asks != Asks::Text), "{}", row.fault);
        let of_row = cells.iter().filter(|cell| cell.row.fault == row.fault);
        assert_eq!(of_row.count(), 4 * (dialects + others), "{}", row.fault);
    }
}

/// A name without its numbers.
fn stem(name: &str) -> String {
    let is_word = |part: &&str| !part.starts_with(|first: char| first.is_ascii_digit());
    name.split('-').filter(is_word).collect::<Vec<_>>().join("-")
}
