//! Reads the journal of an earlier run: what was lent, and which attempts were cut off with the process.
//!
//! Called by `Journal::open`, before anything is written, and by who only looks.

use std::{fs::OpenOptions, io, ops::Range, path::Path};

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

/// The sum of all records, and how many stretches were damaged: those are put aside, and the torn end is cut off.
pub(super) fn read(dir: &Path, segments: &[(u64, u64)]) -> io::Result<(State, usize)> {
    let Sum { state, damaged, end } = sum(dir, segments)?;
    for (at, bytes) in &damaged {
        segment::keep_aside(dir, *at, bytes);
    }
    if let Some((end, torn_bytes)) = end {
        cut(dir, end, torn_bytes)?;
    }
    Ok((state, damaged.len()))
}

/// What segments add up to.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub state: State,
    /// Stretches that could not be read.
    pub damaged: Vec<(Position, Vec<u8>)>,
    /// Where the last whole record ends, and the bytes behind it that are the beginning of another.
    end: Option<(Position, usize)>,
}

/// Adds the records up and changes nothing.
pub(super) fn sum(dir: &Path, segments: &[(u64, u64)]) -> io::Result<Sum> {
    let mut sum = Sum::default();
    let first = newest_checkpoint(dir, segments)?;
    for (number, _) in &segments[first..] {
        let is_last = segments.last().is_some_and(|(last, _)| last == number);
        let bytes = segment::read(dir, Position { segment: *number, offset: 0 }, u64::MAX)?;
        sum.fold(*number, &bytes, is_last);
    }
    if !sum.damaged.is_empty() && !sum.state.balances.is_empty() {
        // A lost intent has spent money that is still in the balance here: better to leave it all lent.
        tracing::error!(
            leases = sum.state.balances.len(),
            "the journal is damaged: leases of the last run are not used"
        );
        sum.state.balances.clear();
    }
    Ok(sum)
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

impl Sum {
    fn fold(&mut self, segment: u64, bytes: &[u8], is_last: bool) {
        let position = |offset: usize| Position { segment, offset: offset as u64 };
        let mut put_aside = |at: Range<usize>| self.damaged.push((position(at.start), bytes[at].to_vec()));
        for found in frame::walk(bytes) {
            match found {
                Found::Record { kind, payload, at } => {
                    if self.state.fold(kind, payload).is_err() {
                        put_aside(at);
                    }
                }
                Found::Damaged { at } => put_aside(at),
                Found::End { torn } if is_last => self.end = Some((position(torn.start), torn.len())),
                Found::End { torn } if torn.is_empty() => {}
                Found::End { torn } => put_aside(torn),
            }
        }
    }
}

/// Ends a segment at its last whole record.
fn cut(dir: &Path, end: Position, torn_bytes: usize) -> io::Result<()> {
    if torn_bytes > 0 {
        tracing::warn!(
            segment = end.segment,
            torn_bytes,
            "the journal's last record was cut off with the process"
        );
    }
    OpenOptions::new().write(true).open(segment::path(dir, end.segment))?.set_len(end.offset)
}
