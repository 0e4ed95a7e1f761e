//! Sources that an answer names beside its choices, as annotations.

use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Bounds what a hostile list can cost.
const MOST: usize = 200;

/// One annotation per source: results of a search with their titles, else bare links.
///
/// The places in the text are marks such as `[1]`, which stay there; so an annotation covers no range.
pub fn annotations(citations: Option<&RawValue>, search_results: Option<&RawValue>) -> Vec<Value> {
    let list = |raw: Option<&RawValue>| -> Vec<Value> {
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    };
    let results: Vec<Value> = list(search_results).iter().take(MOST).filter_map(result).collect();
    if !results.is_empty() {
        return results;
    }
    list(citations).iter().take(MOST).filter_map(|link| Some(annotation(link.as_str()?, ""))).collect()
}

fn result(result: &Value) -> Option<Value> {
    Some(annotation(result["url"].as_str()?, result["title"].as_str().unwrap_or_default()))
}

fn annotation(url: &str, title: &str) -> Value {
    json!({
        "type": "url_citation",
        "url_citation": {"url": url, "title": title, "start_index": 0, "end_index": 0},
    })
}
