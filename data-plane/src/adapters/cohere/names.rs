//! Tool names that Cohere accepts, and the marks by which its reasoning is known when it comes back.

use crate::adapters::shared::names::Rule;

const RULE: Rule = Rule { longest: 64, marks: b"_", letter_first: true };

/// The `id` of thinking that came as content.
pub const THINKING_ID: &str = "cohere.thinking";
/// The `id` of what the model said before calling tools.
pub const PLAN_ID: &str = "cohere.tool_plan";

/// The name as Cohere takes it: itself wherever possible.
pub fn tool_name(name: &str) -> String {
    RULE.apply(name)
}
