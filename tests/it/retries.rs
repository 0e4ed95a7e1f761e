//! Trying again, and beside: retries within a share of the traffic, hedges within theirs, deadlines of every kind.

use std::time::Instant;

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_proto::v1;
use switchyard_tests::client::Client;
use switchyard_tests::cluster::{Cluster, Shape};
use switchyard_tests::wait;

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
    // With the fifth failure the endpoint is not asked any more, so there is no fourth request.
    for _ in 0..3 {
        assert_eq!(client.chat(ask("a/m")).await.status, StatusCode::BAD_GATEWAY);
    }
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

#[tokio::test]
async fn a_silent_first_attempt_is_hedged_once_its_usual_time_is_known_and_the_loser_is_paid() {
    let models: [(&str, &[(&str, &str)]); 1] = [("a/m", &[("one", "echo"), ("two", "echo")])];
    let (cluster, client) = cluster(Shape::default(), &models).await;
    let hedge = v1::Hedge { quantile_permille: 900, max_rate_permille: 1000, ..Default::default() };
    let stage = v1::PolicyStage {
        models: vec![v1::WeightedModel { model: "a/m".to_owned(), weight: 0 }],
        provider: Some(v1::ProviderPreferences {
            order: vec!["one".into(), "two".into()],
            ..Default::default()
        }),
        hedge: Some(hedge),
        ..Default::default()
    };
    let policy = v1::Policy { id: "quick".to_owned(), stages: vec![stage], ..Default::default() };
    cluster.policy(policy).await.unwrap();
    cluster.settled().await;
    // Until enough answers were timed nothing is known of the usual time, so nothing is hedged.
    for _ in 0..25 {
        client.stream(ask("policy/quick")).await.rest().await;
    }
    wait::until_true("enough answers are added up", async || {
        let body = ask("policy/quick").to_string();
        let plan = client.post("/api/v1/route/explain", body, &[]).await.ok();
        let health = &plan["data"]["stages"][0]["candidates"][0]["health"];
        health["latency_ms"]["samples"].as_u64().is_some_and(|samples| samples >= 20)
    })
    .await;
    let before = cluster.lab.counts().requests;
    cluster.lab.script(["hang", "echo"]).unwrap();
    let answer = client.stream(ask("policy/quick")).await;
    let id = answer.headers["x-generation-id"].to_str().unwrap().to_owned();
    let events = answer.rest().await;
    assert_eq!(cluster.lab.counts().requests - before, 2);
    let said = switchyard_tests::client::chunks(&events);
    assert!(said.iter().any(|chunk| chunk["provider"] == "two"), "{events:?}");
    let mut lines = cluster.lines(&id, 2).await;
    lines.sort_by_key(|line| line.outcome.clone());
    let outcomes: Vec<&str> = lines.iter().map(|line| line.outcome.as_str()).collect();
    assert_eq!(outcomes, ["hedge_lost", "ok"]);
    assert!(lines[0].charge_usd.parse::<f64>().unwrap() > 0.0, "{lines:?}");
    assert_eq!(lines[0].provenance(), v1::Provenance::Estimated);
    // Where both fail, both are told of and neither is sent again.
    let before = cluster.lab.counts().requests;
    cluster.lab.script(["hang", "status-500"]).unwrap();
    let mut body = ask("policy/quick");
    body["provider"] = json!({"deadlines": {"first_content_ms": 1500}});
    let failed = client.stream(body).await;
    assert_eq!(failed.status, StatusCode::GATEWAY_TIMEOUT);
    let id = failed.headers["x-generation-id"].to_str().unwrap().to_owned();
    let mut outcomes: Vec<String> =
        cluster.lines(&id, 2).await.into_iter().map(|line| line.outcome).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["server", "timeout"]);
    assert_eq!(cluster.lab.counts().requests - before, 2);
    cluster.stop().await.unwrap();
}
