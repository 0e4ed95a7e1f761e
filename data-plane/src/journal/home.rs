//! The instance's folder: its id, the lock that keeps a second process out, and how far records are acknowledged.
//!
//! The id belongs to the disk, not to the process, so a restarted instance still owns its leases.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use switchyard_proto::id::{self, InstanceId};

use super::{JournalError, segment::Position};

const INSTANCE: &str = "instance";
const LOCK: &str = "lock";
const ACKNOWLEDGED: &str = "acknowledged";
const PREFIX: &str = "dp_";
/// Length of the marker's line.
const MARKER: usize = 200;

/// Makes the journal's folder and takes its lock, held as long as the file.
pub(super) fn take(data_dir: &Path) -> Result<(PathBuf, File), JournalError> {
    let dir = data_dir.join("journal");
    fs::create_dir_all(&dir).map_err(|source| JournalError::Folder { path: dir.clone(), source })?;
    let path = dir.join(LOCK);
    let folder = |source| JournalError::Folder { path: path.clone(), source };
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(folder)?;
    match lock.try_lock() {
        Ok(()) => Ok((dir, lock)),
        Err(TryLockError::WouldBlock) => Err(JournalError::Taken { path: dir }),
        Err(TryLockError::Error(source)) => Err(JournalError::Folder { path, source }),
    }
}

/// Finds the journal's folder and takes its lock, and makes neither: no lock where no process ever took one.
pub(super) fn find(data_dir: &Path) -> Result<(PathBuf, Option<File>), JournalError> {
    let dir = data_dir.join("journal");
    if !dir.is_dir() {
        return Err(JournalError::Absent { path: data_dir.to_owned() });
    }
    let path = dir.join(LOCK);
    let lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((dir, None)),
        Err(source) => return Err(JournalError::Folder { path, source }),
    };
    match lock.try_lock() {
        Ok(()) => Ok((dir, Some(lock))),
        Err(TryLockError::WouldBlock) => Err(JournalError::Taken { path: dir }),
        Err(TryLockError::Error(source)) => Err(JournalError::Folder { path, source }),
    }
}

/// The id of this disk, if it has one.
pub(super) fn known_instance(data_dir: &Path) -> Option<InstanceId> {
    let text = fs::read_to_string(instance_file(data_dir)).ok()?;
    is_instance(text.trim()).then(|| InstanceId::new(text.trim()))
}

/// Where the id is.
pub(super) fn instance_file(data_dir: &Path) -> PathBuf {
    data_dir.join(INSTANCE)
}

/// The id of this disk, made on first use. Where it is lost, but not what was written under it, it is what the records
/// `seen` name: under another id nobody would book them.
pub(super) fn instance(
    data_dir: &Path,
    seen: impl FnOnce() -> io::Result<Option<InstanceId>>,
) -> Result<InstanceId, JournalError> {
    let path = instance_file(data_dir);
    let folder = |source| JournalError::Folder { path: path.clone(), source };
    match fs::read_to_string(&path) {
        Ok(text) if is_instance(text.trim()) => return Ok(InstanceId::new(text.trim())),
        Ok(_) => tracing::error!(path = %path.display(), "the instance's id is unreadable"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(folder(error)),
    }
    let found = seen().map_err(folder)?;
    if let Some(found) = &found {
        tracing::warn!(instance.id = found.as_str(), "the instance's id was taken from its journal");
    }
    let id = found.unwrap_or_else(|| InstanceId::new(id::random(PREFIX)));
    replace(&path, &format!("{id}\n")).map_err(folder)?;
    Ok(id)
}

/// The one id that records name, if they agree.
pub(super) fn agreed(named: &BTreeSet<String>) -> Option<InstanceId> {
    let mut named = named.iter();
    match (named.next(), named.next()) {
        (Some(only), None) if is_instance(only) => Some(InstanceId::new(only.as_str())),
        _ => None,
    }
}

fn is_instance(text: &str) -> bool {
    text.len() <= 64
        && text.strip_prefix(PREFIX).is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

/// How far the control plane has acknowledged, and which incarnation of its store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Acknowledged {
    pub upto: Position,
    pub incarnation: String,
}

/// Reads the marker; a lost one only means that known records are sent again.
pub(super) fn acknowledged(dir: &Path) -> Acknowledged {
    let text = fs::read_to_string(dir.join(ACKNOWLEDGED)).unwrap_or_default();
    parse(text.trim_end()).unwrap_or_default()
}

fn parse(text: &str) -> Option<Acknowledged> {
    let (crc, rest) = text.split_once(' ')?;
    let (segment, rest) = rest.split_once(' ')?;
    let (offset, incarnation) = rest.split_once(' ').unwrap_or((rest, ""));
    let upto = Position { segment: segment.parse().ok()?, offset: offset.parse().ok()? };
    let read = Acknowledged { upto, incarnation: incarnation.to_owned() };
    (crc == checksum(&read)).then_some(read)
}

fn checksum(marker: &Acknowledged) -> String {
    format!("{:08x}", crc32fast::hash(body(marker).as_bytes()))
}

fn body(marker: &Acknowledged) -> String {
    format!("{} {} {}", marker.upto.segment, marker.upto.offset, marker.incarnation)
}

/// Remembers the marker: overwritten in place, so that a full disk takes it too.
pub(super) fn set_acknowledged(dir: &Path, to: &Acknowledged) -> io::Result<()> {
    let line = format!("{} {}", checksum(to), body(to));
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(dir.join(ACKNOWLEDGED))?;
    // Always as long, so that nothing of an older line is left behind it.
    file.write_all_at(format!("{line:<MARKER$}\n").as_bytes(), 0)
}

/// Old or new contents, never a mixture.
fn replace(path: &Path, contents: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, contents)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_keeps_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let nobody = || Ok(None);
        let made = instance(dir.path(), nobody).unwrap();
        assert!(made.as_str().starts_with("dp_"));
        assert_eq!(instance(dir.path(), nobody).unwrap(), made);
    }

    #[test]
    fn two_processes_cannot_share_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let held = take(dir.path()).unwrap();
        assert!(matches!(take(dir.path()), Err(JournalError::Taken { .. })));
        drop(held);
        assert!(take(dir.path()).is_ok());
    }

    #[test]
    fn the_marker_survives_and_a_broken_one_starts_over() {
        let dir = tempfile::tempdir().unwrap();
        let marker = Acknowledged { upto: Position { segment: 3, offset: 70 }, incarnation: "abc".into() };
        set_acknowledged(dir.path(), &marker).unwrap();
        assert_eq!(acknowledged(dir.path()), marker);
        let shorter = Acknowledged { upto: Position { segment: 4, offset: 0 }, incarnation: String::new() };
        set_acknowledged(dir.path(), &shorter).unwrap();
        assert_eq!(acknowledged(dir.path()), shorter);
        let text = fs::read_to_string(dir.path().join(ACKNOWLEDGED)).unwrap();
        fs::write(dir.path().join(ACKNOWLEDGED), text.replace(" 4 0", " 9 0")).unwrap();
        assert_eq!(acknowledged(dir.path()), Acknowledged::default());
    }
}
