//! Each maker's words behind one path.

use serde_json::{Value, json};

use crate::adapters::tasks::probe_tests::{call, calls, embedding, read, vectors};
use crate::model::task::Product;

fn check(model: &str, members: &Value, path: &str, expected: Value) {
    assert_eq!(call("bedrock", &embedding(members), model), (path.to_owned(), expected), "{model}");
}

#[test]
fn the_models_name_says_whose_words_it_speaks() {
    let members = json!({"input": "x", "dimensions": 256, "input_type": "query"});
    check(
        "amazon.titan-embed-text-v2:0",
        &members,
        "/model/amazon.titan-embed-text-v2%3A0/invoke",
        json!({"inputText": "x", "dimensions": 256}),
    );
    check(
        "us.cohere.embed-v4:0",
        &members,
        "/model/us.cohere.embed-v4%3A0/invoke",
        json!({"texts": ["x"], "input_type": "search_query", "truncate": "NONE", "embedding_types": ["float"], "output_dimension": 256}),
    );
    check(
        "amazon.nova-2-multimodal-embeddings-v1:0",
        &members,
        "/model/amazon.nova-2-multimodal-embeddings-v1%3A0/invoke",
        json!({"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {"embeddingPurpose": "GENERIC_RETRIEVAL",
            "embeddingDimension": 256, "text": {"truncationMode": "NONE", "value": "x"}}}),
    );
    let titan = calls("bedrock", &embedding(&members), "amazon.titan-embed-text-v2:0").unwrap();
    assert_eq!(titan[0].dropped, ["input_type"]);
}

#[test]
fn every_makers_answer_is_read() {
    let expected = Product::Vectors(vec![vec![1.0, 2.0]]);
    for (answer, tokens) in [
        (json!({"embedding": [1.0, 2.0], "inputTextTokenCount": 5}), Some(5)),
        (json!({"embeddings": [{"embeddingType": "TEXT", "embedding": [1.0, 2.0]}]}), None),
        (json!({"embeddings": {"float": [[1.0, 2.0]]}}), None),
        (json!({"embeddings": [[1.0, 2.0]]}), None),
        (json!({"data": [{"index": 0, "embedding": [1.0, 2.0]}]}), None),
    ] {
        let read = read("bedrock", vectors(1), &answer).unwrap();
        assert_eq!(
            (read.product, read.usage.map(|usage| usage.prompt_tokens)),
            (expected.clone(), tokens),
            "{answer}"
        );
    }
    assert!(read("bedrock", vectors(1), &json!({"message": "no"})).is_err());
}
