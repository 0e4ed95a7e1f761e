//! Reasoning items, and the reasoning details that they are.

use serde_json::{Value, json};

use crate::api::responses::input::Item;
use crate::api::sealed;

/// The family of reasoning details that OpenAI's adapters read.
const OWN: &str = "openai-responses-v1";

/// The details that an item of the history is, counted on from `index`.
pub fn details(item: &Item<'_>, index: usize) -> Vec<Value> {
    let summary =
        item.summary.iter().flatten().map(|part| part.text.as_str()).collect::<Vec<_>>().join("\n\n");
    let thoughts: String = item.thoughts().into_iter().map(|part| part.text).collect();
    let shown = if thoughts.is_empty() { &summary } else { &thoughts };
    if let Some(detail) =
        item.encrypted_content.as_deref().and_then(|kept| sealed::unseal(kept, shown, index))
    {
        return vec![detail];
    }
    let mut details = Vec::new();
    if !summary.is_empty() {
        details.push(json!({"type": "reasoning.summary", "summary": summary, "id": item.id, "format": OWN, "index": index}));
    }
    if let Some(data) = &item.encrypted_content {
        details.push(json!({"type": "reasoning.encrypted", "data": data, "id": item.id, "format": OWN, "index": index}));
    }
    if details.is_empty() && !thoughts.is_empty() {
        details.push(json!({"type": "reasoning.text", "text": thoughts, "id": item.id, "index": index}));
    }
    details
}

/// One reasoning item of an answer: details of one id belong together.
#[derive(Debug, Default, Clone)]
pub struct Thought {
    pub id: Option<String>,
    pub summary: String,
    pub text: String,
    pub encrypted: Option<String>,
    /// Of the details that it is made of, in streams.
    pub index: Option<Value>,
    /// Streamed details without their text, of which some is only to be returned.
    pub kept: Vec<Value>,
}

impl Thought {
    /// Whether a detail goes on with this item.
    pub fn continues(&self, detail: &Value) -> bool {
        let id = detail.get("id").and_then(Value::as_str);
        id.is_some() && id == self.id.as_deref()
    }

    /// Takes a whole detail.
    pub fn take(&mut self, detail: &Value) {
        if let Some(id) = detail.get("id").and_then(Value::as_str) {
            self.id = Some(id.to_owned());
        }
        match sealed::is_summary(detail) {
            true => self.summary.push_str(sealed::text(detail)),
            false => self.text.push_str(sealed::text(detail)),
        }
        self.keep(detail);
    }

    /// Takes a piece of a streamed detail; its text is the caller's to add.
    pub fn keep_piece(&mut self, piece: &Value) {
        sealed::keep(&mut self.kept, piece);
    }

    fn keep(&mut self, detail: &Value) {
        if !sealed::is_of(detail, OWN) {
            self.encrypted = Some(sealed::seal(detail));
        } else if let Some(data) = detail.get("data").and_then(Value::as_str) {
            self.encrypted.get_or_insert_default().push_str(data);
        }
    }

    /// The item, under this id where it has none of its own.
    pub fn item(&self, id: &str, status: &str) -> Value {
        if !self.kept.is_empty() {
            let mut whole = Self { kept: Vec::new(), ..self.clone() };
            self.kept.iter().for_each(|detail| whole.keep(detail));
            return whole.item(id, status);
        }
        let id = self.id.as_deref().unwrap_or(id);
        let summary = match self.summary.is_empty() {
            true => json!([]),
            false => json!([{"type": "summary_text", "text": self.summary}]),
        };
        let mut item = json!({"type": "reasoning", "id": id, "summary": summary, "status": status});
        if !self.text.is_empty() {
            item["content"] = json!([{"type": "reasoning_text", "text": self.text}]);
        }
        if let Some(kept) = &self.encrypted {
            item["encrypted_content"] = json!(kept);
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_of_every_family_comes_back_as_it_was_given() {
        for given in [
            json!([{"type": "reasoning.summary", "summary": "so", "id": "rs_1", "format": OWN, "index": 0},
                   {"type": "reasoning.encrypted", "data": "b3Bh", "id": "rs_1", "format": OWN, "index": 0}]),
            json!([{"type": "reasoning.text", "signature": "c2ln", "format": "anthropic-claude-v1", "text": "hm", "index": 0}]),
            json!([{"type": "reasoning.encrypted", "data": "b3Bh", "format": "google-gemini-v1", "index": 0}]),
        ] {
            let mut thought = Thought::default();
            given.as_array().unwrap().iter().for_each(|detail| thought.take(detail));
            let item = thought.item("rs_x", "completed").to_string();
            let item: Item<'_> = serde_json::from_str(&item).unwrap();
            let returned = details(&item, 0);
            assert_eq!(json!(returned), given);
        }
    }
}
