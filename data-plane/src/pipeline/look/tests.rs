//! Which answers are looked at, and what health hears of them.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use switchyard_proto::v1::resource::Body as Row;

use super::*;
use crate::api::openai_chat;
use crate::config::fixtures::{endpoint, full, model, provider, resource};
use crate::model::event::{ChoiceDelta, Chunk, Delta, ToolDelta};
use crate::model::message::ToolCall;
use crate::model::response::{Choice, ResponseMessage};

fn at() -> Arc<Endpoint> {
    let rows =
        [Row::Provider(provider("p")), Row::Model(model("a/m")), Row::Endpoint(endpoint("a/m", "p", "1"))];
    full(rows.map(resource)).snapshot.model("a/m").unwrap().endpoints[0].clone()
}

/// A request with this many tools, named `t0` and so on, that want a number `n`.
fn request(tools: usize) -> ChatRequest {
    let parameters = json!({"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]});
    let tool =
        |at| json!({"type": "function", "function": {"name": format!("t{at}"), "parameters": parameters}});
    let mut body = json!({"model": "a/m", "messages": [{"role": "user", "content": "hi"}]});
    if tools > 0 {
        body["tools"] = Value::from_iter((0..tools).map(tool));
    }
    openai_chat::decode(Bytes::from(body.to_string())).unwrap()
}

fn answer(calls: &[(&str, &str)]) -> ChatResponse {
    let call = |(name, arguments): &(&str, &str)| ToolCall {
        name: (*name).to_owned(),
        arguments: (*arguments).to_owned(),
        ..ToolCall::default()
    };
    let message =
        ResponseMessage { tool_calls: calls.iter().map(call).collect(), ..ResponseMessage::default() };
    ChatResponse { choices: vec![Choice { message, ..Choice::default() }], ..ChatResponse::default() }
}

/// A seed on which the draw falls.
fn drawn() -> u64 {
    (0..).find(|seed| is_drawn(*seed)).unwrap()
}

/// How many answers health has heard of, and how many in a thousand were fine.
fn heard(health: &Health, endpoint: &Endpoint) -> (u32, u16) {
    let reading = health.reading(&endpoint.model, &endpoint.id);
    (reading.tool_requests, if reading.tool_requests == 0 { 0 } else { reading.tool_success_permille })
}

#[test]
fn one_in_eight_requests_with_tools_is_looked_at_and_every_one_that_is_judged() {
    let (health, endpoint) = (Health::default(), at());
    let looked_at = |tools, is_judged: bool| {
        let request = request(tools);
        let asked = is_judged.then(|| Asked::of(&request, None).unwrap());
        let is_due = |seed: &u64| Look::of(&health, &endpoint, (&request, *seed), asked.as_ref()).is_some();
        (0..8_000_u64).filter(is_due).count()
    };
    assert!((900..1_100).contains(&looked_at(1, false)), "{}", looked_at(1, false));
    assert_eq!([looked_at(1, true), looked_at(0, true), looked_at(0, false)], [8_000, 0, 0]);
}

#[tokio::test]
async fn health_hears_whether_all_calls_of_an_answer_are_valid() {
    let (endpoint, request) = (at(), request(2));
    for (calls, expected) in [
        (&[][..], (0, 0)),
        (&[("t0", r#"{"n":1}"#)], (1, 1000)),
        (&[("t0", r#"{"n":1}"#), ("t1", r#"{"n":2}"#)], (1, 1000)),
        (&[("t0", r#"{"n":1}"#), ("t1", r#"{"n":"#)], (1, 0)),
        (&[("t0", r#"{"n":"one"}"#)], (1, 0)),
        (&[("t9", "{}")], (1, 0)),
    ] {
        let judged = Asked::of(&request, None).unwrap();
        for asked in [None, Some(&judged)] {
            let health = Health::default();
            let look = Look::of(&health, &endpoint, (&request, drawn()), asked).unwrap();
            look.after(&answer(calls)).await;
            assert_eq!(heard(&health, &endpoint), expected, "{calls:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_is_looked_at_as_the_answer_that_it_tells() {
    let (endpoint, request) = (at(), request(1));
    for (end, expected) in [("1}", (1, 1000)), ("x}", (1, 0))] {
        let health = Health::default();
        let mut look = Look::of(&health, &endpoint, (&request, drawn()), None).unwrap();
        let opening = ToolDelta { name: Some("t0".to_owned()), ..ToolDelta::default() };
        for arguments in [r#"{"n""#, ":", end] {
            let call = ToolDelta { arguments: arguments.to_owned(), ..opening.clone() };
            let call = if arguments.starts_with('{') { call } else { ToolDelta { name: None, ..call } };
            let delta = Delta { tool_calls: vec![call], ..Delta::default() };
            let choices = vec![ChoiceDelta { delta, ..ChoiceDelta::default() }];
            look.take(&Event::Chunk(Chunk { choices, ..Chunk::default() }));
        }
        look.at_stream().await;
        assert_eq!(heard(&health, &endpoint), expected, "{end}");
    }
}
