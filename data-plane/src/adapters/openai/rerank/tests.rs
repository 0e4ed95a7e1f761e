//! Rankings of followers that call things otherwise.

use serde_json::json;

use crate::adapters::tasks::Expected;
use crate::adapters::tasks::probe_tests::{calls_with, ranking, read, shown};

#[test]
fn voyage_calls_how_many_are_wanted_otherwise() {
    let request = ranking(&json!({"query": "q", "documents": ["a"], "top_n": 1}));
    let calls = calls_with("openai", &request, "up", |quirks| quirks.set("top_n_field", "top_k").unwrap());
    let body = shown(&calls.unwrap()[0]).1;
    assert_eq!(body, json!({"model": "up", "query": "q", "documents": ["a"], "top_k": 1}));
}

#[test]
fn counts_are_read_wherever_they_are() {
    let expected = Expected::Ranking { documents: 1, ranked: 1 };
    let results = json!([{"index": 0, "relevance_score": 0.5, "document": {"text": "a"}}]);
    for (answer, counts) in [
        (json!({"results": results, "usage": {"total_tokens": 7}}), Some((7, 0))),
        (json!({"results": results, "usage": {"prompt_tokens": 7, "total_tokens": 7}}), Some((7, 0))),
        (json!({"data": results, "usage": {"total_tokens": 7}}), Some((7, 0))),
        (json!({"results": results, "meta": {"billed_units": {"search_units": 2}}}), Some((0, 2))),
        (json!({"results": results, "meta": {"tokens": {"input_tokens": 5.0}}}), Some((5, 0))),
        (json!({"results": results}), None),
    ] {
        let usage = read("openai", expected.clone(), &answer).unwrap().usage;
        assert_eq!(usage.map(|usage| (usage.prompt_tokens, usage.search_units)), counts, "{answer}");
    }
}
