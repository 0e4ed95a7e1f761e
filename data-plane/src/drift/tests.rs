//! From an answer's bytes to the report, through the background.

use http::{HeaderMap, HeaderValue, header};
use switchyard_proto::v1::resource::Body;

use super::*;
use crate::config::fixtures::{endpoint, full, model, provider, resource, tenant};

const ALL: settings::Drift = settings::Drift { first: 20, sample: 1.0, max_bytes: 256 };
const NONE: settings::Drift = settings::Drift { first: 0, sample: 0.0, max_bytes: 256 };

fn background() -> Background {
    Background::new(tokio::runtime::Handle::current())
}

/// Endpoint `lab` of model `a/m`, in the chat-completions dialect.
fn lab() -> Arc<Endpoint> {
    let mut resources = vec![
        resource(Body::Provider(provider("lab"))),
        resource(Body::Model(model("a/m"))),
        resource(Body::Endpoint(endpoint("a/m", "lab", "1"))),
    ];
    resources.extend(tenant());
    full(resources).snapshot.model("a/m").expect("there").endpoints[0].clone()
}

fn watch(drift: &Arc<Drift>) -> Watch {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Watch::new(drift, &lab(), &headers)
}

/// Every sample holds a place until it was looked at.
async fn all_looked_at(drift: &Drift) {
    let most = u32::try_from(MOST_SAMPLES).unwrap();
    drop(drift.places.acquire_many(most).await.unwrap());
}

fn told(drift: &Drift) -> Vec<String> {
    let findings = drift.unreported().map(|report| report.findings()).unwrap_or_default();
    let mut told: Vec<String> = findings
        .into_iter()
        .map(|one| {
            format!(
                "{} {} {} {} {} {} {}",
                one.provider, one.adapter, one.model, one.kind, one.path, one.detail, one.answers
            )
        })
        .collect();
    told.sort();
    told
}

fn piece(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn a_sampled_stream_is_looked_at_when_it_is_over() {
    let drift = Drift::start(&ALL, &background());
    for _ in 0..2 {
        let mut watch = watch(&drift);
        watch.piece(&piece("data: {\"choices\":[{\"delta\":{\"mo"));
        watch.piece(&piece("od\":\"glad\"},\"finish_reason\":\"vanished\"}]}\n\ndata: {\"cut"));
        assert!(drift.unreported().is_none(), "nothing happens while it comes");
    }
    all_looked_at(&drift).await;
    let expected = [
        "lab openai a/m field choices[].delta.mood string 2",
        "lab openai a/m word choices[].finish_reason vanished 2",
    ];
    assert_eq!(told(&drift), expected);
    let report = drift.unreported().expect("something to report");
    drift.reported(&report);
    assert_eq!(told(&drift), [""; 0]);
}

#[tokio::test]
async fn an_answer_that_is_not_sampled_is_looked_at_only_where_it_could_not_be_read() {
    let drift = Drift::start(&NONE, &background());
    let mut passed = watch(&drift);
    passed.piece(&piece("data: {\"mood\":1}\n\n"));
    passed.ended();
    drop(passed);
    all_looked_at(&drift).await;
    assert_eq!(told(&drift), [""; 0]);
    watch(&drift).unreadable(piece("tail\n\ndata: {\"choices\":7}\n\n"));
    watch(&drift).unreadable_whole(piece("{\"choices\":\"none\"}"));
    all_looked_at(&drift).await;
    let expected = ["lab openai a/m type choices number 1", "lab openai a/m type choices string 1"];
    assert_eq!(told(&drift), expected);
}

#[tokio::test]
async fn a_long_answer_is_looked_at_up_to_the_cap() {
    let drift = Drift::start(&ALL, &background());
    let mut long = watch(&drift);
    long.piece(&piece("data: {\"early\":1}\n\n"));
    for _ in 0..50 {
        long.piece(&piece("data: {\"id\":\"x\"}\n\n"));
    }
    long.piece(&piece("data: {\"late\":1}\n\n"));
    long.ended();
    drop(long);
    watch(&drift).whole(&Bytes::from(format!("{{\"late\":\"{}\"}}", "x".repeat(300))));
    all_looked_at(&drift).await;
    assert_eq!(told(&drift), ["lab openai a/m field early number 1"]);
}

#[tokio::test]
async fn answers_beyond_what_is_kept_at_once_are_let_pass() {
    let drift = Drift::start(&ALL, &background());
    let mut open: Vec<Watch> = (0..MOST_SAMPLES + 10).map(|_| watch(&drift)).collect();
    for watch in &mut open {
        watch.piece(&piece("data: {\"mood\":1}\n\n"));
    }
    drop(open);
    all_looked_at(&drift).await;
    assert_eq!(told(&drift), [format!("lab openai a/m field mood number {MOST_SAMPLES}")]);
}

#[tokio::test]
async fn no_value_of_an_answer_is_kept() {
    let secret = "canary-9f8a7b6c5d4e3f2a";
    let drift = Drift::start(&ALL, &background());
    let body = format!(
        "{{\"{secret}\":\"{secret}\",\"mood\":\"{secret}\",\"choices\":[{{\"finish_reason\":\"{secret}\"}}]}}"
    );
    watch(&drift).whole(&Bytes::from(body));
    all_looked_at(&drift).await;
    let expected = [
        "lab openai a/m field mood string 1",
        "lab openai a/m field {} string 1",
        "lab openai a/m word choices[].finish_reason {} 1",
    ];
    assert_eq!(told(&drift), expected);
    assert!(!format!("{:?}", drift.table()).contains("canary"));
}
