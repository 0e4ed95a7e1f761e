//! The one writer: space is reserved when an intent is taken, so that its closing always fits.
//!
//! Held under the journal's lock; every call is a few microseconds of memory and one write(2). No flushing here.

use std::{collections::BTreeMap, fs, io, path::PathBuf, sync::Arc};

use super::{
    JournalError,
    frame::{self, Kind},
    home::{self, Acknowledged},
    segment::{self, Position, Segment},
    state::State,
};
use crate::settings;

/// Room for an intent with its closing, mostly; with less the next one may be refused.
const FOR_ONE: u64 = 16 << 10;

/// Where records go, and what they add up to.
#[derive(Debug)]
pub(super) struct Writer {
    pub dir: PathBuf,
    pub settings: settings::Journal,
    pub state: State,
    segment: Segment,
    /// Sizes of the segments before the current one.
    sealed: BTreeMap<u64, u64>,
    /// Bytes that open intents may still need for their closings.
    promised: u64,
    acknowledged: Acknowledged,
    /// Bytes behind the acknowledged position.
    pending: u64,
    /// Closings that the disk refused in spite of their promise, to be written before anything else.
    owed: Vec<Vec<u8>>,
    /// Sealed since the last flush; nothing collects here while the setting leaves flushing to the system.
    unflushed: Vec<Arc<fs::File>>,
    /// The disk refused a record, and has taken none since.
    is_refused: bool,
}

impl Writer {
    /// Begins a segment behind those of earlier runs.
    pub fn begin(dir: PathBuf, settings: settings::Journal, state: State) -> io::Result<Self> {
        let sealed: BTreeMap<u64, u64> = segment::list(&dir)?.into_iter().collect();
        let acknowledged = home::acknowledged(&dir);
        let number = sealed.keys().last().copied().unwrap_or(0).max(acknowledged.upto.segment) + 1;
        let first = checkpoint(&state);
        let segment = Segment::create(&dir, number, &first, 0)?;
        let mut writer = Self {
            dir,
            settings,
            state,
            segment,
            sealed,
            promised: 0,
            acknowledged,
            pending: 0,
            owed: Vec::new(),
            unflushed: Vec::new(),
            is_refused: false,
        };
        writer.pending = writer.distance(writer.acknowledged.upto);
        Ok(writer)
    }

    /// Takes an intent, and `promise` bytes for its closing.
    pub fn intend(&mut self, record: &[u8], promise: u64) -> Result<(), JournalError> {
        let needed = record.len() as u64 + promise;
        self.settle_debts()?;
        if self.pending + self.promised + needed > self.settings.max_bytes {
            return Err(JournalError::Full { max_bytes: self.settings.max_bytes });
        }
        if self.segment.end >= self.settings.segment_bytes {
            self.roll();
        }
        self.make_room(needed)?;
        self.append(record).map_err(JournalError::Disk)?;
        self.promised += promise;
        Ok(())
    }

    /// Whether `needed` bytes instead of the `promised` ones can be written.
    pub fn stretch(&mut self, promise: u64, needed: u64) -> bool {
        needed <= promise || self.make_room(needed - promise).is_ok()
    }

    /// Writes the closing that was promised `promise` bytes.
    pub fn close(&mut self, records: Vec<u8>, promise: u64) {
        self.promised = self.promised.saturating_sub(promise);
        if let Err(error) = self.append(&records) {
            tracing::error!(%error, "the disk refused a closing; it is kept in memory until the disk takes it");
            self.promised += records.len() as u64;
            self.owed.push(records);
        }
    }

    /// Writes a record that nothing was promised to.
    pub fn note(&mut self, record: &[u8]) -> Result<(), JournalError> {
        self.settle_debts()?;
        self.make_room(record.len() as u64)?;
        self.append(record).map_err(JournalError::Disk)
    }

    /// Whether another record would be taken, as far as the setting goes.
    pub fn has_room(&self) -> bool {
        self.owed.is_empty() && self.pending + self.promised + FOR_ONE <= self.settings.max_bytes
    }

    /// Whether another intent would be taken. Tries the disk where that is not known: who is not ready is sent nothing, so
    /// no intent would find out that it is well again.
    pub fn accepts(&mut self) -> bool {
        if self.is_refused && self.segment.probe().is_ok() {
            self.is_refused = false;
        }
        !self.is_refused && self.settle_debts().is_ok() && self.has_room() && self.make_room(FOR_ONE).is_ok()
    }

    /// Whether half of the room is free.
    pub fn has_plenty(&self) -> bool {
        self.owed.is_empty() && self.pending + self.promised < self.settings.max_bytes / 2
    }

    /// Bytes that the control plane has not acknowledged.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// Bytes of all segments, acknowledged ones included.
    pub fn total(&self) -> u64 {
        self.sealed.values().sum::<u64>() + self.segment.end
    }

    /// Where the next record will be.
    pub fn written(&self) -> Position {
        Position { segment: self.segment.number, offset: self.segment.end }
    }

    /// The files that were written since the last call, for flushing without the lock.
    pub fn unflushed(&mut self) -> Vec<Arc<fs::File>> {
        let mut files = std::mem::take(&mut self.unflushed);
        files.push(self.segment.file());
        files
    }

    /// Until where records are acknowledged, by which incarnation.
    pub fn acknowledged(&self) -> &Acknowledged {
        &self.acknowledged
    }

    /// Moves the acknowledged position; backwards when another incarnation must hear everything again.
    pub fn acknowledge(&mut self, to: Acknowledged) {
        self.pending = self.distance(to.upto);
        self.acknowledged = to;
    }

    /// The oldest record that is still there.
    pub fn oldest(&self) -> Position {
        let segment = self.sealed.keys().next().copied().unwrap_or(self.segment.number);
        Position { segment, offset: 0 }
    }

    /// The end of a segment and, if it is sealed, the number of the next.
    pub fn extent(&self, segment: u64) -> (u64, Option<u64>) {
        if segment == self.segment.number {
            return (self.segment.end, None);
        }
        let next = self.sealed.range(segment + 1..).next().map_or(self.segment.number, |(number, _)| *number);
        (self.sealed.get(&segment).copied().unwrap_or(0), Some(next))
    }

    /// Sealed and wholly acknowledged segments that replay does not need, oldest first.
    pub fn done(&self) -> Vec<u64> {
        let spare = self.sealed.len().saturating_sub(1);
        let numbers = self.sealed.keys().take(spare);
        numbers.copied().filter(|number| *number < self.acknowledged.upto.segment).collect()
    }

    /// A segment that [`Writer::done`] named was deleted.
    pub fn forget(&mut self, number: u64) {
        self.sealed.remove(&number);
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let appended = self.segment.append(bytes);
        self.is_refused = appended.is_err();
        appended?;
        self.pending += bytes.len() as u64;
        Ok(())
    }

    /// A disk without room first loses what is kept only for a restored store.
    fn make_room(&mut self, needed: u64) -> Result<(), JournalError> {
        let room = self.promised + needed;
        while let Err(error) = self.segment.prepare(room) {
            let oldest = self.done().first().copied().ok_or(JournalError::Disk(error))?;
            tracing::warn!(segment = oldest, "the disk is full: an acknowledged journal segment goes early");
            fs::remove_file(segment::path(&self.dir, oldest)).map_err(JournalError::Disk)?;
            self.forget(oldest);
        }
        Ok(())
    }

    fn settle_debts(&mut self) -> Result<(), JournalError> {
        while let Some(records) = self.owed.last() {
            let (bytes, records) = (records.len() as u64, records.clone());
            self.append(&records).map_err(JournalError::Disk)?;
            self.promised = self.promised.saturating_sub(bytes);
            self.owed.pop();
        }
        Ok(())
    }

    /// Begins the next segment, or goes on in this one where that fails: then only its size is wrong.
    fn roll(&mut self) {
        let first = checkpoint(&self.state);
        match Segment::create(&self.dir, self.segment.number + 1, &first, self.promised) {
            Ok(next) => {
                self.segment.seal();
                if !self.settings.fsync_every.is_zero() {
                    self.unflushed.push(self.segment.file());
                }
                self.sealed.insert(self.segment.number, self.segment.end);
                self.pending += next.end;
                self.segment = next;
            }
            Err(error) => tracing::warn!(%error, "could not begin a journal segment; the old one grows"),
        }
    }

    #[cfg(test)]
    pub fn swap_file(&mut self, file: Arc<fs::File>) -> Arc<fs::File> {
        self.segment.swap_file(file)
    }

    fn distance(&self, from: Position) -> u64 {
        let sealed: u64 = self.sealed.range(from.segment..).map(|(_, length)| *length).sum();
        (sealed + self.segment.end).saturating_sub(from.offset)
    }
}

fn checkpoint(state: &State) -> Vec<u8> {
    let mut record = Vec::new();
    frame::put(&mut record, Kind::Checkpoint, |out| out.extend_from_slice(&state.to_checkpoint()));
    record
}
