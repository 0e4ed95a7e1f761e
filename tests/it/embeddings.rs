//! Embeddings and rankings over the whole system: every dialect that has them, failover, money, and who is refused what.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};
use switchyard_proto::v1;
use switchyard_tests::client::{Answer, Client};
use switchyard_tests::cluster::{Cluster, plain_endpoint};

use crate::failover::{self, DIALECTS, Row};

/// Dialects without embeddings.
const WITHOUT: [&str; 1] = ["anthropic"];

fn model(id: &str, output: &str) -> v1::Model {
    v1::Model { id: id.to_owned(), output_modalities: vec![output.to_owned()], ..Default::default() }
}

/// A model for vectors, with its endpoints in order of preference.
async fn embeds(cluster: &Cluster, id: &str, served_by: &[(&str, &str)]) {
    let endpoints = served_by.iter().map(|(provider, upstream)| plain_endpoint(provider, upstream));
    cluster.model_with(model(id, "embeddings"), endpoints).await.unwrap();
}

async fn ranks(cluster: &Cluster, id: &str, endpoint: v1::Endpoint) {
    cluster.model_with(model(id, "rerank"), [endpoint]).await.unwrap();
}

async fn embed(client: &Client, body: Value) -> Answer {
    client.post("/api/v1/embeddings", body.to_string(), &[]).await
}

async fn rerank(client: &Client, body: Value) -> Answer {
    client.post("/api/v1/rerank", body.to_string(), &[]).await
}

fn vectors(answer: &Value) -> Vec<Vec<f32>> {
    let data = answer["data"].as_array().unwrap_or_else(|| panic!("{answer}"));
    for (at, item) in data.iter().enumerate() {
        assert_eq!(item["index"], at, "{answer}");
    }
    data.iter().map(|item| numbers(&item["embedding"])).collect()
}

fn numbers(embedding: &Value) -> Vec<f32> {
    match embedding {
        Value::String(text) => {
            let bytes = STANDARD.decode(text).unwrap();
            bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
        }
        list => serde_json::from_value(list.clone()).unwrap(),
    }
}

fn id(answer: &Value) -> String {
    answer["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// What the lab billed for one attempt: calls, and tokens of all of them.
fn billed(cluster: &Cluster, attempt: &str) -> (usize, u64) {
    let calls: Vec<_> = cluster.lab.calls().into_iter().filter(|call| call.id == attempt).collect();
    (calls.len(), calls.iter().map(|call| call.prompt_tokens).sum())
}

/// The one line of a request is what the lab billed, and what the caller was told.
async fn check_line(cluster: &Cluster, answer: &Value, what: &str) -> usize {
    let id = id(answer);
    let lines = cluster.lines(&id, 1).await;
    let line = &lines[0];
    let (calls, tokens) = billed(cluster, &format!("{id}/1"));
    let told = answer["usage"]["prompt_tokens"].as_u64().unwrap();
    let booked = line.tokens.as_ref().unwrap();
    assert_eq!((booked.prompt, booked.completion), (tokens, 0), "{what}: {line:?}");
    assert_eq!((told, lines.len()), (tokens, 1), "{what}: {answer}");
    let charge: f64 = line.charge_usd.parse().unwrap();
    assert!(charge > 0.0 && answer["usage"]["cost"].as_f64() == Some(charge), "{what}: {line:?} {answer}");
    assert_eq!(line.provenance, i32::from(v1::Provenance::ProviderFinal), "{what}: {line:?}");
    calls
}

fn having() -> impl Iterator<Item = &'static Row> {
    DIALECTS.iter().filter(|row| !WITHOUT.contains(&row.adapter))
}

#[tokio::test]
async fn every_dialect_makes_the_same_vectors_in_the_encoding_that_was_asked_for() {
    let cluster = failover::cluster().await;
    for row in having() {
        embeds(&cluster, &format!("test/of-{}", row.adapter), &[(row.id, "echo")]).await;
    }
    let client = cluster.client().await.unwrap();
    let texts = ["one two three four", "five", "one two three four"];
    let mut first: Option<Vec<Vec<f32>>> = None;
    for row in having() {
        let name = format!("test/of-{}", row.adapter);
        for format in ["float", "base64"] {
            let body = json!({"model": name, "input": texts, "encoding_format": format, "dimensions": 16});
            let answer = embed(&client, body).await.ok();
            let what = format!("{} {format}", row.adapter);
            assert_eq!((&answer["model"], &answer["provider"]), (&json!(name), &json!(row.id)), "{what}");
            assert_eq!(answer["data"][0]["embedding"].is_string(), format == "base64", "{what}");
            let found = vectors(&answer);
            assert_eq!((found.len(), found[0].len()), (3, 16), "{what}");
            assert!(found[0] == found[2] && found[0] != found[1], "{what}: in the order of the inputs");
            let same = first.get_or_insert_with(|| found.clone());
            for (one, other) in same.iter().flatten().zip(found.iter().flatten()) {
                assert!((one - other).abs() < 1e-6, "{what}: {one} {other}");
            }
            let calls = check_line(&cluster, &answer, &what).await;
            assert_eq!(calls, if row.adapter == "bedrock" { 3 } else { 1 }, "{what}");
        }
    }
    let generation = cluster
        .generation(&id(&embed(&client, json!({"model": "test/of-openai", "input": "x"})).await.ok()))
        .await;
    assert_eq!((generation.surface.as_str(), generation.streamed), ("embeddings", false));
}

#[tokio::test]
async fn a_batch_beyond_a_providers_limit_is_several_calls_and_one_attempt() {
    let cluster = failover::cluster().await;
    embeds(&cluster, "test/many", &[("first-cohere", "echo")]).await;
    embeds(&cluster, "test/two", &[("first-cohere", "echo"), ("second", "echo")]).await;
    let client = cluster.client().await.unwrap();
    let texts: Vec<String> = (0..200).map(|at| format!("text number {at}")).collect();
    let whole = embed(&client, json!({"model": "test/many", "input": texts})).await.ok();
    assert_eq!(check_line(&cluster, &whole, "whole").await, 3);
    let single = embed(&client, json!({"model": "test/many", "input": texts[150]})).await.ok();
    let (all, one) = (vectors(&whole), vectors(&single));
    assert_eq!((all.len(), &all[150]), (200, &one[0]), "in the order of the inputs");

    // The second call fails: what was billed for the first is the house's, and another provider makes all of it.
    cluster.lab.script(["echo", "status-500"]).unwrap();
    let order = json!({"order": ["first-cohere", "second"]});
    let answer = embed(&client, json!({"model": "test/two", "input": texts, "provider": order})).await.ok();
    assert_eq!((&answer["provider"], vectors(&answer).len()), (&json!("second"), 200));
    let id = id(&answer);
    let lines = cluster.lines(&id, 2).await;
    let failed = lines.iter().find(|line| line.attempt == 1).unwrap();
    let (calls, tokens) = billed(&cluster, &format!("{id}/1"));
    assert_eq!((calls, failed.tokens.as_ref().unwrap().prompt), (2, tokens));
    assert!(tokens > 0 && failed.charge_usd.parse::<f64>().unwrap() == 0.0, "{failed:?}");
    assert!(failed.cost_usd.parse::<f64>().unwrap() > 0.0, "{failed:?}");
}

#[tokio::test]
async fn a_provider_that_fails_or_answers_with_too_little_is_passed_over() {
    let cluster = failover::cluster().await;
    let faults = [
        "status-429",
        "status-500",
        "error-in-200",
        "html-200",
        "reset",
        "close",
        "hang",
        "hang-after-headers",
        "cut-early",
        "end-early",
        "malformed",
        "empty",
        "no-choices",
        "wrong-json",
        "invalid-json",
    ];
    for fault in faults {
        embeds(&cluster, &format!("test/{fault}"), &[("first-openai", fault), ("second", "echo")]).await;
    }
    let client = cluster.client().await.unwrap();
    for fault in faults {
        let body = json!({"model": format!("test/{fault}"), "input": ["one two", "three"],
            "provider": {"order": ["first-openai", "second"]}});
        let answer = embed(&client, body).await.ok();
        assert_eq!(answer["provider"], "second", "{fault}: {answer}");
        assert_eq!(vectors(&answer).len(), 2, "{fault}");
        let lines = cluster.lines(&id(&answer), 2).await;
        let (first, last) =
            (&lines[usize::from(lines[0].attempt != 1)], lines.iter().find(|line| line.attempt == 2));
        assert_eq!(first.charge_usd.parse::<f64>().unwrap(), 0.0, "{fault}: {first:?}");
        assert!(last.unwrap().charge_usd.parse::<f64>().unwrap() > 0.0, "{fault}");
    }
    let body = json!({"model": "test/status-429", "input": "x", "provider": {"only": ["first-openai"]}});
    let limited = embed(&client, body).await;
    assert_eq!(
        (limited.status, limited.error_type()),
        (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded")
    );
}

#[tokio::test]
async fn a_model_is_called_for_what_it_is_for() {
    let cluster = failover::cluster().await;
    embeds(&cluster, "test/vectors", &[("second", "echo")]).await;
    embeds(&cluster, "test/claude-vectors", &[("first-anthropic", "echo")]).await;
    ranks(&cluster, "test/ranking", plain_endpoint("second", "echo")).await;
    let client = cluster.client().await.unwrap();
    let chat = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    let ranking = |model: &str| json!({"model": model, "query": "q", "documents": ["a"]});
    for (answer, place) in [
        (client.chat(chat("test/vectors")).await, "/api/v1/embeddings"),
        (client.chat(chat("test/ranking")).await, "/api/v1/rerank"),
        (embed(&client, json!({"model": "test/echo", "input": "x"})).await, "/api/v1/chat/completions"),
        (embed(&client, json!({"model": "test/ranking", "input": "x"})).await, "/api/v1/rerank"),
        (rerank(&client, ranking("test/vectors")).await, "/api/v1/embeddings"),
    ] {
        let error = &answer.json["error"];
        assert_eq!((answer.status, answer.error_type()), (StatusCode::BAD_REQUEST, "invalid_request"));
        assert_eq!(error["availability"]["code"], "wrong_endpoint", "{}", answer.text);
        assert!(answer.message().contains(place), "{}", answer.message());
    }
    let nowhere = embed(&client, json!({"model": "test/claude-vectors", "input": "x"})).await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND, "{}", nowhere.text);
    assert_eq!(nowhere.json["error"]["availability"]["excluded_by"], json!(["operation"]));
    assert_eq!(cluster.lab.counts().requests, 0, "none of these is a provider's business");
}

#[tokio::test]
async fn what_cannot_be_paid_is_refused_with_the_tokens_that_can() {
    let cluster = failover::cluster().await;
    embeds(&cluster, "test/vectors", &[("second", "echo")]).await;
    let tenant = v1::Tenant { id: "poor".to_owned(), prepaid: true, ..Default::default() };
    cluster.tenant_with(tenant, "0.001").await.unwrap();
    let key = cluster.key("poor").await.unwrap();
    let client = cluster.client().await.unwrap().with_key(&key.secret);
    let short = embed(&client, json!({"model": "test/vectors", "input": "x".repeat(400)})).await.ok();
    assert_eq!(short["usage"]["prompt_tokens"], 100);
    // A dollar for a million tokens, and every byte may be one.
    let refused = embed(&client, json!({"model": "test/vectors", "input": "x".repeat(4_000)})).await;
    assert_eq!((refused.status, refused.error_type()), (StatusCode::PAYMENT_REQUIRED, "payment_required"));
    let affordable = refused.json["error"]["metadata"]["affordable_tokens"].as_u64().unwrap();
    assert!((1..=1_000).contains(&affordable), "{}", refused.text);
    assert!(refused.message().contains("prompt tokens"), "{}", refused.message());
    assert_eq!(cluster.lab.counts().requests, 1);
}

#[tokio::test]
async fn documents_are_ranked_and_paid_by_token_or_by_search() {
    let cluster = failover::cluster().await;
    ranks(&cluster, "test/by-token", plain_endpoint("second", "echo")).await;
    let price = v1::Price { search: "0.002".to_owned(), ..Default::default() };
    let by_search = v1::Endpoint { price: Some(price), ..plain_endpoint("first-cohere", "echo") };
    ranks(&cluster, "test/by-search", by_search).await;
    let client = cluster.client().await.unwrap();
    let documents = json!(["nothing of it", "the capital of France", {"text": "France"}]);
    let ask = |model: &str| json!({"model": model, "query": "capital of France", "documents": documents, "top_n": 2});
    let by_token = rerank(&client, ask("test/by-token")).await.ok();
    let results = by_token["results"].as_array().unwrap();
    let indices: Vec<u64> = results.iter().map(|row| row["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [1, 0], "{by_token}");
    assert_eq!(results[0]["document"], json!({"text": "the capital of France"}));
    assert!(results[0]["relevance_score"].as_f64() > results[1]["relevance_score"].as_f64());
    let lines = cluster.lines(&id(&by_token), 1).await;
    let (_, tokens) = billed(&cluster, &format!("{}/1", id(&by_token)));
    assert_eq!(
        (lines[0].tokens.as_ref().unwrap().prompt, &by_token["usage"]["total_tokens"]),
        (tokens, &json!(tokens))
    );
    assert!(tokens > 0);

    let by_search = client.post("/v1/rerank", ask("test/by-search").to_string(), &[]).await.ok();
    assert_eq!(
        (&by_search["provider"], &by_search["usage"]["search_units"]),
        (&json!("first-cohere"), &json!(1))
    );
    assert_eq!(by_search["usage"]["cost"], json!(0.002));
    let lines = cluster.lines(&id(&by_search), 1).await;
    assert_eq!((lines[0].tokens.as_ref().unwrap().searches, lines[0].charge_usd.parse()), (1, Ok(0.002)));
    let bare = json!({"model": "test/by-search", "query": "France", "documents": ["France"], "return_documents": false});
    let bare = rerank(&client, bare).await.ok();
    assert_eq!(bare["results"], json!([{"index": 0, "relevance_score": 1.0}]));
    let generation = cluster.generation(&id(&bare)).await;
    assert_eq!(generation.surface, "rerank");
}

#[tokio::test]
async fn a_ranking_that_fails_moves_on() {
    let cluster = failover::cluster().await;
    let faults = ["status-503", "error-in-200", "cut-early", "empty", "malformed"];
    for fault in faults {
        let endpoints = [plain_endpoint("first-cohere", fault), plain_endpoint("second", "echo")];
        cluster.model_with(model(&format!("test/{fault}"), "rerank"), endpoints).await.unwrap();
    }
    let client = cluster.client().await.unwrap();
    for fault in faults {
        let body = json!({"model": format!("test/{fault}"), "query": "a", "documents": ["a", "b"],
            "provider": {"order": ["first-cohere", "second"]}});
        let answer = rerank(&client, body).await.ok();
        assert_eq!(
            (&answer["provider"], answer["results"].as_array().map(Vec::len)),
            (&json!("second"), Some(2)),
            "{fault}"
        );
    }
}

#[tokio::test]
async fn bad_requests_name_their_member_and_reach_nobody() {
    let cluster = failover::cluster().await;
    embeds(&cluster, "test/vectors", &[("first-cohere", "echo")]).await;
    let small = v1::Endpoint { context_length: 4, ..plain_endpoint("second", "echo") };
    cluster.model_with(model("test/small", "embeddings"), [small]).await.unwrap();
    ranks(&cluster, "test/ranking", plain_endpoint("second", "echo")).await;
    let client = cluster.client().await.unwrap();
    for (path, body, field) in [
        ("/embeddings", json!({"model": "test/vectors"}), "input"),
        ("/embeddings", json!({"model": "test/vectors", "input": ["a", ""]}), "input[1]"),
        ("/embeddings", json!({"model": "test/vectors", "input": "x", "stream": true}), "stream"),
        ("/embeddings", json!({"input": "x"}), "model"),
        ("/embeddings", json!({"model": "test/vektors", "input": "x"}), "model"),
        ("/embeddings", json!({"model": "test/vectors", "input": [[1, 2]]}), "input[0]"),
        ("/embeddings", json!({"model": "test/small", "input": "a".repeat(100)}), "input"),
        ("/rerank", json!({"model": "test/ranking", "documents": ["a"]}), "query"),
        ("/rerank", json!({"model": "test/ranking", "query": "q", "documents": []}), "documents"),
    ] {
        for base in ["/api/v1", "/v1"] {
            let answer = client.post(&format!("{base}{path}"), body.to_string(), &[]).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {}", answer.text);
            assert_eq!(answer.json["error"]["metadata"]["field"], field, "{}", answer.text);
        }
    }
    // Ten short inputs fit where one of their length together would not.
    let ten = vec!["abcd"; 10];
    assert_eq!(vectors(&embed(&client, json!({"model": "test/small", "input": ten})).await.ok()).len(), 10);
    assert_eq!(cluster.lab.counts().requests, 1);
}
