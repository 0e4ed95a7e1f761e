//! Every fault of the lab against a whole system: what the caller sees, what was tried, what it costs, how that is known.
//!
//! Each fault has four cells: streamed and whole, alone and with a healthy provider behind it. What must be in a cell is
//! written in `faults/table.rs`, by reasoning, and `docs/faults.md` is what was seen: `SWITCHYARD_BLESS=1` writes the page
//! once both agree.

mod cells;
mod page;
mod table;

use std::collections::BTreeSet;

use futures_util::StreamExt;
use switchyard_cli::fault_lab::behaviours;

use crate::faults::cells::{Cell, Seen, System};
use crate::faults::table::{ANSWERS, Load, ROWS};

/// Cells under way at once: enough to wait out the silent ones together, few enough not to look like a slow provider.
const AT_ONCE: usize = 12;

#[tokio::test]
async fn every_fault_ends_as_the_table_says() {
    let system = System::start().await;
    let (light, heavy): (Vec<Cell>, Vec<Cell>) =
        cells::all().into_iter().partition(|cell| cell.row.load == Load::Light);
    let mut runs = run(&system, light, AT_ONCE).await;
    // What is large keeps the lab and the router busy, so that nothing beside it would be in time.
    runs.extend(run(&system, heavy, 1).await);
    runs.sort_by_key(|(cell, _)| cell.place);
    let seen = system.settled(runs).await;
    let wrong: Vec<String> = seen.iter().filter_map(Seen::wrong).collect();
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), seen.len(), wrong.join("\n"));
    page::hold(&seen);
}

async fn run(system: &System, cells: Vec<Cell>, at_once: usize) -> Vec<(Cell, cells::Heard)> {
    let calls = cells.into_iter().map(|cell| async move {
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

/// A name without its numbers.
fn stem(name: &str) -> String {
    let is_word = |part: &&str| !part.starts_with(|first: char| first.is_ascii_digit());
    name.split('-').filter(is_word).collect::<Vec<_>>().join("-")
}
