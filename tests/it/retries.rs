//! Trying again: retries within a share of the traffic, and deadlines of every kind.

use std::time::Instant;

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_tests::client::Client;
use switchyard_tests::cluster::{Cluster, Shape};

fn ask(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "one two three four five six seven eight"}]})
}

async fn cluster(shape: Shape, models: &[(&str, &[(&str, &str)])]) -> (Cluster, Client) {
    let cluster = shape.start().await.unwrap();
    for provider in ["one", "two"] {
        cluster.provider(provider, "openai", &format!("{}/v1", cluster.lab.url())).await.unwrap();
    }
    for (model, served_by) in models {
        cluster.model(model, served_by).await.unwrap();
    }
    let client = cluster.client().await.unwrap();
    (cluster, client)
}

fn retrying(most: &str) -> Shape {
    Shape::default()
        .set("SWITCHYARD_RETRIES_MOST", most)
        .set("SWITCHYARD_RETRIES_BASE_MS", "10")
        .set("SWITCHYARD_RETRIES_BURST", "3")
        .set("SWITCHYARD_RETRIES_SHARE", "0")
}

fn outcomes(answer: &Value) -> Vec<(String, String)> {
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let rows = answer["openrouter_metadata"]["attempts"].as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| (word(row, "provider"), word(row, "outcome"))).collect()
}

/// Provider and rule of every candidate that was planned and not tried.
fn skipped(answer: &Value) -> Vec<(String, String)> {
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let rows = answer["openrouter_metadata"]["skipped"].as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| (word(row, "provider"), word(row, "rule"))).collect()
}

fn rows(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(provider, word)| ((*provider).to_owned(), (*word).to_owned())).collect()
}

#[tokio::test]
async fn what_failed_in_passing_is_tried_again_after_all_others_and_never_beyond_the_share() {
    let (cluster, client) = cluster(retrying("1"), &[("a/m", &[("one", "echo")])]).await;
    let metadata = [("x-openrouter-metadata", "enabled")];
    cluster.lab.script(["status-503", "echo"]).unwrap();
    let answer = client.chat_with(&metadata, ask("a/m")).await.ok();
    let expected = [("one", "overloaded"), ("one", "ok")].map(|(p, o)| (p.to_owned(), o.to_owned()));
    assert_eq!(outcomes(&answer), expected);
    // Two of the three saved retries are left.
    cluster.lab.always(Some("status-500")).unwrap();
    let before = cluster.lab.counts().requests;
    for _ in 0..2 {
        assert_eq!(client.chat(ask("a/m")).await.status, StatusCode::BAD_GATEWAY);
    }
    let last = client.chat_with(&metadata, ask("a/m")).await;
    assert_eq!(
        (last.status, skipped(&last.json)),
        (StatusCode::BAD_GATEWAY, rows(&[("one", "retry_share")]))
    );
    assert_eq!(cluster.lab.counts().requests - before, 3 + 2, "a share of nothing earns no more");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_callers_mistake_and_a_wait_that_is_too_long_are_not_tried_again() {
    let (cluster, client) = cluster(retrying("2"), &[("a/m", &[("one", "echo")])]).await;
    for (behaviour, status) in
        [("status-400", StatusCode::BAD_REQUEST), ("status-429-30", StatusCode::TOO_MANY_REQUESTS)]
    {
        cluster.lab.always(Some(behaviour)).unwrap();
        let before = cluster.lab.counts().requests;
        assert_eq!(client.chat(ask("a/m")).await.status, status, "{behaviour}");
        assert_eq!(cluster.lab.counts().requests - before, 1, "{behaviour}");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_that_one_model_refuses_goes_to_the_next_model_and_not_to_the_same_one_elsewhere() {
    let models: [(&str, &[(&str, &str)]); 2] =
        [("a/refused", &[("one", "status-400"), ("two", "status-400")]), ("a/taken", &[("one", "echo")])];
    let (cluster, client) = cluster(Shape::default(), &models).await;
    let mut body = ask("a/refused");
    body["models"] = json!(["a/taken"]);
    let answer = client.chat_with(&[("x-openrouter-metadata", "enabled")], body).await.ok();
    assert_eq!(answer["model"], "a/taken");
    assert_eq!(outcomes(&answer).len(), 2, "{answer:#}");
    let elsewhere = if outcomes(&answer)[0].0 == "one" { "two" } else { "one" };
    assert_eq!(skipped(&answer), rows(&[(elsewhere, "barred_model")]), "{answer:#}");
    cluster.stop().await.unwrap();
}

/// What a hung provider costs: its deadline, and little more. Each row is a behaviour and the deadline that ends it.
#[tokio::test]
async fn each_deadline_of_a_request_ends_what_it_is_for() {
    let behaviours = ["hang", "hang-after-headers", "stall", "slow"];
    let models: Vec<(String, [(&str, &str); 2])> =
        behaviours.iter().map(|name| (format!("a/{name}"), [("one", *name), ("two", "echo")])).collect();
    let models: Vec<(&str, &[(&str, &str)])> =
        models.iter().map(|(model, served_by)| (model.as_str(), served_by.as_slice())).collect();
    let shape = Shape::default().set("SWITCHYARD_DEADLINES_MIN_RATE_OVER_MS", "300");
    let (cluster, client) = cluster(shape, &models).await;
    for (behaviour, deadlines, falls_over) in [
        ("hang", json!({"headers_ms": 200, "first_content_ms": 200}), true),
        ("hang-after-headers", json!({"first_content_ms": 200}), true),
        ("stall", json!({"idle_ms": 200}), false),
        ("slow", json!({"min_tokens_per_second": 100000}), false),
    ] {
        let mut body = ask(&format!("a/{behaviour}"));
        body["provider"] = json!({"order": ["one", "two"], "deadlines": deadlines});
        let began = Instant::now();
        let events = client.stream(body).await.rest().await;
        eprintln!("{behaviour}: {:?} with {deadlines}", began.elapsed());
        let said = switchyard_tests::client::chunks(&events);
        let error = said.iter().find_map(|chunk| chunk["error"]["metadata"]["error_type"].as_str());
        assert_eq!(error, (!falls_over).then_some("timeout"), "{behaviour}: {events:?}");
        if falls_over {
            assert!(said.iter().any(|chunk| chunk["provider"] == "two"), "{behaviour}: {events:?}");
        }
    }
    let mut body = ask("a/hang");
    body["provider"] = json!({"only": ["one"], "deadlines": {"total_ms": 200}});
    let answer = client.chat(body.clone()).await;
    assert_eq!((answer.status, answer.error_type()), (StatusCode::GATEWAY_TIMEOUT, "timeout"));
    body["provider"]["deadlines"] = json!({"totl_ms": 200});
    let answer = client.chat(body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.message().contains("totl_ms"), "{answer:?}");
    cluster.stop().await.unwrap();
}
