//! Reads the journal of an earlier run: what was lent, and which attempts were cut off with the process.
//!
//! Called once, by `Journal::open`, before anything is written.

use std::{fs::OpenOptions, io, path::Path};

use super::{
    account::Account,
    frame::{self, Found, Kind},
    segment::{self, Position},
    state::{SessionMark, State},
};

/// What an earlier run left behind.
#[derive(Debug, Default)]
pub struct Replay {
    /// Money that this instance still holds, by the epoch that lent it.
    pub balances: Vec<(Account, u64, u64)>,
    /// The last session that the control plane accepted.
    pub session: Option<SessionMark>,
    /// Attempts that were open and are now closed at their reservation.
    pub interrupted: usize,
    /// Stretches that could not be read and were put aside.
    pub damaged: usize,
}

/// The sum of all records, and how many stretches were damaged.
pub(super) fn read(dir: &Path, segments: &[(u64, u64)]) -> io::Result<(State, usize)> {
    let (mut state, mut damaged) = (State::default(), 0);
    let first = newest_checkpoint(dir, segments)?;
    for (number, _) in &segments[first..] {
        let is_last = segments.last().is_some_and(|(last, _)| last == number);
        damaged += fold(dir, *number, is_last, &mut state)?;
    }
    if damaged > 0 && !state.balances.is_empty() {
        // A lost intent has spent money that is still in the balance here: better to leave it all lent.
        tracing::error!(
            leases = state.balances.len(),
            "the journal is damaged: leases of the last run are not used"
        );
        state.balances.clear();
    }
    Ok((state, damaged))
}

/// A process that died while it began a segment leaves one without a whole checkpoint.
fn newest_checkpoint(dir: &Path, segments: &[(u64, u64)]) -> io::Result<usize> {
    for (index, (number, length)) in segments.iter().enumerate().rev() {
        let bytes = segment::read(dir, Position { segment: *number, offset: 0 }, *length)?;
        if let Found::Record { kind: Kind::Checkpoint, payload, .. } = frame::find(&bytes, 0)
            && State::default().fold(Kind::Checkpoint, payload).is_ok()
        {
            return Ok(index);
        }
    }
    Ok(0)
}

fn fold(dir: &Path, number: u64, is_last: bool, state: &mut State) -> io::Result<usize> {
    let bytes = segment::read(dir, Position { segment: number, offset: 0 }, u64::MAX)?;
    let (mut from, mut damaged) = (0, 0);
    let mut put_aside = |at: std::ops::Range<usize>| {
        damaged += 1;
        segment::keep_aside(dir, Position { segment: number, offset: at.start as u64 }, &bytes[at]);
    };
    loop {
        match frame::find(&bytes, from) {
            Found::Record { kind, payload, at } => {
                from = at.end;
                if state.fold(kind, payload).is_err() {
                    put_aside(at);
                }
            }
            Found::Damaged { at } => {
                from = at.end;
                put_aside(at);
            }
            Found::End { torn } if is_last => {
                cut(dir, number, torn.start as u64, torn.len())?;
                return Ok(damaged);
            }
            Found::End { torn } => {
                if !torn.is_empty() {
                    put_aside(torn);
                }
                return Ok(damaged);
            }
        }
    }
}

/// Ends a segment at its last whole record.
fn cut(dir: &Path, number: u64, end: u64, torn_bytes: usize) -> io::Result<()> {
    if torn_bytes > 0 {
        tracing::warn!(
            segment = number,
            torn_bytes,
            "the journal's last record was cut off with the process"
        );
    }
    OpenOptions::new().write(true).open(segment::path(dir, number))?.set_len(end)
}
