//! Cohere's rankings are billed by the search.

use serde_json::json;

use crate::adapters::FailureClass;
use crate::adapters::tasks::Expected;
use crate::adapters::tasks::probe_tests::read;

#[test]
fn searches_are_what_is_counted() {
    let expected = Expected::Ranking { documents: 2, ranked: 1 };
    let answer = json!({"id": "x", "results": [{"index": 1, "relevance_score": 0.7}],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 3}}});
    let usage = read("cohere", expected.clone(), &answer).unwrap().usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.search_units), (0, 3));
    let failure = read("cohere", expected, &json!({"message": "invalid api token"})).unwrap_err();
    assert_eq!(failure.class, FailureClass::Auth);
}
