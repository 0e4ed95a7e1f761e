//! Where a private server keeps its files, as which user it runs, and that nobody else uses them.
//!
//! PostgreSQL refuses to run as root. As root we run it as an unprivileged user, who must be able to walk to
//! its files: where the wanted folder lies behind a closed door (`/root`), the data goes to
//! [`SHARED_BASE`] and a pointer to it stays in the wanted folder.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::dev::postgres::{Error, PORT, at};
use crate::dev::tied::{User, command};

/// Holds the data of those whose own folder the server's user cannot reach.
const SHARED_BASE: &str = "/var/lib/switchyard-dev";

/// What a socket address holds: 104 bytes with the closing zero on macOS and the BSDs, 108 on Linux.
const SOCKET_PATH_BYTES: usize = 103;

/// A place that is ours alone until it is dropped.
#[derive(Debug)]
pub struct Place {
    /// Holds the cluster and the log.
    pub home: PathBuf,
    /// Mode 0700, and its path is short enough for a socket.
    pub socket: PathBuf,
    /// Who owns the cluster, when not ourselves.
    pub user: Option<User>,
    /// Whether `home` is another folder than was wished for.
    pub is_elsewhere: bool,
    _lock: File,
}

impl Place {
    /// Takes a folder, making it where needed.
    ///
    /// # Errors
    /// [`Error::InUse`] while another process holds it.
    pub async fn take(wanted: &Path) -> Result<Self, Error> {
        let wanted = make_folder(wanted)?;
        let lock = lock(&wanted)?;
        let default_user = unprivileged_user().await?;
        let home = choose_home(&wanted, default_user).await?;
        let user = owner(&home.join("cluster"), default_user).await?;
        let socket = socket_folder(&home, user)?;
        Ok(Self { is_elsewhere: home != wanted, home, socket, user, _lock: lock })
    }

    pub fn cluster(&self) -> PathBuf {
        self.home.join("cluster")
    }

    /// Opens the log for appending, after putting that of the run before aside.
    pub fn new_log(&self) -> Result<File, Error> {
        let path = self.log();
        if path.exists() {
            fs::rename(&path, path.with_extension("old")).map_err(at("put aside", &path))?;
        }
        self.open_log()
    }

    /// Opens the log for appending.
    pub fn open_log(&self) -> Result<File, Error> {
        let path = self.log();
        OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(at("open", &path))
    }

    pub fn log(&self) -> PathBuf {
        self.home.join("postgres.log")
    }

    /// The folder that is gone with the server, as it lies outside of `home`.
    pub fn stray_socket(&self) -> Option<PathBuf> {
        (!self.socket.starts_with(&self.home)).then(|| self.socket.clone())
    }

    /// Makes an empty folder of mode 0700 for the server's user.
    pub fn make_private(&self, folder: &Path) -> Result<(), Error> {
        make_private(folder, self.user)
    }

    /// Gives `home` itself to the server's user, so that it may be removed by that user.
    pub fn give_away(&self) -> Result<(), Error> {
        let Some(User { uid, gid }) = self.user else { return Ok(()) };
        chown(&self.home, Some(uid), Some(gid)).map_err(at("give away", &self.home))
    }
}

fn make_folder(wanted: &Path) -> Result<PathBuf, Error> {
    if !wanted.exists() {
        fs::create_dir_all(wanted).map_err(at("make", wanted))?;
        // Others may walk through, not look: see `can_reach`.
        fs::set_permissions(wanted, Permissions::from_mode(0o711)).map_err(at("open up", wanted))?;
    }
    wanted.canonicalize().map_err(at("find", wanted))
}

/// The kernel releases the lock when we are gone, so a server found later is an orphan and may be ended.
fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    let mut file = options.open(&path).map_err(at("open", &path))?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)
                .and_then(|()| write!(file, "{}", std::process::id()))
                .map_err(at("write", &path))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).map_err(at("read", &path))?;
            Err(Error::InUse { folder: folder.to_owned(), pid })
        }
        Err(TryLockError::Error(source)) => Err(at("lock", &path)(source)),
    }
}

/// `None` when we are not root and the server runs as ourselves.
async fn unprivileged_user() -> Result<Option<User>, Error> {
    if id(&["-u"]).await? != Some(0) {
        return Ok(None);
    }
    for name in ["postgres", "_postgres", "nobody"] {
        if let (Some(uid), Some(gid)) = (id(&["-u", name]).await?, id(&["-g", name]).await?) {
            return Ok(Some(User { uid, gid }));
        }
    }
    Ok(Some(User { uid: 65534, gid: 65534 }))
}

async fn id(args: &[&str]) -> Result<Option<u32>, Error> {
    let output = command("id", None).args(args).output().await.map_err(at("run", Path::new("id")))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok())
}

/// A pointer from an earlier run decides; without one the wanted folder, if the server can reach it.
async fn choose_home(wanted: &Path, user: Option<User>) -> Result<PathBuf, Error> {
    let pointer = wanted.join("location");
    if let Ok(home) = fs::read_to_string(&pointer) {
        return make_shared(Path::new(home.trim()));
    }
    if can_reach(wanted, user).await? {
        return Ok(wanted.to_owned());
    }
    let home = make_shared(&Path::new(SHARED_BASE).join(format!("{:016x}", rand::random::<u64>())))?;
    fs::write(&pointer, home.as_os_str().as_bytes()).map_err(at("write", &pointer))?;
    Ok(home)
}

fn make_shared(home: &Path) -> Result<PathBuf, Error> {
    DirBuilder::new().recursive(true).mode(0o711).create(home).map_err(at("make", home))?;
    Ok(home.to_owned())
}

/// Tries it, which also knows of access lists and mounts.
async fn can_reach(folder: &Path, user: Option<User>) -> Result<bool, Error> {
    if user.is_none() {
        return Ok(true);
    }
    let mut shell = command("sh", user);
    shell.args(["-c", r#"cd -- "$1" 2>/dev/null"#, "sh"]).arg(folder);
    Ok(shell.status().await.map_err(at("reach", folder))?.success())
}

/// Who runs a server on this cluster: its owner, if there is one already.
async fn owner(cluster: &Path, default_user: Option<User>) -> Result<Option<User>, Error> {
    let Ok(found) = cluster.metadata() else { return Ok(default_user) };
    let found = User { uid: found.uid(), gid: found.gid() };
    match default_user {
        // Copied by root: nobody could open it.
        Some(user) if found.uid == 0 => {
            let mut give = command("chown", None);
            give.args(["-R", &format!("{}:{}", user.uid, user.gid)]).arg(cluster);
            give.status().await.map_err(at("give away", cluster))?;
            Ok(Some(user))
        }
        Some(_) => Ok(Some(found)),
        None if id(&["-u"]).await? == Some(found.uid) => Ok(None),
        None => Err(Error::OtherOwner { folder: cluster.to_owned(), uid: found.uid }),
    }
}

/// Beside the cluster, unless that path is too long for a socket.
fn socket_folder(home: &Path, user: Option<User>) -> Result<PathBuf, Error> {
    let beside = home.join("socket");
    let folder = match socket_file(&beside).as_os_str().len() {
        ..=SOCKET_PATH_BYTES => beside,
        _ => Path::new("/tmp").join(format!("switchyard-{:016x}", rand::random::<u64>())),
    };
    if !folder.exists() {
        make_private(&folder, user)?;
    }
    Ok(folder)
}

fn socket_file(folder: &Path) -> PathBuf {
    folder.join(format!(".s.PGSQL.{PORT}"))
}

fn make_private(folder: &Path, user: Option<User>) -> Result<(), Error> {
    DirBuilder::new().mode(0o700).create(folder).map_err(at("make", folder))?;
    let Some(User { uid, gid }) = user else { return Ok(()) };
    chown(folder, Some(uid), Some(gid)).map_err(at("give away", folder))
}
