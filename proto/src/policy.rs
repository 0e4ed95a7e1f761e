//! The language of routing policies: conditions in CEL over a request, and over its answer.
//!
//! Both planes compile conditions here, the control plane to refuse a bad one before it is stored, the data plane to run it. A
//! condition is checked whole when it is compiled: names, types, and what it can cost. Pure; the time is a fact like any other.

mod check;
mod condition;
mod facts;
mod limits;
mod names;
mod position;
mod types;

pub use self::condition::{CompileError, Condition, EvalError};
pub use self::facts::{AnswerFacts, RequestFacts, ToolCallFacts};
pub use self::names::Scope;

/// Names of what may send a request to a policy's next stage. Data planes keep a set of them as bits, in this order.
pub const ESCALATE_ON: &[&str] = &[
    "error",
    "timeout",
    "refusal",
    "length",
    "empty",
    "invalid_json",
    "invalid_tool_call",
    "schema",
    "check",
];

/// Names of what weighted choices of a policy can be sticky to.
pub const STICKY_BY: &[&str] = &["request", "user", "session", "key"];

/// What a model is called with to mean a policy: `policy/NAME`.
pub const PREFIX: &str = "policy/";

#[cfg(test)]
mod tests;
