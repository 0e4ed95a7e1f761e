//! Small facts about items: citations, weights of tokens, searches, images, bundled calls.

use crc32fast::Hasher;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::adapters::openai_responses::wire::Item;

/// What was told of a text, without the text.
#[derive(Debug, Clone, Default)]
pub struct Told {
    bytes: usize,
    sum: Hasher,
}

impl Told {
    /// Notes a piece.
    pub fn add(&mut self, piece: &str) {
        self.bytes += piece.len();
        self.sum.update(piece.as_bytes());
    }

    /// Whether nothing was told.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// What of the whole text was not told. Nothing where it begins differently: what was told stands.
    pub fn rest<'a>(&self, whole: &'a str) -> &'a str {
        let begins_so = |(told, _): &(&str, &str)| {
            let mut sum = Hasher::new();
            sum.update(told.as_bytes());
            sum.finalize() == self.sum.clone().finalize()
        };
        whole.split_at_checked(self.bytes).filter(begins_so).map_or("", |(_, rest)| rest)
    }
}

/// An annotation in the form of the chat dialect, its places moved by the characters that stand before its part.
pub fn annotation(cited: &Value, start: usize) -> Value {
    let (Some(members), Some(kind)) = (cited.as_object(), cited["type"].as_str()) else {
        return cited.clone();
    };
    // Some routers nest it already.
    if members.get(kind).is_some_and(Value::is_object) {
        return cited.clone();
    }
    let moved = |(name, value): (&String, &Value)| {
        let place = match name.as_str() {
            "start_index" | "end_index" | "index" => value.as_u64(),
            _ => None,
        };
        let value = place.map_or_else(|| value.clone(), |place| place.saturating_add(start as u64).into());
        (name.clone(), value)
    };
    let members: Map<String, Value> = members.iter().filter(|(name, _)| *name != "type").map(moved).collect();
    let mut annotation = json!({ "type": kind });
    annotation[kind] = Value::Object(members);
    annotation
}

/// Log probabilities in the form of the chat dialect; None for none.
pub fn weighed(logprobs: &[Value]) -> Option<Box<RawValue>> {
    if logprobs.is_empty() {
        return None;
    }
    let content: Vec<Value> = logprobs.iter().cloned().map(complete).collect();
    to_raw_value(&json!({"content": content, "refusal": null})).ok()
}

/// Strict clients miss what streams leave out.
fn complete(mut token: Value) -> Value {
    if let Value::Object(members) = &mut token {
        members.entry("bytes").or_insert(Value::Null);
        members.entry("top_logprobs").or_insert_with(|| json!([]));
    }
    token
}

/// Whether the item is a web search that is billed; opening a page that was found is none.
pub fn is_search(item: &Item<'_>) -> bool {
    let action = item.action.as_ref().and_then(|action| action.get("type")).and_then(Value::as_str);
    item.kind.get() == Some("web_search_call")
        && action.is_none_or(|action| action == "search")
        && item.status.get() != Some("failed")
}

/// A picture that the provider's own tool drew.
pub fn image(item: &Item<'_>) -> Option<Value> {
    let base64 = item.result.get().filter(|_| item.kind.get() == Some("image_generation_call"))?;
    let format = item.output_format.get().unwrap_or("png");
    let url = format!("data:image/{format};base64,{base64}");
    Some(json!({"type": "image_url", "image_url": {"url": url}}))
}

/// Names and arguments of the calls in a bundle; None where the text is no bundle.
pub fn bundled(text: &str) -> Option<Vec<(String, String)>> {
    let bundle: Value = serde_json::from_str(text).ok()?;
    let calls = bundle.get("tool_uses")?.as_array()?.iter();
    calls
        .map(|call| {
            let name = call.get("recipient_name")?.as_str()?;
            let name = name.strip_prefix("functions.").unwrap_or(name).to_owned();
            let parameters = call.get("parameters").filter(|parameters| parameters.is_object());
            Some((name, parameters.map_or_else(|| "{}".to_owned(), Value::to_string)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_not_told_again() {
        for (told, whole, rest) in [
            (&[][..], "", ""),
            (&[], "{}", "{}"),
            (&["{\"a", "\":1}"], "{\"a\":1}", ""),
            (&["né"], "née", "e"),
            // Spelled differently at the end: what was told stands.
            (&["{\"a\":1}"], "{\"a\": 1}", ""),
            (&["ab"], "a", ""),
            (&["n"], "é", ""),
        ] {
            let mut known = Told::default();
            told.iter().for_each(|piece| known.add(piece));
            assert_eq!(known.rest(whole), rest, "{told:?} {whole}");
        }
    }

    #[test]
    fn citations_are_nested_and_moved_behind_the_parts_before() {
        for (cited, expected) in [
            (
                json!({"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 4}),
                json!({"type": "url_citation",
                    "url_citation": {"url": "u", "title": "t", "start_index": 11, "end_index": 14}}),
            ),
            (
                json!({"type": "file_citation", "file_id": "f", "filename": "n", "index": 30}),
                json!({"type": "file_citation", "file_citation": {"file_id": "f", "filename": "n", "index": 40}}),
            ),
            (
                json!({"type": "url_citation", "url_citation": {"url": "u", "start_index": 1}}),
                json!({"type": "url_citation", "url_citation": {"url": "u", "start_index": 1}}),
            ),
            (json!("odd"), json!("odd")),
        ] {
            assert_eq!(annotation(&cited, 10), expected);
        }
    }

    #[test]
    fn a_bundle_is_read_as_its_calls() {
        let text =
            r#"{"tool_uses":[{"recipient_name":"functions.f","parameters":{"a":1}},{"recipient_name":"g"}]}"#;
        let calls = bundled(text).expect("a bundle");
        assert_eq!(calls, [("f".to_owned(), r#"{"a":1}"#.to_owned()), ("g".to_owned(), "{}".to_owned())]);
        for text in ["{}", "x", r#"{"tool_uses":[{}]}"#] {
            assert_eq!(bundled(text), None, "{text}");
        }
    }
}
