//! Says whether a whole answer is good enough, so that a policy's next stage can be tried where it is not.
//!
//! [`judge`] is pure: the answer, what must be known of the request ([`Asked`]) and the reasons that count in, the
//! first [`Fault`] out. What a fault leads to is the pipeline's business.

mod answer;
pub mod asked;
pub mod reason;
pub mod schema;
mod tools;

use crate::model::response::ChatResponse;

pub use self::asked::Asked;
pub use self::reason::{Reason, Reasons};
pub use self::schema::{Schema, SchemaError};

/// Why an answer is not good enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub reason: Reason,
    /// Text for the caller: paths and names of tools, never what the answer says.
    pub detail: String,
}

/// A look at the whole answer for one reason: what is wrong, if anything.
type Check = fn(&ChatResponse, &Asked) -> Option<String>;

/// Cheapest first. Errors and timeouts have no answer, and checks are asked elsewhere.
const CHECKS: [(Reason, Check); 6] = [
    (Reason::Refusal, answer::refusal),
    (Reason::Length, answer::length),
    (Reason::Empty, answer::empty),
    (Reason::InvalidJson, answer::invalid_json),
    (Reason::InvalidToolCall, tools::invalid_call),
    (Reason::Schema, answer::schema),
];

/// The first fault that counts; reasons outside `wanted` cost nothing.
///
/// A schema of the request that cannot be used is held against nobody: ask [`Asked::prove`] before the first attempt.
pub fn judge(answer: &ChatResponse, asked: &Asked, wanted: Reasons) -> Option<Fault> {
    CHECKS
        .into_iter()
        .filter(|(reason, _)| wanted.contains(*reason))
        .find_map(|(reason, check)| check(answer, asked).map(|detail| Fault { reason, detail }))
}

/// Whether all tool calls of the answer were well made; None where there were none to look at.
///
/// Calls of a choice that was cut off by length are not looked at: their end is missing, which is not the model's doing.
pub fn tool_quality(answer: &ChatResponse, asked: &Asked) -> Option<bool> {
    let whole = answer.choices.iter().filter(|choice| !answer::is_cut(choice));
    let mut calls = whole.flat_map(|choice| &choice.message.tool_calls).peekable();
    calls.peek()?;
    Some(calls.all(|call| tools::wrong(call, asked).is_none()))
}

#[cfg(test)]
mod tests;
