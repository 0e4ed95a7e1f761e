//! Reasoning that a client keeps for us and returns unread: what another family signed travels inside one text.
//!
//! A surface has one place for what is opaque, a signature or encrypted content, and its own family's needs no wrapping.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::model::event::join_reasoning;

/// What a text begins with that holds another family's reasoning.
const WRAPPED: &str = "switchyard.reasoning:";

/// The shown text of a reasoning detail or of a piece of one; empty where it is hidden.
pub fn text(detail: &Value) -> &str {
    ["text", "summary"].iter().find_map(|member| detail.get(member)?.as_str()).unwrap_or_default()
}

/// Whether a detail is a summary of what was thought, not the thought.
pub fn is_summary(detail: &Value) -> bool {
    detail.get("type").is_some_and(|kind| kind == "reasoning.summary")
}

/// Whether a detail shows nothing and is only to be returned.
pub fn is_hidden(detail: &Value) -> bool {
    detail.get("type").is_some_and(|kind| kind == "reasoning.encrypted")
}

/// Whether a detail is of this family; one that says nothing of itself is of any.
pub fn is_of(detail: &Value, family: &str) -> bool {
    detail.get("format").is_none_or(|format| format == family)
}

/// Adds what a piece of a streamed detail says besides its text, which was shown. A piece that says nothing new adds
/// nothing, so that a long thought stays small.
pub fn keep(kept: &mut Vec<Value>, piece: &Value) {
    let members = piece.as_object().into_iter().flatten();
    let members = members.filter(|(member, _)| !matches!(member.as_str(), "text" | "summary"));
    let piece = Value::Object(members.map(|(member, value)| (member.clone(), value.clone())).collect());
    if piece.get("data").is_some() || kept.last() != Some(&piece) {
        join_reasoning(kept, &piece);
    }
}

/// A detail without its shown text, which travels beside it.
pub fn seal(detail: &Value) -> String {
    let mut inner = detail.as_object().cloned().unwrap_or_default();
    inner
        .retain(|member, value| !matches!(member.as_str(), "text" | "summary" | "index") && !value.is_null());
    format!("{WRAPPED}{}", STANDARD.encode(Value::Object(inner).to_string()))
}

/// The detail that a text holds, with its shown text put back; none where it is of the surface's own family.
pub fn unseal(sealed: &str, shown: &str, index: usize) -> Option<Value> {
    let inner = STANDARD.decode(sealed.strip_prefix(WRAPPED)?).ok()?;
    let mut detail: Map<String, Value> = serde_json::from_slice(&inner).ok()?;
    if !shown.is_empty() {
        let is_summary = detail.get("type").is_some_and(|kind| kind == "reasoning.summary");
        detail.insert(if is_summary { "summary" } else { "text" }.to_owned(), shown.into());
    }
    detail.insert("index".to_owned(), index.into());
    Some(Value::Object(detail))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_thought_of_many_pieces_is_kept_as_one() {
        let piece = |more: Value| {
            let mut piece = json!({"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0});
            more.as_object().unwrap().iter().for_each(|(name, value)| piece[name.as_str()] = value.clone());
            piece
        };
        let many = vec![piece(json!({"text": "hm"})); 1000];
        let last = vec![piece(json!({"text": "", "signature": "s"}))];
        let bare = vec![json!({"text": "hm"}); 1000];
        let hidden: Vec<Value> =
            ["a", "a"].map(|data| json!({"type": "reasoning.encrypted", "data": data, "index": 1})).into();
        for (pieces, expected) in [
            ([many.clone(), Vec::new()].concat(), json!([piece(json!({}))])),
            ([many.clone(), last].concat(), json!([piece(json!({"signature": "s"}))])),
            (bare, json!([{}])),
            (
                [many, hidden].concat(),
                json!([piece(json!({})), {"type": "reasoning.encrypted", "data": "aa", "index": 1}]),
            ),
        ] {
            let mut kept = Vec::new();
            pieces.iter().for_each(|piece| keep(&mut kept, piece));
            assert_eq!(json!(kept), expected);
        }
    }
}
