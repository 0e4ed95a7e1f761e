//! The commit point: what a waiting caller sees before the first content, and what becomes of a failure.

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_proto::v1;
use switchyard_tests::client::{Client, Event, chunks, text};
use switchyard_tests::cluster::{Cluster, Shape};

/// Callers are kept company after a tenth of a second, and a provider is given most of a second.
async fn cluster() -> (Cluster, Client) {
    let shape = Shape::default().set("SWITCHYARD_REQUESTS_KEEP_ALIVE_AFTER_MS", "100");
    let cluster = shape.start().await.unwrap().furnished().await.unwrap();
    let hasty = v1::Provider {
        id: "hasty".to_owned(),
        adapter: "openai".to_owned(),
        base_url: format!("{}/v1", cluster.lab.url()),
        first_content_timeout_ms: 900,
        ..Default::default()
    };
    cluster.provider_with(hasty).await.unwrap();
    cluster.model("test/slow", &[("lab", "slow-first-600")]).await.unwrap();
    cluster.model("test/hangs", &[("hasty", "hang")]).await.unwrap();
    cluster.model("test/two", &[("hasty", "hang-after-headers"), ("lab", "echo")]).await.unwrap();
    let client = cluster.client().await.unwrap();
    (cluster, client)
}

fn body(model: &str) -> Value {
    json!({"model": model, "provider": {"order": ["hasty", "lab"]}, "messages": [{"role": "user", "content": "one two"}]})
}

fn comments(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Comment(_))).count()
}

#[tokio::test]
async fn a_streaming_caller_is_kept_company_until_the_first_content() {
    let (_cluster, client) = cluster().await;
    let mut stream = client.stream(body("test/slow")).await;
    assert_eq!(stream.status, StatusCode::OK);
    let first = stream.next().await.unwrap().unwrap();
    assert!(matches!(first, Event::Comment(_)), "{first:?}");
    let events = stream.rest().await;
    assert_eq!((text(&events).as_str(), events.last()), ("one two", Some(&Event::Done)));
}

#[tokio::test]
async fn another_provider_may_still_take_over_while_the_caller_is_kept_company() {
    let (_cluster, client) = cluster().await;
    let events = client.stream(body("test/two")).await.rest().await;
    assert!(comments(&events) > 0, "{events:?}");
    assert_eq!(text(&events), "one two");
    assert!(chunks(&events).iter().all(|chunk| chunk["provider"] == "lab"));
}

#[tokio::test]
async fn total_failure_after_the_headers_is_told_in_the_stream() {
    let (_cluster, client) = cluster().await;
    let stream = client.stream(body("test/hangs")).await;
    assert_eq!(stream.status, StatusCode::OK, "the headers went out with the first comment");
    let events = stream.rest().await;
    assert!(comments(&events) > 0, "{events:?}");
    let chunks = chunks(&events);
    assert_eq!(chunks.len(), 1, "{events:?}");
    assert_eq!(chunks[0]["error"]["metadata"]["error_type"], "timeout");
    assert_eq!(chunks[0]["choices"][0]["finish_reason"], "error");
    assert_eq!(events.last(), Some(&Event::Done));
}

#[tokio::test]
async fn an_answer_that_is_not_streamed_always_has_its_real_status() {
    let (_cluster, client) = cluster().await;
    let answer = client.chat(body("test/hangs")).await;
    assert_eq!(
        (answer.status, answer.error_type()),
        (StatusCode::GATEWAY_TIMEOUT, "timeout"),
        "{}",
        answer.text
    );
    assert!(answer.text.starts_with('{'), "nothing stands before the JSON: {}", answer.text);
    client.chat(body("test/slow")).await.ok();
}

#[tokio::test]
async fn a_caller_who_leaves_is_settled_at_what_was_produced() {
    let (cluster, client) = cluster().await;
    cluster.model("test/drips", &[("lab", "slow-50")]).await.unwrap();
    cluster.settled().await;
    let words = "word ".repeat(40);
    let body = json!({"model": "test/drips", "messages": [{"role": "user", "content": words}]});
    let mut stream = client.stream(body).await;
    let first = stream.first_data().await;
    let id = first["id"].as_str().unwrap().to_owned();
    drop(stream);
    let line = cluster.lines(&id, 1).await.remove(0);
    assert!(line.tokens.unwrap_or_default().completion > 0, "{line:?}");
    assert!(line.charge_usd.parse::<f64>().unwrap() > 0.0, "{line:?}");
    assert!(cluster.generation(&id).await.cancelled || line.outcome == "ok", "{line:?}");
}

/// The data of every event in a stream, and whether something came before the first.
async fn told(client: &Client, path: &str, body: Value) -> (bool, Vec<Value>) {
    let answer = client.post(path, body.to_string(), &[("content-type", "application/json")]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let data = answer.text.lines().filter_map(|line| line.strip_prefix("data: "));
    (answer.text.starts_with(':'), data.filter_map(|data| serde_json::from_str(data).ok()).collect())
}

#[tokio::test]
async fn a_failure_after_silence_has_the_form_of_its_dialect() {
    let (_cluster, client) = cluster().await;
    let asks = json!({"model": "test/hangs", "stream": true, "input": "one", "metadata": {"a": "b"}});
    let (has_comment, events) = told(&client, "/v1/responses", asks).await;
    assert!(has_comment, "{events:?}");
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["response.created", "response.in_progress", "response.failed"]);
    assert!(events.iter().all(|event| event["response"]["metadata"]["a"] == "b"), "{events:?}");
    let turn = json!([{"role": "user", "content": "one"}]);
    let asks = json!({"model": "test/hangs", "stream": true, "max_tokens": 9, "messages": turn});
    let (has_comment, events) = told(&client, "/v1/messages", asks).await;
    assert!(!has_comment && events[0] == json!({"type": "ping"}), "{events:?}");
    let last = events.last().unwrap();
    assert_eq!(
        (&last["type"], &last["error"]["error_type"]),
        (&json!("error"), &json!("timeout")),
        "{events:?}"
    );
}
