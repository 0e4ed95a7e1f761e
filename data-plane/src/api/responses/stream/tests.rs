//! A streamed answer as a client of Responses reads it.

use switchyard_proto::code::ErrorCode;

use super::*;
use crate::api::fixtures::{call, facts, finish, parse, text, thought};
use crate::model::response::FinishReason;

fn encoder() -> StreamEncoder {
    StreamEncoder::new(&facts(), &Map::from_iter([("metadata".to_owned(), json!({"a": "b"}))]))
}

fn read(events: &[Event]) -> Vec<Value> {
    let (mut encoder, mut out) = (encoder(), BytesMut::new());
    events.iter().for_each(|event| encoder.event(event, &mut out));
    encoder.usage(
        &Usage { prompt_tokens: 10, completion_tokens: 3, ..Usage::default() },
        &Bill::default(),
        &mut out,
    );
    parse(out)
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap().trim_start_matches("response.")).collect()
}

#[test]
fn items_are_added_filled_and_done_in_order_with_rising_numbers() {
    let events = read(&[
        thought(
            json!({"type": "reasoning.summary", "summary": "so", "id": "rs_1", "format": "openai-responses-v1", "index": 0}),
        ),
        thought(
            json!({"type": "reasoning.encrypted", "data": "b3Bh", "id": "rs_1", "format": "openai-responses-v1", "index": 0}),
        ),
        text("Hi"),
        call(0, Some("c1"), "{"),
        call(0, None, "}"),
        finish(FinishReason::ToolCalls),
    ]);
    assert_eq!(
        kinds(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..20).collect::<Vec<u64>>());
    let last = &events[19]["response"];
    let kinds: Vec<&str> =
        last["output"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call"]);
    assert_eq!(last["output"][0]["encrypted_content"], "b3Bh");
    assert_eq!(last["output"][2]["arguments"], "{}");
    assert_eq!(last["usage"]["total_tokens"], 13);
    assert_eq!(last["metadata"], json!({"a": "b"}));
}

#[test]
fn an_answer_that_was_cut_by_its_cap_is_incomplete() {
    let events = read(&[text("Hi"), finish(FinishReason::Length)]);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
}

#[test]
fn a_failure_is_the_last_event_and_keeps_what_was_said() {
    let (mut encoder, mut out) = (encoder(), BytesMut::new());
    encoder.event(&text("Hi"), &mut out);
    let error = ErrorBody {
        code: ErrorCode::ProviderUnavailable,
        status: 502,
        message: "gone",
        provider: None,
        provider_code: None,
        metadata: None,
        routing: None,
    };
    encoder.error(&error, &mut out);
    let events = parse(out);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["error"]["code"], "server_error");
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], "Hi");
}
