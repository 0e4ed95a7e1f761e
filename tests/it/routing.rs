//! Where whole requests go: service tiers at their own price, conversations that stay where their prompt is cached, tenants'
//! own credentials and rules, and endpoints that nobody is sent to.

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_proto::v1;
use switchyard_tests::client::{Answer, Client};
use switchyard_tests::cluster::{Cluster, Shape, plain_endpoint};
use switchyard_tests::wait;

fn ask(more: Value) -> Value {
    let mut body = json!({"model": "a/m", "messages": [{"role": "user", "content": "one two three"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn cluster(providers: &[&str], endpoints: Vec<v1::Endpoint>) -> (Cluster, Client) {
    cluster_of(Shape::default(), providers, endpoints).await
}

async fn cluster_of(shape: Shape, providers: &[&str], endpoints: Vec<v1::Endpoint>) -> (Cluster, Client) {
    let cluster = shape.start().await.unwrap();
    for provider in providers {
        cluster.provider(provider, "openai", &format!("{}/v1", cluster.lab.url())).await.unwrap();
    }
    let model = v1::Model { id: "a/m".to_owned(), ..Default::default() };
    cluster.model_with(model, endpoints).await.unwrap();
    let client = cluster.client().await.unwrap();
    (cluster, client)
}

/// The `service_tier` of every request that the lab received, in order.
fn tiers_sent(cluster: &Cluster) -> Vec<Value> {
    let bodies = cluster.lab.received().into_iter();
    let tier = |body: bytes::Bytes| serde_json::from_slice::<Value>(&body).unwrap()["service_tier"].clone();
    bodies.map(|call| tier(call.body)).collect()
}

#[tokio::test]
async fn a_tier_is_reached_by_asking_and_the_default_one_serves_at_its_price_where_it_fails() {
    let price = v1::Price { input: "10".to_owned(), output: "20".to_owned(), ..Default::default() };
    let priority = v1::Endpoint {
        id: "priority".to_owned(),
        service_tier: "priority".to_owned(),
        price: Some(price),
        ..plain_endpoint("p", "echo")
    };
    let (cluster, client) = cluster(&["p"], vec![plain_endpoint("p", "echo"), priority]).await;
    let cost = async |body: Value| client.chat(body).await.ok()["usage"]["cost"].as_f64().unwrap();
    let usual = cost(ask(json!({}))).await;
    let fast = cost(ask(json!({"service_tier": "priority"}))).await;
    assert!((fast / usual - 10.0).abs() < 1e-6, "{fast} {usual}");
    cluster.lab.script(["status-500", "echo"]).unwrap();
    let fallen = cost(ask(json!({"service_tier": "priority"}))).await;
    assert!((fallen - usual).abs() < 1e-12, "{fallen} {usual}");
    let sent = tiers_sent(&cluster);
    assert_eq!(sent, [Value::Null, json!("priority"), json!("priority"), Value::Null]);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_flex_request_that_fails_is_not_served_dearer() {
    let flex = v1::Endpoint {
        id: "flex".to_owned(),
        service_tier: "flex".to_owned(),
        ..plain_endpoint("p", "echo")
    };
    let (cluster, client) = cluster(&["p"], vec![plain_endpoint("p", "echo"), flex]).await;
    cluster.lab.script(["status-429-30"]).unwrap();
    let refused = client.chat(ask(json!({"service_tier": "flex"}))).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused:?}");
    assert_eq!(refused.json["error"]["availability"]["code"], "capacity_exhausted");
    assert_eq!(tiers_sent(&cluster), [json!("flex")]);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_session_stays_at_one_endpoint_until_it_fails() {
    let cached = |provider: &str| {
        let price = v1::Price {
            input: "1".to_owned(),
            cached_input: "0.1".to_owned(),
            output: "2".to_owned(),
            ..Default::default()
        };
        v1::Endpoint { price: Some(price), ..plain_endpoint(provider, "echo") }
    };
    let names = ["p1", "p2", "p3", "p4"];
    let (cluster, client) = cluster(&names, names.map(cached).into()).await;
    let provider = async || {
        client.chat(ask(json!({"session_id": "s"}))).await.ok()["provider"].as_str().unwrap().to_owned()
    };
    let first = provider().await;
    for _ in 0..8 {
        assert_eq!(provider().await, first);
    }
    cluster.lab.script(["status-500", "echo"]).unwrap();
    let next = provider().await;
    assert_ne!(next, first, "the next best serves");
    assert_eq!(provider().await, next, "and keeps the conversation that it served");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_tenants_own_credential_goes_first_and_costs_it_nothing_here() {
    let (cluster, client) = cluster(&["p"], vec![plain_endpoint("p", "echo")]).await;
    let own = v1::Credential {
        id: "mine".to_owned(),
        tenant: "acme".to_owned(),
        provider: "p".to_owned(),
        secret: "the-tenants-own-credential".to_owned(),
        ..Default::default()
    };
    let request = v1::CreateCredentialRequest { tenant: "acme".to_owned(), credential: Some(own) };
    switchyard_cli::client::Answer::answer(cluster.admin.credentials().create_credential(request).await)
        .unwrap();
    cluster.settled().await;
    cluster.lab.script(["status-401", "echo"]).unwrap();
    let answer = client.chat(ask(json!({}))).await.ok();
    let shown: Vec<String> = cluster
        .lab
        .received()
        .iter()
        .map(|call| call.headers["authorization"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(shown, ["Bearer the-tenants-own-credential", "Bearer credential-of-p"]);
    assert!(answer["usage"]["cost"].as_f64().unwrap() > 0.0, "the shared one is paid here: {answer:#}");
    let tenant = v1::Tenant { id: "own".to_owned(), ..Default::default() };
    cluster.tenant_with(tenant, "").await.unwrap();
    let key = cluster.key("own").await.unwrap();
    let own = v1::Credential {
        id: "mine".to_owned(),
        tenant: "own".to_owned(),
        provider: "p".to_owned(),
        secret: "another-tenants-credential".to_owned(),
        ..Default::default()
    };
    let request = v1::CreateCredentialRequest { tenant: "own".to_owned(), credential: Some(own) };
    switchyard_cli::client::Answer::answer(cluster.admin.credentials().create_credential(request).await)
        .unwrap();
    cluster.settled().await;
    let answer = client.with_key(&key.secret).chat(ask(json!({}))).await.ok();
    let usage = &answer["usage"];
    assert_eq!((usage["cost"].as_f64(), &usage["is_byok"]), (Some(0.0), &json!(true)), "{answer:#}");
    assert!(usage["cost_details"]["upstream_inference_cost"].as_f64().unwrap() > 0.0, "{answer:#}");
    cluster.stop().await.unwrap();
}

/// An answer whose prompt came from the provider's cache, as a recorded exchange.
fn cached_answer(folder: &std::path::Path) -> std::path::PathBuf {
    let body = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "echo",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 8}}});
    let headers = json!({"content-type": "application/json"});
    let path = folder.join("cached.json");
    let exchange = json!({"response": {"status": 200, "headers": headers, "body": body}});
    std::fs::write(&path, exchange.to_string()).unwrap();
    path
}

#[tokio::test]
async fn r16_a_cache_hit_that_was_seen_keeps_the_conversation_and_a_failure_does_not() {
    let cached = |provider: &str| {
        let price = v1::Price {
            input: "1".to_owned(),
            cached_input: "0.1".to_owned(),
            output: "2".to_owned(),
            ..Default::default()
        };
        v1::Endpoint { price: Some(price), ..plain_endpoint(provider, "echo") }
    };
    let names = ["p1", "p2", "p3", "p4"];
    let (cluster, client) = cluster(&names, names.map(cached).into()).await;
    let turn = async |number: usize, provider: Value| {
        let said = ["user", "assistant"].into_iter().cycle();
        let messages: Vec<Value> = said
            .zip(0..=2 * number)
            .map(|(role, at)| json!({"role": role, "content": format!("turn {at}")}))
            .collect();
        let answer = client.chat(ask(json!({"messages": messages, "provider": provider}))).await.ok();
        answer["provider"].as_str().unwrap().to_owned()
    };
    let mut spread = std::collections::BTreeSet::new();
    for number in 0..16 {
        spread.insert(turn(number, json!({})).await);
    }
    assert!(spread.len() > 1, "without a hit nothing keeps it: {spread:?}");
    let recording = cached_answer(cluster.folder.path());
    cluster.lab.replay_files([recording.as_path()]).unwrap();
    let first = turn(0, json!({})).await;
    for number in 1..9 {
        assert_eq!(turn(number, json!({})).await, first);
    }
    let other = names.into_iter().find(|name| *name != first).unwrap();
    assert_eq!(turn(9, json!({"order": [other]})).await, other, "who orders wants that order");
    cluster.lab.script(["status-500", "echo"]).unwrap();
    assert_ne!(turn(10, json!({})).await, first, "the next best serves");
    for number in 11..15 {
        assert_ne!(turn(number, json!({})).await, first, "a failure does not keep it there");
    }
    cluster.stop().await.unwrap();
}

/// What an answer says of why nobody is asked.
fn availability(answer: &Answer) -> (StatusCode, Value, Value) {
    let availability = &answer.json["error"]["availability"];
    (answer.status, availability["code"].clone(), availability["excluded_by"].clone())
}

fn unasked() -> (StatusCode, Value, Value) {
    (StatusCode::SERVICE_UNAVAILABLE, json!("temporarily_unavailable"), json!(["circuit_open"]))
}

/// Waits until a broken endpoint is to be found out.
async fn half_open(client: &Client) {
    wait::until_true("the pause is over", async || {
        let plan = client.post("/api/v1/route/explain", ask(json!({})).to_string(), &[]).await.ok();
        plan["data"]["stages"][0]["candidates"]
            .as_array()
            .is_some_and(|rows| rows.iter().any(|row| row["health"]["state"]["kind"] == "half_open"))
    })
    .await;
}

#[tokio::test]
async fn who_stands_alone_and_is_broken_costs_nobody_a_deadline_and_is_probed_by_one() {
    let shape = Shape::default().set("SWITCHYARD_RETRIES_MOST", "0");
    let (cluster, client) = cluster_of(shape, &["p"], vec![plain_endpoint("p", "echo")]).await;
    cluster.lab.always(Some("status-500")).unwrap();
    for _ in 0..5 {
        assert_eq!(client.chat(ask(json!({}))).await.status, StatusCode::BAD_GATEWAY);
    }
    let refused = client.chat(ask(json!({}))).await;
    assert_eq!(availability(&refused), unasked(), "{refused:?}");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.json["error"]["availability"]["affected_providers"], json!(["p"]));
    assert_eq!(cluster.lab.counts().requests, 5, "nothing was sent");
    half_open(&client).await;
    cluster.lab.always(Some("hang")).unwrap();
    let mut impatient = ask(json!({}));
    impatient["provider"] = json!({"deadlines": {"total_ms": 5000}});
    let second = async {
        wait::until_true("the probe is under way", async || cluster.lab.counts().requests == 6).await;
        client.chat(ask(json!({}))).await
    };
    let (probe, second) = tokio::join!(client.chat(impatient), second);
    assert_eq!(probe.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(availability(&second), unasked(), "{second:?}");
    assert_eq!(cluster.lab.counts().requests, 6, "one probe alone");
    // The probe said nothing of the endpoint, for its caller was in haste, so the next one may go.
    cluster.lab.always(None).unwrap();
    client.chat(ask(json!({}))).await.ok();
    client.chat(ask(json!({}))).await.ok();
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_broken_endpoint_is_passed_over_for_others_and_asked_about_again_when_they_fail() {
    let shape = Shape::default().set("SWITCHYARD_RETRIES_MOST", "0");
    let endpoints = vec![plain_endpoint("p", "echo"), plain_endpoint("q", "echo")];
    let (cluster, client) = cluster_of(shape, &["p", "q"], endpoints).await;
    let only = |provider: &str| ask(json!({"provider": {"only": [provider]}}));
    cluster.lab.always(Some("status-500")).unwrap();
    for _ in 0..5 {
        client.chat(only("p")).await;
    }
    cluster.lab.always(None).unwrap();
    half_open(&client).await;
    cluster.lab.script(["hang"]).unwrap();
    let mut probe = only("p");
    probe["provider"]["deadlines"] = json!({"total_ms": 5000});
    let both = || ask(json!({"provider": {"order": ["p", "q"]}}));
    let others = async {
        wait::until_true("the probe is under way", async || cluster.lab.counts().requests == 6).await;
        let served = client.chat(both()).await.ok();
        cluster.lab.script(["status-503"]).unwrap();
        (served["provider"].clone(), client.chat(both()).await)
    };
    let (probe, (served, failed)) = tokio::join!(client.chat(probe), others);
    assert_eq!((probe.status, served), (StatusCode::GATEWAY_TIMEOUT, json!("q")));
    assert_eq!(failed.json["error"]["metadata"]["previous_errors"], Value::Null, "one attempt: {failed:?}");
    assert_eq!(availability(&failed), unasked(), "{failed:?}");
    // As nobody probes it any more, it is asked although another is there.
    assert_eq!(client.chat(both()).await.ok()["provider"], "p");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_limit_whose_end_is_known_is_not_run_into_again() {
    let (cluster, client) = cluster(&["p"], vec![plain_endpoint("p", "echo")]).await;
    cluster.lab.script(["status-429-30"]).unwrap();
    assert_eq!(client.chat(ask(json!({}))).await.status, StatusCode::TOO_MANY_REQUESTS);
    let refused = client.chat(ask(json!({}))).await;
    let expected = (StatusCode::TOO_MANY_REQUESTS, json!("capacity_exhausted"), json!(["rate_limited"]));
    assert_eq!(availability(&refused), expected, "{refused:?}");
    assert!((1..=30).contains(&refused.header("retry-after").parse::<u64>().unwrap()), "{refused:?}");
    assert_eq!(cluster.lab.counts().requests, 1, "nothing more was sent");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn an_accounts_rules_hold_for_every_request_of_its_keys() {
    let cluster = Shape::default().start().await.unwrap();
    let url = format!("{}/v1", cluster.lab.url());
    for (id, region) in [("home", "eu-west-1"), ("abroad", "us-east5")] {
        let provider = v1::Provider {
            id: id.to_owned(),
            adapter: "openai".to_owned(),
            base_url: url.clone(),
            credential: format!("credential-of-{id}"),
            region: region.to_owned(),
            ..Default::default()
        };
        cluster.provider_with(provider).await.unwrap();
    }
    cluster.model("a/m", &[("home", "echo"), ("abroad", "echo")]).await.unwrap();
    let tenant = v1::Tenant {
        id: "ruled".to_owned(),
        allowed_regions: vec!["eu".to_owned()],
        ignored_providers: vec!["nobody".to_owned()],
        ..Default::default()
    };
    cluster.tenant_with(tenant, "").await.unwrap();
    let key = cluster.key("ruled").await.unwrap();
    cluster.settled().await;
    let client = cluster.client().await.unwrap().with_key(&key.secret);
    for _ in 0..8 {
        assert_eq!(client.chat(ask(json!({}))).await.ok()["provider"], "home");
    }
    let refused = client.chat(ask(json!({"provider": {"only": ["abroad"]}}))).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    let refused = client.chat(ask(json!({"provider": {"ignore": ["home"]}}))).await;
    let expected = (StatusCode::FORBIDDEN, json!("region_restricted"));
    let (status, code, rules) = availability(&refused);
    assert_eq!((status, code), expected, "{refused:?}");
    assert_eq!(rules, json!(["data_region", "ignored_providers"]));
    cluster.stop().await.unwrap();
}
