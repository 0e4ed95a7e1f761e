//! Lines that the recordings do not have: errors, calls without ids, odd ends.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{StreamDecoder, whole};
use crate::adapters::{Context, Decoder, Failure, FailureClass};
use crate::model::event::fold;
use crate::model::response::{ChatResponse, FinishReason};

fn run(context: &Context, lines: &[Value]) -> (ChatResponse, Result<(), Failure>) {
    let (mut decoder, mut events) = (StreamDecoder::new(context.clone()), Vec::new());
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let outcome = decoder.push(Bytes::from(text), &mut events);
    let outcome = outcome.and_then(|()| decoder.finish(&mut events));
    (fold(&events), outcome)
}

fn piece(message: Value) -> Value {
    json!({"model": "m", "created_at": "2026-11-22T10:00:00.5Z", "message": message, "done": false})
}

fn done(reason: &str) -> Value {
    json!({"model": "m", "message": {"content": ""}, "done": true, "done_reason": reason, "eval_count": 4})
}

#[test]
fn a_call_is_a_call_although_the_reason_is_stop() {
    let call = |arguments: Value| json!({"content": "", "tool_calls": [{"function": {"index": 0, "name": "f", "arguments": arguments}}]});
    let lines = [
        piece(call(json!({"b": 1, "a": {}}))),
        piece(call(json!("{\"x\":2}"))),
        piece(call(json!(null))),
        done("stop"),
    ];
    let (response, outcome) = run(&Context::default(), &lines);
    assert_eq!(outcome, Ok(()));
    let choice = &response.choices[0];
    let arguments: Vec<_> = choice.message.tool_calls.iter().map(|call| &*call.arguments).collect();
    assert_eq!(arguments, [r#"{"b":1,"a":{}}"#, r#"{"x":2}"#, "{}"]);
    let ids: Vec<_> = choice.message.tool_calls.iter().map(|call| &*call.id).collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0].starts_with("call_"), "{ids:?}");
    assert_eq!(choice.finish.reason, FinishReason::ToolCalls);
    assert_eq!((response.created, response.model.as_deref()), (Some(1_795_341_600), Some("m")));
    let usage = response.usage.expect("counts");
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (0, 4));
}

#[test]
fn a_whole_answer_and_its_stream_say_the_same() {
    let odds = json!([{"token": "é", "logprob": -0.5, "bytes": [195, 169], "top_logprobs": []}]);
    let mut last = piece(json!({"content": "é", "thinking": "hm"}));
    last["logprobs"] = odds.clone();
    let (streamed, outcome) = run(&Context::default(), &[last.clone(), done("length")]);
    assert_eq!(outcome, Ok(()));
    last["done"] = true.into();
    last["done_reason"] = "length".into();
    last["eval_count"] = 4.into();
    for body in [last.to_string(), serde_json::to_string_pretty(&last).expect("JSON")] {
        let answer = whole(&Bytes::from(body), &Context::default()).expect("an answer");
        assert_eq!(format!("{answer:?}"), format!("{streamed:?}"));
    }
    let choice = &streamed.choices[0];
    assert_eq!(choice.finish.reason, FinishReason::Length);
    assert_eq!(
        choice.logprobs.as_ref().expect("probabilities").get(),
        json!({ "content": odds }).to_string()
    );
    let hidden = Context { hide_reasoning: true, ..Context::default() };
    let (hidden, _) = run(&hidden, &[last]);
    assert!(hidden.choices[0].message.reasoning.is_none());
}

#[test]
fn what_is_no_answer_is_a_failure() {
    let said = piece(json!({"content": "a"}));
    for (lines, class) in [
        (vec![said.clone(), json!({"error": "llama runner process has terminated"})], FailureClass::Server),
        (vec![json!({"error": "model 'x' not found"})], FailureClass::NotFound),
        (vec![said], FailureClass::Malformed),
        (vec![done("load")], FailureClass::Malformed),
        (vec![json!({"status": "pulling"})], FailureClass::Malformed),
        (vec![json!("text")], FailureClass::Malformed),
        (vec![], FailureClass::Malformed),
    ] {
        let (_, outcome) = run(&Context::default(), &lines);
        assert_eq!(outcome.expect_err("a failure").class, class, "{lines:?}");
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(
            whole(&Bytes::from(body), &Context::default()).expect_err("a failure").class,
            class,
            "{lines:?}"
        );
    }
}

#[test]
fn members_of_other_types_cost_no_answer() {
    let odd = json!({"model": 3, "created_at": {}, "message": {"content": ["x"], "thinking": 1, "tool_calls": [1, {"function": {"name": "f"}}]},
        "done": true, "done_reason": [], "prompt_eval_count": "many", "logprobs": {}, "error": null});
    let (response, outcome) = run(&Context::default(), &[odd]);
    assert_eq!(outcome, Ok(()));
    assert_eq!(response.choices[0].message.tool_calls.len(), 1);
    assert_eq!((response.choices[0].message.content.as_deref(), response.usage), (None, None));
}
