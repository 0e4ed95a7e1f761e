//! Two attempts side by side where a policy wants that: when the second is sent, what the loser costs, and what is learnt
//! of it.

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_proto::v1;
use switchyard_tests::client::{Client, chunks};
use switchyard_tests::cluster::{Cluster, Shape, plain_endpoint};
use switchyard_tests::queue::FullQueue;
use switchyard_tests::wait;

use crate::endings;

fn ask(policy: &str) -> Value {
    json!({"model": format!("policy/{policy}"), "debug": {"openrouter_metadata": true},
        "messages": [{"role": "user", "content": "one two three four five six seven eight"}]})
}

fn policy(id: &str, max_usd: &str) -> v1::Policy {
    let order = vec!["one".to_owned(), "two".to_owned()];
    let stage = v1::PolicyStage {
        models: vec![v1::WeightedModel { model: "a/m".to_owned(), weight: 0 }],
        provider: Some(v1::ProviderPreferences { order, ..Default::default() }),
        hedge: Some(v1::Hedge {
            quantile_permille: 900,
            max_rate_permille: 1000,
            max_usd: max_usd.to_owned(),
        }),
        ..Default::default()
    };
    v1::Policy { id: id.to_owned(), stages: vec![stage], ..Default::default() }
}

/// The model `a/m` at the provider `one`, which is the lab, and at `two`, of this dialect and address; and the policies
/// `quick`, which hedges, and `frugal`, which may hardly.
async fn cluster(shape: Shape, two: impl FnOnce(&Cluster) -> (&'static str, String)) -> (Cluster, Client) {
    let shape = shape.set("SWITCHYARD_ROUTING_KEEP_DECISIONS", "1");
    let cluster = shape.start().await.unwrap();
    let (dialect, address) = two(&cluster);
    cluster.provider("one", "openai", &format!("{}/v1", cluster.lab.url())).await.unwrap();
    cluster.provider("two", dialect, &address).await.unwrap();
    let input_modalities = vec!["text".to_owned(), "image".to_owned()];
    let model = v1::Model { id: "a/m".to_owned(), input_modalities, ..Default::default() };
    cluster.model_with(model, [plain_endpoint("one", "echo"), plain_endpoint("two", "echo")]).await.unwrap();
    cluster.policy(policy("quick", "")).await.unwrap();
    cluster.policy(policy("frugal", "0.00001")).await.unwrap();
    let client = cluster.client().await.unwrap();
    (cluster, client)
}

async fn of_labs() -> (Cluster, Client) {
    cluster(Shape::default(), |cluster| ("openai", format!("{}/v1", cluster.lab.url()))).await
}

/// Health of the provider `one` as a plan sees it.
async fn health(client: &Client) -> Value {
    let plan = client.post("/api/v1/route/explain", ask("quick").to_string(), &[]).await.ok();
    let candidates = plan["data"]["stages"][0]["candidates"].as_array().unwrap().clone();
    candidates.into_iter().find(|row| row["provider"] == "one").unwrap()["health"].clone()
}

/// Until enough answers were timed nothing is known of the usual time, so nothing is hedged.
async fn warm(client: &Client) {
    for _ in 0..25 {
        client.stream(ask("quick")).await.rest().await;
    }
    wait::until_true("enough answers are added up", async || {
        health(client).await["latency_ms"]["samples"].as_u64().is_some_and(|samples| samples >= 20)
    })
    .await;
}

/// Streams an answer: its id, what was said, and its metadata.
async fn stream(client: &Client, body: Value) -> (String, Vec<Value>, Value) {
    let answer = client.stream(body).await;
    let id = answer.headers["x-generation-id"].to_str().unwrap().to_owned();
    let events = answer.rest().await;
    let said: Vec<Value> = chunks(&events).into_iter().cloned().collect();
    let metadata = said.iter().find_map(|chunk| chunk.get("openrouter_metadata")).cloned();
    (id, said, metadata.unwrap_or_default())
}

/// Number, provider and outcome of every ledger line, by number.
async fn lines(cluster: &Cluster, id: &str, count: usize) -> (Vec<v1::Line>, Vec<(u64, String, String)>) {
    let mut lines = cluster.lines(id, count).await;
    lines.sort_by_key(|line| line.attempt);
    let rows = lines.iter();
    let rows = rows.map(|line| (u64::from(line.attempt), line.provider.clone(), line.outcome.clone()));
    (lines.clone(), rows.collect())
}

/// The same of attempts that are shown.
fn shown(attempts: &Value) -> Vec<(u64, String, String)> {
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let row = |row: &Value| (row["attempt"].as_u64().unwrap(), word(row, "provider"), word(row, "outcome"));
    attempts.as_array().unwrap().iter().map(row).collect()
}

fn rows(rows: &[(u64, &str, &str)]) -> Vec<(u64, String, String)> {
    rows.iter()
        .map(|(number, provider, word)| (*number, (*provider).to_owned(), (*word).to_owned()))
        .collect()
}

fn usd(text: &str) -> f64 {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_silent_first_attempt_is_hedged_once_its_usual_time_is_known_and_the_loser_is_paid() {
    let (mut cluster, client) = of_labs().await;
    let key = endings::limited(&cluster).await;
    let client = client.with_key(&key.secret);
    warm(&client).await;
    let before = cluster.lab.counts().requests;
    cluster.lab.script(["hang", "echo"]).unwrap();
    let (id, said, metadata) = stream(&client, ask("quick")).await;
    assert_eq!(cluster.lab.counts().requests - before, 2);
    assert!(said.iter().any(|chunk| chunk["provider"] == "two"), "{said:?}");
    let expected = rows(&[(1, "one", "hedge_lost"), (2, "two", "ok")]);
    let (lines, booked) = lines(&cluster, &id, 2).await;
    assert_eq!(
        (&booked, &shown(&metadata["attempts"]), &metadata["attempt"]),
        (&expected, &expected, &json!(2))
    );
    let decision: Value = serde_json::from_str(&cluster.generation(&id).await.decision).unwrap();
    assert_eq!(shown(&decision["attempts"]), expected);
    assert!(usd(&lines[0].charge_usd) > 0.0, "{lines:?}");
    assert_eq!(lines[0].provenance(), v1::Provenance::Estimated);
    let usage = said.iter().find_map(|chunk| chunk["usage"].as_object()).unwrap();
    let (cost, upstream) = (&usage["cost"], &usage["cost_details"]["upstream_inference_cost"]);
    let sum = |of: fn(&v1::Line) -> &String| lines.iter().map(|line| usd(of(line))).sum::<f64>();
    assert!((cost.as_f64().unwrap() - sum(|line| &line.charge_usd)).abs() < 1e-12, "{usage:?} {lines:?}");
    assert!((upstream.as_f64().unwrap() - sum(|line| &line.cost_usd)).abs() < 1e-12, "{usage:?} {lines:?}");
    endings::nothing_is_left(&mut cluster, &key).await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn where_both_fail_both_are_told_of_and_neither_is_sent_again() {
    let (cluster, client) = of_labs().await;
    warm(&client).await;
    let before = cluster.lab.counts().requests;
    cluster.lab.script(["hang", "status-500"]).unwrap();
    let mut body = ask("quick");
    body["provider"] = json!({"deadlines": {"first_content_ms": 1500}});
    let failed = client.stream(body).await;
    assert_eq!(failed.status, StatusCode::GATEWAY_TIMEOUT);
    let id = failed.headers["x-generation-id"].to_str().unwrap().to_owned();
    let expected = rows(&[(1, "one", "timeout"), (2, "two", "server")]);
    assert_eq!(lines(&cluster, &id, 2).await.1, expected);
    assert_eq!(cluster.lab.counts().requests - before, 2);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_hedge_that_found_no_room_beside_the_first_is_tried_once_the_first_failed() {
    let (cluster, client) = of_labs().await;
    warm(&client).await;
    // The prompt's bound is about 130 tokens: a thousand of an answer are covered once, and not twice.
    let limit = Some(v1::SpendLimit { usd: "0.003".to_owned(), reset: v1::Reset::Never.into() });
    let key = v1::Key { name: "small".to_owned(), limit, ..Default::default() };
    let key = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    let client = client.with_key(&key.secret);
    let mut body = ask("quick");
    body["max_tokens"] = json!(1000);
    cluster.lab.script(["hang-3000", "echo"]).unwrap();
    let (id, said, _) = stream(&client, body).await;
    assert!(said.iter().any(|chunk| chunk["provider"] == "two"), "{said:?}");
    let (_, booked) = lines(&cluster, &id, 2).await;
    assert_eq!(
        booked.last().map(|(_, provider, word)| (provider.as_str(), word.as_str())),
        Some(("two", "ok"))
    );
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_hedge_that_could_cost_more_than_its_cap_is_not_sent_and_the_record_says_so() {
    let (cluster, client) = of_labs().await;
    warm(&client).await;
    cluster.lab.script(["slow-first-400"]).unwrap();
    let (id, _, metadata) = stream(&client, ask("frugal")).await;
    assert_eq!(lines(&cluster, &id, 1).await.1, rows(&[(1, "one", "ok")]));
    let decision: Value = serde_json::from_str(&cluster.generation(&id).await.decision).unwrap();
    for skipped in [&metadata["skipped"], &decision["skipped"]] {
        let row = &skipped[0];
        assert_eq!((&row["provider"], &row["rule"]), (&json!("two"), &json!("hedge.max_usd")), "{skipped}");
        assert!(row["detail"].as_str().unwrap().ends_with("the most for a hedge 0.00001"), "{skipped}");
    }
    // It may still take over where the first one fails.
    cluster.lab.script(["status-500", "echo"]).unwrap();
    let (id, ..) = stream(&client, ask("frugal")).await;
    assert_eq!(lines(&cluster, &id, 2).await.1, rows(&[(1, "one", "server"), (2, "two", "ok")]));
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_loser_that_never_connected_is_released_and_costs_nothing() {
    let queue = FullQueue::start().await.unwrap();
    let address = format!("http://{}/v1", queue.addr);
    let (cluster, client) = cluster(Shape::default(), |_| ("openai", address)).await;
    warm(&client).await;
    cluster.lab.script(["slow-first-400"]).unwrap();
    let (id, ..) = stream(&client, ask("quick")).await;
    let (lines, booked) = lines(&cluster, &id, 2).await;
    assert_eq!(booked, rows(&[(1, "one", "ok"), (2, "two", "hedge_lost")]));
    assert!(usd(&lines[1].reserved_usd) > 0.0, "{lines:?}");
    assert_eq!((usd(&lines[1].cost_usd), usd(&lines[1].charge_usd)), (0.0, 0.0), "{lines:?}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn the_first_attempt_goes_on_while_the_second_is_made_ready() {
    let shape = Shape::default()
        .set("SWITCHYARD_FETCH_ALLOW_PRIVATE", "true")
        .set("SWITCHYARD_FETCH_TIMEOUT_MS", "60000");
    let (cluster, client) = cluster(shape, |cluster| ("ollama", cluster.lab.url())).await;
    warm(&client).await;
    // Whoever asks for the picture is connected and never answered.
    let pictures = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    pictures.set_nonblocking(true).unwrap();
    let picture = format!("http://{}/x.png", pictures.local_addr().unwrap());
    cluster.lab.script(["slow-first-400"]).unwrap();
    let mut body = ask("quick");
    body["messages"][0]["content"] =
        json!([{"type": "text", "text": "one two"}, {"type": "image_url", "image_url": {"url": picture}}]);
    let (id, _, metadata) = stream(&client, body).await;
    assert_eq!(lines(&cluster, &id, 1).await.1, rows(&[(1, "one", "ok")]));
    let asked = pictures.accept().map(|(_, address)| address.ip().is_loopback());
    assert!(asked.unwrap(), "the second was being made ready");
    // A picture that could not be had would be a rule here: it was not waited for.
    assert_eq!(metadata["skipped"], json!([]));
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn an_endpoint_that_is_outrun_every_time_opens_its_breaker_though_it_never_fails() {
    let (cluster, client) = of_labs().await;
    warm(&client).await;
    let mut races = 0;
    while health(&client).await["state"]["kind"] == "closed" {
        races += 1;
        assert!(races <= 10, "{}", health(&client).await);
        cluster.lab.script(["hang", "echo"]).unwrap();
        let (id, ..) = stream(&client, ask("quick")).await;
        assert_eq!(lines(&cluster, &id, 2).await.1[0], rows(&[(1, "one", "hedge_lost")])[0]);
    }
    assert!(races > 5, "one lost race or two say nothing: {races}");
    cluster.stop().await.unwrap();
}
