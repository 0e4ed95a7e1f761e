//! One trace, from the caller's `traceparent` over both planes, ends up in an OTLP collector.

use serde_json::json;
use switchyard_tests::client::text;
use switchyard_tests::cluster::Shape;
use switchyard_tests::collector::{Collector, Seen};
use switchyard_tests::wait;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLERS_SPAN: &str = "00f067aa0ba902b7";

fn shape(collector: &Collector, ratio: &str) -> Shape {
    let shape = Shape::of_processes();
    let shape =
        shape.set("SWITCHYARD_OTLP_ENDPOINT", collector.url()).set("SWITCHYARD_OTLP_SAMPLE_RATIO", ratio);
    shape
        .set_control("SWITCHYARD_OTLP_ENDPOINT", collector.url())
        .set_control("SWITCHYARD_OTLP_SAMPLE_RATIO", ratio)
}

#[tokio::test]
async fn a_callers_trace_goes_through_both_planes() {
    let collector = Collector::start().await.unwrap();
    let cluster = shape(&collector, "0").start().await.unwrap().furnished().await.unwrap();
    let client = cluster.client().await.unwrap();
    let body = json!({"model": "test/echo", "messages": [{"role": "user", "content": "hello"}]});
    let traceparent = format!("00-{TRACE}-{CALLERS_SPAN}-01");
    let answer = client.chat_with(&[("traceparent", &traceparent)], body.clone()).await.ok();
    let id = answer["id"].as_str().unwrap();
    assert_eq!(cluster.generation(id).await.trace_id, TRACE);
    let spans = wait::until("a trace with spans of both planes", async || {
        let spans: Vec<Seen> = collector.spans().into_iter().filter(|span| span.trace_id == TRACE).collect();
        let mut services: Vec<&str> = spans.iter().map(|span| span.service.as_str()).collect();
        services.sort_unstable();
        services.dedup();
        (services.len() == 2).then_some(spans)
    })
    .await;
    let request =
        spans.iter().find(|span| span.parent_id == CALLERS_SPAN).expect("a child of the caller's span");
    let attempt =
        spans.iter().find(|span| span.parent_id == request.span_id && span.service == request.service);
    assert!(attempt.is_some_and(|attempt| attempt.name.contains("echo")), "{spans:#?}");
    let ingest = spans.iter().find(|span| span.service != request.service).unwrap();
    let by_id = |id: &str| spans.iter().find(|span| span.span_id == id);
    // Up from the control plane's span, one comes to the caller's.
    let mut at = ingest;
    while at.parent_id != CALLERS_SPAN {
        at = by_id(&at.parent_id).unwrap_or_else(|| panic!("the trace is torn at {at:?}: {spans:#?}"));
    }
}

#[tokio::test]
async fn a_request_that_is_not_sampled_makes_no_span() {
    let collector = Collector::start().await.unwrap();
    let cluster = shape(&collector, "0").start().await.unwrap().furnished().await.unwrap();
    let client = cluster.client().await.unwrap();
    let body = json!({"model": "test/echo", "messages": [{"role": "user", "content": "hello"}]});
    let unsampled = format!("00-{}-{CALLERS_SPAN}-00", TRACE.replace('4', "5"));
    client.chat_with(&[("traceparent", &unsampled)], body.clone()).await.ok();
    let sampled = format!("00-{TRACE}-{CALLERS_SPAN}-01");
    client.chat_with(&[("traceparent", &sampled)], body.clone()).await.ok();
    // The sampled one came later, so when it is there, the other would be too.
    wait::until_true("the sampled trace", async || {
        collector.spans().iter().any(|span| span.trace_id == TRACE)
    })
    .await;
    assert!(collector.spans().iter().all(|span| span.parent_id != CALLERS_SPAN || span.trace_id == TRACE));
    // What callers send as trace context never breaks a call.
    for odd in ["", "garbage", "00-zz-zz-01", "ff-00000000000000000000000000000000-0000000000000000-01"] {
        let events = client.chat_with(&[("traceparent", odd)], body.clone()).await.ok();
        assert!(events["id"].is_string());
    }
    assert_eq!(text(&client.stream(body).await.rest().await), "hello");
}
