//! The lab's own side, over HTTP.

use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::fault_lab::tests::client::{Speaks, body, call, request};
use crate::fault_lab::tests::{PATIENCE, lab};
use crate::fault_lab::{FaultLab, behaviours};

async fn ask(lab: &FaultLab, method: Method, path: &str, body: &str) -> (u16, Value) {
    let asked = Request::builder().method(method).uri(path).header("host", "lab");
    let asked = asked.body(Full::new(body.to_owned().into())).expect("all parts are valid");
    let reply = call(lab.addr, asked).await.expect("a head comes");
    (reply.status.as_u16(), serde_json::from_slice(&reply.body).expect("is JSON"))
}

async fn status(lab: &FaultLab) -> u16 {
    let asked = request(Speaks::OpenAi, &body(Speaks::OpenAi, "echo", false));
    call(lab.addr, asked).await.expect("a head comes").status.as_u16()
}

#[tokio::test]
async fn behaviours_are_listed_with_how_they_end() {
    let lab = lab().await;
    let (code, list) = ask(&lab, Method::GET, "/lab/behaviours", "").await;
    assert_eq!(code, 200);
    let rows = list["behaviours"].as_array().expect("is a list");
    assert_eq!(rows.len(), behaviours().len());
    let cut = rows.iter().find(|row| row["name"] == "cut").expect("is in the table");
    assert_eq!((&cut["family"], &cut["ends"]), (&json!("cut-N"), &json!("broken")));
}

#[tokio::test]
async fn orders_are_placed_and_withdrawn() {
    let lab = lab().await;
    let queued =
        ask(&lab, Method::POST, "/lab/script", r#"{"behaviours": ["status-502", "status-504"]}"#).await;
    assert_eq!(queued, (200, json!({"queued": 2})));
    assert_eq!(ask(&lab, Method::POST, "/lab/always", r#"{"behaviour": "status-503"}"#).await.0, 200);
    assert_eq!(status(&lab).await, 502);
    assert_eq!(ask(&lab, Method::DELETE, "/lab/script", "").await.0, 200);
    assert_eq!(status(&lab).await, 503);
    assert_eq!(ask(&lab, Method::DELETE, "/lab/always", "").await.0, 200);
    assert_eq!(status(&lab).await, 200);
}

#[tokio::test]
async fn wrong_orders_are_refused_and_change_nothing() {
    let lab = lab().await;
    let cases = [
        ("/lab/script", r#"{"behaviours": ["status-502", "nonsense"]}"#, "nonsense"),
        ("/lab/script", r#"{"behaviour": "cut"}"#, "behaviours"),
        ("/lab/always", r#"{"behaviour": "nonsense"}"#, "nonsense"),
        ("/lab/always", "", "behaviour"),
    ];
    for (path, body, named) in cases {
        let (code, answer) = ask(&lab, Method::POST, path, body).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(code == 400 && message.contains(named), "{path} {body}: {code} {answer}");
    }
    assert_eq!(ask(&lab, Method::DELETE, "/lab/counts", "").await.0, 405);
    assert_eq!(status(&lab).await, 200);
}

#[tokio::test]
async fn counts_and_requests_are_the_providers_alone() {
    let lab = lab().await;
    assert_eq!(status(&lab).await, 200);
    lab.wait_for_finished(1, PATIENCE).await.expect("the lab does its part");
    for _ in 0..2 {
        let (_, counts) = ask(&lab, Method::GET, "/lab/counts", "").await;
        assert_eq!((&counts["requests"], &counts["finished"]), (&json!(1), &json!(1)), "{counts}");
        assert_eq!(counts["billed"][0]["calls"], 1, "{counts}");
        assert_eq!(counts["billed"][0]["model"], "echo", "{counts}");
    }
    let (_, kept) = ask(&lab, Method::GET, "/lab/received", "").await;
    assert_eq!(kept["received"][0]["body"]["model"], "echo", "{kept}");
    assert_eq!(kept["received"].as_array().map(Vec::len), Some(1));
    assert_eq!(ask(&lab, Method::DELETE, "/lab/received", "").await.0, 200);
    assert_eq!(ask(&lab, Method::GET, "/lab/received", "").await.1["received"], json!([]));
}

#[tokio::test]
async fn ended_calls_are_told_one_by_one_under_the_name_that_their_client_gave_them() {
    let lab = lab().await;
    for (id, behaviour) in [("gen-1/1", "lorem-3"), ("gen-1/2", "status-500")] {
        let mut asked = request(Speaks::OpenAi, &body(Speaks::OpenAi, behaviour, false));
        asked.headers_mut().insert("x-client-request-id", id.parse().expect("is plain"));
        call(lab.addr, asked).await.expect("a head comes");
    }
    lab.wait_for_finished(2, PATIENCE).await.expect("the lab does its part");
    let (_, told) = ask(&lab, Method::GET, "/lab/calls", "").await;
    let row = |at: usize| (told["calls"][at]["id"].clone(), told["calls"][at]["completion_tokens"].clone());
    assert_eq!((row(0), row(1)), ((json!("gen-1/1"), json!(3)), (json!("gen-1/2"), json!(0))), "{told}");
    assert_eq!(told["calls"][1]["is_billed"], false);
}
