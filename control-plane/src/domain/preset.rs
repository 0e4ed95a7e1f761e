//! Presets: a tenant's stored parts of requests. What one says is checked before it is stored, and kept by version.

use chrono::{DateTime, Utc};
use serde::Serialize;
use switchyard_proto::id::{PresetId, TenantId};
use switchyard_proto::preset;

use crate::domain::{
    invalid::{self, Invalid},
    meta::Meta,
    tenant,
};

/// How many versions of a preset are kept.
pub const VERSIONS_KEPT: i64 = 100;

/// What its owner chooses of a preset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Draft {
    pub description: String,
    pub disabled: bool,
    pub says: Says,
}

/// What a call gets of a preset: another version where it changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Says {
    /// Empty: none.
    pub system_prompt: String,
    /// JSON of an object; empty: nothing.
    pub config: String,
}

/// A preset as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    pub id: PresetId,
    pub tenant: TenantId,
    /// From 1.
    pub version: u64,
    pub draft: Draft,
    pub meta: Meta,
}

/// What a preset said from one change to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    pub version: u64,
    pub says: Says,
    /// An admin token's id.
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}

/// What the audit tells of a preset; the versions hold the rest.
#[derive(Debug, Serialize)]
pub struct Told<'a> {
    description: &'a str,
    disabled: bool,
    version: u64,
}

impl Preset {
    /// `tenant/preset`: how people see it among all.
    pub fn shown(&self) -> String {
        shown(&self.tenant, &self.id)
    }

    /// As the audit has it.
    pub fn told(&self) -> Told<'_> {
        Told { description: &self.draft.description, disabled: self.draft.disabled, version: self.version }
    }
}

impl Draft {
    /// Checks everything that needs no other row.
    ///
    /// # Errors
    /// Names the field as it is called in `Preset`, a config's member with its path.
    pub fn check(&self) -> Result<(), Invalid> {
        invalid::text("description", &self.description, 2000)?;
        invalid::text("system_prompt", &self.says.system_prompt, preset::LONGEST_PROMPT)?;
        let read = preset::read(&self.says.config);
        read.map(drop).map_err(|fault| match fault.field.as_str() {
            "" => Invalid::new("config", fault.reason),
            member => Invalid::new(format!("config.{member}"), fault.reason),
        })
    }
}

/// Checks a preset's id: it stands in paths and after `@preset/`.
///
/// # Errors
/// Names the field `id`.
pub fn check_id(id: &str) -> Result<(), Invalid> {
    tenant::check_slug(id)
}

/// `tenant/preset`.
pub fn shown(tenant: &TenantId, id: &PresetId) -> String {
    format!("{tenant}/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_checked_by_field() {
        let of = |system_prompt: &str, config: &str| Draft {
            says: Says { system_prompt: system_prompt.into(), config: config.into() },
            ..Draft::default()
        };
        for (draft, field) in [
            (Draft::default(), None),
            (of("You are terse.\nVery.", r#"{"model":"a/b"}"#), None),
            (Draft { description: "x".repeat(2001), ..Draft::default() }, Some("description")),
            (of("\u{7}", ""), Some("system_prompt")),
            (of(&"x".repeat(100_001), ""), Some("system_prompt")),
            (of("", "[1]"), Some("config")),
            (of("", r#"{"temperature":9}"#), Some("config.temperature")),
            (of("", r#"{"provider":{"sort":1}}"#), Some("config.provider.sort")),
        ] {
            let found = draft.check().err().map(|invalid| invalid.field);
            assert_eq!(found.as_deref(), field, "{draft:?}");
        }
    }
}
