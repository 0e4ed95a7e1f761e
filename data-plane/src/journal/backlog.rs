//! What the control plane has not acknowledged yet, read back from the segments in order.
//!
//! Always from disk: what was just written is in the page cache, and memory stays flat however long the backlog is.
//! Called by `usage::ship`, on threads that may block.

use std::{fs, io};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Journal,
    frame::{self, Found, Kind},
    home::{self, Acknowledged},
    payload,
    segment::{self, Position},
};

/// Bytes read at once.
const CHUNK: u64 = 1 << 20;

/// Closings and generations in the order they were written.
#[derive(Debug, Default)]
pub struct Batch {
    /// Encoded `UsageRecord`s.
    pub records: Vec<Bytes>,
    /// One per record; empty where the request was not sampled.
    pub traceparents: Vec<String>,
    /// Acknowledge this when the records are booked.
    pub upto: Position,
    /// No more was to be in it; there may be more behind it.
    pub is_full: bool,
}

impl Journal {
    /// The next records behind `from`, at most so many and about so many bytes; none when all is acknowledged.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn backlog(&self, from: Position, most: usize, most_bytes: usize) -> io::Result<Batch> {
        let mut batch = Batch { upto: from, ..Batch::default() };
        let mut bytes = 0;
        while batch.records.len() < most && bytes < most_bytes {
            let (end, next) = self.writer().extent(batch.upto.segment);
            if batch.upto.offset < end {
                bytes += self.read_some(&mut batch, end, most, most_bytes - bytes)?;
            } else if let Some(segment) = next {
                batch.upto = Position { segment, offset: 0 };
            } else {
                break;
            }
        }
        batch.is_full = batch.records.len() >= most || bytes >= most_bytes;
        Ok(batch)
    }

    /// Adds records of one segment; the bytes that they take.
    fn read_some(&self, batch: &mut Batch, end: u64, most: usize, most_bytes: usize) -> io::Result<usize> {
        let mut wanted = CHUNK;
        loop {
            let rest = end - batch.upto.offset;
            let bytes = segment::read(&self.dir, batch.upto, wanted.min(rest))?;
            let is_whole = bytes.len() as u64 == rest;
            let (read, taken) = self.take(batch, &bytes, is_whole, most, most_bytes);
            if read > 0 {
                return Ok(taken);
            }
            if wanted >= rest {
                // The segment is shorter than was written: its tail is lost, what follows is not.
                tracing::error!(
                    segment = batch.upto.segment,
                    "a journal segment is shorter than what was written"
                );
                batch.upto.offset = end;
                return Ok(0);
            }
            wanted *= 2;
        }
    }

    /// Moves over the records in `bytes`; how far, and the bytes that were added to the batch.
    fn take(
        &self,
        batch: &mut Batch,
        bytes: &[u8],
        is_whole: bool,
        most: usize,
        most_bytes: usize,
    ) -> (usize, usize) {
        let (start, mut from, mut taken) = (batch.upto, 0, 0);
        while from < bytes.len() && batch.records.len() < most && taken < most_bytes {
            let at = match frame::find(bytes, from) {
                Found::Record { kind, payload, at } => {
                    match add(batch, kind, payload) {
                        Some(added) => taken += added,
                        None => self.put_aside(start, bytes, at.clone()),
                    }
                    at
                }
                _ if !is_whole && frame::is_cut(bytes, from) => break,
                Found::Damaged { at } => {
                    self.put_aside(start, bytes, at.clone());
                    at
                }
                Found::End { .. } if !is_whole => break,
                Found::End { torn } => {
                    if !torn.is_empty() {
                        self.put_aside(start, bytes, torn);
                    }
                    from..bytes.len()
                }
            };
            from = at.end;
            batch.upto.offset = start.offset + from as u64;
        }
        (from, taken)
    }

    fn put_aside(&self, start: Position, bytes: &[u8], at: std::ops::Range<usize>) {
        let place = Position { offset: start.offset + at.start as u64, ..start };
        segment::keep_aside(&self.dir, place, &bytes[at]);
    }

    /// Until where the control plane has acknowledged.
    pub fn acknowledged(&self) -> Position {
        self.writer().acknowledged().upto
    }

    /// Remembers that all before `upto` is booked in a store of this incarnation. Blocks on the disk.
    pub fn acknowledge(&self, upto: Position, incarnation: &str) {
        let to = Acknowledged { upto, incarnation: incarnation.to_owned() };
        if let Err(error) = home::set_acknowledged(&self.dir, &to) {
            // Then known records are sent again after a restart, which does no harm.
            tracing::warn!(%error, "how far the journal is acknowledged could not be written down");
        }
        self.writer().acknowledge(to);
    }

    /// Offers everything that is still here again if the store is another incarnation; whether it did.
    pub fn offer_to(&self, incarnation: &str) -> bool {
        let (known, oldest) = {
            let writer = self.writer();
            (writer.acknowledged().clone(), writer.oldest())
        };
        if known.incarnation == incarnation {
            return false;
        }
        let is_first = known.incarnation.is_empty();
        self.acknowledge(if is_first { known.upto } else { oldest }, incarnation);
        !is_first
    }

    /// Where the next record will be.
    pub fn written(&self) -> Position {
        self.writer().written()
    }

    /// Bytes that are not acknowledged, and bytes in all.
    pub fn sizes(&self) -> (u64, u64) {
        let writer = self.writer();
        (writer.pending(), writer.total())
    }

    /// Deletes segments that were acknowledged longer ago than the setting says. Blocks on the disk.
    pub fn sweep(&self, now: DateTime<Utc>) {
        let (done, keep) = {
            let writer = self.writer();
            (writer.done(), writer.settings.keep_acknowledged)
        };
        let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
        for number in done {
            let Ok(modified) = segment::path(&self.dir, number).metadata().and_then(|file| file.modified())
            else {
                continue;
            };
            if now - DateTime::<Utc>::from(modified) < keep {
                return;
            }
            match fs::remove_file(segment::path(&self.dir, number)) {
                Ok(()) => self.writer().forget(number),
                Err(error) => {
                    tracing::warn!(%error, segment = number, "an old journal segment cannot be deleted")
                }
            }
        }
    }
}

/// The bytes that a record adds to the batch, 0 for those that stay here; `None` where its payload cannot be read.
fn add(batch: &mut Batch, kind: Kind, payload: &[u8]) -> Option<usize> {
    match kind {
        Kind::Closing | Kind::Generation => {
            let (traceparent, record) = payload::split(payload)?;
            batch.traceparents.push(traceparent.to_owned());
            batch.records.push(Bytes::copy_from_slice(record));
            Some(record.len())
        }
        Kind::Intent
        | Kind::Grant
        | Kind::Return
        | Kind::Checkpoint
        | Kind::Session
        | Kind::Doubt
        | Kind::Clear => Some(0),
    }
}
