//! Planted secrets and contents turn up nowhere: no log line, error, trace, metric, admin answer or table.

use std::path::Path;

use serde_json::json;
use sqlx::{Connection, PgConnection};
use switchyard_proto::v1;
use switchyard_tests::client::{Client, http};
use switchyard_tests::cluster::{Cluster, Shape};
use switchyard_tests::collector::Collector;
use switchyard_tests::process::Process;

const CREDENTIAL: &str = "canary-credential-1f7be8a09c5d4e";
const OWN_CREDENTIAL: &str = "canary-own-credential-8c41d2aa70b3f5";
const WEBHOOK: &str = "whsec_Y2FuYXJ5LXdlYmhvb2stNGYxYTljMDdiMmU1ZDg=";
const BROUGHT_KEY: &str = "canary-brought-key-5b21c77f0e9a43d8";
const PROMPT: &str = "canary-prompt-93c2a4e6";
const SYSTEM: &str = "canary-system-7d10bb52";
const ARGUMENT: &str = "canary-argument-e04f6a1c";
const UNKNOWN_FIELD: &str = "canary-field-2b8d33f9";

/// Words that must not leave; with each the place where it was planted.
fn planted(cluster: &Cluster, keys: &[String]) -> Vec<(String, String)> {
    let fixed = [
        ("a provider's credential", CREDENTIAL),
        ("a tenant's own credential", OWN_CREDENTIAL),
        ("a webhook's secret", WEBHOOK),
        ("a key brought from elsewhere", BROUGHT_KEY),
        ("a prompt", PROMPT),
        ("a system prompt", SYSTEM),
        ("a tool's argument", ARGUMENT),
        ("an unknown member", UNKNOWN_FIELD),
        ("the master key", switchyard_tests::plane::SEALING_KEY),
        ("the admin token", cluster.token.expose()),
    ];
    let fixed = fixed.map(|(what, word)| (what.to_owned(), word.to_owned()));
    fixed.into_iter().chain(keys.iter().map(|key| ("a key".to_owned(), key.clone()))).collect()
}

#[track_caller]
fn check(place: &str, text: &str, planted: &[(String, String)]) {
    for (what, word) in planted {
        if let Some(at) = text.find(word.as_str()) {
            let from = text.floor_char_boundary(at.saturating_sub(200));
            let to = text.ceil_char_boundary((at + word.len() + 50).min(text.len()));
            panic!("{place} shows {what}: …{}…", &text[from..to]);
        }
    }
}

/// Calls that go well and wrong in every way, and everything that the caller is told when they go wrong.
async fn exercise(client: &Client) -> Vec<String> {
    let messages = json!([
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": PROMPT},
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function",
            "function": {"name": "look", "arguments": format!("{{\"q\":\"{ARGUMENT}\"}}")}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": PROMPT},
    ]);
    let mut errors = Vec::new();
    for model in [
        "test/echo",
        "test/claude",
        "test/status-400",
        "test/status-401",
        "test/status-500",
        "test/error-mid",
        "test/context-overflow",
        "test/blocked-prompt",
        "test/html-502",
        "test/malformed",
        "test/nothing",
    ] {
        let body = json!({"model": model, "messages": messages, UNKNOWN_FIELD: UNKNOWN_FIELD});
        let answer = client.chat(body.clone()).await;
        if !answer.status.is_success() {
            errors.push(answer.text);
        }
        let stream = client.stream(body).await;
        if stream.status.is_success() {
            for event in stream.rest().await {
                errors.extend(event.data().filter(|data| data["error"].is_object()).map(ToString::to_string));
            }
        }
    }
    let prompt = format!(r#"{{"role":"user","content":"{PROMPT}"}}"#);
    for body in [
        format!(r#"{{"model":"test/echo","messages":[{prompt}],"temperature":"{PROMPT}"}}"#),
        format!(r#"{{"model":"test/echo","messages":[{prompt}"#),
        format!(r#"{{"model":"test/echo","messages":"{PROMPT}"}}"#),
        format!(r#"{{"model":"test/echo","messages":[{{"role":"user","content":{{"{PROMPT}":1}}}}]}}"#),
    ] {
        errors.push(client.post("/v1/chat/completions", body, &[]).await.text);
    }
    let half = &client.key[..client.key.len() - 2];
    errors.push(client.with_key(half).chat(json!({"model": "test/echo", "messages": messages})).await.text);
    errors.push(client.get("/v1/key").await.text);
    errors.push(client.get("/v1/models").await.text);
    errors
}

/// Everything that the admin API answers, as REST shows it.
async fn admin_answers(cluster: &Cluster) -> String {
    let mut all = String::new();
    for path in [
        "tenants",
        "tenants/acme",
        "tenants/acme/keys",
        "tenants/acme/credentials",
        "tenants/acme/credentials/mine",
        "providers",
        "providers/lab",
        "models",
        "models/test/echo/endpoints",
        "generations",
        "lines",
        "accounts",
        "audit",
        "export",
        "webhooks",
        "webhooks/ops/deliveries",
        "usage/report",
        "fleet/instances",
        "drift",
        "tokens",
    ] {
        let url = format!("{}/admin/v1/{path}", cluster.control.url());
        let answer = http().get(url).bearer_auth(cluster.token.expose()).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        all.push_str(&answer.text().await.unwrap());
    }
    all
}

async fn command(cluster: &Cluster, words: &[&str]) -> String {
    let mut environment = cluster.control.environment.clone();
    environment.insert("SWITCHYARD_ADMIN_ADDR".to_owned(), cluster.control.url());
    environment.insert("SWITCHYARD_ADMIN_TOKEN".to_owned(), cluster.token.expose().to_owned());
    let log = cluster.folder.path().join(format!("{}.out", words.join("-")));
    let mut process = Process::start(words, &environment, &log).await.unwrap();
    assert_eq!(process.exited().await, 0, "{words:?}: {}", process.printed());
    process.printed()
}

/// Every table, row by row, as text.
async fn tables(cluster: &Cluster) -> String {
    let mut database = PgConnection::connect(&cluster.database.url).await.unwrap();
    let names: Vec<String> =
        sqlx::query_scalar("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
            .fetch_all(&mut database)
            .await
            .unwrap();
    let mut all = String::new();
    for name in names {
        let statement = sqlx::AssertSqlSafe(format!("SELECT row::text FROM {name} AS row"));
        let rows: Vec<String> = sqlx::query_scalar(statement).fetch_all(&mut database).await.unwrap();
        all.push_str(&rows.join("\n"));
    }
    all
}

/// Everything below a folder, as bytes that happen to be text.
fn files(folder: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push_str(&files(&path));
        } else {
            all.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap()));
        }
    }
    all
}

#[tokio::test]
async fn no_secret_and_no_content_turns_up_anywhere() {
    let collector = Collector::start().await.unwrap();
    let noisy = [
        ("SWITCHYARD_LOG", "trace".to_owned()),
        ("SWITCHYARD_OTLP_ENDPOINT", collector.url()),
        ("SWITCHYARD_OTLP_SAMPLE_RATIO", "1".to_owned()),
    ];
    let mut shape = Shape::of_processes();
    for (name, value) in noisy {
        shape = shape.set(name, value.clone()).set_control(name, value);
    }
    let cluster = shape.start().await.unwrap();
    let base = format!("{}/v1", cluster.lab.url());
    for (id, adapter) in [("lab", "openai"), ("lab-anthropic", "anthropic")] {
        let provider = v1::Provider {
            id: id.to_owned(),
            adapter: adapter.to_owned(),
            base_url: base.clone(),
            credential: CREDENTIAL.to_owned(),
            ..Default::default()
        };
        cluster.provider_with(provider).await.unwrap();
    }
    let own = v1::Credential {
        id: "mine".to_owned(),
        provider: "lab".to_owned(),
        secret: OWN_CREDENTIAL.to_owned(),
        ..Default::default()
    };
    let own = v1::CreateCredentialRequest { tenant: "acme".to_owned(), credential: Some(own) };
    cluster.model("test/echo", &[("lab", "echo")]).await.unwrap();
    cluster.model("test/claude", &[("lab-anthropic", "echo")]).await.unwrap();
    for name in [
        "status-400",
        "status-401",
        "status-500",
        "error-mid",
        "context-overflow",
        "blocked-prompt",
        "html-502",
        "malformed",
    ] {
        cluster.model(&format!("test/{name}"), &[("lab", name)]).await.unwrap();
    }
    let client = cluster.client().await.unwrap();
    let brought = v1::Key { name: "brought".to_owned(), ..Default::default() };
    let request = v1::CreateKeyRequest {
        tenant: "acme".to_owned(),
        key: Some(brought),
        secret: BROUGHT_KEY.to_owned(),
    };
    cluster.admin.keys().create_key(request).await.unwrap();
    cluster.admin.credentials().create_credential(own).await.unwrap();
    let hook = v1::Webhook {
        id: "ops".to_owned(),
        url: "https://hooks.invalid/".to_owned(),
        secret: WEBHOOK.to_owned(),
        ..Default::default()
    };
    let hook = v1::CreateWebhookRequest { webhook: Some(hook), ..Default::default() };
    cluster.admin.webhooks().create_webhook(hook).await.unwrap();
    let test = v1::TestWebhookRequest { id: "ops".to_owned(), ..Default::default() };
    cluster.admin.webhooks().test_webhook(test).await.unwrap();
    cluster.settled().await;

    let mut told = exercise(&client).await;
    told.extend(exercise(&client.with_key(BROUGHT_KEY)).await);
    let whole = client
        .chat(json!({"model": "test/echo", "messages": [{"role": "user", "content": "bye"}]}))
        .await
        .ok();
    cluster.generation(whole["id"].as_str().unwrap()).await;
    let planted = planted(&cluster, std::slice::from_ref(&client.key));
    assert!(cluster.lab.received().iter().any(|call| format!("{:?}", call.headers).contains(CREDENTIAL)));
    assert!(cluster.lab.received().iter().any(|call| String::from_utf8_lossy(&call.body).contains(PROMPT)));

    told.iter().for_each(|text| check("an answer", text, &planted));
    check("the admin API", &admin_answers(&cluster).await, &planted);
    for words in [
        &["export"][..],
        &["provider", "list"],
        &["credential", "list", "--tenant", "acme"],
        &["key", "list", "--tenant", "acme"],
        &["usage"],
        &["drift"],
    ] {
        check("a command", &command(&cluster, words).await, &planted);
    }
    for ops in [cluster.planes[0].ops_url(), cluster.control.ops_url()] {
        let metrics = http().get(format!("{ops}/metrics")).send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains("switchyard"), "{ops} shows metrics: {metrics}");
        check("a metric", &metrics, &planted);
    }
    check("a table", &tables(&cluster).await, &planted);
    let mut cluster = cluster;
    cluster.planes[0].stop().await.unwrap();
    cluster.control.stop().await.unwrap();
    assert!(collector.spans().len() > 10, "traces were on");
    check("a trace", &collector.dump(), &planted);
    // Logs of both planes at their most talkative, journal and sealed config.
    assert!(cluster.planes[0].log().len() > 1_000, "logs were on");
    check("a file", &files(cluster.folder.path()), &planted);
}
