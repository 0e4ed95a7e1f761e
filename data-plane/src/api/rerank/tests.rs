//! Bodies of rerank requests and what is read of them; answers.

use serde_json::{Value, json};
use switchyard_proto::money::NanoUsd;
use switchyard_proto::price::Cost;

use super::*;
use crate::api::{AnswerFacts, Bill};
use crate::model::response::ChatResponse;
use crate::model::task::{Product, Ranked};
use crate::model::usage::Usage;

fn read(body: &Value) -> ChatRequest {
    decode(Bytes::from(body.to_string())).unwrap_or_else(|refused| panic!("{body}: {refused}"))
}

fn rerank(request: &ChatRequest) -> &Rerank {
    match &request.task {
        Task::Rerank(rerank) => rerank,
        other => panic!("{other:?}"),
    }
}

#[test]
fn documents_of_every_form_are_read() {
    let request = read(
        &json!({"model": "a/m", "query": "q", "top_n": 2, "max_tokens_per_doc": 9, "documents":
        ["a", {"text": "b"}, {"text": "c", "image": "https://x.test/a.png"}, {"image": {"url": "data:image/png;base64,AAAA"}}]}),
    );
    let rerank = rerank(&request);
    assert_eq!((rerank.top_n, rerank.max_tokens_per_doc, rerank.return_documents), (Some(2), Some(9), true));
    assert_eq!((rerank.ranked(), rerank.documents.len()), (2, 4));
    assert_eq!(rerank.documents[1], Document { text: Some("b".to_owned()), image: None });
    assert_eq!(rerank.documents[3].image.as_deref(), Some("data:image/png;base64,AAAA"));
    let images = request.facts.images;
    assert_eq!((images.count, images.remote), (2, 1));
}

#[test]
fn the_query_is_counted_with_every_document() {
    let request = read(&json!({"model": "a/m", "query": "four", "documents": ["12", "123456"]}));
    let facts = &request.facts;
    // The query is once more in the chat that stands for the request.
    assert_eq!(facts.text_bytes, 4 + (4 + 2) + (4 + 6));
    assert_eq!((facts.longest_bytes, facts.messages), (10, 2));
    assert_eq!(facts.operation, Operation::Rerank);
}

#[test]
fn searches_are_bounded_by_the_pieces_that_documents_may_fall_into() {
    let units = |query: usize, documents: Vec<usize>| {
        let documents: Vec<String> = documents.into_iter().map(|bytes| "x".repeat(bytes)).collect();
        read(&json!({"model": "a/m", "query": "q".repeat(query), "documents": documents})).facts.search_units
    };
    assert_eq!(units(10, vec![5; 100]), 1);
    assert_eq!(units(10, vec![5; 101]), 2);
    assert_eq!(units(100, vec![40_000]), 1, "a hundred pieces of 400 bytes");
    assert_eq!(units(100, vec![40_001]), 2);
    assert_eq!(units(600, vec![300]), 3, "a query that leaves no room: every byte may be a piece");
}

#[test]
fn bad_requests_name_their_member() {
    let many = vec!["x"; MOST_DOCUMENTS + 1];
    for (body, field) in [
        (json!({"documents": ["a"]}), "query"),
        (json!({"query": "q"}), "documents"),
        (json!({"query": "", "documents": ["a"]}), "query"),
        (json!({"query": "q", "documents": []}), "documents"),
        (json!({"query": "q", "documents": "a"}), "documents"),
        (json!({"query": "q", "documents": ["a", 7]}), "documents[1]"),
        (json!({"query": "q", "documents": ["a", {}]}), "documents[1]"),
        (json!({"query": "q", "documents": many}), "documents"),
        (json!({"query": "q", "documents": ["a"], "top_n": 0}), "top_n"),
        (json!({"query": "q", "documents": ["a"], "top_n": "1"}), "top_n"),
        (json!({"query": "q", "documents": ["a"], "stream": true}), "stream"),
        (json!({"query": "q", "documents": ["a"], "provider": 7}), "provider"),
    ] {
        let refused = decode(Bytes::from(body.to_string())).expect_err(field);
        assert_eq!(refused.field, field, "{}", refused.message);
        assert!(refused.message.contains(field), "{}", refused.message);
    }
}

#[test]
fn answers_repeat_the_documents_unless_they_are_not_wanted() {
    let answer = ChatResponse {
        product: Product::Ranking(vec![Ranked { index: 1, score: 0.5 }]),
        usage: Some(Usage { search_units: 1, ..Usage::default() }),
        ..ChatResponse::default()
    };
    let facts =
        AnswerFacts { id: "gen-1".to_owned(), created: 1, model: "a/m".to_owned(), provider: "P".to_owned() };
    let bill = Bill {
        cost: NanoUsd(2_000_000),
        upstream: Cost { total: NanoUsd(2_000_000), prompt: NanoUsd(2_000_000), ..Cost::default() },
        ..Bill::default()
    };
    let print = |more: Value| -> Value {
        let mut body = json!({"model": "a/m", "query": "q", "documents": ["a", {"text": "b"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_slice(&encode(&answer, &facts, &read(&body), &bill)).unwrap()
    };
    let usage = json!({"total_tokens": 0, "search_units": 1, "cost": 0.002, "is_byok": false,
        "cost_details": {"upstream_inference_cost": 0.002}});
    let row = json!({"index": 1, "relevance_score": 0.5, "document": {"text": "b"}});
    let expected = json!({"id": "gen-1", "model": "a/m", "provider": "P", "results": [row], "usage": usage});
    assert_eq!(print(json!({})), expected);
    let bare = print(json!({"return_documents": false}));
    assert_eq!(bare["results"][0], json!({"index": 1, "relevance_score": 0.5}));
}
