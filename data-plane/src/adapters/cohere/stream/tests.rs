//! Streams that the recordings do not have: odd shapes, odd ends, names and hidden thoughts.

use bytes::Bytes;
use serde_json::{Value, json};

use super::StreamDecoder;
use crate::adapters::cohere::Cohere;
use crate::adapters::{Adapter, Context, Decoder, Failure, FailureClass};
use crate::model::event::fold;
use crate::model::response::{ChatResponse, FinishReason};

fn run(context: &Context, events: &[Value]) -> (ChatResponse, Result<(), Failure>) {
    let (mut decoder, mut told) = (StreamDecoder::new(context.clone()), Vec::new());
    let mut outcome = Ok(());
    for event in events {
        outcome = outcome.and_then(|()| decoder.push(Bytes::from(format!("data: {event}\n\n")), &mut told));
    }
    let outcome = outcome.and_then(|()| decoder.finish(&mut told));
    (fold(&told), outcome)
}

fn event(kind: &str, index: u64, message: Value) -> Value {
    json!({"type": kind, "index": index, "delta": {"message": message}})
}

fn start() -> Value {
    json!({"type": "message-start", "id": "a1", "delta": {"message": {"role": "assistant"}}})
}

fn end(reason: &str) -> Value {
    json!({"type": "message-end", "delta": {"finish_reason": reason, "usage": {"tokens": {"input_tokens": 3, "output_tokens": 2}}}})
}

#[test]
fn a_whole_answer_and_its_stream_say_the_same() {
    let context = Context { tool_names: vec![("a_b".to_owned(), "a-b".to_owned())], ..Context::default() };
    let citation = |start: u64| {
        json!({"start": start, "end": start + 1, "text": "é", "content_index": 2, "type": "TEXT_CONTENT",
            "sources": [{"type": "document", "id": "doc:0", "document": {"title": "T"}}]})
    };
    let plan_citation = json!({"start": 0, "end": 1, "type": "PLAN", "sources": [{"id": "x"}]});
    let call = json!({"id": "c1", "type": "function", "function": {"name": "a_b", "arguments": ""}});
    let (streamed, outcome) = run(
        &context,
        &[
            json!({"type": "debug", "prompt": "x"}),
            start(),
            event("content-start", 0, json!({"content": {"type": "thinking", "thinking": ""}})),
            event("content-delta", 0, json!({"content": {"thinking": "h"}})),
            event("content-delta", 0, json!({"content": {"thinking": "m"}})),
            event("content-start", 1, json!({"content": {"type": "text", "text": "a"}})),
            event("content-delta", 2, json!({"content": {"text": "é"}})),
            event("citation-start", 0, json!({"citations": citation(0)})),
            event("citation-start", 1, json!({"citations": plan_citation})),
            event("tool-plan-delta", 0, json!({"tool_plan": "p"})),
            event("tool-call-start", 0, json!({"tool_calls": call})),
            event(
                "tool-call-start",
                1,
                json!({"tool_calls": {"function": {"name": "g", "arguments": "{\"x\""}}}),
            ),
            event("tool-call-delta", 1, json!({"tool_calls": {"function": {"arguments": ":1}"}}})),
            event("unheard-of", 9, json!([1])),
            json!({"type": "content-delta", "delta": "text"}),
            json!({"type": "content-delta", "index": 0, "delta": {"message": "text"}}),
            end("COMPLETE"),
        ],
    );
    assert_eq!(outcome, Ok(()));
    let body = json!({"id": "a1", "finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 3, "output_tokens": 2}},
        "message": {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}, {"type": "text", "text": "é"}],
            "tool_plan": "p", "citations": [citation(0), plan_citation],
            "tool_calls": [{"id": "c1", "function": {"name": "a_b", "arguments": null}}, {"function": {"name": "g", "arguments": "{\"x\":1}"}}]}});
    let whole = Cohere
        .decode(http::StatusCode::OK, &http::HeaderMap::new(), &Bytes::from(body.to_string()), &context)
        .expect("an answer");
    for response in [&whole, &streamed] {
        let choice = &response.choices[0];
        let message = &choice.message;
        assert_eq!((message.content.as_deref(), message.reasoning.as_deref()), (Some("aé"), Some("hmp")));
        let calls: Vec<_> = message.tool_calls.iter().map(|call| (&*call.name, &*call.arguments)).collect();
        assert_eq!(calls, [("a-b", "{}"), ("g", "{\"x\":1}")]);
        assert_eq!(message.annotations.len(), 1);
        assert_eq!(message.annotations[0]["url_citation"]["start_index"], 1);
        assert_eq!(choice.finish.reason, FinishReason::ToolCalls);
    }
    assert_eq!(whole.choices[0].message, streamed.choices[0].message);
    assert_eq!((&whole.id, whole.usage), (&streamed.id, streamed.usage));
}

#[test]
fn ends_are_told_apart() {
    for (reason, finish) in [
        ("COMPLETE", Ok(FinishReason::Stop)),
        ("STOP_SEQUENCE", Ok(FinishReason::Stop)),
        ("MAX_TOKENS", Ok(FinishReason::Length)),
        ("ERROR_TOXIC", Ok(FinishReason::ContentFilter)),
        ("UNHEARD", Ok(FinishReason::Stop)),
        ("ERROR", Err(FailureClass::Server)),
        ("TIMEOUT", Err(FailureClass::Timeout)),
    ] {
        let (response, outcome) = run(&Context::default(), &[start(), end(reason)]);
        let found = outcome.map(|()| response.choices[0].finish.reason).map_err(|failure| failure.class);
        assert_eq!(found, finish, "{reason}");
    }
}

#[test]
fn what_is_no_proper_end_is_a_failure() {
    for (events, class) in [
        (vec![start()], FailureClass::Malformed),
        (vec![], FailureClass::Malformed),
        (vec![start(), json!("[DONE]")], FailureClass::Malformed),
        (vec![start(), json!({"message": "internal server error"})], FailureClass::Server),
        (vec![json!({"type": "error", "message": "too many tokens"})], FailureClass::ContextLength),
        (vec![json!([])], FailureClass::Malformed),
    ] {
        let (_, outcome) = run(&Context::default(), &events);
        assert_eq!(outcome.expect_err("a failure").class, class, "{events:?}");
    }
}

#[test]
fn thoughts_that_the_caller_does_not_want_are_not_told() {
    let context = Context { hide_reasoning: true, ..Context::default() };
    let think = event("content-delta", 0, json!({"content": {"thinking": "h"}}));
    let (response, _) = run(&context, &[start(), think, end("COMPLETE")]);
    let message = &response.choices[0].message;
    assert!(message.reasoning.is_none() && message.reasoning_details.is_empty());
}
