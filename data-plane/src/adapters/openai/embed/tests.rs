//! Embeddings requests and what an endpoint of OpenAI's dialect gets of them; answers in both encodings.

use serde_json::{Value, json};

use crate::adapters::tasks::Expected;
use crate::adapters::tasks::probe_tests::{call, calls_with, embedding, read, shown, vectors};
use crate::model::task::Product;

#[test]
fn members_pass_as_sent_but_for_the_model_and_what_only_routers_know() {
    for (members, expected) in [
        (json!({"input": "x"}), json!({"input": "x"})),
        (json!({"input": ["x", "y"], "dimensions": 3}), json!({"input": ["x", "y"], "dimensions": 3})),
        (json!({"input": [1, 2]}), json!({"input": [1, 2]})),
        (json!({"input": [[1, 2], [3]]}), json!({"input": [[1, 2], [3]]})),
        (
            json!({"input": "x", "encoding_format": "base64"}),
            json!({"input": "x", "encoding_format": "base64"}),
        ),
        (json!({"input": "x", "encoding_format": null}), json!({"input": "x"})),
        (
            json!({"input": "x", "user": "u", "truncation": true}),
            json!({"input": "x", "user": "u", "truncation": true}),
        ),
        (
            json!({"input": "x", "models": ["a/n"], "provider": {"order": ["p"]}, "trace": {"a": 1}, "session_id": "s", "stream": false}),
            json!({"input": "x"}),
        ),
        (json!({"input": "x", "input_type": "query"}), json!({"input": "x"})),
    ] {
        let (path, body) = call("openai", &embedding(&members), "up");
        let mut whole = json!({"model": "up"});
        whole.as_object_mut().unwrap().extend(expected.as_object().unwrap().clone());
        assert_eq!((path.as_str(), body), ("/embeddings", whole), "{members}");
    }
}

#[test]
fn followers_call_the_same_things_otherwise() {
    let request = embedding(&json!({"input": "x", "dimensions": 3, "input_type": "query"}));
    let with = |name: &str, value: &str| {
        let calls = calls_with("openai", &request, "up", |quirks| {
            quirks.set(name, value).unwrap();
        });
        let calls = calls.unwrap();
        (shown(&calls[0]).1, calls[0].dropped.clone())
    };
    let (body, dropped) = with("dimensions_field", "output_dimension");
    assert_eq!((&body["output_dimension"], &body["dimensions"]), (&json!(3), &Value::Null));
    assert_eq!(dropped, ["input_type"]);
    let (body, dropped) = with("input_type", "true");
    assert_eq!((body["input_type"].as_str(), dropped.len()), (Some("query"), 0));
}

#[test]
fn azure_has_a_path_of_its_own_and_so_has_nobody_else() {
    let request = embedding(&json!({"input": "x"}));
    for (version, deployment, path) in [
        ("", "true", "/embeddings"),
        ("2024-10-21", "true", "/openai/deployments/up/embeddings?api-version=2024-10-21"),
        ("preview", "false", "/embeddings?api-version=preview"),
    ] {
        let calls = calls_with("azure", &request, "up", |quirks| {
            quirks.set("api_version", version).unwrap();
            quirks.set("deployment_path", deployment).unwrap();
        });
        assert_eq!(calls.unwrap()[0].path, path);
    }
    assert_eq!(call("openai_responses", &request, "up").0, "/embeddings");
}

#[test]
fn both_encodings_are_read_as_the_same_numbers() {
    let base64 = Expected::Vectors { count: 1, dimensions: None, base64: true };
    for (expected, printed) in [
        (vectors(1), json!([0.5, -1.0])),
        (base64.clone(), json!([0.5, -1.0])),
        (base64, json!("AAAAPwAAgL8=")),
    ] {
        let answer = json!({"data": [{"embedding": printed}], "usage": {"total_tokens": 3}, "model": "said"});
        let answer = read("openai", expected, &answer).unwrap();
        assert_eq!(answer.product, Product::Vectors(vec![vec![0.5, -1.0]]));
        let usage = answer.usage.unwrap();
        assert_eq!((usage.prompt_tokens, usage.completion_tokens), (3, 0), "all that is counted was put in");
    }
}
