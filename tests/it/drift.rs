//! What is new in a provider's answers comes from its wire to the operator's list, and no value with it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use switchyard_proto::v1;
use switchyard_tests::client::{http, text};
use switchyard_tests::cluster::{Cluster, Shape};
use switchyard_tests::process::Process;
use switchyard_tests::wait;

/// Planted as a value, as a key and as a word.
const SECRET: &str = "canary-9f8a7b6c5d4e3f2a";

/// A recorded answer as the lab replays it.
fn recording(folder: &Path, name: &str, media: &str, body: String) -> PathBuf {
    let path = folder.join(name);
    let exchange = json!({
        "response": {"status": 200, "headers": {"content-type": media}, "body_text": body},
    });
    std::fs::write(&path, exchange.to_string()).unwrap();
    path
}

fn openai_stream() -> String {
    let chunk = |delta: Value, finish: Value| {
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    };
    let usage = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "moods": {"glad": SECRET}}});
    let said = json!({"role": "assistant", "content": "hi", "mood": SECRET, SECRET: SECRET});
    format!(
        "data: {}\n\nevent: novelty\ndata: {{\"level\":\"{SECRET}\"}}\n\ndata: {}\n\ndata: {usage}\n\ndata: [DONE]\n\n",
        chunk(said, Value::Null),
        chunk(json!({}), json!("vanished")),
    )
}

fn anthropic_stream() -> String {
    let events = [
        (
            "message_start",
            json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant",
            "model": "m", "content": [], "stop_reason": null, "usage": {"input_tokens": 3, "output_tokens": 1}}}),
        ),
        ("novelty_start", json!({"type": "novelty_start", "level": SECRET})),
        (
            "content_block_start",
            json!({"type": "content_block_start", "index": 0,
            "content_block": {"type": "text", "text": ""}}),
        ),
        (
            "content_block_delta",
            json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": "hi", "mood": SECRET}}),
        ),
        ("content_block_stop", json!({"type": "content_block_stop", "index": 0})),
        (
            "message_delta",
            json!({"type": "message_delta", "delta": {"stop_reason": "vanished"},
            "usage": {"output_tokens": 2}}),
        ),
        ("message_stop", json!({"type": "message_stop"})),
    ];
    events.iter().map(|(name, data)| format!("event: {name}\ndata: {data}\n\n")).collect()
}

fn openai_whole() -> String {
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": SECRET}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, "verdict": [SECRET]})
    .to_string()
}

/// Providers of both dialects on the lab.
async fn cluster(shape: Shape) -> Cluster {
    let cluster = shape.start().await.unwrap();
    let base = format!("{}/v1", cluster.lab.url());
    for adapter in ["openai", "anthropic"] {
        let id = format!("lab-{adapter}");
        cluster.provider(&id, adapter, &base).await.unwrap();
        cluster.model(&format!("test/{adapter}"), &[(&id, "echo")]).await.unwrap();
    }
    cluster
}

fn body(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}]})
}

/// The list, as `provider model kind path detail answers`, once it is this long.
async fn listed(cluster: &Cluster, count: usize) -> Vec<String> {
    let admin = cluster.admin.clone();
    let mut listed = wait::until(&format!("{count} rows of drift"), async || {
        let answer = admin.drift().list_drift(v1::ListDriftRequest::default()).await.ok()?;
        let drift = answer.into_inner().drift;
        (drift.len() >= count).then_some(drift)
    })
    .await;
    listed.sort_by(|one, other| {
        (&one.provider, &one.kind, &one.path).cmp(&(&other.provider, &other.kind, &other.path))
    });
    for row in &listed {
        let (first, last) = (row.first_seen.unwrap().seconds, row.last_seen.unwrap().seconds);
        assert!(first > 1_700_000_000 && first <= last, "{row:?}");
    }
    let told = |row: &v1::Drift| {
        format!("{} {} {} {} {} {}", row.provider, row.model, row.kind, row.path, row.detail, row.answers)
    };
    listed.iter().map(told).collect()
}

async fn metrics(ops: &str) -> String {
    http().get(format!("{ops}/metrics")).send().await.unwrap().text().await.unwrap()
}

async fn command(cluster: &Cluster, words: &[&str]) -> String {
    let mut environment = cluster.control.environment.clone();
    environment.insert("SWITCHYARD_ADMIN_ADDR".to_owned(), cluster.control.url());
    environment.insert("SWITCHYARD_ADMIN_TOKEN".to_owned(), cluster.token.expose().to_owned());
    let log = cluster.folder.path().join(format!("{}.out", words.join("-").replace('/', "-")));
    let mut process = Process::start(words, &environment, &log).await.unwrap();
    assert_eq!(process.exited().await, 0, "{words:?}: {}", process.printed());
    process.printed()
}

async fn table(cluster: &Cluster) -> String {
    let mut database = PgConnection::connect(&cluster.database.url).await.unwrap();
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT drift::text FROM drift").fetch_all(&mut database).await.unwrap();
    rows.join("\n")
}

#[tokio::test]
async fn what_is_new_in_answers_is_listed_by_shape_and_no_value_travels() {
    let cluster = cluster(Shape::of_processes().set("SWITCHYARD_LOG", "trace")).await;
    let client = cluster.client().await.unwrap();
    let folder = cluster.folder.path();
    let streams = "text/event-stream";
    let recordings = [
        recording(folder, "openai.json", streams, openai_stream()),
        recording(folder, "anthropic.json", streams, anthropic_stream()),
        recording(folder, "whole.json", "application/json", openai_whole()),
    ];
    cluster.lab.replay_files(recordings.iter().map(PathBuf::as_path)).unwrap();
    for model in ["test/openai", "test/anthropic"] {
        let stream = client.stream(body(model)).await;
        assert!(stream.status.is_success());
        assert_eq!(text(&stream.rest().await), "hi", "{model}: what is unknown does no harm");
    }
    let whole = client.chat(body("test/openai")).await.ok();
    assert_eq!(whole["choices"][0]["message"]["content"], "hi");

    let expected = [
        "lab-anthropic test/anthropic event $ novelty_start 1",
        "lab-anthropic test/anthropic field delta.mood string 1",
        "lab-anthropic test/anthropic word delta.stop_reason vanished 1",
        "lab-openai test/openai event $ novelty 1",
        "lab-openai test/openai field choices[].delta.mood string 1",
        "lab-openai test/openai field choices[].delta.{} string 1",
        "lab-openai test/openai field level string 1",
        "lab-openai test/openai field usage.moods object 1",
        "lab-openai test/openai field verdict array 1",
        "lab-openai test/openai word choices[].finish_reason vanished 1",
        "lab-openai test/openai word choices[].finish_reason {} 1",
    ];
    let mut found = listed(&cluster, expected.len()).await;
    found.sort();
    assert_eq!(found, expected);

    let seen = metrics(&cluster.planes[0].ops_url()).await;
    for line in [
        r#"switchyard_drift_findings_total{provider="lab-openai",model="test/openai",kind="field",path="choices[].delta.mood"} 1"#,
        r#"switchyard_drift_samples_total{provider="lab-anthropic"} 1"#,
    ] {
        assert!(seen.contains(line), "{line} is not in {seen}");
    }
    let listing = command(&cluster, &["drift", "--provider", "lab-openai", "--kind", "field"]).await;
    assert!(listing.contains("choices[].delta.mood") && !listing.contains("novelty"), "{listing}");
    let as_json =
        command(&cluster, &["drift", "--model", "test/anthropic", "--since", "1h", "--output", "json"]).await;
    assert_eq!(
        serde_json::from_str::<Value>(&as_json).unwrap().as_array().map(Vec::len),
        Some(3),
        "{as_json}"
    );
    let rest = http()
        .get(format!("{}/admin/v1/drift?provider=lab-openai", cluster.control.url()))
        .bearer_auth(cluster.token.expose());
    let rest = rest.send().await.unwrap().text().await.unwrap();
    assert!(rest.contains("choices[].delta.mood"), "{rest}");
    for (place, told) in [
        ("the list", found.join("\n")),
        ("the table", table(&cluster).await),
        ("a metric", seen),
        ("the other plane's metric", metrics(&cluster.control.ops_url()).await),
        ("the command", listing + &as_json),
        ("REST", rest),
        ("a log", cluster.planes[0].log() + &cluster.control.log()),
    ] {
        assert!(!told.contains("canary"), "{place} shows a value: {told}");
    }

    let cleared = command(&cluster, &["drift", "clear", "--provider", "lab-openai"]).await;
    assert!(cleared.contains('8'), "{cleared}");
    assert_eq!(listed(&cluster, 3).await.len(), 3, "what was marked as known is off the list");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_looked_at_though_nothing_is_sampled() {
    let shape = Shape::default().set("SWITCHYARD_DRIFT_FIRST", "0").set("SWITCHYARD_DRIFT_SAMPLE", "0");
    let cluster = cluster(shape).await;
    cluster.model("test/odd", &[("lab-openai", "unknown-events")]).await.unwrap();
    cluster.model("test/page", &[("lab-openai", "html-200")]).await.unwrap();
    let client = cluster.client().await.unwrap();
    let odd = client.stream(body("test/odd")).await.rest().await;
    assert_eq!(text(&odd), "hello", "odd, but readable");
    let page = client.chat(body("test/page")).await;
    assert!(!page.status.is_success(), "{}", page.text);
    let expected =
        ["lab-openai test/page media content-type text/html 1", "lab-openai test/page type $ unreadable 1"];
    assert_eq!(listed(&cluster, expected.len()).await, expected);
}

#[tokio::test]
async fn what_was_found_while_the_control_plane_was_away_arrives_later() {
    let mut cluster = cluster(Shape::default()).await;
    let client = cluster.client().await.unwrap();
    let path = recording(cluster.folder.path(), "openai.json", "text/event-stream", openai_stream());
    // A lease must be in hand before the control plane goes.
    client.chat(body("test/openai")).await.ok();
    cluster.control.stop().await.unwrap();
    cluster.lab.replay_files([path.as_path()]).unwrap();
    let stream = client.stream(body("test/openai")).await;
    assert_eq!(text(&stream.rest().await), "hi");
    cluster.control.start().await.unwrap();
    assert_eq!(listed(&cluster, 6).await.len(), 6);
}
