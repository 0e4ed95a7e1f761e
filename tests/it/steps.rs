//! Money that is taken while an answer comes: an answer is begun that its cap would forbid, and ends where the money does.

use serde_json::{Value, json};
use switchyard_proto::v1;
use switchyard_tests::client::{Client, Event, chunks, text};
use switchyard_tests::cluster::{Cluster, Shape, plain_endpoint};

const STEP: u64 = 16;

/// A model that says what it is told, at a provider that stops billing when it is left, and one that bills on.
async fn cluster() -> Cluster {
    let cluster = Shape::default().start().await.unwrap();
    cluster.provider("p", "openai", &format!("{}/v1", cluster.lab.url())).await.unwrap();
    let billing = Some(v1::Billing { step_tokens: Some(STEP), ..Default::default() });
    for (model, cancel_stops_billing) in [("a/steps", true), ("a/bills-on", false)] {
        let endpoint = v1::Endpoint { cancel_stops_billing, billing, ..plain_endpoint("p", "slow-20") };
        cluster
            .model_with(v1::Model { id: model.to_owned(), ..Default::default() }, [endpoint])
            .await
            .unwrap();
    }
    cluster
}

/// A caller whose key has so much.
async fn caller(cluster: &Cluster, usd: &str) -> Client {
    let limit = Some(v1::SpendLimit { usd: usd.to_owned(), reset: v1::Reset::Never.into() });
    let key = v1::Key { name: "small".to_owned(), limit, ..Default::default() };
    let key = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    Client::new(cluster.planes[0].url(), key.secret)
}

/// Far more tokens than any of these callers can pay.
fn body(model: &str, words: &str) -> Value {
    json!({"model": model, "max_tokens": 8000, "messages": [{"role": "user", "content": words}]})
}

fn usd(text: &str) -> f64 {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_short_answer_comes_whole_though_its_cap_is_not_covered() {
    let cluster = cluster().await;
    let client = cluster.client().await.unwrap();
    let client = client.with_key(caller(&cluster, "0.0004").await.key);
    let mut stream = client.stream(body("a/steps", "one two three four five six")).await;
    assert_eq!(stream.status, 200);
    let first = stream.first_data().await;
    let generation = first["id"].as_str().unwrap().to_owned();
    let rest = stream.rest().await;
    assert_eq!(rest.last(), Some(&Event::Done));
    assert!(chunks(&rest).iter().all(|chunk| chunk["error"].is_null()), "{rest:?}");
    let line = cluster.lines(&generation, 1).await.remove(0);
    assert_eq!((line.outcome.as_str(), line.provenance()), ("ok", v1::Provenance::ProviderFinal), "{line:?}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn an_answer_ends_where_the_money_does_and_what_was_produced_is_charged() {
    let cluster = cluster().await;
    let client = cluster.client().await.unwrap();
    let client = client.with_key(caller(&cluster, "0.0006").await.key);
    let words = vec!["word"; 50].join(" ");
    let stream = client.stream(body("a/steps", &words)).await;
    assert_eq!(stream.status, 200);
    let generation = stream.headers["x-generation-id"].to_str().unwrap().to_owned();
    let events = stream.rest().await;
    let said = text(&events);
    let errors: Vec<&Value> =
        chunks(&events).into_iter().map(|chunk| &chunk["error"]).filter(|error| error.is_object()).collect();
    let [error] = errors.as_slice() else { panic!("one error: {events:?}") };
    assert_eq!(error["metadata"]["error_type"], "budget_exhausted", "{error}");
    assert_eq!(
        (&error["code"], &error["metadata"]["limit_source"]),
        (&json!(402), &json!("key_limit")),
        "{error}"
    );
    assert!(said.len() as u64 > STEP, "more than one step: {said}");
    assert!(words.starts_with(said.trim_end()) && said.len() < words.len(), "{said}");
    assert_eq!(events.last(), Some(&Event::Done));
    let line = cluster.lines(&generation, 1).await.remove(0);
    assert_eq!((line.outcome.as_str(), line.provenance()), ("budget_exhausted", v1::Provenance::Estimated));
    let charged = usd(&line.charge_usd);
    assert!(charged > 0.0 && charged <= 0.0006, "{line:?}");
    assert_eq!(usd(&line.house_usd), 0.0, "the house has nothing to bear: {line:?}");
    let record = cluster.generation(&generation).await;
    assert_eq!(record.error_type, "budget_exhausted", "{record:?}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_whole_answer_and_a_provider_that_bills_on_need_all_of_it_at_once() {
    let cluster = cluster().await;
    let client = cluster.client().await.unwrap();
    let client = client.with_key(caller(&cluster, "0.0006").await.key);
    let whole = client.chat(body("a/steps", "one two three")).await;
    let bills_on = client.stream(body("a/bills-on", "one two three")).await.answer().await;
    for refused in [whole, bills_on] {
        assert_eq!(
            (refused.status.as_u16(), refused.error_type()),
            (402, "payment_required"),
            "{}",
            refused.text
        );
        assert!(
            refused.json["error"]["metadata"]["affordable_tokens"].as_u64().unwrap() > 0,
            "{}",
            refused.text
        );
    }
    cluster.stop().await.unwrap();
}
