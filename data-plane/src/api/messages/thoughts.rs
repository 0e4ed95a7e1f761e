//! Reasoning as blocks of thinking, and back.

use serde_json::{Value, json};

use crate::api::messages::blocks::Block;
use crate::api::sealed;

/// The family of reasoning details that Anthropic's adapters sign and read.
const OWN: &str = "anthropic-claude-v1";

/// The reasoning detail that a block of the history is.
pub fn detail(block: &Block<'_>, index: usize) -> Value {
    let kept = block.data.as_deref().or(block.signature.as_deref()).unwrap_or_default();
    let shown = block.thinking.as_deref().unwrap_or_default();
    sealed::unseal(kept, shown, index).unwrap_or_else(|| match &block.data {
        Some(data) => json!({"type": "reasoning.encrypted", "data": data, "format": OWN, "index": index}),
        None => json!({
            "type": "reasoning.text",
            "text": block.thinking,
            "signature": block.signature,
            "format": OWN,
            "index": index,
        }),
    })
}

/// The hidden data of a detail, as a client is to return it.
pub fn data(detail: &Value) -> String {
    kept(detail, "data")
}

/// The signature of a whole detail, as a client is to return it.
pub fn signature(detail: &Value) -> String {
    kept(detail, "signature")
}

fn kept(detail: &Value, member: &str) -> String {
    match sealed::is_of(detail, OWN) {
        true => detail.get(member).and_then(Value::as_str).unwrap_or_default().to_owned(),
        false => sealed::seal(detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returned(detail: &Value) -> Value {
        let block = match sealed::is_hidden(detail) {
            true => json!({"type": "redacted_thinking", "data": data(detail)}),
            false => {
                json!({"type": "thinking", "thinking": sealed::text(detail), "signature": signature(detail)})
            }
        };
        let block = block.to_string();
        super::detail(&serde_json::from_str(&block).unwrap(), 0)
    }

    #[test]
    fn reasoning_of_every_family_comes_back_as_it_was_given() {
        for detail in [
            json!({"type": "reasoning.text", "text": "hm", "signature": "c2ln", "format": OWN, "index": 0}),
            json!({"type": "reasoning.encrypted", "data": "b3Bh", "format": OWN, "index": 0}),
            json!({"type": "reasoning.encrypted", "data": "b3Bh", "id": "rs_1", "format": "openai-responses-v1", "index": 0}),
            json!({"type": "reasoning.summary", "id": "rs_1", "format": "openai-responses-v1", "summary": "so", "index": 0}),
            json!({"type": "reasoning.text", "format": "google-gemini-v1", "text": "hm", "index": 0}),
        ] {
            assert_eq!(returned(&detail), detail);
        }
    }

    #[test]
    fn a_signature_of_another_family_is_never_taken_for_anthropics() {
        let detail =
            json!({"type": "reasoning.text", "text": "hm", "signature": "x", "format": "google-gemini-v1"});
        assert_ne!(signature(&detail), "x");
        assert_eq!(returned(&detail)["format"], "google-gemini-v1");
    }
}
