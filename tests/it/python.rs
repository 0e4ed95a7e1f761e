//! Python environments with other people's packages, made once and kept in the build's own folder.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// A Python with these packages; `None`, and a line that says why, where they cannot be had.
pub async fn with(packages: &[&str]) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{}", packages.join("-")));
    let python = folder.join("bin/python");
    if folder.join("complete").exists() {
        return Some(python);
    }
    // Made apart and moved into place: another test may be at it too.
    let apart = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's folder can be written");
    let made = apart.path().join("made");
    let venv = run(Command::new("python3").args(["-m", "venv"]).arg(&made)).await;
    venv.unwrap_or_else(|why| panic!("python3 makes no environment: {why}"));
    if let Err(why) = install(&made, packages).await {
        let why = why.lines().last().unwrap_or_default();
        eprintln!("skipped: the Python packages {packages:?} cannot be installed here: {why}");
        return None;
    }
    if let Err(why) = std::fs::rename(&made, &folder) {
        assert!(folder.join("complete").exists(), "{}: {why}", folder.display());
    }
    Some(python)
}

/// Environments name their own folder only in scripts, which nobody here runs, so they can be moved.
async fn install(folder: &Path, packages: &[&str]) -> Result<(), String> {
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
    run(&mut pip).await?;
    std::fs::write(folder.join("complete"), "").map_err(|error| error.to_string())
}

/// Runs a command; what it wrote, on which channel by its success.
pub async fn run(command: &mut Command) -> Result<String, String> {
    let output =
        command.stdin(Stdio::null()).kill_on_drop(true).output().await.map_err(|error| error.to_string())?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}
