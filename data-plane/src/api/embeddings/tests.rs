//! Bodies of embeddings requests and what is read of them; answers in both encodings.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use switchyard_proto::money::NanoUsd;
use switchyard_proto::price::Cost;

use super::*;
use crate::api::{AnswerFacts, Bill};
use crate::model::facts::Media;
use crate::model::message::PartContent;
use crate::model::response::ChatResponse;
use crate::model::task::Product;
use crate::model::usage::Usage;

fn read(body: &Value) -> ChatRequest {
    decode(Bytes::from(body.to_string())).unwrap_or_else(|refused| panic!("{body}: {refused}"))
}

fn embed(request: &ChatRequest) -> &Embed {
    match &request.task {
        Task::Embed(embed) => embed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn inputs_of_every_form_are_read() {
    let text = |text: &str| Input::Text(text.to_owned());
    for (input, expected, bytes) in [
        (json!("one"), vec![text("one")], 3),
        (json!(["one", "zw\u{f6}lf"]), vec![text("one"), text("zw\u{f6}lf")], 9),
        (json!([1, 2, 3]), vec![Input::Tokens(vec![1, 2, 3])], 12),
        (json!([[1, 2], [3]]), vec![Input::Tokens(vec![1, 2]), Input::Tokens(vec![3])], 12),
        (json!(["a", [7]]), vec![text("a"), Input::Tokens(vec![7])], 5),
    ] {
        let request = read(&json!({"model": "a/m", "input": input}));
        assert_eq!(embed(&request).inputs, expected, "{input}");
        let facts = &request.facts;
        assert_eq!((facts.messages as usize, facts.text_bytes), (expected.len(), bytes), "{input}");
        assert_eq!((facts.operation, request.stream), (Operation::Embeddings, false));
    }
}

#[test]
fn the_longest_input_is_measured_for_itself() {
    let request = read(&json!({"model": "a/m", "input": ["a", "four", [1, 2]]}));
    assert_eq!(request.facts.longest_bytes, 8);
}

#[test]
fn parts_are_those_of_a_chat() {
    let image = json!({"type": "image_url", "image_url": {"url": "https://x.test/a.png"}});
    let parts = json!([{"type": "text", "text": "a"}, image]);
    for input in [json!([{ "content": parts }]), json!({ "content": parts })] {
        let request = read(&json!({"model": "a/m", "input": input}));
        let [Input::Parts(parts)] = embed(&request).inputs.as_slice() else { panic!("{request:?}") };
        assert!(matches!(&parts[1].content, PartContent::Image { url, .. } if url == "https://x.test/a.png"));
        assert_eq!(request.facts.media(Media::Image).remote, 1, "it is fetched like a chat's");
    }
}

#[test]
fn what_chat_has_too_means_the_same() {
    let request =
        read(&json!({"model": "a/m", "models": ["b/n"], "input": "x", "user": "u", "session_id": "s",
        "provider": {"order": ["p"], "allow_fallbacks": false}, "dimensions": 3, "encoding_format": "base64",
        "input_type": "search_query", "metadata": {"k": "v"}, "debug": {"openrouter_metadata": true}}));
    assert_eq!(
        (request.model.as_deref(), request.fallback_models.as_slice()),
        (Some("a/m"), &["b/n".to_owned()][..])
    );
    assert_eq!((request.user.as_deref(), request.session_id.as_deref()), (Some("u"), Some("s")));
    assert_eq!((request.provider.order.len(), request.provider.allow_fallbacks), (1, false));
    assert!(request.wants_metadata);
    let embed = embed(&request);
    assert_eq!((embed.dimensions, embed.encoding), (Some(3), Encoding::Base64));
    assert_eq!(embed.input_type.as_deref(), Some("search_query"));
}

#[test]
fn members_that_nobody_knows_are_counted_as_text() {
    let request = read(&json!({"model": "a/m", "input": "four", "instruction": "12345"}));
    assert_eq!(request.facts.text_bytes, 4 + "\"12345\"".len() as u64);
}

#[test]
fn bad_requests_name_their_member() {
    let many = vec!["x"; MOST_INPUTS + 1];
    for (members, field, word) in [
        (json!({}), "input", "is required"),
        (json!({"input": ""}), "input", "must not be empty"),
        (json!({"input": []}), "input", "must not be empty"),
        (json!({"input": ["a", ""]}), "input[1]", "must not be empty"),
        (json!({"input": [[1], []]}), "input[1]", "must not be empty"),
        (json!({"input": 7}), "input", "must be"),
        (json!({"input": null}), "input", "must be"),
        (json!({"input": ["a", 7]}), "input", "either"),
        (json!({"input": [1, -2]}), "input[1]", "must be"),
        (json!({"input": [{"text": "a"}]}), "input[0].content", "is required"),
        (json!({"input": [{"content": "a"}]}), "input[0].content", "list"),
        (json!({"input": many}), "input", "2048"),
        (json!({"input": "x", "dimensions": 0}), "dimensions", ""),
        (json!({"input": "x", "dimensions": "3"}), "dimensions", ""),
        (json!({"input": "x", "dimensions": 1_000_000}), "dimensions", "65536"),
        (json!({"input": "x", "encoding_format": "int8"}), "encoding_format", ""),
        (json!({"input": "x", "stream": true}), "stream", "not supported"),
        (json!({"input": "x", "provider": {"order": 7}}), "provider.order", ""),
        (json!({"input": [{"content": [{"type": "smell"}]}]}), "input[0].content[0].type", ""),
    ] {
        let mut body = json!({"model": "a/m"});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let refused = decode(Bytes::from(body.to_string())).expect_err(&members.to_string());
        let shown = members.to_string();
        assert_eq!(refused.field, field, "{}: {}", &shown[..shown.len().min(80)], refused.message);
        assert!(refused.message.contains(word), "{shown:.80}: {}", refused.message);
    }
    for body in ["", "[]", "{\"model\": \"a/m\", \"input\": "] {
        assert!(decode(Bytes::from_static(body.as_bytes())).is_err(), "{body}");
    }
}

#[test]
fn answers_are_printed_in_the_encoding_that_was_asked_for() {
    let numbers = vec![0.5_f32, -1.0, 0.1];
    let answer = ChatResponse {
        product: Product::Vectors(vec![numbers.clone(), vec![0.0, 1.0, 2.0]]),
        usage: Some(Usage { prompt_tokens: 7, ..Usage::default() }),
        ..ChatResponse::default()
    };
    let facts =
        AnswerFacts { id: "gen-1".to_owned(), created: 1, model: "a/m".to_owned(), provider: "P".to_owned() };
    let bill = Bill {
        cost: NanoUsd(140),
        upstream: Cost { total: NanoUsd(140), prompt: NanoUsd(140), ..Cost::default() },
        ..Bill::default()
    };
    let print = |format: &str| -> Value {
        let request = read(&json!({"model": "a/m", "input": ["x", "y"], "encoding_format": format}));
        serde_json::from_slice(&encode(&answer, &facts, &request, &bill)).unwrap()
    };
    let floats = print("float");
    assert_eq!(floats["data"][0], json!({"object": "embedding", "index": 0, "embedding": [0.5, -1.0, 0.1]}));
    assert_eq!(
        (&floats["object"], &floats["model"], &floats["provider"]),
        (&json!("list"), &json!("a/m"), &json!("P"))
    );
    let usage = &floats["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["total_tokens"]), (&json!(7), &json!(7)));
    assert_eq!((&usage["cost"], &usage["is_byok"]), (&json!(0.00000014), &json!(false)));
    assert_eq!(usage.get("prompt_tokens_details"), None, "never null");
    let encoded = print("base64");
    assert_eq!(encoded["data"][1]["index"], 1);
    let bytes = STANDARD.decode(encoded["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let found: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect();
    assert_eq!(found, numbers);
}
