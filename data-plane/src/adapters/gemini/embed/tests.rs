//! Google's three ways of the same.

use serde_json::{Value, json};

use crate::adapters::tasks::Expected;
use crate::adapters::tasks::probe_tests::{call, calls, embedding, read, shown, vectors};
use crate::model::task::Product;

#[test]
fn the_developer_api_takes_batches() {
    let request = embedding(&json!({"input": ["a", "b"], "dimensions": 768, "input_type": "search_query"}));
    let one = |text: &str| {
        json!({"model": "models/gemini-embedding-001", "content": {"parts": [{"text": text}]},
            "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 768})
    };
    let expected = json!({"requests": [one("a"), one("b")]});
    let path = "/models/gemini-embedding-001:batchEmbedContents".to_owned();
    assert_eq!(call("gemini", &request, "gemini-embedding-001"), (path, expected));
}

#[test]
fn the_newest_models_take_parts_and_no_purpose() {
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let parts = json!([{"type": "text", "text": "a"}, image]);
    let request = embedding(&json!({"input": [{"content": parts}], "input_type": "query"}));
    let sent = json!({"parts": [{"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]});
    let gemini = calls("gemini", &request, "gemini-embedding-2").unwrap();
    assert_eq!(shown(&gemini[0]).1["requests"][0]["content"], sent);
    assert_eq!(gemini[0].dropped, ["input_type"]);
    let vertex = call("vertex", &request, "gemini-embedding-2");
    let path = "/publishers/google/models/gemini-embedding-2:embedContent".to_owned();
    assert_eq!(vertex, (path, json!({"content": sent})));
}

#[test]
fn vertex_predicts_with_older_models() {
    let request = embedding(&json!({"input": ["a", "b"], "dimensions": 64, "input_type": "clustering"}));
    let expected = json!({"instances": [{"content": "a", "task_type": "CLUSTERING"}, {"content": "b", "task_type": "CLUSTERING"}],
        "parameters": {"autoTruncate": false, "outputDimensionality": 64}});
    let path = "/publishers/google/models/text-embedding-005:predict".to_owned();
    assert_eq!(call("vertex", &request, "text-embedding-005"), (path, expected));
    assert_eq!(calls("vertex", &request, "gemini-embedding-001").unwrap().len(), 2, "one text a call");
}

#[test]
fn all_shapes_are_read_and_what_was_cut_is_made_whole() {
    let [one, two] = [json!({"values": [3.0, 4.0]}), json!({"values": [0.0, 2.0]})];
    let predicted = |values: &Value| json!({"embeddings": {"values": values["values"], "statistics": {"token_count": 2, "truncated": false}}});
    let both = vec![vec![3.0, 4.0], vec![0.0, 2.0]];
    for (answer, tokens) in [
        (json!({"embeddings": [one, two], "usageMetadata": {"promptTokenCount": 9}}), Some(9)),
        (json!({"embeddings": [one, two]}), None),
        (json!({"predictions": [predicted(&one), predicted(&two)]}), Some(4)),
    ] {
        let answer = read("vertex", vectors(2), &answer).unwrap();
        assert_eq!(answer.product, Product::Vectors(both.clone()));
        assert_eq!(answer.usage.map(|usage| usage.prompt_tokens), tokens);
    }
    let cut = Expected::Vectors { count: 1, dimensions: Some(2), base64: false };
    let answer = read("gemini", cut, &json!({"embedding": one})).unwrap();
    assert_eq!(answer.product, Product::Vectors(vec![vec![0.6, 0.8]]));
}
