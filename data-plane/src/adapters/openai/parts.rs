//! Content that is a list of parts, whole or in deltas: text, thinking, references, as Mistral sends them.

use serde_json::{Value, json};

use crate::adapters::shared::results::THINKING_PARTS;
use crate::model::event::join_details;

/// What a list of parts says.
#[derive(Debug, Default)]
pub struct Told {
    pub content: Option<String>,
    pub reasoning: Option<String>,
    pub details: Vec<Value>,
    pub annotations: Vec<Value>,
}

/// How far the content of one choice has come, over all its deltas.
#[derive(Debug, Default)]
pub struct Progress {
    /// Thoughts begun.
    thoughts: u64,
    /// Whether the next piece of thinking continues the last thought.
    is_thinking: bool,
    /// The signature of the last thought.
    signature: Option<String>,
    /// Characters of text, which references are counted in.
    said: usize,
}

impl Progress {
    /// Takes plain text.
    pub fn say(&mut self, text: &str) {
        if !text.is_empty() {
            self.said += text.chars().count();
            self.is_thinking = false;
        }
    }

    /// Takes a list of parts; kinds that nobody knows give their text.
    pub fn tell(&mut self, parts: &[Value]) -> Told {
        let mut told = Told::default();
        for part in parts {
            match part["type"].as_str() {
                Some("thinking") => self.think(part, &mut told),
                Some("reference") => told.annotations.extend(self.references(part)),
                Some("tool_reference") => told.annotations.extend(self.tool_reference(part)),
                _ => {
                    let text = part["text"].as_str().unwrap_or_default();
                    self.say(text);
                    append(&mut told.content, text);
                }
            }
        }
        told.details = join_details(&told.details);
        told
    }

    fn think(&mut self, part: &Value, told: &mut Told) {
        let text = thinking(part);
        let signature = part["signature"].as_str().filter(|signature| !signature.is_empty());
        if text.is_empty() && signature.is_none() {
            return;
        }
        let is_signed = self.signature.is_some();
        if !self.is_thinking || (is_signed && self.signature.as_deref() != signature) {
            self.thoughts += 1;
            self.is_thinking = true;
            self.signature = None;
        }
        let mut detail = json!({"type": "reasoning.text", "text": text});
        if let Some(signature) = signature {
            detail["signature"] = signature.into();
            self.signature = Some(signature.to_owned());
        }
        detail["id"] = THINKING_PARTS.into();
        detail["format"] = "unknown".into();
        detail["index"] = (self.thoughts - 1).into();
        told.details.push(detail);
        append(&mut told.reasoning, &text);
    }

    /// References to the caller's own documents have no address, only an id.
    fn references(&self, part: &Value) -> Vec<Value> {
        let ids = part["reference_ids"].as_array().into_iter().flatten();
        let id = |id: &Value| id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        ids.map(|value| self.citation(&format!("reference:{}", id(value)), &id(value))).collect()
    }

    fn tool_reference(&self, part: &Value) -> Option<Value> {
        Some(self.citation(part["url"].as_str()?, part["title"].as_str().unwrap_or_default()))
    }

    /// A citation that stands after what was said so far.
    fn citation(&self, url: &str, title: &str) -> Value {
        let at = self.said;
        json!({
            "type": "url_citation",
            "url_citation": {"url": url, "title": title, "start_index": at, "end_index": at},
        })
    }
}

fn append(text: &mut Option<String>, more: &str) {
    if !more.is_empty() {
        text.get_or_insert_default().push_str(more);
    }
}

/// The text of a thinking part: a string, or a list of text parts.
fn thinking(part: &Value) -> String {
    match &part["thinking"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().concat()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str, signature: Option<&str>) -> Value {
        json!({"type": "thinking", "thinking": [{"type": "text", "text": text}], "signature": signature})
    }

    #[test]
    fn thoughts_are_told_apart_by_text_between_them_and_by_signatures() {
        let text = json!({"type": "text", "text": "é!"});
        for (lists, thoughts) in [
            (
                vec![vec![part("a", None)], vec![part("b", None)], vec![part("", Some("s"))]],
                vec![("ab", "s")],
            ),
            (vec![vec![part("a", None), text.clone(), part("b", None)]], vec![("a", ""), ("b", "")]),
            (vec![vec![part("a", Some("s"))], vec![part("b", Some("s"))]], vec![("ab", "s")]),
            (vec![vec![part("a", Some("s")), part("b", Some("t"))]], vec![("a", "s"), ("b", "t")]),
            (vec![vec![part("", None), text.clone()]], vec![]),
        ] {
            let mut progress = Progress::default();
            let pieces: Vec<Value> = lists.iter().flat_map(|list| progress.tell(list).details).collect();
            let joined = join_details(&pieces);
            let found: Vec<_> = joined
                .iter()
                .map(|detail| {
                    (detail["text"].as_str().unwrap(), detail["signature"].as_str().unwrap_or_default())
                })
                .collect();
            assert_eq!(found, thoughts, "{lists:?}");
        }
    }

    #[test]
    fn references_stand_where_the_text_has_come_to() {
        let parts = json!([
            {"type": "text", "text": "é!"},
            {"type": "reference", "reference_ids": [3, "x"]},
            {"type": "tool_reference", "tool": "web_search", "title": "T", "url": "https://x/"},
            {"type": "unheard", "text": "."},
        ]);
        let told = Progress::default().tell(parts.as_array().unwrap());
        assert_eq!(told.content.as_deref(), Some("é!."));
        let found: Vec<_> = told.annotations.iter().map(|a| &a["url_citation"]["url"]).collect();
        assert_eq!(found, ["reference:3", "reference:x", "https://x/"]);
        assert_eq!(told.annotations[0]["url_citation"]["end_index"], 2);
    }
}
