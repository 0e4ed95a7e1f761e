//! What the client port answers beside chat: what is not there yet, errors in each dialect's form, and token counts.

use http::Method;
use serde_json::{Value, json};
use switchyard_proto::v1;
use switchyard_tests::client::{Answer, Client, http as caller};
use switchyard_tests::cluster::{Cluster, Shape};

use crate::failover;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// A call without a body.
async fn call(client: &Client, method: Method, path: &str) -> (u16, http::HeaderMap, Value) {
    let url = format!("{}{path}", client.url);
    let answer = caller().request(method, url).bearer_auth(&client.key).send().await.unwrap();
    let (status, head) = (answer.status().as_u16(), answer.headers().clone());
    (status, head, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn what_is_not_there_yet_says_so() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    for prefix in ["/v1", "/api/v1"] {
        for (method, path) in [
            (Method::POST, "/images/generations"),
            (Method::POST, "/images/edits"),
            (Method::POST, "/audio/speech"),
            (Method::POST, "/audio/transcriptions"),
            (Method::POST, "/audio/translations"),
            (Method::POST, "/batches"),
            (Method::GET, "/batches"),
            (Method::GET, "/batches/b_1"),
            (Method::POST, "/batches/b_1/cancel"),
            (Method::POST, "/files"),
            (Method::GET, "/files"),
            (Method::GET, "/files/f_1/content"),
            (Method::DELETE, "/files/f_1"),
            (Method::GET, "/realtime"),
            (Method::POST, "/realtime/sessions"),
        ] {
            let (status, _, body) = call(&client, method.clone(), &format!("{prefix}{path}")).await;
            let error = &body["error"];
            assert_eq!((status, &error["code"]), (501, &json!(501)), "{method} {path}: {body}");
            assert_eq!(error["metadata"]["error_type"], "not_supported", "{body}");
            assert!(error["message"].as_str().unwrap().contains("not supported yet"), "{body}");
        }
        let (status, _, body) = call(&client, Method::POST, &format!("{prefix}/messages/batches")).await;
        assert_eq!(
            (status, &body["type"], &body["error"]["error_type"]),
            (501, &json!("error"), &json!("not_supported"))
        );
        let (status, head, _) = call(&client, Method::OPTIONS, &format!("{prefix}/files")).await;
        assert_eq!((status, &head["access-control-allow-origin"]), (204, &"*".parse().unwrap()));
    }
    assert_eq!(call(&client, Method::POST, "/api/beta/batches").await.0, 501);
    assert_eq!(call(&client, Method::GET, "/api/beta/batches/b_1").await.0, 501);
}

#[tokio::test]
async fn below_messages_everything_has_anthropics_form_and_an_id() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    for (method, path, status, kind) in [
        (Method::GET, "/v1/messages", 405, "invalid_request_error"),
        (Method::DELETE, "/api/v1/messages/count_tokens", 405, "invalid_request_error"),
        (Method::GET, "/api/v1/messages/m_1", 404, "not_found_error"),
        (Method::POST, "/v1/messages", 400, "invalid_request_error"),
        (Method::POST, "/v1/messages/count_tokens", 400, "invalid_request_error"),
    ] {
        let (told, head, body) = call(&client, method, path).await;
        assert_eq!(
            (told, &body["type"], &body["error"]["type"]),
            (status, &json!("error"), &json!(kind)),
            "{path}: {body}"
        );
        assert_eq!(head["request-id"].to_str().unwrap(), body["request_id"], "{path}");
    }
    let ask = json!({"model": "test/echo", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    for path in ["/v1/messages", "/v1/messages/count_tokens"] {
        let answer = client.post(path, ask.to_string(), &JSON).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("request-id"), answer.header("x-request-id"));
        assert!(answer.header("request-id").starts_with("gen-"), "{:?}", answer.headers);
    }
}

#[tokio::test]
async fn tokens_are_counted_behind_the_same_guards() {
    let cluster = Shape::default().set("SWITCHYARD_REQUESTS_MAX_BODY_BYTES", "2000").start().await.unwrap();
    let cluster = cluster.furnished().await.unwrap();
    let client = cluster.client().await.unwrap();
    let count = async |client: &Client, model: &str, text: &str| -> Answer {
        let body = json!({"model": model, "messages": [{"role": "user", "content": text}]});
        client.post("/v1/messages/count_tokens", body.to_string(), &JSON).await
    };
    let rates = v1::Rates { requests_per_minute: Some(1), ..Default::default() };
    cluster.tenant("limited").await.unwrap();
    let key = v1::Key { name: "limited".to_owned(), rates: Some(rates), ..Default::default() };
    let limited = client.with_key(cluster.key_with("limited", key).await.unwrap().secret);
    assert_eq!(
        count(&limited, "test/echo", "one two three").await.json["input_tokens"].as_u64().map(|n| n > 0),
        Some(true)
    );
    for (what, answer, status, kind) in [
        (
            "no key",
            count(&client.with_key("sk-sy-v1-nonsense"), "test/echo", "Hi").await,
            401,
            "authentication",
        ),
        ("no such model", count(&client, "test/ecko", "Hi").await, 400, "invalid_request"),
        ("too large", count(&client, "test/echo", &"x".repeat(3000)).await, 413, "payload_too_large"),
        ("too many", count(&limited, "test/echo", "Hi").await, 429, "rate_limit_exceeded"),
    ] {
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        assert_eq!(answer.json["error"]["error_type"], kind, "{what}: {}", answer.text);
        assert_eq!(answer.json["type"], "error", "{what}");
    }
}

#[tokio::test]
async fn what_an_adapter_refuses_is_named_as_the_caller_wrote_it() {
    let cluster = failover::cluster().await;
    cluster.model("test/gemini", &[("first-gemini", "echo")]).await.unwrap();
    let client = cluster.client().await.unwrap();
    let stops: Vec<String> = (0..6).map(|at| at.to_string()).collect();
    let turn = json!([{"role": "user", "content": "Hi"}]);
    let sound = json!([{"type": "input_text", "text": "Hi"}, {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]);
    for (path, body, field) in [
        (
            "/v1/messages",
            json!({"model": "test/gemini", "max_tokens": 9, "messages": turn, "stop_sequences": stops}),
            "stop_sequences",
        ),
        ("/v1/chat/completions", json!({"model": "test/gemini", "messages": turn, "stop": stops}), "stop"),
        ("/v1/completions", json!({"model": "test/gemini", "prompt": "Hi", "stop": stops}), "stop"),
        (
            "/v1/responses",
            json!({"model": "test/claude", "instructions": "x", "input": [{"role": "user", "content": sound}]}),
            "input[0].content[1]",
        ),
    ] {
        let answer = client.post(path, body.to_string(), &JSON).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
        let error = &answer.json["error"];
        let told = if error["field"].is_null() { &error["metadata"]["field"] } else { &error["field"] };
        assert_eq!(told, field, "{path}: {}", answer.text);
        assert!(error["message"].as_str().unwrap().starts_with(field), "{}", answer.text);
    }
}

#[tokio::test]
async fn what_an_answer_cost_is_told_by_what_it_was_for() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let chat = client
        .chat(json!({"model": "test/echo", "messages": [{"role": "user", "content": "one two three"}]}))
        .await
        .ok();
    let usage = chat["usage"].clone();
    let number = |name: &str| usage["cost_details"][name].as_f64().unwrap();
    let (prompt, completion) =
        (number("upstream_inference_prompt_cost"), number("upstream_inference_completions_cost"));
    assert!(prompt > 0.0 && completion > 0.0, "{usage}");
    assert!((prompt + completion - number("upstream_inference_cost")).abs() < 1e-12, "{usage}");
    let body = json!({"model": "test/echo", "input": "one two three"}).to_string();
    let response = client.post("/v1/responses", body, &JSON).await.json;
    let told = &response["usage"]["cost_details"];
    assert_eq!(
        told["upstream_inference_input_cost"], usage["cost_details"]["upstream_inference_prompt_cost"],
        "{response}"
    );
    assert_eq!(
        told["upstream_inference_output_cost"],
        usage["cost_details"]["upstream_inference_completions_cost"]
    );
}
