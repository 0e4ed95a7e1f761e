//! A streamed answer as a client of Messages reads it.

use switchyard_proto::code::ErrorCode;

use super::*;
use crate::api::fixtures::{call, facts, finish, parse, text, thought};
use crate::model::event::Start;
use crate::model::response::FinishReason;

/// What a client reads of these events, whole answer included.
fn read(events: &[Event]) -> Vec<Value> {
    let mut encoder = StreamEncoder::new(&facts());
    let mut out = BytesMut::new();
    events.iter().for_each(|event| encoder.event(event, &mut out));
    let usage = Usage { prompt_tokens: 10, cached_tokens: 4, completion_tokens: 3, ..Usage::default() };
    encoder.usage(&usage, &Bill::default(), &mut out);
    encoder.done(&mut out);
    parse(out)
}

/// Each event in a word or two, its block's index in it.
fn short(events: &[Value]) -> Vec<String> {
    let words = events.iter().map(|event| {
        let kind = event["type"].as_str().unwrap();
        let at = event["index"].as_u64().map(|at| at.to_string()).unwrap_or_default();
        let inner =
            event["content_block"]["type"].as_str().or(event["delta"]["type"].as_str()).unwrap_or_default();
        format!("{kind}{at} {inner}").trim().to_owned()
    });
    words.collect()
}

#[test]
fn blocks_follow_each_other_and_every_one_is_closed() {
    let events = read(&[
        Event::Start(Start::default()),
        thought(json!({"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1", "index": 0})),
        thought(
            json!({"type": "reasoning.text", "text": "", "signature": "s", "format": "anthropic-claude-v1", "index": 0}),
        ),
        text("Hi"),
        text("!"),
        call(0, Some("c1"), ""),
        call(0, None, "{\"a\":1}"),
        call(1, Some("c2"), "{}"),
        finish(FinishReason::ToolCalls),
        Event::Done,
    ]);
    assert_eq!(
        short(&events),
        [
            "message_start",
            "content_block_start0 thinking",
            "content_block_delta0 thinking_delta",
            "content_block_delta0 signature_delta",
            "content_block_stop0",
            "content_block_start1 text",
            "content_block_delta1 text_delta",
            "content_block_delta1 text_delta",
            "content_block_stop1",
            "content_block_start2 tool_use",
            "content_block_delta2 input_json_delta",
            "content_block_stop2",
            "content_block_start3 tool_use",
            "content_block_delta3 input_json_delta",
            "content_block_stop3",
            "message_delta",
            "message_stop",
        ]
    );
    assert_eq!(events[3]["delta"]["signature"], "s");
    assert_eq!(events[15]["delta"]["stop_reason"], "tool_use");
    let usage = &events[15]["usage"];
    assert_eq!(
        (&usage["input_tokens"], &usage["cache_read_input_tokens"], &usage["output_tokens"]),
        (&json!(6), &json!(4), &json!(3))
    );
}

#[test]
fn what_comes_amid_a_calls_arguments_is_a_block_of_its_own_after_the_call() {
    let thinking = thought(json!({"type": "reasoning.text", "text": "hm", "index": 0}));
    let events = read(&[
        call(0, Some("c1"), "{\"a\":"),
        text("Hi"),
        thinking,
        call(0, None, "1}"),
        finish(FinishReason::ToolCalls),
    ]);
    assert_eq!(
        short(&events)[1..],
        [
            "content_block_start0 tool_use",
            "content_block_delta0 input_json_delta",
            "content_block_delta0 input_json_delta",
            "content_block_stop0",
            "content_block_start1 text",
            "content_block_delta1 text_delta",
            "content_block_stop1",
            "content_block_start2 thinking",
            "content_block_delta2 thinking_delta",
            "content_block_stop2",
            "message_delta",
            "message_stop",
        ]
    );
}

#[test]
fn an_answer_without_content_is_still_a_message() {
    assert_eq!(
        short(&read(&[finish(FinishReason::Stop)])),
        ["message_start", "message_delta", "message_stop"]
    );
}

#[test]
fn a_failure_is_the_last_event() {
    let mut encoder = StreamEncoder::new(&facts());
    let mut out = BytesMut::new();
    encoder.event(&text("Hi"), &mut out);
    let error = ErrorBody {
        code: ErrorCode::ProviderOverloaded,
        status: 503,
        message: "busy",
        provider: None,
        provider_code: None,
        metadata: None,
        routing: None,
    };
    encoder.error(&error, &mut out);
    let events = parse(out);
    let last = events.last().unwrap();
    assert_eq!((&last["type"], &last["error"]["type"]), (&json!("error"), &json!("overloaded_error")));
}

#[test]
fn a_replayed_answer_reads_like_a_streamed_one() {
    let message =
        crate::model::response::ResponseMessage { content: Some("Hi".into()), ..Default::default() };
    let answer = ChatResponse {
        choices: vec![crate::model::response::Choice { message, ..Default::default() }],
        ..ChatResponse::default()
    };
    let mut encoder = StreamEncoder::new(&facts());
    let mut out = BytesMut::new();
    encoder.replay(&answer, &mut out);
    encoder.usage(&Usage::default(), &Bill::default(), &mut out);
    encoder.done(&mut out);
    assert_eq!(short(&parse(out)), short(&read(&[text("Hi"), finish(FinishReason::Stop)])));
}
