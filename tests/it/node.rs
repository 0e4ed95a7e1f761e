//! Node folders with other people's packages, made once and kept in the build's own folder.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::python::run;

/// What npm says when its registry cannot be reached; whatever else it says is a failure.
const OUT_OF_REACH: [&str; 8] = [
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "network",
];

/// A folder with these packages; `None`, and a line that says why, where there is no Node or the registry is out of reach.
pub async fn with(packages: &[&str]) -> Option<PathBuf> {
    if let Err(why) = run(Command::new("npm").arg("--version")).await {
        eprintln!("skipped: there is no Node with npm here: {}", why.trim());
        return None;
    }
    let name = packages.join("-").replace(['@', '/'], "_");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("node-{name}"));
    if folder.join("complete").exists() {
        return Some(folder);
    }
    // Made apart and moved into place: another test may be at it too.
    let apart = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's folder can be written");
    let made = apart.path().join("made");
    std::fs::create_dir(&made).expect("the build's folder can be written");
    if let Err(why) = install(&made, packages).await {
        let line = why.lines().find(|line| OUT_OF_REACH.iter().any(|sign| line.contains(sign)));
        let line = line.unwrap_or_else(|| panic!("{packages:?} cannot be installed: {why}"));
        eprintln!("skipped: the npm registry is out of reach: {line}");
        return None;
    }
    if let Err(why) = std::fs::rename(&made, &folder) {
        assert!(folder.join("complete").exists(), "{}: {why}", folder.display());
    }
    Some(folder)
}

async fn install(folder: &Path, packages: &[&str]) -> Result<(), String> {
    let mut npm = Command::new("npm");
    // A folder of its own: without it npm would look for one above.
    npm.args(["install", "--prefix"]).arg(folder).current_dir(folder);
    npm.args(["--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1", "--loglevel=error"]);
    run(npm.args(packages)).await?;
    std::fs::write(folder.join("complete"), "").map_err(|error| error.to_string())
}
