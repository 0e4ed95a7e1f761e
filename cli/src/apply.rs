//! `switchyard apply` and `switchyard export`: a file that the control plane is made to match, and back.
//!
//! The file is read and expanded here; what differs is worked out by the control plane, in one atomic call. `dev --config`
//! applies a file the same way.

pub mod diff;
pub mod export;
pub mod file;
pub mod manifest;
pub mod place;
pub mod policy;
pub mod price;
pub mod variables;

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use switchyard_proto::v1;

use crate::{
    apply::{file::File, place::Fault, variables::Variables},
    client::{Admin, Answer, Remote, told},
    output::{Output, print_json, to_json},
};

/// Arguments of `switchyard apply`.
#[derive(Debug, Args)]
pub struct Apply {
    /// The YAML file; `-` is stdin
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Print the difference and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Also remove what an earlier file made and this one lacks; what has ledger lines is disabled instead
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Arguments of `switchyard export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Where to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

impl Apply {
    /// Applies the file and prints the difference.
    ///
    /// # Errors
    /// Names line and field of what is wrong with the file.
    pub async fn run(self, variables: &Variables) -> anyhow::Result<()> {
        let prepared = Prepared::read(&self.file, variables)?;
        let admin = self.remote.connect().await?;
        let answer = prepared.apply(&admin, self.dry_run, self.prune).await?;
        match self.remote.output {
            Output::Table => print!("{}", diff::to_text(&answer, self.dry_run)),
            Output::Json => print_json(&to_json("ApplyResponse", &answer)?),
        }
        Ok(())
    }
}

impl Export {
    /// Writes everything that a file can say.
    ///
    /// # Errors
    /// When the control plane does not answer, or the file cannot be written.
    pub async fn run(self) -> anyhow::Result<()> {
        let admin = self.remote.connect().await?;
        let manifest = admin.apply().export(v1::ExportRequest {}).await.answer()?;
        let text = match self.remote.output {
            Output::Table => export::to_yaml(manifest),
            Output::Json => format!("{:#}\n", to_json("Manifest", &manifest)?),
        };
        let Some(path) = self.file else {
            print!("{text}");
            return Ok(());
        };
        std::fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))
    }
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

    /// Makes the control plane match the file, in one call.
    ///
    /// # Errors
    /// Names line and field of what the control plane does not take; then nothing was changed.
    pub async fn apply(
        &self,
        admin: &Admin,
        dry_run: bool,
        prune: bool,
    ) -> anyhow::Result<v1::ApplyResponse> {
        let manifest = Some(self.manifest.clone());
        let request = v1::ApplyRequest { manifest, dry_run, prune, ..Default::default() };
        let answer = admin.apply().apply(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.explain(&status))
    }

    /// The control plane's refusal in terms of the file: line and field.
    fn explain(&self, status: &tonic::Status) -> anyhow::Error {
        let field = status.metadata().get("switchyard-field").and_then(|field| field.to_str().ok());
        let Some(field) = field else { return anyhow::anyhow!(told(status)) };
        let path = manifest::file_path(field);
        let reason = status.message().trim_start_matches('`');
        let reason = reason
            .strip_prefix(field)
            .map_or(status.message(), |reason| reason.trim_start_matches(['`', ':', ' ']));
        anyhow::anyhow!("{}:{}", self.name, Fault::at(&self.text, path, reason))
    }
}

/// A file's name and text; `-` is standard input.
pub fn contents(path: &Path) -> anyhow::Result<(String, String)> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(("(standard input)".to_owned(), text));
    }
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{name}`"))?;
    Ok((name, text))
}

#[cfg(test)]
mod tests {
    use tonic::{Code, metadata::MetadataMap};

    use super::*;

    const TEXT: &str = "\
models:
  - id: a/b
    endpoints:
      - {provider: p, upstream_id: b, context_length: 8, price: {input: cheap}}
tenants:
  - id: acme
    keys:
      - name: ci
        limit: {usd: x}
";

    fn refused(field: &str, message: &str) -> tonic::Status {
        let mut metadata = MetadataMap::new();
        metadata.insert("switchyard-field", field.parse().unwrap());
        tonic::Status::with_metadata(Code::InvalidArgument, message, metadata)
    }

    #[test]
    fn a_refusal_is_told_in_terms_of_the_file() {
        let prepared = Prepared::parse("f.yaml".into(), TEXT.into(), &Variables::new()).unwrap();
        for (field, expected) in [
            ("models[0].endpoints[0].price.input", "f.yaml:4: models[0].endpoints[0].price.input: is wrong"),
            ("models[0].model.id", "f.yaml:2: models[0].id: is wrong"),
            ("tenants[0].keys[0].key.limit.usd", "f.yaml:9: tenants[0].keys[0].limit.usd: is wrong"),
            ("tenants[0].keys[0].secret", "f.yaml:8: tenants[0].keys[0].secret: is wrong"),
            ("tenants[0].credits_usd", "f.yaml:6: tenants[0].credits: is wrong"),
        ] {
            let error = prepared.explain(&refused(field, &format!("{field} is wrong")));
            assert_eq!(error.to_string(), expected);
        }
        let error = prepared.explain(&tonic::Status::unavailable("gone"));
        assert!(error.to_string().starts_with("gone"), "{error}");
    }

    #[test]
    fn a_bad_file_is_told_by_name_line_and_field() {
        let text = TEXT.replace("input:", "inptu:");
        let error = Prepared::parse("f.yaml".into(), text, &Variables::new()).unwrap_err().to_string();
        assert!(
            error.starts_with("f.yaml:4: models[0].endpoints[0].price: unknown field `inptu`"),
            "{error}"
        );
    }
}
