//! Rates against whole systems: what answers tell of them, who is passed over, what frees a slot, one count for a fleet.

use std::sync::atomic::{AtomicU32, Ordering};

use http::StatusCode;
use prost_types::FieldMask;
use serde_json::{Value, json};
use switchyard_cli::client::Answer as _;
use switchyard_proto::v1;
use switchyard_tests::client::{Answer, Client};
use switchyard_tests::cluster::{Cluster, Shape, plain_endpoint};
use switchyard_tests::plane::Place;
use switchyard_tests::redis::Redis;
use switchyard_tests::wait;

fn requests(limit: u64) -> Option<v1::Rates> {
    Some(v1::Rates { requests_per_minute: Some(limit), ..Default::default() })
}

fn at_once(limit: u64) -> Option<v1::Rates> {
    Some(v1::Rates { concurrency: Some(limit), ..Default::default() })
}

fn ask(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "one two three"}]})
}

/// Providers `one` and `two` on the lab, in this order of a request's own.
async fn cluster(shape: Shape, of_one: Option<v1::Rates>) -> Cluster {
    let cluster = shape.start().await.unwrap();
    for (id, rates) in [("one", of_one), ("two", None)] {
        let provider = v1::Provider {
            id: id.to_owned(),
            adapter: "openai".to_owned(),
            base_url: format!("{}/v1", cluster.lab.url()),
            credential: format!("credential-of-{id}"),
            rates,
            ..Default::default()
        };
        cluster.provider_with(provider).await.unwrap();
    }
    cluster
}

async fn model(cluster: &Cluster, id: &str, rates: Option<v1::Rates>, served_by: &[(&str, &str)]) {
    let model = v1::Model { id: id.to_owned(), rates, ..Default::default() };
    let endpoint = |(provider, upstream): &(&str, &str)| v1::Endpoint {
        cancel_stops_billing: true,
        ..plain_endpoint(provider, upstream)
    };
    cluster.model_with(model, served_by.iter().map(endpoint)).await.unwrap();
}

async fn client_with(cluster: &Cluster, rates: Option<v1::Rates>) -> Client {
    let client = cluster.client().await.unwrap();
    let key = v1::Key { name: "limited".to_owned(), rates, ..Default::default() };
    let key = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    client.with_key(key.secret)
}

fn told(answer: &Answer, of: &str) -> [String; 3] {
    ["limit", "remaining", "reset"].map(|what| answer.header(&format!("x-ratelimit-{what}-{of}")).to_owned())
}

fn is_limited(answer: &Answer) -> bool {
    let after = answer.header("retry-after").parse::<u64>().unwrap_or(0);
    answer.status == StatusCode::TOO_MANY_REQUESTS
        && answer.error_type() == "rate_limit_exceeded"
        && (1..=60).contains(&after)
}

#[tokio::test]
async fn answers_tell_how_the_callers_rates_stand() {
    let cluster = cluster(Shape::default(), None).await;
    model(&cluster, "a/m", None, &[("one", "echo")]).await;
    let rates = v1::Rates { tokens_per_minute: Some(9_000_000), ..requests(2).unwrap() };
    let limited = client_with(&cluster, Some(rates)).await;
    let first = limited.chat(ask("a/m")).await;
    let [limit, remaining, reset] = told(&first, "requests");
    assert_eq!((first.status, limit.as_str(), remaining.as_str()), (StatusCode::OK, "2", "1"));
    assert!(reset.ends_with('s') && reset.starts_with(['2', '3']), "{reset}: half a minute");
    let [limit, remaining, _] = told(&first, "tokens");
    assert_eq!(limit, "9000000");
    assert!((8_000_000..9_000_000).contains(&remaining.parse::<u64>().unwrap()), "{remaining}");
    // A stream and a failure are answers too.
    cluster.lab.script(["status-500"]).unwrap();
    let second = limited.stream(ask("a/m")).await.answer().await;
    let [limit, remaining, _] = told(&second, "requests");
    assert_eq!(
        (second.status, limit.as_str(), remaining.as_str()),
        (StatusCode::BAD_GATEWAY, "2", "0"),
        "{second:?}"
    );
    let third = limited.chat(ask("a/m")).await;
    assert!(is_limited(&third), "{third:?}");
    assert_eq!(told(&third, "requests")[..2], ["2", "0"]);
    assert!(third.message().contains("2 requests per minute of the key"), "{}", third.message());
    let free = v1::Key { name: "free".to_owned(), ..Default::default() };
    let free = cluster.key_with("acme", free).await.unwrap();
    cluster.settled().await;
    let unlimited = limited.with_key(free.secret).chat(ask("a/m")).await;
    assert_eq!((unlimited.status, told(&unlimited, "requests")), (StatusCode::OK, Default::default()));
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_model_at_its_rate_is_passed_over_for_the_next_of_the_request() {
    let cluster = cluster(Shape::default(), None).await;
    model(&cluster, "a/scarce", requests(1), &[("one", "status-503"), ("two", "echo")]).await;
    model(&cluster, "b/plenty", None, &[("two", "echo")]).await;
    let client = client_with(&cluster, None).await;
    let mut body = ask("a/scarce");
    body["models"] = json!(["b/plenty"]);
    body["provider"] = json!({"order": ["one", "two"]});
    let first = client.chat(body.clone()).await.ok();
    assert_eq!(first["model"], "a/scarce", "two attempts at one model are one request: {first}");
    let second = client.chat(body).await.ok();
    assert_eq!(second["model"], "b/plenty");
    let alone = client.chat(ask("a/scarce")).await;
    assert!(is_limited(&alone), "{alone:?}");
    assert!(alone.message().contains("1 requests per minute of the model"), "{}", alone.message());
    let other_tenants = cluster.tenant("globex").await.unwrap();
    let key = cluster.key(&other_tenants.id).await.unwrap();
    cluster.settled().await;
    let theirs = client.with_key(key.secret).chat(ask("a/scarce")).await;
    assert!(is_limited(&theirs), "a model's rates are for all callers together: {theirs:?}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_credential_at_its_rate_is_passed_over_for_the_next_candidate() {
    let shape = Shape::default().set("SWITCHYARD_ROUTING_KEEP_DECISIONS", "1");
    let cluster = cluster(shape, requests(1)).await;
    model(&cluster, "a/m", None, &[("one", "echo"), ("two", "echo")]).await;
    let client = client_with(&cluster, None).await;
    let ordered = |fallbacks: bool| {
        let mut body = ask("a/m");
        body["provider"] = json!({"order": ["one", "two"], "allow_fallbacks": fallbacks});
        body
    };
    assert_eq!(client.chat(ordered(true)).await.ok()["provider"], "one");
    let second = client.chat(ordered(true)).await.ok();
    assert_eq!(second["provider"], "two");
    let generation = cluster.generation(second["id"].as_str().unwrap()).await;
    let decision: Value = serde_json::from_str(&generation.decision).unwrap();
    let skipped = &decision["skipped"][0];
    assert_eq!((&skipped["provider"], &skipped["rule"]), (&json!("one"), &json!("rate")), "{decision:#}");
    let mut only_one = ask("a/m");
    only_one["provider"] = json!({"only": ["one"]});
    let third = client.chat(only_one.clone()).await;
    assert!(is_limited(&third), "{third:?}");
    assert_eq!(third.json["error"]["availability"]["code"], "capacity_exhausted", "{third:?}");
    // More is allowed as soon as the operator says so.
    let request = v1::UpdateProviderRequest {
        id: "one".to_owned(),
        provider: Some(v1::Provider { rates: requests(600_000), ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["rates".to_owned()] }),
        revision: 0,
    };
    let updated = cluster.admin.providers().update_provider(request).await.answer().unwrap();
    assert_eq!(updated.rates, requests(600_000));
    cluster.settled().await;
    assert_eq!(client.chat(only_one).await.ok()["provider"], "one");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_tenants_own_credential_at_its_rate_makes_way_for_the_shared_one() {
    let cluster = cluster(Shape::default(), None).await;
    model(&cluster, "a/m", None, &[("one", "echo")]).await;
    let client = client_with(&cluster, None).await;
    let credential = v1::Credential {
        id: "mine".to_owned(),
        provider: "one".to_owned(),
        secret: "sk-mine".to_owned(),
        rates: requests(1),
        ..Default::default()
    };
    let request = v1::CreateCredentialRequest { tenant: "acme".to_owned(), credential: Some(credential) };
    let made = cluster.admin.credentials().create_credential(request).await.answer().unwrap();
    assert_eq!(made.rates, requests(1));
    cluster.settled().await;
    for is_byok in [true, false] {
        let answer = client.chat(ask("a/m")).await.ok();
        assert_eq!(answer["usage"]["is_byok"], is_byok, "{answer}");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_slot_is_free_again_whatever_ended_its_request() {
    let cluster = cluster(Shape::default(), at_once(1)).await;
    model(&cluster, "a/m", at_once(1), &[("one", "echo")]).await;
    let client = client_with(&cluster, at_once(1)).await;
    let is_free = async || {
        let free = async || client.chat(ask("a/m")).await.status == StatusCode::OK;
        wait::until_true("the slot is free", free).await;
    };
    for ending in ["echo", "status-500", "reset", "cut-2", "error-mid-2", "malformed"] {
        for streamed in [false, true] {
            cluster.lab.script([ending]).unwrap();
            if streamed {
                let mut stream = client.stream(ask("a/m")).await;
                let is_stream = stream.status == StatusCode::OK;
                while is_stream && matches!(stream.next().await, Ok(Some(_))) {}
            } else {
                client.chat(ask("a/m")).await;
            }
            is_free().await;
        }
    }
    // A caller that leaves within its stream, while others are refused.
    cluster.lab.script(["stall-1"]).unwrap();
    let mut stream = client.stream(ask("a/m")).await;
    stream.first_data().await;
    assert!(is_limited(&client.chat(ask("a/m")).await), "the slot is taken");
    drop(stream);
    is_free().await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_fleet_counts_together_in_redis_and_goes_on_without_it() {
    let mut redis = Redis::start().await.unwrap();
    let shape =
        Shape::default().with_planes(&[Place::Here, Place::Here]).set("SWITCHYARD_REDIS_URL", redis.url());
    let cluster = cluster(shape, None).await;
    let client = client_with(&cluster, None).await;
    let planes: Vec<Client> = cluster.planes.iter().map(|plane| client.at(plane.url())).collect();
    let tries = AtomicU32::new(0);
    // A busy machine may keep Redis from answering in time; then each instance counts by itself, and passes twice as much.
    wait::until_true("two instances count one limit", async || {
        let id = format!("a/m{}", tries.fetch_add(1, Ordering::Relaxed));
        model(&cluster, &id, requests(3), &[("one", "echo")]).await;
        cluster.settled().await;
        let mut statuses = Vec::new();
        for turn in 0..4 {
            statuses.push(planes[turn % 2].chat(ask(&id)).await.status.as_u16());
        }
        statuses == [200, 200, 200, 429]
    })
    .await;
    redis.halt().await.unwrap();
    model(&cluster, "b/m", requests(2), &[("one", "echo")]).await;
    cluster.settled().await;
    for plane in &planes {
        assert_eq!(plane.chat(ask("b/m")).await.status, StatusCode::OK, "its share, and never less than one");
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(plane.chat(ask("b/m")).await.status.as_u16());
        }
        assert!(statuses.contains(&429), "approximate, not open: {statuses:?}");
    }
    cluster.stop().await.unwrap();
}
