//! Mistral takes what it knows and nothing else.

use serde_json::json;

use crate::adapters::tasks::probe_tests::{call, calls, embedding};

#[test]
fn members_have_mistrals_names() {
    let request =
        embedding(&json!({"input": "x", "dimensions": 3, "encoding_format": "base64", "user": "u"}));
    let expected = json!({"model": "up", "input": ["x"], "encoding_format": "base64", "output_dimension": 3});
    assert_eq!(call("mistral", &request, "up"), ("/embeddings".to_owned(), expected));
}

#[test]
fn token_ids_and_purposes_are_not_known() {
    let refused = calls("mistral", &embedding(&json!({"input": [1, 2]})), "up").unwrap_err();
    assert_eq!(refused.field, "input[0]");
    let request = embedding(&json!({"input": "x", "input_type": "query"}));
    assert_eq!(calls("mistral", &request, "up").unwrap()[0].dropped, ["input_type"]);
}
