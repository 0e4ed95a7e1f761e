//! Presets at work: laid under requests on every surface, in their newest version, for their own tenant alone.

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_cli::client::Answer as _;
use switchyard_proto::v1;
use switchyard_tests::client::{Client, text};
use switchyard_tests::cluster::Cluster;

const SAID: &str = "one two three";

fn preset(id: &str, system_prompt: &str, config: &Value) -> v1::Preset {
    v1::Preset {
        id: id.to_owned(),
        system_prompt: system_prompt.to_owned(),
        config: config.to_string(),
        ..Default::default()
    }
}

/// The tenant `acme` with the preset `terse`, which asks `test/echo`.
async fn cluster() -> (Cluster, Client) {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let config = json!({"model": "test/echo", "temperature": 0.25, "max_tokens": 50});
    cluster.preset("acme", preset("terse", "Be terse.", &config)).await.unwrap();
    cluster.settled().await;
    (cluster, client)
}

fn ask(members: Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": SAID}]});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

/// What the provider was sent last.
fn sent(cluster: &Cluster) -> Value {
    let received = cluster.lab.received();
    serde_json::from_slice(&received.last().unwrap().body).unwrap()
}

#[tokio::test]
async fn a_preset_is_called_in_three_ways_and_the_request_goes_over_it() {
    let (cluster, client) = cluster().await;
    for (members, model, temperature) in [
        (json!({"model": "@preset/terse"}), "test/echo", json!(0.25)),
        (json!({"preset": "terse"}), "test/echo", json!(0.25)),
        (json!({"model": "test/claude@preset/terse"}), "test/claude", json!(0.25)),
        (json!({"preset": "terse", "model": "test/claude"}), "test/claude", json!(0.25)),
        (json!({"model": "@preset/terse", "temperature": 1}), "test/echo", json!(1)),
    ] {
        let answer = client.chat(ask(members.clone())).await.ok();
        assert_eq!(answer["model"], model, "{members}");
        assert_eq!(answer["choices"][0]["message"]["content"], SAID, "{members}");
        let sent = sent(&cluster);
        let same = sent["temperature"].as_f64() == temperature.as_f64();
        assert!(same && sent.get("preset").is_none(), "{members}: {sent}");
        assert!(sent.to_string().contains("Be terse."), "{members}: {sent}");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_preset_works_on_every_surface_and_in_streams() {
    let (cluster, client) = cluster().await;
    for (path, body) in [
        ("chat/completions", ask(json!({"model": "@preset/terse"}))),
        ("completions", json!({"model": "@preset/terse", "prompt": SAID})),
        ("responses", json!({"model": "@preset/terse", "input": SAID})),
        ("messages", ask(json!({"model": "@preset/terse", "max_tokens": 20}))),
    ] {
        let answer = client.post(&format!("/api/v1/{path}"), body.to_string(), &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        assert!(answer.text.contains(SAID), "{path}: {}", answer.text);
        let sent = sent(&cluster);
        assert_eq!(
            (&sent["messages"][0], &sent["temperature"]),
            (&json!({"role": "system", "content": "Be terse."}), &json!(0.25)),
            "{path}"
        );
    }
    let events = client.stream(ask(json!({"model": "@preset/terse"}))).await.rest().await;
    assert_eq!(text(&events), SAID);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_change_is_what_the_next_call_gets() {
    let (cluster, client) = cluster().await;
    let change = v1::UpdatePresetRequest {
        tenant: "acme".into(),
        id: "terse".into(),
        preset: Some(preset("terse", "Be long.", &json!({"model": "test/claude"}))),
        ..Default::default()
    };
    let changed = cluster.admin.presets().update_preset(change).await.answer().unwrap();
    assert_eq!(changed.version, 2);
    cluster.settled().await;
    let answer = client.chat(ask(json!({"model": "@preset/terse"}))).await.ok();
    assert_eq!(answer["model"], "test/claude");
    assert!(sent(&cluster).to_string().contains("Be long."));
    let generation = cluster.generation(answer["id"].as_str().unwrap()).await;
    assert_eq!(generation.requested_model, "@preset/terse");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_preset_that_is_not_there_is_a_404_that_names_it() {
    let (cluster, client) = cluster().await;
    let off = v1::Preset { disabled: true, ..preset("off", "", &json!({"model": "test/echo"})) };
    cluster.preset("acme", off).await.unwrap();
    cluster.tenant("rival").await.unwrap();
    let rival = cluster.key("rival").await.unwrap();
    cluster.settled().await;
    let rival = client.with_key(rival.secret);
    for (client, name, says) in [
        (&client, "unheard-of", "The preset `unheard-of` is not there."),
        (&client, "off", "The preset `off` is disabled."),
        (&rival, "terse", "The preset `terse` is not there."),
    ] {
        let answer = client.chat(ask(json!({"model": format!("@preset/{name}")}))).await;
        assert_eq!((answer.status, answer.message()), (StatusCode::NOT_FOUND, says));
        assert_eq!(answer.error_type(), "not_found");
    }
    let two = client.chat(ask(json!({"model": "@preset/terse", "preset": "off"}))).await;
    assert_eq!(two.status, StatusCode::BAD_REQUEST, "{}", two.text);
    let delete = v1::DeletePresetRequest { tenant: "acme".into(), id: "terse".into(), revision: 0 };
    cluster.admin.presets().delete_preset(delete).await.answer().unwrap();
    cluster.settled().await;
    let gone = client.chat(ask(json!({"model": "@preset/terse"}))).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND, "{}", gone.text);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn what_both_together_cannot_be_is_refused_by_preset_and_member() {
    let (cluster, client) = cluster().await;
    let choice = json!({"type": "function", "function": {"name": "nowhere"}});
    let body = ask(json!({"model": "@preset/terse", "tool_choice": choice}));
    let answer = client.chat(body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.message().starts_with("With preset `terse`: tool_choice"), "{}", answer.text);
    cluster.stop().await.unwrap();
}
