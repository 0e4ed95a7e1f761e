//! The response cache: who gets an answer again, for how long, for nothing; and who never does.

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_proto::v1;
use switchyard_tests::client::{Answer, Client, Event, chunks, text};
use switchyard_tests::cluster::Cluster;

const SAID: &str = "one two three";
const CACHED: [(&str, &str); 1] = [("x-openrouter-cache", "true")];

fn ask(members: Value) -> Value {
    let mut body = json!({"model": "test/echo", "messages": [{"role": "user", "content": SAID}]});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

fn status(answer: &Answer) -> &str {
    answer.header("x-openrouter-cache-status")
}

/// How many calls the provider has had.
fn calls(cluster: &Cluster) -> usize {
    cluster.lab.received().len()
}

async fn cluster() -> (Cluster, Client) {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    (cluster, client)
}

#[tokio::test]
async fn a_second_call_gets_the_answer_again_for_nothing() {
    let (cluster, client) = cluster().await;
    let first = client.chat_with(&CACHED, ask(json!({}))).await;
    assert_eq!((status(&first), first.header("x-openrouter-cache-ttl")), ("MISS", "300"));
    let second = client.chat_with(&CACHED, ask(json!({"user": null}))).await;
    assert_eq!(status(&second), "MISS", "every byte of the body counts");
    let again = client.chat_with(&CACHED, ask(json!({}))).await;
    assert_eq!((status(&again), calls(&cluster)), ("HIT", 2));
    assert_eq!(again.header("x-openrouter-cache-source-id"), first.header("x-generation-id"));
    assert!(again.header("x-openrouter-cache-age").parse::<u64>().is_ok(), "{:?}", again.headers);
    let (first, again) = (first.ok(), again.ok());
    assert_ne!(first["id"], again["id"]);
    assert_eq!(first["choices"], again["choices"]);
    assert_eq!((&again["model"], &again["provider"]), (&first["model"], &first["provider"]));
    let usage = &again["usage"];
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert_eq!(usage["cost"].as_f64(), Some(0.0), "{usage}");

    let id = again["id"].as_str().unwrap();
    let kept = cluster.generation(id).await;
    assert_eq!((kept.charge_usd.as_str(), kept.attempts, kept.status), ("0", 0, 200));
    assert_eq!(kept.model, "test/echo");
    let shown = client.get(&format!("/api/v1/generation?id={id}")).await.ok();
    assert_eq!(shown["data"]["response_cache_source_id"], first["id"]);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_gets_what_was_made_for_another_key() {
    let (cluster, client) = cluster().await;
    cluster.tenant("rival").await.unwrap();
    let other = v1::Key { name: "other".to_owned(), ..Default::default() };
    let (same, rival) = (cluster.key_with("acme", other).await.unwrap(), cluster.key("rival").await.unwrap());
    cluster.settled().await;
    let others = [client.with_key(same.secret), client.with_key(rival.secret)];
    for client in std::iter::once(&client).chain(&others) {
        assert_eq!(status(&client.chat_with(&CACHED, ask(json!({}))).await), "MISS");
    }
    for client in std::iter::once(&client).chain(&others) {
        assert_eq!(status(&client.chat_with(&CACHED, ask(json!({}))).await), "HIT");
    }
    assert_eq!(calls(&cluster), 3);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn only_those_who_ask_for_it_are_served_from_it() {
    let (cluster, client) = cluster().await;
    client.chat_with(&CACHED, ask(json!({}))).await.ok();
    for headers in [&[][..], &[("x-openrouter-cache", "false")]] {
        let answer = client.chat_with(headers, ask(json!({}))).await;
        assert_eq!(status(&answer), "", "{headers:?}");
        assert!(answer.ok()["usage"]["prompt_tokens"].as_u64() > Some(0));
    }
    let clear = [CACHED[0], ("x-openrouter-cache-clear", "true")];
    assert_eq!(status(&client.chat_with(&clear, ask(json!({}))).await), "MISS");
    assert_eq!(status(&client.chat_with(&CACHED, ask(json!({}))).await), "HIT");
    let private = ask(json!({"provider": {"zdr": true}}));
    let refused = client.chat_with(&CACHED, private).await;
    assert_eq!(status(&refused), "", "nothing is kept where nothing may be kept");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_is_replayed_as_a_stream_on_every_surface() {
    let (cluster, client) = cluster().await;
    for (path, body) in [
        ("chat/completions", ask(json!({"stream": true}))),
        ("completions", json!({"model": "test/echo", "prompt": SAID, "stream": true})),
        ("responses", json!({"model": "test/echo", "input": SAID, "stream": true})),
        ("messages", ask(json!({"max_tokens": 20, "stream": true}))),
    ] {
        let before = calls(&cluster);
        let path = format!("/api/v1/{path}");
        let first = client.post(&path, body.to_string(), &CACHED).await;
        let again = client.post(&path, body.to_string(), &CACHED).await;
        assert_eq!((status(&first), status(&again)), ("MISS", "HIT"), "{path}");
        assert_eq!((again.status, calls(&cluster)), (StatusCode::OK, before + 1), "{path}");
        assert!(again.header("content-type").starts_with("text/event-stream"), "{path}");
        for word in SAID.split(' ') {
            assert!(again.text.contains(word), "{path}: {}", again.text);
        }
    }
    let events = {
        // The harness's own reader of streams has no headers, so a preset asks for the cache.
        let config = json!({"model": "test/echo", "cache_enabled": true, "cache_ttl": 60}).to_string();
        cluster.preset("acme", v1::Preset { id: "kept".into(), config, ..Default::default() }).await.unwrap();
        cluster.settled().await;
        client.stream(ask(json!({"model": "@preset/kept"}))).await.rest().await;
        let stream = client.stream(ask(json!({"model": "@preset/kept"}))).await;
        let header = |name: &str| stream.headers[name].to_str().unwrap().to_owned();
        assert_eq!(
            (header("x-openrouter-cache-status"), header("x-openrouter-cache-ttl")),
            ("HIT".to_owned(), "60".to_owned())
        );
        stream.rest().await
    };
    assert_eq!((text(&events).as_str(), events.last()), (SAID, Some(&Event::Done)));
    let usages: Vec<&Value> = chunks(&events).into_iter().filter_map(|chunk| chunk.get("usage")).collect();
    let cost = usages.iter().filter_map(|usage| usage["cost"].as_f64()).collect::<Vec<_>>();
    assert_eq!(cost, [0.0], "{events:?}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn identical_calls_under_way_at_once_are_one_call() {
    let (cluster, client) = cluster().await;
    cluster.model("test/slow", &[("lab", "slow-first-300")]).await.unwrap();
    cluster.settled().await;
    let body = ask(json!({"model": "test/slow"}));
    let calls_at_once = (0..8).map(|_| client.chat_with(&CACHED, body.clone()));
    let answers = futures_util::future::join_all(calls_at_once).await;
    let mut seen: Vec<&str> = answers.iter().map(status).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["HIT", "HIT", "HIT", "HIT", "HIT", "HIT", "HIT", "MISS"]);
    assert_eq!(calls(&cluster), 1);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_failure_is_not_kept_and_those_who_waited_ask_themselves() {
    let (cluster, client) = cluster().await;
    cluster.model("test/bad", &[("lab", "status-400")]).await.unwrap();
    cluster.model("test/cut", &[("lab", "cut-2")]).await.unwrap();
    cluster.settled().await;
    for model in ["test/bad", "test/cut"] {
        for _ in 0..2 {
            let before = calls(&cluster);
            let body = ask(json!({"model": model, "stream": true}));
            let answer = client.chat_with(&CACHED, body).await;
            assert_ne!(status(&answer), "HIT", "{model}");
            assert!(calls(&cluster) > before, "{model}");
        }
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_hit_counts_on_the_keys_rate() {
    let (cluster, _) = cluster().await;
    let rates = Some(v1::Rates { requests_per_minute: Some(2), ..Default::default() });
    let key = v1::Key { name: "slow".into(), rates, ..Default::default() };
    let key = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    let client = Client::new(cluster.planes[0].url(), key.secret);
    assert_eq!(status(&client.chat_with(&CACHED, ask(json!({}))).await), "MISS");
    assert_eq!(status(&client.chat_with(&CACHED, ask(json!({}))).await), "HIT");
    let third = client.chat_with(&CACHED, ask(json!({}))).await;
    assert_eq!(third.status, StatusCode::TOO_MANY_REQUESTS, "{}", third.text);
    cluster.stop().await.unwrap();
}
