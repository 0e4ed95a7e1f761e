//! What Ollama gets, and how it answers.

use serde_json::json;

use crate::adapters::tasks::probe_tests::{calls_with, embedding, read, shown, vectors};
use crate::model::task::Product;

#[test]
fn texts_are_not_cut_off_in_silence() {
    let request = embedding(&json!({"input": "x", "dimensions": 3}));
    let calls = calls_with("ollama", &request, "up", |quirks| quirks.num_ctx = Some(8_192)).unwrap();
    let expected = json!({"model": "up", "input": ["x"], "truncate": false, "dimensions": 3, "options": {"num_ctx": 8_192}});
    assert_eq!(shown(&calls[0]), ("/api/embed".to_owned(), expected));
}

#[test]
fn vectors_come_with_their_count() {
    let answer = json!({"model": "m", "embeddings": [[1.0], [2.0]], "prompt_eval_count": 7});
    let answer = read("ollama", vectors(2), &answer).unwrap();
    assert_eq!(answer.product, Product::Vectors(vec![vec![1.0], vec![2.0]]));
    assert_eq!(answer.usage.unwrap().prompt_tokens, 7);
}
