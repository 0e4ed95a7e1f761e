//! Plugins at work: repaired answers, prompts without their middle, the automatic model; and what is refused.

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_cli::client::Answer as _;
use switchyard_proto::v1;
use switchyard_tests::client::Client;
use switchyard_tests::cluster::{Cluster, plain_endpoint};

async fn cluster() -> (Cluster, Client) {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    (cluster, client)
}

fn ask(model: &str, text: &str, members: Value) -> Value {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": text}]});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap_or_default()
}

fn with_metadata() -> [(&'static str, &'static str); 1] {
    [("x-openrouter-metadata", "enabled")]
}

/// What the provider was sent last.
fn sent(cluster: &Cluster) -> Value {
    serde_json::from_slice(&cluster.lab.received().last().unwrap().body).unwrap()
}

/// What the lab's behaviour `invalid-json` says.
const ILL: &str = "Sure, here is the JSON: {\"answer\": tru";

/// Models that answer so, in two dialects.
async fn of_ill_json() -> (Cluster, Client) {
    let (cluster, client) = cluster().await;
    cluster.model("test/ill", &[("lab", "invalid-json")]).await.unwrap();
    cluster.model("test/ill-claude", &[("lab-anthropic", "invalid-json")]).await.unwrap();
    cluster.settled().await;
    (cluster, client)
}

#[tokio::test]
async fn an_answer_that_was_to_be_json_is_repaired() {
    let (cluster, client) = of_ill_json().await;
    let healing = json!([{"id": "response-healing"}]);
    let json_object = json!({"type": "json_object"});
    for model in ["test/ill", "test/ill-claude"] {
        let body = ask(model, "hi", json!({"plugins": healing, "response_format": json_object}));
        let answer = client.chat_with(&with_metadata(), body).await.ok();
        let healed: Value =
            serde_json::from_str(content(&answer)).unwrap_or_else(|error| panic!("{error}: {answer:#}"));
        assert!(!healed["answer"].is_null(), "{model}: {healed}");
        let step = &answer["openrouter_metadata"]["pipeline"][0];
        assert_eq!(step["type"], "response_healing", "{answer:#}");
        assert!(answer["usage"]["completion_tokens"].as_u64() > Some(0));
    }
    // Without JSON asked for, without the plugin, or switched off, it stays as it is.
    for members in [
        json!({"plugins": healing}),
        json!({"response_format": json_object}),
        json!({"response_format": json_object, "plugins": [{"id": "response-healing", "enabled": false}]}),
    ] {
        let answer = client.chat(ask("test/ill", "hi", members.clone())).await.ok();
        assert_eq!(content(&answer), ILL, "{members}");
    }
    assert!(sent(&cluster).get("plugins").is_none());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_repaired_passes_a_stage_that_judges_json() {
    let (cluster, client) = of_ill_json().await;
    let stage = |model: &str, escalate_on: &[&str]| v1::PolicyStage {
        models: vec![v1::WeightedModel { model: model.to_owned(), weight: 0 }],
        escalate_on: escalate_on.iter().map(|word| (*word).to_owned()).collect(),
        ..Default::default()
    };
    let stages = vec![stage("test/ill", &["invalid_json"]), stage("test/claude", &[])];
    cluster.policy(v1::Policy { id: "strict".into(), stages, ..Default::default() }).await.unwrap();
    cluster.settled().await;
    let format = json!({"response_format": {"type": "json_object"}});
    let mut healed = format.clone();
    healed["plugins"] = json!([{"id": "response-healing"}]);
    let answer = client.chat(ask("policy/strict", "hi", healed)).await.ok();
    assert_eq!(answer["model"], "test/ill");
    let answer = client.chat(ask("policy/strict", "hi", format)).await.ok();
    assert_eq!(answer["model"], "test/claude");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_prompt_that_is_too_long_loses_its_middle() {
    let (cluster, client) = cluster().await;
    let window = |tokens| v1::Endpoint { context_length: tokens, ..plain_endpoint("lab", "echo") };
    let model = |id: &str| v1::Model { id: id.to_owned(), ..Default::default() };
    cluster.model_with(model("test/large"), [window(10_000)]).await.unwrap();
    cluster.model_with(model("test/small"), [window(4_000)]).await.unwrap();
    cluster.settled().await;
    let messages: Vec<Value> = (0..9)
        .map(|number| {
            let role = if number % 2 == 0 { "user" } else { "assistant" };
            json!({"role": role, "content": format!("turn-{number} {}", "word ".repeat(1_200))})
        })
        .collect();
    let body = |model: &str, count: usize, members: Value| {
        let mut body = ask(model, "", members);
        let from = messages.len() - count;
        body["messages"] = json!(messages[from..]);
        body["max_tokens"] = json!(100);
        body
    };
    let kept = |cluster: &Cluster| -> Vec<String> {
        let sent = sent(cluster);
        let messages = sent["messages"].as_array().unwrap();
        messages.iter().map(|message| message["content"].as_str().unwrap()[..6].to_owned()).collect()
    };
    for members in
        [json!({"plugins": [{"id": "context-compression"}]}), json!({"transforms": ["middle-out"]})]
    {
        let answer = client.chat_with(&with_metadata(), body("test/large", 9, members.clone())).await.ok();
        assert_eq!(kept(&cluster), ["turn-0", "turn-1", "turn-2", "turn-6", "turn-7", "turn-8"], "{members}");
        let step = &answer["openrouter_metadata"]["pipeline"][0];
        assert_eq!((&step["type"], &step["data"]["messages"]), (&json!("context_compression"), &json!(3)));
    }
    // A large window is only spared where that is asked for, a small one unless it is forbidden.
    let refused = client.chat(body("test/large", 9, json!({}))).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
    client.chat(body("test/small", 3, json!({}))).await.ok();
    assert_eq!(kept(&cluster), ["turn-6", "turn-8"]);
    for members in
        [json!({"transforms": []}), json!({"plugins": [{"id": "context-compression", "enabled": false}]})]
    {
        let refused = client.chat(body("test/small", 3, members)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn the_automatic_model_is_one_that_is_there() {
    let (cluster, client) = cluster().await;
    for name in ["switchyard/auto", "openrouter/auto"] {
        let narrowed = json!({"plugins": [{"id": "auto-router", "allowed_models": ["test/cl*"]}]});
        let answer = client.chat_with(&with_metadata(), ask(name, "hi", narrowed)).await.ok();
        assert_eq!((&answer["model"], content(&answer)), (&json!("test/claude"), "hi"), "{name}");
        let metadata = &answer["openrouter_metadata"];
        assert_eq!((&metadata["strategy"], &metadata["requested"]), (&json!("auto"), &json!(name)));
    }
    let answer = client.chat(ask("switchyard/auto", "hi", json!({}))).await.ok();
    assert!(answer["model"].as_str().unwrap().starts_with("test/"), "{answer}");
    let none = json!({"plugins": [{"id": "auto-router", "allowed_models": ["nobody/*"]}]});
    let refused = client.chat(ask("switchyard/auto", "hi", none)).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.text);

    let row = |model: &str| v1::WeightedModel { model: model.to_owned(), weight: 0 };
    let stage = v1::PolicyStage { models: vec![row("test/claude"), row("test/echo")], ..Default::default() };
    let policy = v1::Policy { id: "auto".into(), stages: vec![stage], ..Default::default() };
    let request = v1::CreatePolicyRequest { tenant: "acme".into(), policy: Some(policy) };
    cluster.admin.policies().create_policy(request).await.answer().unwrap();
    cluster.settled().await;
    let answer = client.chat(ask("switchyard/auto", "hi", json!({}))).await.ok();
    assert_eq!(answer["model"], "test/claude", "the tenant's policy decides");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_no_plugin_or_not_done_here_is_refused_by_its_name_on_every_surface() {
    let (cluster, client) = cluster().await;
    for (plugin, status) in [
        ("web", StatusCode::NOT_IMPLEMENTED),
        ("file-parser", StatusCode::NOT_IMPLEMENTED),
        ("nonsense", StatusCode::BAD_REQUEST),
    ] {
        let plugins = json!([{"id": plugin}]);
        for (path, body) in [
            ("chat/completions", ask("test/echo", "hi", json!({"plugins": plugins}))),
            ("responses", json!({"model": "test/echo", "input": "hi", "plugins": plugins})),
            ("messages", ask("test/echo", "hi", json!({"max_tokens": 9, "plugins": plugins}))),
        ] {
            let answer = client.post(&format!("/api/v1/{path}"), body.to_string(), &[]).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text);
            assert!(answer.text.contains(plugin), "{path}: {}", answer.text);
        }
    }
    let off = json!({"plugins": [{"id": "web", "enabled": false}]});
    client.chat(ask("test/echo", "hi", off)).await.ok();
    assert!(sent(&cluster).get("plugins").is_none());
    cluster.stop().await.unwrap();
}
