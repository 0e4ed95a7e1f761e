//! What one data plane learns of an endpoint moves it back on all others, also on one that has not tried it yet.

use serde_json::{Value, json};
use switchyard_proto::v1;
use switchyard_tests::client::http;
use switchyard_tests::cluster::{Cluster, Shape, plain_endpoint};
use switchyard_tests::plane::Place;
use switchyard_tests::wait;

fn body() -> Value {
    json!({"model": "test/m", "messages": [{"role": "user", "content": "hello"}]})
}

/// A model whose first choice by far fails, and whose other endpoint answers.
async fn cluster() -> Cluster {
    let shape = Shape::of_processes().with_planes(&[Place::Child, Place::Child]);
    let cluster = shape.start().await.unwrap();
    let base = format!("{}/v1", cluster.lab.url());
    for provider in ["cheap", "dear"] {
        cluster.provider(provider, "openai", &base).await.unwrap();
    }
    let price = |dollars: &str| {
        Some(v1::Price { input: dollars.to_owned(), output: dollars.to_owned(), ..Default::default() })
    };
    let cheap = v1::Endpoint { price: price("0.001"), ..plain_endpoint("cheap", "status-500") };
    let dear = v1::Endpoint { price: price("100"), ..plain_endpoint("dear", "echo") };
    let model = v1::Model { id: "test/m".to_owned(), ..Default::default() };
    cluster.model_with(model, [cheap, dear]).await.unwrap();
    cluster
}

/// Requests that the failing endpoint has had.
fn failures(cluster: &Cluster) -> usize {
    let is_failing =
        |body: &[u8]| serde_json::from_slice::<Value>(body).is_ok_and(|body| body["model"] == "status-500");
    cluster.lab.received().iter().filter(|request| is_failing(&request.body)).count()
}

async fn metric(ops: &str, name: &str) -> f64 {
    let text = http().get(format!("{ops}/metrics")).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    line.and_then(|line| line.rsplit_once(' ')).and_then(|(_, value)| value.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn an_endpoint_that_failed_on_one_data_plane_is_tried_last_on_another() {
    let cluster = cluster().await;
    let client = cluster.client().await.unwrap();
    let answer = client.chat(body()).await.ok();
    assert_eq!((answer["provider"].as_str(), failures(&cluster)), (Some("dear"), 1), "{answer}");
    let listed = wait::until("the failure to be listed", async || {
        let listed = cluster.admin.fleet().list_health(v1::ListHealthRequest::default()).await.ok()?;
        let listed = listed.into_inner().endpoints;
        listed.into_iter().find(|endpoint| endpoint.endpoint == "cheap-status-500")
    })
    .await;
    assert_eq!((listed.uptime_last_5m, listed.requests_last_5m), (Some(0.0), 1));
    let other = &cluster.planes[1];
    wait::until_true("the other data plane to have heard of it", async || {
        metric(&other.ops_url(), "switchyard_fleet_health_endpoints").await >= 2.0
    })
    .await;
    let fresh = client.at(other.url());
    let answer = fresh.chat(body()).await.ok();
    assert_eq!((answer["provider"].as_str(), failures(&cluster)), (Some("dear"), 1), "{answer}");
}
