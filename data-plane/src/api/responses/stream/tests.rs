//! A streamed answer as a client of Responses reads it.

use switchyard_proto::code::ErrorCode;

use super::*;
use crate::api::fixtures::{call, facts, finish, parse, text, thought};
use crate::model::event::{ChoiceDelta, Chunk, Delta};
use crate::model::response::FinishReason;

fn encoder() -> StreamEncoder {
    StreamEncoder::new(&facts(), &Map::from_iter([("metadata".to_owned(), json!({"a": "b"}))]))
}

fn failure() -> ErrorBody<'static> {
    ErrorBody {
        code: ErrorCode::ProviderUnavailable,
        status: 502,
        message: "gone",
        provider: None,
        provider_code: None,
        metadata: None,
        routing: None,
    }
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
fn what_comes_amid_a_calls_arguments_is_an_item_of_its_own_after_the_call() {
    let events = read(&[
        call(0, Some("c1"), "{\"a\":"),
        text("Hi"),
        call(0, None, "1}"),
        finish(FinishReason::ToolCalls),
    ]);
    assert_eq!(
        kinds(&events)[2..],
        [
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
    );
    assert_eq!(events[5]["arguments"], "{\"a\":1}");
}

/// The kind and the status of each item of the whole answer that the last event holds.
fn statuses(events: &[Value]) -> Vec<String> {
    let output = events.last().unwrap()["response"]["output"].as_array().unwrap();
    let word =
        |item: &Value| format!("{} {}", item["type"].as_str().unwrap(), item["status"].as_str().unwrap());
    output.iter().map(word).collect()
}

#[test]
fn what_is_open_when_an_answer_is_cut_is_incomplete() {
    let thinking = || thought(json!({"type": "reasoning.text", "text": "hm", "index": 0}));
    for (events, expected) in [
        (vec![text("Hi")], vec!["message incomplete"]),
        (vec![thinking()], vec!["reasoning incomplete"]),
        (vec![thinking(), text("Hi")], vec!["reasoning completed", "message incomplete"]),
        (vec![text("Hi"), call(0, Some("c"), "{\"a")], vec!["message completed", "function_call incomplete"]),
        (vec![call(0, Some("c"), "{}")], vec!["function_call completed"]),
        (
            vec![call(0, Some("c"), "{}"), call(1, Some("d"), "{")],
            vec!["function_call completed", "function_call incomplete"],
        ),
        (vec![call(0, Some("c"), "{"), text("Hi")], vec!["function_call incomplete", "message incomplete"]),
    ] {
        for reason in [FinishReason::Length, FinishReason::ContentFilter, FinishReason::Error] {
            let told = read(&[&events[..], &[finish(reason)]].concat());
            assert_eq!(statuses(&told), expected, "{reason:?}");
            let dones = kinds(&told).iter().filter(|kind| **kind == "function_call_arguments.done").count();
            assert_eq!(dones, expected.iter().filter(|item| **item == "function_call completed").count());
            assert_eq!(
                kinds(&told).iter().filter(|kind| **kind == "output_item.done").count(),
                expected.len()
            );
        }
        let (mut encoder, mut out) = (encoder(), BytesMut::new());
        events.iter().for_each(|event| encoder.event(event, &mut out));
        encoder.error(&failure(), &mut out);
        assert_eq!(statuses(&parse(out)), expected);
    }
}

#[test]
fn an_answer_of_which_nothing_is_known_has_every_member_that_clients_insist_on() {
    let (mut encoder, mut out) = (StreamEncoder::new(&facts(), &Map::new()), BytesMut::new());
    encoder.error(&failure(), &mut out);
    for event in parse(out) {
        for member in [
            "completed_at",
            "created_at",
            "error",
            "frequency_penalty",
            "presence_penalty",
            "id",
            "incomplete_details",
            "instructions",
            "metadata",
            "model",
            "object",
            "output",
            "parallel_tool_calls",
            "temperature",
            "tool_choice",
            "tools",
            "top_p",
            "status",
        ] {
            assert!(event["response"].get(member).is_some(), "{member}: {event}");
        }
    }
}

#[test]
fn log_probabilities_and_images_are_told() {
    let weighed = json!([{"token": "Hi", "logprob": -0.5, "bytes": null, "top_logprobs": []}]);
    let raw = serde_json::value::to_raw_value(&json!({"content": weighed})).ok();
    let delta = Delta { content: Some("Hi".into()), ..Delta::default() };
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let drawn = Delta { images: vec![image], ..Delta::default() };
    let chunk = |delta, logprobs| {
        Event::Chunk(Chunk {
            choices: vec![ChoiceDelta { delta, logprobs, ..ChoiceDelta::default() }],
            ..Chunk::default()
        })
    };
    let events = read(&[chunk(delta, raw), chunk(drawn, None), finish(FinishReason::Stop)]);
    let delta = events.iter().find(|event| event["type"] == "response.output_text.delta").unwrap();
    assert_eq!(delta["logprobs"], weighed);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["content"][0]["logprobs"], weighed);
    assert_eq!((&output[1]["type"], &output[1]["result"]), (&json!("image_generation_call"), &json!("AAAA")));
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
    encoder.error(&failure(), &mut out);
    let events = parse(out);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["error"]["code"], "server_error");
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], "Hi");
}
