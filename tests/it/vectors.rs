//! Documented cases of money and limits, by their numbers (M5 to M10), where no other scenario holds them.

use serde_json::{Value, json};
use switchyard_cli::client::Answer as _;
use switchyard_proto::v1;
use switchyard_tests::client::{Answer, Client};
use switchyard_tests::cluster::{Cluster, plain_endpoint};
use switchyard_tests::wait;

const WORDS: &str = "one two three four five six seven eight nine ten";

fn body(max_tokens: u64) -> Value {
    json!({"model": "test/echo", "max_tokens": max_tokens, "messages": [{"role": "user", "content": WORDS}]})
}

fn limit(usd: &str, reset: v1::Reset) -> Option<v1::SpendLimit> {
    Some(v1::SpendLimit { usd: usd.to_owned(), reset: reset.into() })
}

/// Status, error type and which limit it was.
fn refusal(answer: &Answer) -> (u16, &str, &str) {
    let source = answer.json["error"]["metadata"]["limit_source"].as_str().unwrap_or_default();
    (answer.status.as_u16(), answer.error_type(), source)
}

#[tokio::test]
async fn m5_a_balance_below_prompt_and_cap_is_402_with_the_tokens_that_it_covers() {
    let cluster = Cluster::start().await.unwrap();
    let tenant = v1::Tenant { id: "prepaid".to_owned(), ..Default::default() };
    cluster.tenant_with(tenant, "0.0005").await.unwrap();
    let key = cluster.key("prepaid").await.unwrap();
    cluster.settled().await;
    let client = Client::new(cluster.planes[0].url(), key.secret);
    let refused = client.chat(body(1000)).await;
    assert_eq!(refusal(&refused), (402, "payment_required", "credits"), "{}", refused.text);
    let affordable = refused.json["error"]["metadata"]["affordable_tokens"].as_u64().unwrap();
    // Two dollars a million, and a prompt at half of that.
    assert!((100..250).contains(&affordable), "{}", refused.text);
    assert!(refused.message().contains(&format!("{affordable} can be afforded")), "{}", refused.message());
    assert_eq!(client.chat(body(affordable + 1)).await.status, 402);
    assert_eq!(cluster.lab.counts().requests, 0, "nothing was sent");
    client.chat(body(affordable)).await.ok();
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn m6_a_balance_below_zero_is_402_for_a_free_model_too() {
    let cluster = Cluster::start().await.unwrap();
    let free = v1::Price { input: "0".to_owned(), output: "0".to_owned(), ..Default::default() };
    let endpoint = v1::Endpoint { price: Some(free), ..plain_endpoint("lab", "echo") };
    let model = v1::Model { id: "test/free".to_owned(), ..Default::default() };
    cluster.model_with(model, [endpoint]).await.unwrap();
    let tenant = v1::Tenant { id: "prepaid".to_owned(), ..Default::default() };
    cluster.tenant_with(tenant, "0.001").await.unwrap();
    let key = cluster.key("prepaid").await.unwrap();
    cluster.settled().await;
    let client = Client::new(cluster.planes[0].url(), key.secret);
    let id = client.chat(body(40)).await.ok()["id"].as_str().unwrap().to_owned();
    cluster.lines(&id, 1).await;
    let mut free = body(40);
    free["model"] = json!("test/free");
    client.chat(free.clone()).await.ok();
    let taken = v1::AdjustCreditsRequest {
        id: "prepaid".to_owned(),
        usd: "-0.001".to_owned(),
        kind: v1::CreditKind::Adjustment.into(),
        reason: "it was a mistake".to_owned(),
        force: true,
        ..Default::default()
    };
    cluster.admin.tenants().adjust_credits(taken).await.answer().unwrap();
    let refused = wait::until("what was believed of the balance is asked again", async || {
        let answer = client.chat(free.clone()).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!(refusal(&refused), (402, "payment_required", "credits"), "{}", refused.text);
    assert_eq!(refused.message(), "Insufficient credits: the balance is below zero.");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn m7_a_limit_that_is_used_up_is_402_and_nothing_remains_of_it() {
    wait::clear_of_midnight().await;
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let own = |usd: &str| v1::Key {
        name: "app".to_owned(),
        limit: limit(usd, v1::Reset::Daily),
        ..Default::default()
    };
    let key = cluster.key_with("acme", own("10")).await.unwrap();
    cluster.settled().await;
    let client = client.with_key(&key.secret);
    let spent = client.chat(body(40)).await.ok()["usage"]["cost"].as_f64().unwrap();
    wait::until_true("what was spent is known", async || {
        client.get("/api/v1/key").await.json["data"]["usage"].as_f64().is_some_and(|usage| usage >= spent)
    })
    .await;
    let request = v1::UpdateKeyRequest {
        tenant: "acme".to_owned(),
        id: key.id.clone(),
        key: Some(own(&format!("{spent:.9}"))),
        update_mask: Some(prost_types::FieldMask { paths: vec!["limit".to_owned()] }),
        ..Default::default()
    };
    cluster.admin.keys().update_key(request).await.answer().unwrap();
    cluster.settled().await;
    let refused = wait::until("what was lent under the old limit is back", async || {
        let answer = client.chat(body(40)).await;
        (answer.status == 402).then_some(answer)
    })
    .await;
    assert_eq!(refusal(&refused), (402, "payment_required", "key_limit"), "{}", refused.text);
    let shown = client.get("/api/v1/key").await.json["data"].clone();
    assert_eq!(
        (&shown["limit_remaining"], &shown["limit_reset"]),
        (&json!(0.0), &json!("daily")),
        "{shown:#}"
    );
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn m10_each_user_has_the_limit_for_itself_and_its_keys_add_up_to_it() {
    wait::clear_of_midnight().await;
    let cluster = Cluster::start().await.unwrap();
    let user_limit = limit("0.0004", v1::Reset::Daily);
    let tenant = v1::Tenant { id: "acme".to_owned(), user_limit, ..Default::default() };
    cluster.tenant_with(tenant, "").await.unwrap();
    let mut clients = Vec::new();
    for name in ["first", "second"] {
        let key = v1::Key { name: name.to_owned(), trust_user: true, ..Default::default() };
        let key = cluster.key_with("acme", key).await.unwrap();
        clients.push(Client::new(cluster.planes[0].url(), key.secret));
    }
    cluster.settled().await;
    let spend = async |user: &str, keys: &[&Client]| {
        let (mut spent, mut calls, mut body) = (0.0, 0, body(40));
        body["user"] = json!(user);
        loop {
            let answer = keys[calls % keys.len()].chat(body.clone()).await;
            if answer.status != 200 {
                assert_eq!(refusal(&answer), (403, "budget_exceeded", "user_budget"), "{}", answer.text);
                return (spent, calls);
            }
            spent += answer.json["usage"]["cost"].as_f64().unwrap();
            calls += 1;
            assert!(calls < 200, "{user} is never refused");
        }
    };
    let [first, second] = [&clients[0], &clients[1]];
    for (user, keys) in [("ann", &[first, second][..]), ("ben", &[first]), ("eve", &[second])] {
        let (spent, calls) = spend(user, keys).await;
        assert!(calls > 1 && spent <= 0.0004, "{user}: {spent} in {calls} calls");
    }
    assert_eq!(spend("ann", &[second]).await.1, 0, "another key is no other user");
    cluster.stop().await.unwrap();
}
