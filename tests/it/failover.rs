//! When a provider fails before its first content, the next one answers, and the answer says who it was.

use std::net::TcpListener;

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use switchyard_proto::v1;
use switchyard_tests::client::{Client, Event, chunks, text};
use switchyard_tests::cluster::{Cluster, plain_endpoint};

/// Every way of the lab to fail before there is any content.
const EARLY_FAILURES: &[&str] = &[
    "status-429",
    "status-500",
    "status-503",
    "status-529",
    "html-502",
    "html-200",
    "redirect",
    "error-in-200",
    "reset",
    "close",
    "hang",
    "hang-after-headers",
];

/// Failures that only a stream can have: a whole answer comes at once or not at all.
const EARLY_FAILURES_OF_STREAMS: &[&str] = &["cut-early", "error-first", "malformed", "end-early-0"];

/// An adapter, the provider of the lab that speaks to it, and what the row says.
pub struct Row {
    pub adapter: &'static str,
    pub id: &'static str,
    /// The path of the base URL: what makes the lab speak the dialect where its own path is another's too.
    pub path: &'static str,
    /// Empty: the adapter's own way. The lab takes any key, so nothing is signed or exchanged here.
    pub auth: &'static str,
}

const fn row(adapter: &'static str, id: &'static str, path: &'static str, auth: &'static str) -> Row {
    Row { adapter, id, path, auth }
}

pub const DIALECTS: [Row; 10] = [
    row("openai", "first-openai", "/v1", ""),
    row("openai_responses", "first-responses", "/v1", ""),
    row("anthropic", "first-anthropic", "/v1", ""),
    row("gemini", "first-gemini", "/v1beta", ""),
    row("vertex", "first-vertex", "/v1/projects/lab/locations/global", "bearer"),
    row("bedrock", "first-bedrock", "", "bearer"),
    row("azure", "first-azure", "/openai/v1", ""),
    row("mistral", "first-mistral", "/mistral/v1", ""),
    row("cohere", "first-cohere", "/v2", ""),
    row("ollama", "first-ollama", "", "none"),
];

fn body(model: &str, first: &str) -> Value {
    json!({
        "model": model,
        "provider": {"order": [first, "second"]},
        "messages": [{"role": "user", "content": "one two three four five six"}],
    })
}

/// Providers `first-…`, with short deadlines, and `second`, all on the lab.
pub async fn cluster() -> Cluster {
    let cluster = Cluster::start().await.unwrap();
    for row in &DIALECTS {
        let base_url = format!("{}{}", cluster.lab.url(), row.path);
        let provider = v1::Provider { auth: row.auth.to_owned(), ..provider(row.id, row.adapter, &base_url) };
        cluster.provider_with(provider).await.unwrap();
    }
    cluster.provider("second", "openai", &format!("{}/v1", cluster.lab.url())).await.unwrap();
    cluster
}

/// A model for each behaviour, which every dialect's provider has and `second` only echoes; the caller says who is first.
async fn models(cluster: &Cluster, behaviours: impl Iterator<Item = &'static str>) {
    for behaviour in behaviours {
        let mut served_by: Vec<(&str, &str)> = DIALECTS.iter().map(|row| (row.id, behaviour)).collect();
        served_by.push(("second", "echo"));
        cluster.model(&model_of(behaviour), &served_by).await.unwrap();
    }
}

fn provider(id: &str, adapter: &str, base_url: &str) -> v1::Provider {
    v1::Provider {
        id: id.to_owned(),
        adapter: adapter.to_owned(),
        base_url: base_url.to_owned(),
        credential: "a-credential".to_owned(),
        first_content_timeout_ms: 400,
        idle_timeout_ms: 400,
        ..Default::default()
    }
}

fn model_of(behaviour: &str) -> String {
    format!("test/{behaviour}")
}

#[tokio::test]
async fn any_failure_before_the_first_content_moves_to_the_next_provider() {
    let cluster = cluster().await;
    models(&cluster, EARLY_FAILURES.iter().chain(EARLY_FAILURES_OF_STREAMS).copied()).await;
    let client = cluster.client().await.unwrap();
    join_all(DIALECTS.iter().map(async |row| {
        for behaviour in EARLY_FAILURES {
            moves_on(&client, row.id, behaviour).await;
            let answer = client.chat(body(&model_of(behaviour), row.id)).await.ok();
            assert_eq!(answer["provider"], "second", "{} {behaviour}: {answer}", row.id);
        }
        for behaviour in EARLY_FAILURES_OF_STREAMS {
            moves_on(&client, row.id, behaviour).await;
        }
    }))
    .await;
}

async fn moves_on(client: &Client, first: &str, behaviour: &str) {
    let events = client.stream(body(&model_of(behaviour), first)).await.rest().await;
    assert_eq!(text(&events), "one two three four five six", "{first} {behaviour}, streaming: {events:?}");
    assert!(chunks(&events).iter().all(|chunk| chunk["provider"] == "second"), "{first} {behaviour}");
    assert_eq!(events.last(), Some(&Event::Done), "{first} {behaviour}");
}

#[tokio::test]
async fn a_refused_connection_moves_to_the_next_provider_and_costs_nothing() {
    let cluster = cluster().await;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    cluster.provider_with(provider("gone", "openai", &format!("http://{closed}/v1"))).await.unwrap();
    cluster.model("test/two", &[("gone", "echo"), ("second", "echo")]).await.unwrap();
    let client = cluster.client().await.unwrap();
    let answer = client.chat(body("test/two", "gone")).await.ok();
    assert_eq!(answer["provider"], "second");
    let lines = cluster.lines(answer["id"].as_str().unwrap(), 2).await;
    let refused = lines.iter().find(|line| line.provider == "gone").unwrap();
    assert_eq!((refused.attempt, refused.charge_usd.parse::<f64>().unwrap()), (1, 0.0), "{refused:?}");
    let served = lines.iter().find(|line| line.provider == "second").unwrap();
    assert_eq!((served.attempt, served.outcome.as_str()), (2, "ok"));
}

/// Every way of the lab to fail when there is some content.
const LATE_FAILURES: &[&str] =
    &["error-mid-2", "cut-2", "reset-mid-2", "malformed-mid-2", "stall-2", "end-early-2"];

#[tokio::test]
async fn an_error_after_the_first_content_stays_in_the_stream_and_is_no_success() {
    let cluster = cluster().await;
    models(&cluster, LATE_FAILURES.iter().copied()).await;
    let client = cluster.client().await.unwrap();
    join_all(DIALECTS.iter().map(async |row| {
        for behaviour in LATE_FAILURES {
            stays(&client, row.id, behaviour).await;
        }
    }))
    .await;
}

async fn stays(client: &Client, first: &str, behaviour: &str) {
    let stream = client.stream(body(&model_of(behaviour), first)).await;
    assert_eq!(stream.status, StatusCode::OK);
    let events = stream.rest().await;
    let what = format!("{first} {behaviour}: {events:?}");
    let chunks = chunks(&events);
    assert!(chunks.iter().all(|chunk| chunk["provider"] == first), "nobody takes over any more, {what}");
    assert!(text(&events).starts_with("one two"), "{what}");
    let failed: Vec<&&Value> = chunks.iter().filter(|chunk| chunk["error"].is_object()).collect();
    assert_eq!(failed.len(), 1, "exactly one error, {what}");
    assert_eq!(failed[0]["choices"][0]["finish_reason"], "error", "{what}");
    let error_type = failed[0]["error"]["metadata"]["error_type"].as_str().unwrap_or_default();
    assert!(["provider_unavailable", "provider_overloaded", "timeout"].contains(&error_type), "{what}");
    assert!(!chunks.iter().any(|chunk| chunk["choices"][0]["finish_reason"] == "stop"), "{what}");
    assert_eq!(events.last(), Some(&Event::Done), "{what}");
}

#[tokio::test]
async fn when_all_fail_the_caller_gets_the_real_status_and_every_attempt() {
    let cluster = cluster().await;
    let dead = "test/dead";
    cluster.model(dead, &[("first-openai", "status-500"), ("second", "status-503")]).await.unwrap();
    cluster
        .model("test/limited", &[("first-openai", "status-429-7"), ("second", "status-429-3")])
        .await
        .unwrap();
    let client = cluster.client().await.unwrap();
    let answer = client.chat(body(dead, "first-openai")).await;
    assert!(answer.status.is_server_error(), "{}", answer.text);
    let previous = &answer.json["error"]["metadata"]["previous_errors"];
    assert_eq!(
        (&previous[0]["provider"], &previous[0]["status"]),
        (&json!("first-openai"), &json!(500)),
        "{}",
        answer.text
    );
    assert_eq!(answer.header("x-switchyard-fault"), "provider");
    // A stream has not begun either, so its status is as real.
    let stream = client.stream(body(dead, "first-openai")).await;
    assert_eq!(stream.status, answer.status);
    let answer = client.chat(body("test/limited", "first-openai")).await;
    assert_eq!((answer.status, answer.error_type()), (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"));
    assert_eq!(answer.header("retry-after"), "3", "the shortest wait that a provider named");
}

#[tokio::test]
async fn a_request_that_the_provider_refuses_is_not_tried_elsewhere() {
    let cluster = cluster().await;
    cluster.model("test/refused", &[("first-openai", "status-400"), ("second", "echo")]).await.unwrap();
    let client = cluster.client().await.unwrap();
    let answer = client.chat(body("test/refused", "first-openai")).await;
    assert_eq!(
        (answer.status, answer.error_type()),
        (StatusCode::BAD_REQUEST, "invalid_request"),
        "{}",
        answer.text
    );
    assert_eq!(cluster.lab.counts().requests, 1);
}

#[tokio::test]
async fn a_caller_may_forbid_fallbacks() {
    let cluster = cluster().await;
    cluster.model("test/two", &[("first-openai", "status-500"), ("second", "echo")]).await.unwrap();
    let client = cluster.client().await.unwrap();
    let mut body = body("test/two", "first-openai");
    // Those that `order` names are the ones that are allowed.
    body["provider"] = json!({"order": ["first-openai"], "allow_fallbacks": false});
    let answer = client.chat(body).await;
    assert!(answer.status.is_server_error(), "{}", answer.text);
    assert_eq!(cluster.lab.counts().requests, 1);
}

#[tokio::test]
async fn a_caller_may_name_other_models_to_fall_back_to() {
    let cluster = cluster().await;
    cluster.model("test/dead", &[("first-openai", "status-500")]).await.unwrap();
    let last = plain_endpoint("second", "echo");
    let model = v1::Model { id: "test/alive".to_owned(), ..Default::default() };
    cluster.model_with(model, [last]).await.unwrap();
    let client = cluster.client().await.unwrap();
    let messages = json!([{"role": "user", "content": "hi"}]);
    let answer = client.chat(json!({"models": ["test/dead", "test/alive"], "messages": messages})).await.ok();
    assert_eq!((&answer["model"], &answer["provider"]), (&json!("test/alive"), &json!("second")));
}
