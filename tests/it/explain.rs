//! Every route explains itself: before it is taken, in the answer, and in what is remembered of it.

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_proto::v1;
use switchyard_tests::client::Client;
use switchyard_tests::cluster::{Cluster, Shape, plain_endpoint};

async fn cluster() -> (Cluster, Client) {
    let cluster = Shape::default().set("SWITCHYARD_ROUTING_KEEP_DECISIONS", "1").start().await.unwrap();
    for provider in ["cheap", "dear", "small"] {
        cluster.provider(provider, "openai", &format!("{}/v1", cluster.lab.url())).await.unwrap();
    }
    let price = v1::Price { input: "50".to_owned(), output: "50".to_owned(), ..Default::default() };
    let endpoints = [
        plain_endpoint("cheap", "echo"),
        v1::Endpoint { price: Some(price), ..plain_endpoint("dear", "echo") },
        v1::Endpoint { context_length: 4, ..plain_endpoint("small", "echo") },
    ];
    let model = v1::Model { id: "a/m".to_owned(), ..Default::default() };
    cluster.model_with(model, endpoints).await.unwrap();
    let client = cluster.client().await.unwrap();
    (cluster, client)
}

fn ask() -> Value {
    let content =
        "a question of some twenty words, which is certainly more than a window of four tokens can hold";
    json!({"model": "a/m", "messages": [{"role": "user", "content": content}]})
}

fn providers(rows: &Value) -> Vec<&str> {
    rows.as_array().unwrap().iter().map(|row| row["provider"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_plan_is_told_without_a_call_and_costs_nothing() {
    let (cluster, client) = cluster().await;
    let mut body = ask();
    body["provider"] = json!({"sort": "price"});
    let answer = client.post("/api/v1/route/explain", body.to_string(), &[]).await.ok();
    let decision = &answer["data"];
    assert_eq!(providers(&decision["stages"][0]["candidates"]), ["cheap", "dear"]);
    let excluded = &decision["excluded"][0];
    assert_eq!((&excluded["provider"], &excluded["rule"]), (&json!("small"), &json!("context_length")));
    assert!(excluded["detail"].as_str().unwrap().contains('4'), "{excluded}");
    assert_eq!(cluster.lab.counts().requests, 0);
    let refused = client.with_key("sk-sy-v1-nonsense").post("/api/v1/route/explain", "{}", &[]).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn an_empty_set_says_which_filter_emptied_it() {
    let (cluster, client) = cluster().await;
    let mut body = ask();
    body["provider"] = json!({"max_price": {"prompt": 0.01}});
    for path in ["/api/v1/chat/completions", "/api/v1/route/explain"] {
        let answer = client.post(path, body.to_string(), &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
        let availability = &answer.json["error"]["availability"];
        assert_eq!(availability["code"], "constraint_filtered", "{answer:?}");
        assert!(availability["excluded_by"].as_array().unwrap().contains(&json!("max_price")), "{answer:?}");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_decision_is_remembered_with_its_generation_and_names_every_attempt() {
    let (cluster, client) = cluster().await;
    cluster.lab.script(["status-500", "echo"]).unwrap();
    let mut body = ask();
    body["debug"] = json!({"openrouter_metadata": true});
    let answer = client.chat(body).await.ok();
    assert_eq!(answer["openrouter_metadata"]["attempts"].as_array().map(Vec::len), Some(2), "{answer:#}");
    let generation = cluster.generation(answer["id"].as_str().unwrap()).await;
    let decision: Value = serde_json::from_str(&generation.decision).unwrap();
    let attempts = decision["attempts"].as_array().unwrap();
    let outcomes: Vec<&str> = attempts.iter().map(|row| row["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["server", "ok"]);
    assert!(attempts[1]["charge"].as_str().unwrap().parse::<f64>().unwrap() > 0.0, "{attempts:?}");
    assert_eq!(providers(&decision["excluded"]), ["small"]);
    assert_eq!(decision["inputs"]["model"], "a/m");
    assert_eq!(decision["inputs"]["is_whole"], true);
    assert!(!generation.decision.contains("twenty words"), "a decision holds nothing of the prompt");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_failed_request_always_keeps_its_decision() {
    let cluster = Shape::default().set("SWITCHYARD_ROUTING_KEEP_DECISIONS", "0").start().await.unwrap();
    let cluster = cluster.furnished().await.unwrap();
    let client = cluster.client().await.unwrap();
    let ok = client
        .chat(json!({"model": "test/echo", "messages": [{"role": "user", "content": "hi"}]}))
        .await
        .ok();
    assert_eq!(cluster.generation(ok["id"].as_str().unwrap()).await.decision, "");
    cluster.lab.always(Some("status-500")).unwrap();
    let failed =
        client.chat(json!({"model": "test/echo", "messages": [{"role": "user", "content": "hi"}]})).await;
    let generation = cluster.generation(failed.header("x-generation-id")).await;
    let decision: Value = serde_json::from_str(&generation.decision).unwrap();
    assert_eq!(decision["attempts"][0]["outcome"], "server");
    cluster.stop().await.unwrap();
}
