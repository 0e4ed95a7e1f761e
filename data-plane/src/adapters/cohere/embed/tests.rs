//! What Cohere gets of texts, parts and purposes.

use serde_json::{Value, json};

use crate::adapters::tasks::probe_tests::{call, calls, embedding};

fn body(members: &Value) -> Value {
    call("cohere", &embedding(members), "embed-v4.0").1
}

#[test]
fn texts_are_sent_with_a_purpose_whatever_the_caller_calls_it() {
    for (input_type, expected) in [
        (Value::Null, "search_document"),
        (json!("query"), "search_query"),
        (json!("search_query"), "search_query"),
        (json!("passage"), "search_document"),
        (json!("clustering"), "clustering"),
        (json!("image"), "image"),
    ] {
        let found = body(&json!({"input": ["a", "b"], "input_type": input_type, "dimensions": 256}));
        let expected = json!({"model": "embed-v4.0", "texts": ["a", "b"], "input_type": expected,
            "embedding_types": ["float"], "truncate": "NONE", "output_dimension": 256});
        assert_eq!(found, expected, "{input_type}");
    }
}

#[test]
fn parts_are_inputs_of_text_and_images() {
    let image = "data:image/png;base64,AAAA";
    let parts = json!([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": image}}]);
    let found = body(&json!({"input": ["b", {"content": parts}]}));
    assert_eq!(found["texts"], Value::Null);
    assert_eq!(found["inputs"], json!([{"content": [{"type": "text", "text": "b"}]}, {"content": parts}]));
    let audio = json!([{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]);
    let refused = calls("cohere", &embedding(&json!({"input": [{"content": audio}]})), "m").unwrap_err();
    assert_eq!(refused.field, "input[0].content[0]");
}
