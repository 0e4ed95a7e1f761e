//! `switchyard preset`: stored parts of requests, written as YAML.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::{Deserialize, Deserializer};
use switchyard_control_plane::domain::preset::{Draft, Says, check_id};
use switchyard_proto::v1;

use crate::{
    apply::{contents, place::Fault},
    arguments::{Limit, Mask},
    client::{Admin, Answer, Remote, pages},
    output::Column,
};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("VERSION", "version"),
    ("DISABLED", "disabled"),
    ("DESCRIPTION", "description"),
    ("REVISION", "revision"),
    ("CREATED", "created_at"),
];

const VERSION_COLUMNS: &[Column] =
    &[("VERSION", "version"), ("CONFIG", "config"), ("BY", "created_by"), ("CREATED", "created_at")];

/// Arguments of the noun.
#[derive(Debug, Args)]
pub struct Preset {
    #[command(subcommand)]
    verb: Verb,
    /// The tenant that the preset belongs to
    #[arg(long, global = true, default_value = "dev", help_heading = "Scope")]
    tenant: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List a tenant's presets, oldest first
    List(Limit),
    /// Show one preset, in its newest version or another
    #[command(disable_version_flag = true)]
    Get {
        #[arg(value_name = "PRESET_ID")]
        id: String,
        /// A version that is kept [default: the newest]
        #[arg(long, value_name = "N")]
        version: Option<u64>,
    },
    /// List what a preset said before, newest first
    Versions {
        #[arg(value_name = "PRESET_ID")]
        id: String,
        #[command(flatten)]
        limit: Limit,
    },
    /// Make a preset from a file
    Create {
        /// YAML of one preset; `-` is stdin
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Change a preset: all of it by a file, or single fields. What it says becomes a new version
    Update {
        #[arg(value_name = "PRESET_ID")]
        id: String,
        /// YAML of the whole preset; `-` is stdin
        #[arg(short, long, value_name = "FILE", conflicts_with_all = ["description", "disabled", "restore"])]
        file: Option<PathBuf>,
        /// Let it say again what it said in this version
        #[arg(long, value_name = "N")]
        restore: Option<u64>,
        /// Shown to people
        #[arg(long)]
        description: Option<String>,
        /// Take it out of use
        #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
        disabled: Option<bool>,
        /// The revision that the change is based on [default: the present one]
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
    },
    /// Delete a preset and what it said: it cannot be called from then on
    Delete {
        #[arg(value_name = "PRESET_ID")]
        id: String,
        /// Only if this is still the revision
        #[arg(long, value_name = "N", default_value_t = 0)]
        revision: u64,
    },
    /// Say whether a preset in a file would be taken; asks nobody
    Check {
        /// YAML of one preset; `-` is stdin
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
}

/// A preset in a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    system_prompt: String,
    /// JSON as text, or written out.
    #[serde(default, deserialize_with = "json")]
    config: String,
}

fn json<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(match serde_json::Value::deserialize(from)? {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    })
}

impl Preset {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// What the control plane refused, or what is wrong with the file.
    pub async fn run(self) -> anyhow::Result<()> {
        if let Verb::Check { file } = self.verb {
            one(&file)?;
            println!("The preset is fine");
            return Ok(());
        }
        let admin = self.remote.connect().await?;
        let (output, tenant) = (self.remote.output, self.tenant);
        match self.verb {
            Verb::List(Limit { limit }) => {
                output.list("Preset", &list(&admin, &tenant, limit).await?, COLUMNS)
            }
            Verb::Get { id, version: None } => output.one("Preset", &get(&admin, tenant, id).await?),
            Verb::Get { id, version: Some(version) } => {
                output.one("PresetVersion", &get_version(&admin, tenant, id, version).await?)
            }
            Verb::Versions { id, limit: Limit { limit } } => {
                output.list("PresetVersion", &versions(&admin, &tenant, &id, limit).await?, VERSION_COLUMNS)
            }
            Verb::Create { file } => {
                let request = v1::CreatePresetRequest { tenant, preset: Some(one(&file)?) };
                let made = admin.presets().create_preset(request).await.answer()?;
                output.one("Preset", &made.preset.unwrap_or_default())
            }
            Verb::Update { id, file, restore, description, disabled, revision } => {
                let mut preset = get(&admin, tenant.clone(), id.clone()).await?;
                let (mut mask, revision) = (Mask::default(), revision.unwrap_or(preset.revision));
                if let Some(file) = file {
                    preset = one(&file)?;
                    mask.put("*", &mut (), Some(()));
                }
                if let Some(version) = restore {
                    let before = get_version(&admin, tenant.clone(), id.clone(), version).await?;
                    mask.put("system_prompt", &mut preset.system_prompt, Some(before.system_prompt));
                    mask.put("config", &mut preset.config, Some(before.config));
                }
                mask.put("description", &mut preset.description, description);
                mask.put("disabled", &mut preset.disabled, disabled);
                let (preset, update_mask) = (Some(preset), mask.finish()?);
                let request = v1::UpdatePresetRequest { tenant, id, preset, update_mask, revision };
                output.one("Preset", &admin.presets().update_preset(request).await.answer()?)
            }
            Verb::Delete { id, revision } => {
                let request = v1::DeletePresetRequest { tenant, id, revision };
                admin.presets().delete_preset(request).await.answer().map(drop)
            }
            Verb::Check { .. } => unreachable!("was done above, without a connection"),
        }
    }
}

async fn list(admin: &Admin, tenant: &str, most: usize) -> anyhow::Result<Vec<v1::Preset>> {
    pages(most, |page_size, page_token| async move {
        let request = v1::ListPresetsRequest { tenant: tenant.to_owned(), page_size, page_token };
        let page = admin.presets().list_presets(request).await.answer()?;
        Ok((page.presets, page.next_page_token))
    })
    .await
}

async fn versions(
    admin: &Admin,
    tenant: &str,
    id: &str,
    most: usize,
) -> anyhow::Result<Vec<v1::PresetVersion>> {
    pages(most, |page_size, page_token| async move {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        let request = v1::ListPresetVersionsRequest { tenant, id, page_size, page_token };
        let page = admin.presets().list_preset_versions(request).await.answer()?;
        Ok((page.versions, page.next_page_token))
    })
    .await
}

async fn get(admin: &Admin, tenant: String, id: String) -> anyhow::Result<v1::Preset> {
    admin.presets().get_preset(v1::GetPresetRequest { tenant, id }).await.answer()
}

async fn get_version(
    admin: &Admin,
    tenant: String,
    id: String,
    version: u64,
) -> anyhow::Result<v1::PresetVersion> {
    admin.presets().get_preset_version(v1::GetPresetVersionRequest { tenant, id, version }).await.answer()
}

/// The preset in a file, checked as the control plane would.
fn one(path: &Path) -> anyhow::Result<v1::Preset> {
    let (name, text) = contents(path)?;
    read(&text).map_err(|fault| anyhow::anyhow!("{name}:{fault}")).context("not a preset")
}

fn read(text: &str) -> Result<v1::Preset, Fault> {
    let Written { id, description, disabled, system_prompt, config } =
        serde_yaml_ng::from_str(text).map_err(|error| Fault::of_yaml(&error))?;
    let says = Says { system_prompt, config };
    let draft = Draft { description, disabled, says };
    let checked = check_id(&id).and_then(|()| draft.check());
    checked.map_err(|invalid| Fault::at(text, invalid.field, invalid.reason))?;
    let Draft { description, disabled, says: Says { system_prompt, config } } = draft;
    Ok(v1::Preset { id, description, disabled, system_prompt, config, ..v1::Preset::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_checked_by_line_and_field() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let found = read(text).map(|preset| preset.config).map_err(|fault| fault.to_string());
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(start)) => assert!(found.starts_with(start), "{text}: {found}"),
                (found, expected) => panic!("{text}: {found:?} is not {expected:?}"),
            }
        };
        check("id: p\nconfig: {model: a/b, temperature: 0.5}\n", Ok(r#"{"model":"a/b","temperature":0.5}"#));
        check("id: p\nconfig: '{\"seed\": 1}'\n", Ok(r#"{"seed": 1}"#));
        check("id: p\nsystem_prompt: Be terse.\n", Ok(""));
        check("id: P\n", Err("1: id: is not a slug"));
        check(
            "id: p\nconfig:\n  temperature: 7\n",
            Err("3: config.temperature: is not a number from 0 to 2"),
        );
        check("id: p\nprompt: x\n", Err("2: "));
    }
}
