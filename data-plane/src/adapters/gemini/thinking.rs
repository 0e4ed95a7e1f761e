//! Wishes about reasoning: a budget in tokens or a level, never both.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::adapters::quirks::{Quirks, ThinkingConfig, ThinkingOff};
use crate::adapters::shared::wish;
use crate::model::request::{ChatRequest, Effort};

/// The `thinkingConfig`, if the caller wished for anything; `cap` bounds output and thoughts together.
pub fn plan(
    request: &ChatRequest,
    quirks: &Quirks,
    cap: Option<u64>,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Option<Value> {
    let wish = &request.reasoning;
    let level = wish::level(wish, cap)?;
    let tokens = wish.max_tokens.filter(|_| wish.effort.is_none());
    let mut config = Map::new();
    match (quirks.thinking_config, level) {
        (ThinkingConfig::Absent, Effort::None) => return None,
        (ThinkingConfig::Absent, _) => {
            dropped.push("reasoning".into());
            return None;
        }
        (_, Effort::None) if quirks.thinking_off == ThinkingOff::Disabled => {
            return Some(json!({"thinkingBudget": 0}));
        }
        (ThinkingConfig::Budget, level) => {
            let budget = tokens.unwrap_or_else(|| share(level, cap.unwrap_or(quirks.most_thinking)));
            config.insert("thinkingBudget".to_owned(), within(budget, quirks).into());
        }
        // A model of levels takes a budget too, and knows better what it is worth.
        (ThinkingConfig::Level, level) => match (tokens, quirks.nearest_effort(level)) {
            (Some(tokens), _) => {
                drop(config.insert("thinkingBudget".to_owned(), within(tokens, quirks).into()))
            }
            (None, Some(level)) => {
                let level = level.as_str().to_ascii_uppercase();
                config.insert("thinkingLevel".to_owned(), level.into());
            }
            (None, None) => {}
        },
    }
    if !wish.exclude && level != Effort::None {
        config.insert("includeThoughts".to_owned(), true.into());
    }
    Some(Value::Object(config))
}

fn share(level: Effort, cap: u64) -> u64 {
    (cap as f64 * level.ratio()) as u64
}

fn within(budget: u64, quirks: &Quirks) -> u64 {
    budget.min(quirks.most_thinking).max(quirks.least_thinking)
}
