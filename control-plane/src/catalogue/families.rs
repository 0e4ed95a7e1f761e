//! What is known of models by their names, wherever they are served: habits and billing facts, as data.
//!
//! Rows are read from top to bottom and laid over one another, so a later, narrower one corrects an earlier, wider one.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use switchyard_proto::v1;

/// A row: models whose upstream id fits, and what they have in common.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// Beginnings of names: of the whole upstream id, or of what follows a `.`, `/` or `:` in it. Dots between digits
    /// count as hyphens.
    pub names: Vec<String>,
    /// Quirks of the adapters, by name; those that an adapter does not read mean nothing to it.
    #[serde(default)]
    pub quirks: BTreeMap<String, String>,
    /// Members of `Billing`.
    #[serde(default)]
    pub billing: BTreeMap<String, u64>,
}

static FAMILIES: LazyLock<Vec<Family>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../catalogue/families.json"))
        .expect("a test reads the embedded file")
});

/// Every row, in order.
pub fn families() -> &'static [Family] {
    &FAMILIES
}

/// What is known of one upstream model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    pub quirks: BTreeMap<String, String>,
    pub billing: BTreeMap<String, u64>,
}

impl Facts {
    /// The quirks as they are pushed.
    pub fn quirks(&self) -> Vec<v1::Quirk> {
        let each = self.quirks.iter();
        each.map(|(name, value)| v1::Quirk { name: name.clone(), value: value.clone() }).collect()
    }
}

/// What is known of the model that a provider calls so; nothing of one that no row names.
pub fn facts(upstream_id: &str) -> Facts {
    let id = plain(upstream_id);
    let mut facts = Facts::default();
    for family in families().iter().filter(|family| family.names.iter().any(|name| fits(&id, &plain(name)))) {
        facts.quirks.extend(family.quirks.clone());
        facts.billing.extend(family.billing.clone());
    }
    facts
}

/// Lower case, with `4.5` written as `4-5`.
fn plain(name: &str) -> String {
    let bytes = name.to_ascii_lowercase().into_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let letters = bytes.iter().enumerate().map(|(at, byte)| match byte {
        b'.' if at > 0 && is_digit(at - 1) && is_digit(at + 1) => '-',
        byte => char::from(*byte),
    });
    letters.collect()
}

fn fits(id: &str, name: &str) -> bool {
    let starts = id.match_indices(['.', '/', ':']).map(|(at, _)| &id[at + 1..]);
    // `gpt-5.2` is not the beginning of `gpt-5-2025-08-07`.
    let is_number = name.ends_with(|letter: char| letter.is_ascii_digit());
    let follows = |rest: &str| rest.starts_with(|letter: char| letter.is_ascii_digit());
    std::iter::once(id)
        .chain(starts)
        .filter_map(|rest| rest.strip_prefix(name))
        .any(|rest| !(is_number && follows(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quirk(upstream_id: &str, name: &str) -> Option<String> {
        facts(upstream_id).quirks.get(name).cloned()
    }

    #[test]
    fn a_model_is_known_wherever_it_is_served() {
        for id in [
            "claude-sonnet-4-5-20250929",
            "anthropic/claude-sonnet-4.5",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-5-v1:0",
        ] {
            let facts = facts(id);
            assert_eq!(facts.quirks.get("thinking").map(String::as_str), Some("budget"), "{id}");
            assert_eq!(facts.quirks.get("default_output_cap").map(String::as_str), Some("64000"), "{id}");
        }
        assert_eq!(facts("somebody/else-7b"), Facts::default());
    }

    #[test]
    fn each_model_finds_its_own_row() {
        for (model, name, value) in [
            ("claude-3-5-haiku-20241022", "thinking", "absent"),
            ("claude-3-7-sonnet-latest", "thinking", "budget"),
            ("claude-opus-4-1-20250805", "thinking", "budget"),
            ("claude-opus-4-6", "sampling", "true"),
            ("claude-opus-4-8", "sampling", "false"),
            ("claude-sonnet-5", "forced_tools", "true"),
            ("claude-sonnet-5-5", "forced_tools", "false"),
            ("claude-sonnet-5-5", "thinking_off", "between_tools"),
            ("claude-opus-5-5", "thinking_off", "never"),
            ("claude-unheard-9", "thinking", "adaptive"),
            ("gpt-4o-mini", "reasoning_style", "absent"),
            ("gpt-5-mini", "efforts", "minimal,low,medium,high"),
            ("gpt-5-pro", "efforts", "high"),
            ("gpt-5-2025-08-07", "efforts", "minimal,low,medium,high"),
            ("gpt-5.2-2025-12-11", "efforts", "none,low,medium,high,xhigh"),
            ("claude-sonnet-5-20260101", "forced_tools", "true"),
            ("gpt-5.1", "efforts", "none,low,medium,high"),
            ("gpt-5.4-mini", "efforts", "none,low,medium,high,xhigh"),
            ("gpt-6-sol", "efforts", "none,low,medium,high,xhigh,max"),
            ("openai.gpt-oss-120b-1:0", "efforts", "low,medium,high"),
        ] {
            assert_eq!(quirk(model, name).as_deref(), Some(value), "{model} {name}");
        }
    }

    #[test]
    fn images_of_a_model_that_counts_them_dearly_are_bound_by_its_own_count() {
        assert!(facts("gpt-4o-mini").billing["tokens_per_image"] > 48_000);
        assert!(facts("claude-sonnet-4-5").billing["tokens_per_image"] < 2_000);
    }
}
