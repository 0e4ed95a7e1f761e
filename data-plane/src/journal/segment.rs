//! Files of the journal: `<number>.log`, written at the end only, with zeros ahead of the end.
//!
//! The zeros hold the disk space that closings were promised: they are written before an intent is taken, so a full
//! disk is met there and not at an ending.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Zeros are written this many bytes at a time.
const STRIDE: u64 = 256 << 10;
static ZEROS: [u8; STRIDE as usize] = [0; STRIDE as usize];

/// A place in the journal: segment number and byte offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub segment: u64,
    pub offset: u64,
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Segment {
    pub number: u64,
    file: Arc<File>,
    /// Where the next record goes.
    pub end: u64,
    /// Up to here the disk space is ours.
    prepared: u64,
}

impl Segment {
    /// A new file that begins with `first` and has `room` bytes ready behind it.
    pub fn create(dir: &Path, number: u64, first: &[u8], room: u64) -> io::Result<Self> {
        let path = path(dir, number);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let mut segment = Self { number, file: Arc::new(file), end: 0, prepared: 0 };
        let filled = segment.append(first).and_then(|()| segment.prepare(room));
        match filled {
            Ok(()) => Ok(segment),
            Err(error) => {
                // Half a segment would only take space; nothing in it is needed.
                fs::remove_file(&path).ok();
                Err(error)
            }
        }
    }

    /// Makes sure that `room` bytes behind the end can be written.
    pub fn prepare(&mut self, room: u64) -> io::Result<()> {
        while self.prepared < self.end + room {
            self.file.write_all_at(&ZEROS, self.prepared)?;
            self.prepared += STRIDE;
        }
        Ok(())
    }

    /// Writes at the end; a failed write leaves the end where it was.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        self.prepared = self.prepared.max(self.end);
        Ok(())
    }

    /// Whether the disk takes a write: of a zero, where the next record will be.
    pub fn probe(&self) -> io::Result<()> {
        self.file.write_all_at(&[0], self.end)
    }

    #[cfg(test)]
    pub fn swap_file(&mut self, file: Arc<File>) -> Arc<File> {
        std::mem::replace(&mut self.file, file)
    }

    /// Gives the unused space back: nothing will be written here any more.
    pub fn seal(&self) {
        if let Err(error) = self.file.set_len(self.end) {
            tracing::warn!(%error, segment = self.number, "a full journal segment keeps its unused space");
        }
    }

    /// The file, for flushing without a lock.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }
}

/// Where a segment is.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.log"))
}

/// Numbers and sizes of all segments, oldest first.
pub(super) fn list(dir: &Path) -> io::Result<Vec<(u64, u64)>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|name| name.parse().ok());
        if let Some(number) = number {
            segments.push((number, entry.metadata()?.len()));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// Reads up to `most` bytes of a segment.
pub(super) fn read(dir: &Path, from: Position, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path(dir, from.segment))?;
    let length = file.metadata()?.len().saturating_sub(from.offset).min(most);
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, from.offset)?;
    Ok(bytes)
}

/// Puts unreadable bytes where an operator finds them.
pub(super) fn keep_aside(dir: &Path, at: Position, bytes: &[u8]) {
    let name = format!("damaged-{:020}-{}.raw", at.segment, at.offset);
    tracing::error!(
        segment = at.segment,
        offset = at.offset,
        bytes = bytes.len(),
        file = name,
        "skipped a damaged stretch of the journal"
    );
    if let Err(error) = fs::write(dir.join(&name), bytes) {
        tracing::error!(%error, file = name, "could not keep a damaged stretch of the journal");
    }
}
