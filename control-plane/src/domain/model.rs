//! Models: what callers ask for.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use switchyard_proto::id::{self, ModelId};

use crate::domain::{
    invalid::{self, Invalid},
    meta::Meta,
    rates::Rates,
};

/// The kinds of content that a model takes or gives.
pub const MODALITIES: &[&str] = &["text", "image", "audio", "file", "video"];
/// What only models for other work than chat give: they are called for that and nothing else.
pub const BESIDE_CHAT: &[&str] = &["embeddings", "rerank"];

/// What the operator chooses of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Draft {
    pub name: String,
    pub description: String,
    /// When the model came out.
    pub released_at: Option<DateTime<Utc>>,
    /// Empty: text.
    pub input_modalities: Vec<String>,
    pub output_modalities: Vec<String>,
    pub tokenizer: String,
    /// Other names that resolve to it.
    pub aliases: Vec<String>,
    pub disabled: bool,
    /// Whether the author lets its text train other models; `None`: unknown, treated as no.
    pub distillable: Option<bool>,
    /// Of all callers together.
    pub rates: Rates,
}

/// A model as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    pub id: ModelId,
    pub draft: Draft,
    pub meta: Meta,
}

impl Draft {
    /// Checks everything that needs no other row.
    ///
    /// # Errors
    /// Names the field as it is called in `Model`.
    pub fn check(&self, id: &ModelId) -> Result<(), Invalid> {
        invalid::text("name", &self.name, 200)?;
        invalid::text("description", &self.description, 20_000)?;
        check_modalities("input_modalities", &self.input_modalities)?;
        let output: Vec<&str> = MODALITIES.iter().chain(BESIDE_CHAT).copied().collect();
        check_known("output_modalities", &self.output_modalities, &output)?;
        invalid::text("tokenizer", &self.tokenizer, 200)?;
        self.rates.check()?;
        self.check_aliases(id)
    }

    fn check_aliases(&self, id: &ModelId) -> Result<(), Invalid> {
        let mut seen = BTreeSet::from([id.as_str()]);
        for (index, alias) in self.aliases.iter().enumerate() {
            let field = || format!("aliases[{index}]");
            if !is_alias(alias) {
                return Err(Invalid::new(field(), format!("is `{alias}`, which is no model name")));
            }
            if !seen.insert(alias) {
                return Err(Invalid::new(field(), format!("names `{alias}` twice")));
            }
        }
        Ok(())
    }
}

/// Checks a model's id.
///
/// # Errors
/// Names the field `id`.
pub fn check_id(id: &str) -> Result<(), Invalid> {
    if id.is_empty() {
        return Err(Invalid::new("id", "is required"));
    }
    if !id::is_model(id) {
        return Err(Invalid::new("id", "is not a model id: `author/name` of letters, digits and `._:-~@`"));
    }
    Ok(())
}

/// Checks a list of what a model takes.
///
/// # Errors
/// Names the first entry that is none.
pub fn check_modalities(field: &str, list: &[String]) -> Result<(), Invalid> {
    check_known(field, list, MODALITIES)
}

fn check_known(field: &str, list: &[String], known: &[&str]) -> Result<(), Invalid> {
    for (index, entry) in list.iter().enumerate() {
        if !known.contains(&entry.as_str()) {
            let reason = format!("is `{entry}`, which is none of {}", known.join(", "));
            return Err(Invalid::new(format!("{field}[{index}]"), reason));
        }
    }
    Ok(())
}

fn is_alias(alias: &str) -> bool {
    id::is_model(alias) || id::is_model(&format!("x/{alias}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_checked_by_field() {
        let id = ModelId::new("openai/gpt-5");
        let aliases = |list: &[&str]| Draft {
            aliases: list.iter().map(|alias| (*alias).to_owned()).collect(),
            ..Draft::default()
        };
        for (draft, field) in [
            (Draft::default(), None),
            (aliases(&["gpt-5", "openai/gpt-5-latest"]), None),
            (aliases(&["gpt-5", "gpt-5"]), Some("aliases[1]")),
            (aliases(&["openai/gpt-5"]), Some("aliases[0]")),
            (aliases(&["a b"]), Some("aliases[0]")),
            (
                Draft { input_modalities: vec!["smell".into()], ..Draft::default() },
                Some("input_modalities[0]"),
            ),
            (Draft { output_modalities: vec!["embeddings".into()], ..Draft::default() }, None),
            (Draft { output_modalities: vec!["rerank".into()], ..Draft::default() }, None),
            (
                Draft { input_modalities: vec!["rerank".into()], ..Draft::default() },
                Some("input_modalities[0]"),
            ),
            (
                Draft {
                    rates: Rates { requests_per_minute: Some(0), ..Rates::default() },
                    ..Draft::default()
                },
                Some("rates.requests_per_minute"),
            ),
        ] {
            let found = draft.check(&id).err().map(|invalid| invalid.field);
            assert_eq!(found.as_deref(), field, "{draft:?}");
        }
    }

    #[test]
    fn ids_have_an_author() {
        for (id, fine) in [("openai/gpt-5", true), ("gpt-5", false), ("", false), ("a/b/c", false)] {
            assert_eq!(check_id(id).is_ok(), fine, "{id}");
        }
    }
}
