//! The last good config on this instance's disk: a sealed base and sealed deltas after it.
//!
//! Appended at most once a second, made anew when the deltas outgrow the base. Without a key nothing is written. What
//! is on the disk is never older than what the disk has seen: an old copy put back is refused.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use prost::Message;
use switchyard_proto::clock;
use switchyard_proto::seal::SealKey;
use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::{self, Resource};

use crate::config::Current;
use crate::config::compile::compile;
use crate::config::snapshot::{Revision, Snapshot};

/// Deltas are folded into a new base beyond this many bytes and half the base.
const COMPACT_BYTES: u64 = 1 << 20;
/// How often an unchanged config is marked as still the newest.
const MARK_EVERY: chrono::TimeDelta = chrono::TimeDelta::seconds(60);

/// The config's place on disk.
#[derive(Debug)]
pub struct Disk {
    store: Option<Store>,
    seen: Option<Revision>,
    waiting: Vec<Kept>,
    marked_at: DateTime<Utc>,
}

#[derive(Debug)]
struct Store {
    folder: PathBuf,
    key: SealKey,
    base_bytes: u64,
    delta_bytes: u64,
    /// What is on the disk is not to be appended to: a write failed, or the last delta is torn.
    must_rebase: bool,
}

/// One push as it is kept.
#[derive(Clone, PartialEq, Message)]
struct Kept {
    #[prost(message, optional, tag = "1")]
    revision: Option<v1::Revision>,
    #[prost(bool, tag = "2")]
    full: bool,
    #[prost(message, repeated, tag = "3")]
    resources: Vec<Resource>,
}

/// The newest revision that this disk has seen, and when it was last known to be the newest.
#[derive(Clone, PartialEq, Message)]
struct Mark {
    #[prost(message, optional, tag = "1")]
    revision: Option<v1::Revision>,
    #[prost(int64, tag = "2")]
    confirmed_ms: i64,
}

/// What was found at start.
#[derive(Debug, Default)]
pub struct Found {
    /// Revision 0 if there was nothing to serve from.
    pub snapshot: Snapshot,
    /// How long ago it was last known to be the newest.
    pub age: Duration,
}

/// Why the config on disk is not used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("the config on disk could not be read")]
    Read(#[source] io::Error),
    #[error("the config on disk is damaged or was sealed with another key")]
    Unopenable,
    #[error("the config on disk is older than what this disk has seen")]
    Rollback,
}

impl Disk {
    /// Opens the folder and loads what it holds. Without a key nothing is read or written.
    pub fn open(data_dir: &Path, key: Option<SealKey>) -> (Self, Result<Found, DiskError>) {
        let Some(key) = key else { return (Self::without(), Ok(Found::default())) };
        let folder = data_dir.join("config");
        let mut store = Store { folder, key, base_bytes: 0, delta_bytes: 0, must_rebase: false };
        let found = store.load();
        let seen = store.mark().ok().flatten().and_then(|mark| mark.revision).map(revision);
        let marked_at = DateTime::UNIX_EPOCH;
        (Self { store: Some(store), seen, waiting: Vec::new(), marked_at }, found)
    }

    fn without() -> Self {
        Self { store: None, seen: None, waiting: Vec::new(), marked_at: DateTime::UNIX_EPOCH }
    }

    /// The newest revision that this disk has seen.
    pub fn seen(&self) -> Option<&Revision> {
        self.seen.as_ref()
    }

    /// Remembers a push until the next [`Disk::flush`].
    pub fn keep(&mut self, full: bool, resources: &[Resource], revision: &Revision) {
        if self.store.is_none() {
            return;
        }
        if full {
            self.waiting.clear();
        }
        let resources = resources.to_vec();
        self.waiting.push(Kept { revision: Some(revision.to_proto()), full, resources });
    }

    /// Writes what waits. A disk that fails is logged; the process serves on from memory.
    pub fn flush(&mut self, current: &Current) {
        let Some(store) = &mut self.store else { return };
        let now = clock::now();
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() && !store.must_rebase && now - self.marked_at < MARK_EVERY {
            return;
        }
        let snapshot = current.load();
        let written = store.write(&waiting, &snapshot).and_then(|()| store.put_mark(&snapshot.revision, now));
        match written {
            Ok(()) => {
                self.marked_at = now;
                self.seen = Some(snapshot.revision.clone());
            }
            Err(error) => {
                // A delta is missing now, so nothing may follow it.
                store.must_rebase = true;
                tracing::error!(%error, "the config could not be written to disk");
            }
        }
    }
}

impl Store {
    fn load(&mut self) -> Result<Found, DiskError> {
        let Some(mark) = self.mark()? else { return Ok(Found::default()) };
        let mut snapshot = Snapshot::default();
        let (base, deltas) = (self.read("base")?, self.read("deltas")?);
        (self.base_bytes, self.delta_bytes) = (base.len() as u64, deltas.len() as u64);
        let mut blobs = frames(&base);
        let whole = frames(&deltas);
        let whole_bytes: usize = whole.iter().map(|sealed| sealed.len() + 8).sum();
        self.must_rebase = whole_bytes < deltas.len();
        blobs.extend(whole);
        for blob in blobs {
            // A torn delta ends the file; what came before it counts, if the mark agrees.
            let Ok(plain) = self.key.open(blob, PLACE) else {
                self.must_rebase = true;
                break;
            };
            let kept = Kept::decode(plain.as_slice()).map_err(|_| DiskError::Unopenable)?;
            let next = revision(kept.revision.unwrap_or_default());
            let is_older =
                next.incarnation == snapshot.revision.incarnation && next.number <= snapshot.revision.number;
            if !kept.full && is_older {
                continue; // Deltas from before the base, left by a crash between two renames.
            }
            snapshot = compile(&snapshot, kept.full, kept.resources, next).snapshot;
        }
        let seen = revision(mark.revision.unwrap_or_default());
        if snapshot.revision.incarnation != seen.incarnation || snapshot.revision.number < seen.number {
            return Err(if snapshot.revision.number == 0 {
                DiskError::Unopenable
            } else {
                DiskError::Rollback
            });
        }
        let age_ms = clock::now().timestamp_millis().saturating_sub(mark.confirmed_ms);
        Ok(Found { snapshot, age: Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)) })
    }

    fn write(&mut self, waiting: &[Kept], snapshot: &Snapshot) -> io::Result<()> {
        if waiting.is_empty() && !self.must_rebase {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        let is_full = waiting.first().is_some_and(|kept| kept.full);
        if self.must_rebase || is_full || self.delta_bytes > COMPACT_BYTES.max(self.base_bytes / 2) {
            return self.rebase(snapshot);
        }
        let mut blob = Vec::new();
        for kept in waiting {
            frame(&self.key.seal(&kept.encode_to_vec(), PLACE), &mut blob);
        }
        let mut file = OpenOptions::new().create(true).append(true).open(self.folder.join("deltas"))?;
        file.write_all(&blob)?;
        file.sync_data()?;
        self.delta_bytes += blob.len() as u64;
        Ok(())
    }

    /// Writes the whole snapshot as a new base.
    fn rebase(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let kept =
            Kept { revision: Some(snapshot.revision.to_proto()), full: true, resources: resources(snapshot) };
        let mut blob = Vec::new();
        frame(&self.key.seal(&kept.encode_to_vec(), PLACE), &mut blob);
        // Old deltas must never follow a new base; without them a kill right here only falls back to the old mark.
        self.replace("deltas", &[])?;
        self.replace("base", &blob)?;
        (self.base_bytes, self.delta_bytes) = (blob.len() as u64, 0);
        self.must_rebase = false;
        Ok(())
    }

    fn mark(&self) -> Result<Option<Mark>, DiskError> {
        let sealed = self.read("seen")?;
        if sealed.is_empty() {
            return Ok(None);
        }
        let plain = self.key.open(&sealed, PLACE).map_err(|_| DiskError::Unopenable)?;
        Mark::decode(plain.as_slice()).map(Some).map_err(|_| DiskError::Unopenable)
    }

    fn put_mark(&self, revision: &Revision, now: DateTime<Utc>) -> io::Result<()> {
        if revision.number == 0 {
            return Ok(());
        }
        let mark = Mark { revision: Some(revision.to_proto()), confirmed_ms: now.timestamp_millis() };
        fs::create_dir_all(&self.folder)?;
        self.replace("seen", &self.key.seal(&mark.encode_to_vec(), PLACE))
    }

    /// Replaces a file as a whole or not at all.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (path, draft) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        let mut file = File::create(&draft)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(draft, path)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, DiskError> {
        match fs::read(self.folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(DiskError::Read),
        }
    }
}

/// What the seals are bound to.
const PLACE: &[u8] = b"switchyard data-plane config";

fn revision(wire: v1::Revision) -> Revision {
    Revision { incarnation: wire.incarnation.into(), number: wire.number }
}

/// Everything in a snapshot, as a full push would send it.
fn resources(snapshot: &Snapshot) -> Vec<Resource> {
    let catalogue = &snapshot.catalogue;
    let resource = |revision, body| Resource { revision, body: Some(body) };
    let providers =
        catalogue.providers.values().map(|row| resource(row.revision, Body::Provider(row.config.clone())));
    let models = catalogue.models.values().map(|row| resource(row.revision, Body::Model(row.config.clone())));
    let endpoints =
        catalogue.endpoints.values().map(|row| resource(row.revision, Body::Endpoint(row.config.clone())));
    let tenants =
        snapshot.tenants.values().map(|row| resource(row.revision, Body::Tenant(row.config.clone())));
    let policies =
        snapshot.policies.all().map(|row| resource(row.revision, Body::Policy(row.config.clone())));
    let presets = snapshot.presets.values().flat_map(|presets| presets.values());
    let presets = presets.map(|row| resource(row.revision, Body::Preset(row.config.clone())));
    let keys = snapshot.keys.values().map(|row| resource(row.revision, Body::Key(row.config.clone())));
    let credentials = snapshot.credentials.values().flat_map(|rows| rows.iter());
    let credentials = credentials.map(|row| resource(row.revision, Body::Credential(row.config.clone())));
    let pending = snapshot.pending.values().cloned();
    providers
        .chain(models)
        .chain(endpoints)
        .chain(tenants)
        .chain(credentials)
        .chain(policies)
        .chain(presets)
        .chain(keys)
        .chain(pending)
        .collect()
}

fn frame(sealed: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(sealed.len() as u64).to_le_bytes());
    out.extend_from_slice(sealed);
}

/// The whole frames in a file; a torn last one is left out.
fn frames(mut file: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((length, rest)) = file.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((sealed, rest)) = rest.split_at_checked(length) else { break };
        found.push(sealed);
        file = rest;
    }
    found
}

#[cfg(test)]
mod tests;
