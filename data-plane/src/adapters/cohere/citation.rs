//! Citations and log probabilities in the client's dialect.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

/// A citation's sources, each as one annotation over the characters that rest on it.
///
/// `start` is where the cited text begins in the answer's content. Sources without an address go by their id.
pub fn annotations(citation: &Value, start: usize) -> Vec<Value> {
    let place = |name: &str| citation[name].as_u64().unwrap_or(0).saturating_add(start as u64);
    let sources = citation["sources"].as_array().into_iter().flatten();
    let annotation = |source: &Value| {
        let document = ["document", "tool_output"].into_iter().find_map(|name| source.get(name));
        let member = |name: &str| document.and_then(|document| document.get(name)?.as_str());
        let id = source["id"].as_str();
        let url = member("url").or(id)?;
        let title = member("title").or(id).unwrap_or_default();
        Some(json!({
            "type": "url_citation",
            "url_citation": {
                "url": url,
                "title": title,
                "content": citation["text"].as_str().unwrap_or_default(),
                "start_index": place("start"),
                "end_index": place("end"),
            },
        }))
    };
    sources.filter_map(annotation).collect()
}

/// Log probabilities of pieces of text: one, or a list; None where there are none.
///
/// A piece of several tokens has the probability of all of them together.
pub fn logprobs(items: &Value) -> Option<Box<RawValue>> {
    let list = match items {
        Value::Array(list) => list.as_slice(),
        Value::Object(_) => std::slice::from_ref(items),
        _ => return None,
    };
    let content: Vec<Value> = list.iter().filter_map(entry).collect();
    if content.is_empty() { None } else { to_raw_value(&json!({ "content": content })).ok() }
}

fn entry(item: &Value) -> Option<Value> {
    let token = item["text"].as_str()?;
    let logprob: f64 = item["logprobs"].as_array()?.iter().filter_map(Value::as_f64).sum();
    Some(json!({"token": token, "logprob": logprob, "bytes": token.as_bytes(), "top_logprobs": []}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_an_annotation() {
        let citation = json!({"start": 2, "end": 4, "text": "xy", "sources": [
            {"type": "document", "id": "doc:0", "document": {"id": "doc:0", "title": "T", "text": "…"}},
            {"type": "tool", "id": "call:1", "tool_output": {"url": "https://x/", "text": "…"}},
            {"type": "unheard"}]});
        let found = annotations(&citation, 10);
        let told = |url: &str, title: &str| {
            json!({"type": "url_citation", "url_citation":
                {"url": url, "title": title, "content": "xy", "start_index": 12, "end_index": 14}})
        };
        assert_eq!(found, [told("doc:0", "T"), told("https://x/", "call:1")]);
        assert_eq!(annotations(&json!({"start": "x"}), 0), [] as [Value; 0]);
    }

    #[test]
    fn pieces_of_several_tokens_have_one_probability() {
        let item = json!({"text": "né", "token_ids": [1, 2], "logprobs": [-0.5, -0.25]});
        let expected =
            r#"{"content":[{"token":"né","logprob":-0.75,"bytes":[110,195,169],"top_logprobs":[]}]}"#;
        for items in [item.clone(), json!([item])] {
            assert_eq!(logprobs(&items).expect("probabilities").get(), expected);
        }
        assert!(logprobs(&json!(null)).is_none() && logprobs(&json!([])).is_none());
    }
}
