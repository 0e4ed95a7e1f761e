//! A chat through every adapter, whole and streamed: whatever the dialect, the caller hears the same.

use futures_util::future::join_all;
use serde_json::{Value, json};
use switchyard_data_plane::adapters::ADAPTERS;
use switchyard_proto::v1;
use switchyard_tests::client::{Client, Event, chunks, text};
use switchyard_tests::cluster::Cluster;

use crate::failover::{self, DIALECTS, Row};

const SAID: &str = "one two three süß 🦀";
/// The lab counts four bytes as a token.
const TOKENS: u64 = 6;

async fn cluster(behaviour: &str) -> Cluster {
    let cluster = failover::cluster().await;
    for row in &DIALECTS {
        cluster.model(&model_of(row), &[(row.id, behaviour)]).await.unwrap();
    }
    cluster
}

fn model_of(row: &Row) -> String {
    format!("test/{}", row.adapter)
}

fn body(row: &Row) -> Value {
    json!({"model": model_of(row), "max_tokens": 500, "messages": [{"role": "user", "content": SAID}]})
}

/// What a caller sees of an answer, streamed or not.
#[derive(Debug, PartialEq)]
struct Heard {
    content: String,
    finish: Value,
    calls: Vec<(String, Value)>,
    tokens: (u64, u64),
}

fn tokens(usage: &Value) -> (u64, u64) {
    let count = |name: &str| usage[name].as_u64().unwrap_or_default();
    assert_eq!(count("total_tokens"), count("prompt_tokens") + count("completion_tokens"), "{usage}");
    (count("prompt_tokens"), count("completion_tokens"))
}

async fn whole(client: &Client, row: &Row, body: Value) -> Heard {
    let answer = client.chat(body).await.ok();
    assert_eq!(answer["provider"], row.id, "{answer}");
    let choice = &answer["choices"][0];
    let calls = choice["message"]["tool_calls"].as_array().cloned().unwrap_or_default();
    let call = |call: &Value| (call["function"]["name"].clone(), call["function"]["arguments"].clone());
    Heard {
        content: choice["message"]["content"].as_str().unwrap_or_default().to_owned(),
        finish: choice["finish_reason"].clone(),
        calls: calls.iter().map(call).map(|(name, arguments)| parsed(&name, &arguments)).collect(),
        tokens: tokens(&answer["usage"]),
    }
}

fn parsed(name: &Value, arguments: &Value) -> (String, Value) {
    let arguments = serde_json::from_str(arguments.as_str().unwrap()).unwrap();
    (name.as_str().unwrap().to_owned(), arguments)
}

async fn streamed(client: &Client, row: &Row, body: Value) -> Heard {
    let events = client.stream(body).await.rest().await;
    assert_eq!(events.last(), Some(&Event::Done), "{}: {events:?}", row.id);
    let chunks = chunks(&events);
    assert!(chunks.iter().all(|chunk| chunk["provider"] == row.id), "{events:?}");
    let told = |pick: fn(&Value) -> &Value| -> Vec<Value> {
        chunks.iter().map(|chunk| pick(chunk).clone()).filter(|value| !value.is_null()).collect()
    };
    let finishes = told(|chunk| &chunk["choices"][0]["finish_reason"]);
    let usages = told(|chunk| &chunk["usage"]);
    assert_eq!((finishes.len(), usages.len()), (1, 1), "{}: {events:?}", row.id);
    let deltas = told(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0]);
    let mut calls: Vec<(Value, String)> = Vec::new();
    for delta in &deltas {
        if delta["function"]["name"].is_string() {
            calls.push((delta["function"]["name"].clone(), String::new()));
        }
        let fragment = delta["function"]["arguments"].as_str().unwrap_or_default();
        calls.last_mut().unwrap().1.push_str(fragment);
    }
    Heard {
        content: text(&events),
        finish: finishes[0].clone(),
        calls: calls.iter().map(|(name, arguments)| parsed(name, &json!(arguments))).collect(),
        tokens: tokens(&usages[0]),
    }
}

#[test]
fn every_adapter_has_its_row() {
    let adapters: Vec<&str> = ADAPTERS.iter().map(|adapter| adapter.name()).collect();
    let mut missing = adapters.iter().filter(|name| DIALECTS.iter().all(|row| row.adapter != **name));
    assert_eq!(missing.next(), None);
}

#[tokio::test]
async fn a_chat_is_the_same_in_every_dialect_whole_and_streamed() {
    let cluster = cluster("echo").await;
    let client = cluster.client().await.unwrap();
    let expected = || Heard {
        content: SAID.to_owned(),
        finish: json!("stop"),
        calls: Vec::new(),
        tokens: (TOKENS, TOKENS),
    };
    join_all(DIALECTS.iter().map(async |row| {
        assert_eq!(whole(&client, row, body(row)).await, expected(), "{}", row.adapter);
        assert_eq!(streamed(&client, row, body(row)).await, expected(), "{}, streaming", row.adapter);
    }))
    .await;
    assert_eq!(cluster.lab.counts().requests, 2 * DIALECTS.len() as u64);
}

#[tokio::test]
async fn a_tool_call_is_the_same_in_every_dialect_whole_and_streamed() {
    let cluster = cluster("tools-parallel").await;
    let client = cluster.client().await.unwrap();
    let called = ("weather".to_owned(), json!({"city": "text"}));
    join_all(DIALECTS.iter().map(async |row| {
        let mut body = body(row);
        let parameters =
            json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
        body["tools"] =
            json!([{"type": "function", "function": {"name": "weather", "parameters": parameters}}]);
        let heard = [whole(&client, row, body.clone()).await, streamed(&client, row, body).await];
        for heard in heard {
            assert_eq!(heard.calls, [called.clone(), called.clone()], "{}: {heard:?}", row.adapter);
            assert_eq!(
                (&heard.finish, heard.content.as_str()),
                (&json!("tool_calls"), ""),
                "{}",
                row.adapter
            );
            assert!(heard.tokens.0 > TOKENS && heard.tokens.1 > 0, "{}: {heard:?}", row.adapter);
        }
    }))
    .await;
}

#[tokio::test]
async fn a_deployment_of_azure_with_a_dated_version_is_named_by_its_path() {
    let cluster = failover::cluster().await;
    let quirks = [("api_version".to_owned(), "2024-10-21".to_owned())];
    let dated = v1::Provider {
        id: "dated".to_owned(),
        adapter: "azure".to_owned(),
        base_url: cluster.lab.url(),
        credential: "a-credential".to_owned(),
        quirks: quirks.into(),
        ..Default::default()
    };
    cluster.provider_with(dated).await.unwrap();
    cluster.model("test/dated", &[("dated", "lorem-7")]).await.unwrap();
    let client = cluster.client().await.unwrap();
    let messages = json!([{"role": "user", "content": SAID}]);
    let answer = client.chat(json!({"model": "test/dated", "messages": messages})).await.ok();
    assert_eq!(tokens(&answer["usage"]), (TOKENS, 7), "{answer}");
    let path = cluster.lab.received().pop().unwrap().path;
    assert_eq!(path, "/openai/deployments/lorem-7/chat/completions?api-version=2024-10-21");
}
