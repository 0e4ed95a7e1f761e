//! What `switchyard dev` leaves in its folder for people and for the other commands: key, admin token, addresses.
//!
//! Files that hold a secret are readable by their owner alone. The servers' own data is below, and not read here.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use switchyard_proto::secret::Secret;

/// Where `dev` keeps everything, unless told otherwise.
pub const DEFAULT: &str = ".switchyard";

/// The folder.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

/// The addresses of a running `dev`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub pid: u32,
    /// Origins: scheme, host and port.
    pub client: String,
    pub admin: String,
    pub data_plane_ops: String,
    pub control_plane_ops: String,
    /// The private PostgreSQL; holds no password.
    pub database_url: String,
}

impl DataDir {
    /// Names a folder, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Makes the folder unless it is there. Others may walk through it, not look: PostgreSQL may run as another user.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o711).create(path);
        made.with_context(|| format!("cannot make the folder `{}`", path.display()))?;
        // Servers are started elsewhere and need to find it.
        let path = fs::canonicalize(path).with_context(|| format!("cannot open `{}`", path.display()))?;
        Ok(Self(path))
    }

    /// Holds the folder for this process until the lock is dropped.
    ///
    /// # Errors
    /// When another process holds it.
    pub fn lock(&self) -> anyhow::Result<File> {
        let path = self.path("lock");
        let options = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = options.with_context(|| format!("cannot open `{}`", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => bail!(
                "another `switchyard dev` runs on `{}`: stop it, or name another folder with --data-dir",
                self.0.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock `{}`", path.display()))
            }
        }
    }

    /// A name in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A secret, without the white space around it; `None` where there is no such file.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn secret(&self, name: &str) -> anyhow::Result<Option<Secret>> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Secret::new(text.trim()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        }
    }

    /// Writes a file that its owner alone can read, in place of an older one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_secret(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let (path, draft) = (self.path(name), self.path(&format!(".{name}.new")));
        let write = || -> io::Result<()> {
            let mut file =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&draft, &path)
        };
        write().with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// The addresses of the `dev` that runs on this folder, if one does.
    pub fn running(&self) -> Option<Running> {
        let text = fs::read_to_string(self.path(RUNNING)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Tells other commands where `dev` listens.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_running(&self, running: &Running) -> anyhow::Result<()> {
        self.write_secret(RUNNING, &serde_json::to_string_pretty(running)?)
    }

    /// Forgets the addresses, at the end of `dev`.
    pub fn clear_running(&self) {
        // It may be gone already.
        let _ = fs::remove_file(self.path(RUNNING));
    }
}

const RUNNING: &str = "running.json";

impl std::fmt::Display for DataDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = DataDir::create(&folder.path().join("inner")).unwrap();
        place.write_secret("key", "one").unwrap();
        place.write_secret("key", "two").unwrap();
        assert_eq!(place.secret("key").unwrap().unwrap().expose(), "two");
        assert!(place.secret("other").unwrap().is_none());
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(place.path("key")), mode(place.path("."))), (0o600, 0o711));
    }

    #[test]
    fn one_process_at_a_time_holds_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let place = DataDir::create(folder.path()).unwrap();
        let lock = place.lock().unwrap();
        let error = place.lock().unwrap_err();
        assert!(error.to_string().contains("--data-dir"), "{error}");
        drop(lock);
        place.lock().unwrap();
    }
}
