//! Tool names and call ids that Anthropic accepts.

use crate::adapters::shared::names::Rule;

const RULE: Rule = Rule { longest: 128, marks: b"_-", letter_first: false };

/// The name as Anthropic takes it: itself wherever possible.
pub fn tool_name(name: &str) -> String {
    RULE.apply(name)
}

/// The id as Anthropic takes it; the same for a call and for its result.
pub fn call_id(id: &str) -> String {
    RULE.apply(id)
}
