//! Claude's own rules, which hold wherever it is hosted: signed thinking, sampling, schemas, cache breakpoints.

pub mod schema;
pub mod thinking;

use serde_json::{Value, json};

use crate::adapters::shared::conversation::{Conversation, Told, Turn};
use crate::model::event::join_details;

/// The `format` of reasoning that Claude signed.
pub const REASONING_FORMAT: &str = "anthropic-claude-v1";

/// No more cache breakpoints than this are taken.
pub const BREAKPOINTS: usize = 4;

/// A piece of reasoning that its model signed and wants back unmodified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thought {
    Signed {
        text: String,
        signature: String,
    },
    /// Only the model can read it.
    Redacted(String),
}

/// The signed reasoning of this `format` among a message's details, in order.
///
/// Reasoning of other formats or without a signature would be refused, so it is not told.
pub fn thoughts(details: &[Value], format: &str) -> Vec<Thought> {
    let own: Vec<Value> = details.iter().filter(|detail| detail["format"] == format).cloned().collect();
    join_details(&own).iter().filter_map(Thought::read).collect()
}

impl Thought {
    fn read(detail: &Value) -> Option<Self> {
        let text = |name: &str| detail[name].as_str().unwrap_or_default().to_owned();
        match detail["type"].as_str()? {
            "reasoning.text" if !text("signature").is_empty() => {
                Some(Self::Signed { text: text("text"), signature: text("signature") })
            }
            "reasoning.encrypted" if detail["data"].is_string() => Some(Self::Redacted(text("data"))),
            _ => None,
        }
    }
}

/// Readable thinking, with its signature once that is known.
pub fn thought(format: &str, index: u64, text: &str, signature: Option<&str>) -> Value {
    let mut detail = json!({"type": "reasoning.text", "text": text});
    if let Some(signature) = signature.filter(|signature| !signature.is_empty()) {
        detail["signature"] = signature.into();
    }
    detail["format"] = format.into();
    detail["index"] = index.into();
    detail
}

/// Thinking that only its model can read.
pub fn encrypted(format: &str, index: u64, data: &str) -> Value {
    json!({"type": "reasoning.encrypted", "data": data, "format": format, "index": index})
}

/// Whether the assistant is in the middle of a tool loop that it began without signed thinking.
///
/// A thinking budget is then refused.
pub fn continues_unthought(conversation: &Conversation<'_>) -> bool {
    match conversation.turns.as_slice() {
        [.., Turn::Assistant(before), Turn::User { results, .. }] if !results.is_empty() => {
            let thinks = |details: &[Value]| !thoughts(details, REASONING_FORMAT).is_empty();
            !before.iter().any(|told| thinks(&told.message.reasoning_details))
        }
        _ => false,
    }
}

/// Whether the history holds thinking that Claude signed.
pub fn replays(conversation: &Conversation<'_>) -> bool {
    let thinks = |told: &Told<'_>| !thoughts(&told.message.reasoning_details, REASONING_FORMAT).is_empty();
    conversation
        .turns
        .iter()
        .any(|turn| matches!(turn, Turn::Assistant(messages) if messages.iter().any(thinks)))
}

/// Which cache breakpoints stay where only `most` may: the last of the system prompt and the last of all others.
///
/// For each breakpoint, in the order of the prompt, it is known whether it stands in the system prompt.
pub fn kept_breakpoints(in_system: &[bool], most: usize) -> Vec<bool> {
    let last_system = in_system.iter().rposition(|is_system| *is_system);
    let mut excess = in_system.len().saturating_sub(most);
    let stays = |at: usize| {
        let goes = excess > 0 && Some(at) != last_system;
        excess -= usize::from(goes);
        !goes
    };
    (0..in_system.len()).map(stays).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_signed_thinking_comes_back_whole_and_in_order() {
        let details = [
            thought(REASONING_FORMAT, 0, "h", None),
            thought(REASONING_FORMAT, 0, "m", None),
            thought(REASONING_FORMAT, 0, "", Some("c2ln")),
            encrypted(REASONING_FORMAT, 1, "xyz"),
            thought(REASONING_FORMAT, 2, "unsigned", None),
            thought("google-gemini-v1", 3, "foreign", Some("s")),
        ];
        let signed = Thought::Signed { text: "hm".to_owned(), signature: "c2ln".to_owned() };
        assert_eq!(thoughts(&details, REASONING_FORMAT), [signed, Thought::Redacted("xyz".to_owned())]);
    }

    #[test]
    fn the_last_breakpoints_stay_and_one_of_the_system_prompt() {
        for (in_system, most, expected) in [
            (&[false, true, false][..], 4, &[true, true, true][..]),
            (&[true, false, false, false, false], 4, &[true, false, true, true, true]),
            (&[false, true, true, false, false], 3, &[false, false, true, true, true]),
            (&[], 4, &[]),
        ] {
            assert_eq!(kept_breakpoints(in_system, most), expected, "{in_system:?}");
        }
    }
}
