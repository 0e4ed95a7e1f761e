//! `switchyard apply` and `switchyard export`: a file that the control plane is made to match, and back.
//!
//! The file is read and expanded here; what differs is worked out by the control plane, in one atomic call. `dev --config`
//! applies a file the same way.

pub mod diff;
pub mod export;
pub mod file;
pub mod manifest;
pub mod place;
pub mod variables;

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::Context;
use switchyard_proto::v1;

use crate::apply::{file::File, place::Fault, variables::Variables};

/// `switchyard apply`.
#[derive(Debug, Clone, clap::Args)]
pub struct ApplyArgs {
    /// The YAML file; `-` reads standard input.
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Prints the difference and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Also removes what an earlier file made and this one lacks; what has ledger lines is disabled instead.
    #[arg(long)]
    pub prune: bool,
}

/// `switchyard export`.
#[derive(Debug, Clone, clap::Args)]
pub struct ExportArgs {
    /// Where to write; by default standard output.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// A file that was read, ready to be sent.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub manifest: v1::Manifest,
    name: String,
    text: String,
}

impl Prepared {
    /// Reads a file and puts in its variables.
    ///
    /// # Errors
    /// Names the file, the line and the field.
    pub fn read(path: &Path, variables: &Variables) -> anyhow::Result<Self> {
        let (name, text) = contents(path)?;
        Self::parse(name, text, variables)
    }

    /// The same for a text that was read elsewhere; `name` is what errors call it.
    ///
    /// # Errors
    /// Names the line and the field.
    pub fn parse(name: String, text: String, variables: &Variables) -> anyhow::Result<Self> {
        let read = File::parse(&text).and_then(|file| {
            manifest::of_file(&file, variables).map_err(|bad| Fault::at(&text, bad.field, bad.reason))
        });
        match read {
            Ok(manifest) => Ok(Self { manifest, name, text }),
            Err(fault) => Err(anyhow::anyhow!("{name}:{fault}")),
        }
    }

    /// The request for it.
    pub fn request(&self, dry_run: bool, prune: bool) -> v1::ApplyRequest {
        v1::ApplyRequest { manifest: Some(self.manifest.clone()), dry_run, prune }
    }

    /// The control plane's refusal in terms of the file: line and field.
    ///
    /// Anything but a refusal of a field comes back as it was.
    pub fn explain(&self, status: tonic::Status) -> anyhow::Error {
        let field = status.metadata().get("switchyard-field").and_then(|field| field.to_str().ok());
        let Some(field) = field else { return status.into() };
        let path = manifest::file_path(field);
        let reason = status.message().trim_start_matches('`');
        let reason = reason
            .strip_prefix(field)
            .map_or(status.message(), |reason| reason.trim_start_matches(['`', ':', ' ']));
        anyhow::anyhow!("{}:{}", self.name, Fault::at(&self.text, path, reason))
    }
}

fn contents(path: &Path) -> anyhow::Result<(String, String)> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(("(standard input)".to_owned(), text));
    }
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{name}`"))?;
    Ok((name, text))
}
