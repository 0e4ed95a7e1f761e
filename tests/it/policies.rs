//! Policies at work: stages that judge answers and move on, conditions, hedges, and what is charged for each attempt.

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_proto::v1;
use switchyard_tests::client::{Answer, Client, Event, chunks};
use switchyard_tests::cluster::{Cluster, Shape};

const WORDS: &str = "one two three four";

fn stage(name: &str, models: &[&str], escalate_on: &[&str]) -> v1::PolicyStage {
    v1::PolicyStage {
        name: name.to_owned(),
        models: models
            .iter()
            .map(|model| v1::WeightedModel { model: (*model).to_owned(), weight: 0 })
            .collect(),
        escalate_on: escalate_on.iter().map(|reason| (*reason).to_owned()).collect(),
        ..Default::default()
    }
}

fn policy(id: &str, stages: Vec<v1::PolicyStage>) -> v1::Policy {
    v1::Policy { id: id.to_owned(), stages, ..Default::default() }
}

/// A model for each behaviour of the lab, `lab/<behaviour>`, and the policies.
async fn cluster(shape: Shape, behaviours: &[&str], policies: Vec<v1::Policy>) -> (Cluster, Client) {
    let cluster = shape.start().await.unwrap();
    cluster.provider("lab", "openai", &format!("{}/v1", cluster.lab.url())).await.unwrap();
    for behaviour in behaviours {
        cluster.model(&format!("lab/{behaviour}"), &[("lab", behaviour)]).await.unwrap();
    }
    for policy in policies {
        cluster.policy(policy).await.unwrap();
    }
    let client = cluster.client().await.unwrap();
    (cluster, client)
}

fn ask(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": WORDS}]})
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "look", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}])
}

fn schema() -> Value {
    json!({"type": "json_schema", "json_schema": {"name": "a", "strict": true, "schema": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false}}})
}

fn with_metadata() -> [(&'static str, &'static str); 1] {
    [("x-openrouter-metadata", "enabled")]
}

/// Model and outcome of every attempt.
fn attempts(answer: &Value) -> Vec<(String, String)> {
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let rows = answer["openrouter_metadata"]["attempts"].as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| (word(row, "model"), word(row, "outcome"))).collect()
}

fn pairs(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(model, outcome)| ((*model).to_owned(), (*outcome).to_owned())).collect()
}

#[tokio::test]
async fn an_answer_that_a_stage_does_not_take_goes_to_the_next_stage_whole_or_streamed() {
    let cases: [(&str, &str, Value); 7] = [
        ("refusal", "refusal", json!({})),
        ("content-filter", "refusal", json!({})),
        ("length", "length", json!({})),
        ("empty", "empty", json!({})),
        ("invalid-json", "invalid_json", json!({"response_format": {"type": "json_object"}})),
        ("wrong-json", "schema", json!({"response_format": schema()})),
        ("invalid-tool-json", "invalid_tool_call", json!({"tools": tools()})),
    ];
    let policies = cases.iter().map(|(behaviour, reason, _)| {
        let weak = format!("lab/{behaviour}");
        policy(behaviour, vec![stage("weak", &[&weak], &[reason]), stage("strong", &["lab/json"], &[])])
    });
    let policies = policies.collect();
    let mut behaviours: Vec<&str> = cases.iter().map(|case| case.0).collect();
    behaviours.push("json");
    let (cluster, client) = cluster(Shape::default(), &behaviours, policies).await;
    for (behaviour, reason, more) in &cases {
        let mut body = ask(&format!("policy/{behaviour}"));
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = client.chat_with(&with_metadata(), body.clone()).await.ok();
        let weak = format!("lab/{behaviour}");
        let expected = pairs(&[(&weak, reason), ("lab/json", "ok")]);
        assert_eq!((attempts(&answer), &answer["model"]), (expected, &json!("lab/json")), "{answer:#}");
        let stages = &answer["openrouter_metadata"]["stages"];
        assert_eq!(stages, &json!([{"name": "weak", "left": reason}, {"name": "strong", "left": null}]));

        let events = client.stream(body).await.rest().await;
        let models: Vec<&str> = chunks(&events).iter().filter_map(|chunk| chunk["model"].as_str()).collect();
        assert!(
            !models.is_empty() && models.iter().all(|model| *model == "lab/json"),
            "{behaviour}: {events:?}"
        );
        assert_eq!(events.last(), Some(&Event::Done), "{behaviour}");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn every_attempt_of_a_route_names_its_charge_and_they_add_up() {
    let careful = policy(
        "careful",
        vec![stage("weak", &["lab/length"], &["length"]), stage("strong", &["lab/echo"], &[])],
    );
    let (cluster, client) = cluster(Shape::default(), &["length", "echo"], vec![careful]).await;
    let answer = client.chat_with(&with_metadata(), ask("policy/careful")).await.ok();
    let rows = answer["openrouter_metadata"]["attempts"].as_array().unwrap();
    let charges: Vec<f64> = rows.iter().map(|row| row["charge"].as_str().unwrap().parse().unwrap()).collect();
    assert!(charges.len() == 2 && charges.iter().all(|charge| *charge > 0.0), "{rows:?}");
    let cost = answer["usage"]["cost"].as_f64().unwrap();
    assert!((charges.iter().sum::<f64>() - cost).abs() < 1e-9, "{charges:?} {cost}");
    let id = answer["id"].as_str().unwrap();
    let lines = cluster.lines(id, 2).await;
    let booked: f64 = lines.iter().map(|line| line.charge_usd.parse::<f64>().unwrap()).sum();
    assert!((booked - cost).abs() < 1e-9, "{lines:?}");
    let mut outcomes: Vec<&str> = lines.iter().map(|line| line.outcome.as_str()).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["length", "ok"]);
    assert!(lines.iter().all(|line| line.provenance() == v1::Provenance::ProviderFinal), "{lines:?}");
    let generation = cluster.generation(id).await;
    assert!((generation.charge_usd.parse::<f64>().unwrap() - cost).abs() < 1e-9, "{generation:?}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_fault_in_the_last_stage_is_an_error_unless_the_answer_says_it_itself() {
    let last =
        |id: &str, behaviour: &str, reason: &str| policy(id, vec![stage("only", &[behaviour], &[reason])]);
    let policies =
        vec![last("told", "lab/length", "length"), last("unusable", "lab/invalid-json", "invalid_json")];
    let (cluster, client) = cluster(Shape::default(), &["length", "invalid-json"], policies).await;
    let told = client.chat(ask("policy/told")).await.ok();
    assert_eq!(told["choices"][0]["finish_reason"], "length");
    let mut body = ask("policy/unusable");
    body["response_format"] = json!({"type": "json_object"});
    let refused = client.chat(body.clone()).await;
    assert_eq!((refused.status, refused.error_type()), (StatusCode::BAD_GATEWAY, "provider_unavailable"));
    assert_eq!(refused.json["error"]["metadata"]["failed_check"], "invalid_json");
    let streamed = client.stream(body).await;
    assert_eq!(
        streamed.status,
        StatusCode::BAD_GATEWAY,
        "nothing of a faulty answer is given, so its status is real"
    );
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_check_over_the_answer_and_errors_escalate_and_what_is_not_named_does_not() {
    let checked = v1::PolicyStage {
        check: "answer.text.contains('unheard')".to_owned(),
        ..stage("checked", &["lab/echo"], &[])
    };
    let policies = vec![
        policy("check", vec![checked, stage("then", &["lab/fixed"], &[])]),
        policy(
            "errors",
            vec![stage("down", &["lab/status-500"], &["error"]), stage("up", &["lab/echo"], &[])],
        ),
        policy(
            "only-refusals",
            vec![stage("down", &["lab/status-500"], &["refusal"]), stage("up", &["lab/echo"], &[])],
        ),
    ];
    let (cluster, client) = cluster(Shape::default(), &["echo", "fixed", "status-500"], policies).await;
    let answer = client.chat_with(&with_metadata(), ask("policy/check")).await.ok();
    assert_eq!(attempts(&answer), pairs(&[("lab/echo", "check"), ("lab/fixed", "ok")]));
    let answer = client.chat_with(&with_metadata(), ask("policy/errors")).await.ok();
    assert_eq!(attempts(&answer), pairs(&[("lab/status-500", "server"), ("lab/echo", "ok")]));
    let refused = client.chat(ask("policy/only-refusals")).await;
    assert_eq!(refused.status, StatusCode::BAD_GATEWAY, "{refused:?}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_matching_policy_applies_unasked_and_its_stages_by_what_the_caller_says() {
    let batch = v1::PolicyStage {
        when: "request.priority == 'batch' || headers['x-team'] == 'night'".to_owned(),
        ..stage("batch", &["lab/fixed"], &[])
    };
    let matching = v1::Policy {
        r#match: "request.model == 'lab/echo' && !request.stream".to_owned(),
        ..policy("split", vec![batch, stage("usual", &["lab/echo"], &[])])
    };
    let shape = Shape::default().set("SWITCHYARD_ROUTING_POLICY_HEADERS", "X-Team, x-other");
    let (cluster, client) = cluster(shape, &["echo", "fixed"], vec![matching]).await;
    let served = async |headers: &[(&str, &str)], body: Value| -> String {
        let answer: Answer = client.chat_with(headers, body).await;
        answer.ok()["model"].as_str().unwrap().to_owned()
    };
    assert_eq!(served(&[], ask("lab/echo")).await, "lab/echo");
    assert_eq!(served(&[("x-switchyard-priority", "batch")], ask("lab/echo")).await, "lab/fixed");
    assert_eq!(served(&[("x-team", "night")], ask("lab/echo")).await, "lab/fixed");
    assert_eq!(served(&[("x-unchosen", "night")], ask("lab/echo")).await, "lab/echo");
    let mut tagged = ask("lab/echo");
    tagged["metadata"] = json!({"priority": "batch"});
    assert_eq!(served(&[], tagged).await, "lab/fixed");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn below_a_share_of_its_budget_a_key_is_served_by_the_cheap_stage() {
    let cheap =
        v1::PolicyStage { when: "budget.left < 0.5".to_owned(), ..stage("cheap", &["lab/fixed"], &[]) };
    let saving = policy("saving", vec![cheap, stage("usual", &["lab/echo"], &[])]);
    let (cluster, client) = cluster(Shape::default(), &["echo", "fixed"], vec![saving]).await;
    let limit = v1::SpendLimit { usd: "0.0006".to_owned(), reset: v1::Reset::Never.into() };
    let key = v1::Key { name: "small".to_owned(), limit: Some(limit), ..Default::default() };
    let key = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    let client = client.with_key(&key.secret);
    let mut body = ask("policy/saving");
    body["max_tokens"] = json!(20);
    let mut served = Vec::new();
    for _ in 0..40 {
        let answer = client.chat(body.clone()).await;
        if answer.status != StatusCode::OK {
            break;
        }
        served.push(answer.json["model"].as_str().unwrap().to_owned());
    }
    assert_eq!(served.first().map(String::as_str), Some("lab/echo"), "{served:?}");
    assert_eq!(served.last().map(String::as_str), Some("lab/fixed"), "{served:?}");
    cluster.stop().await.unwrap();
}
