//! Streams that the recordings do not have: the reference's samples, failures, forced tools.

use bytes::Bytes;
use serde_json::json;

use super::StreamDecoder;
use crate::adapters::{Context, Decoder, Failure, FailureClass, JsonTool};
use crate::model::event::{Event, fold};
use crate::model::response::{ChatResponse, FinishReason};

const START: &str = r#"message_start {"message":{"id":"msg_1","model":"m","usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":100,"output_tokens":1}}}"#;

/// Runs lines of `name data`, as the reference abridges streams.
fn run(context: Context, lines: &[&str]) -> (Vec<Event>, Result<(), Failure>) {
    let (mut decoder, mut events) = (StreamDecoder::new(context), Vec::new());
    for line in lines {
        let (name, data) = line.split_once(' ').expect("a name and data");
        let data = data.trim().replacen('{', &format!(r#"{{"type":"{name}","#), 1).replace(",}", "}");
        let pushed = decoder.push(Bytes::from(format!("event: {name}\ndata: {data}\n\n")), &mut events);
        if pushed.is_err() {
            return (events, pushed);
        }
    }
    let ended = decoder.finish(&mut events);
    (events, ended)
}

fn answer(context: Context, lines: &[&str]) -> ChatResponse {
    let (events, ended) = run(context, lines);
    assert_eq!(ended, Ok(()));
    fold(&events)
}

#[test]
fn the_references_sample_reads_as_it_says() {
    let response = answer(
        Context::default(),
        &[
            START,
            r#"content_block_start {"index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"content_block_delta {"index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
            r#"content_block_delta {"index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}"#,
            r#"content_block_stop {"index":0}"#,
            r#"content_block_start {"index":1,"content_block":{"type":"text","text":""}}"#,
            r#"ping {}"#,
            r#"content_block_delta {"index":1,"delta":{"type":"text_delta","text":"Hi"}}"#,
            r#"content_block_stop {"index":1}"#,
            r#"content_block_start {"index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"now","input":{}}}"#,
            r#"content_block_delta {"index":2,"delta":{"type":"input_json_delta","partial_json":""}}"#,
            r#"content_block_stop {"index":2}"#,
            r#"unheard_of {"index":9}"#,
            r#"message_delta {"delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":20}}"#,
            r#"message_stop {}"#,
        ],
    );
    let choice = &response.choices[0];
    assert_eq!(choice.message.content.as_deref(), Some("Hi"));
    assert_eq!(choice.message.reasoning.as_deref(), Some("hm"));
    assert_eq!(
        choice.message.reasoning_details,
        [
            json!({"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1", "index": 0, "signature": "c2ln"})
        ]
    );
    assert_eq!(choice.message.tool_calls.len(), 1);
    assert_eq!(choice.message.tool_calls[0].arguments, "{}");
    assert_eq!(
        (choice.finish.reason, choice.finish.native.as_deref()),
        (FinishReason::ToolCalls, Some("tool_use"))
    );
    let usage = response.usage.expect("counted");
    assert_eq!((usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens), (103, 100, 20));
}

#[test]
fn an_error_event_is_a_failure_before_and_after_content() {
    let text = r#"content_block_start {"index":0,"content_block":{"type":"text","text":"Hi"}}"#;
    let error = r#"error {"error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    for lines in [vec![START, error], vec![START, text, error]] {
        let (events, ended) = run(Context::default(), &lines);
        assert_eq!(ended.expect_err("overloaded").class, FailureClass::Overloaded);
        assert_eq!(events.iter().any(Event::is_content), lines.len() == 3);
    }
}

#[test]
fn an_end_without_a_stop_reason_is_a_failure() {
    let text = r#"content_block_start {"index":0,"content_block":{"type":"text","text":"Hi"}}"#;
    for lines in [&[START][..], &[START, text]] {
        let (_, ended) = run(Context::default(), lines);
        assert_eq!(ended.expect_err("cut").class, FailureClass::Malformed);
    }
}

#[test]
fn a_refusal_says_why() {
    let response = answer(
        Context::default(),
        &[
            START,
            r#"message_delta {"delta":{"stop_reason":"refusal","stop_details":{"category":"cyber","explanation":"No."}},"usage":{"output_tokens":2}}"#,
            r#"message_stop {}"#,
        ],
    );
    assert_eq!(response.choices[0].finish.reason, FinishReason::ContentFilter);
    assert_eq!(response.choices[0].message.refusal.as_deref(), Some("No."));
}

#[test]
fn a_forced_tools_arguments_are_the_content() {
    let lines = |json: [&str; 2]| {
        let deltas = json.map(|piece| {
            let piece = serde_json::Value::from(piece);
            format!(r#"content_block_delta {{"index":1,"delta":{{"type":"input_json_delta","partial_json":{piece}}}}}"#)
        });
        let mut lines = vec![
            START.to_owned(),
            r#"content_block_start {"index":0,"content_block":{"type":"text","text":"Sure!"}}"#.to_owned(),
            r#"content_block_start {"index":1,"content_block":{"type":"tool_use","id":"t","name":"json_response","input":{}}}"#.to_owned(),
        ];
        lines.extend(deltas);
        lines.push(r#"content_block_stop {"index":1}"#.to_owned());
        lines.push(
            r#"message_delta {"delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":2}}"#.to_owned(),
        );
        lines.push("message_stop {}".to_owned());
        lines
    };
    for (wrapped, pieces, content) in
        [(false, ["{\"a\":", "1}"], "{\"a\":1}"), (true, ["{\"value\":", "[1, 2]}"], "[1,2]")]
    {
        let json_tool = Some(JsonTool { name: "json_response".to_owned(), wrapped });
        let lines = lines(pieces);
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let response = answer(Context { json_tool, ..Context::default() }, &lines);
        let choice = &response.choices[0];
        assert_eq!(choice.message.content.as_deref(), Some(content));
        assert_eq!((choice.finish.reason, choice.message.tool_calls.len()), (FinishReason::Stop, 0));
    }
}

#[test]
fn hidden_reasoning_stays_hidden() {
    let context = Context { hide_reasoning: true, ..Context::default() };
    let (events, _) = run(
        context,
        &[
            START,
            r#"content_block_start {"index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"content_block_delta {"index":0,"delta":{"type":"thinking_delta","thinking":"secret"}}"#,
            r#"content_block_start {"index":1,"content_block":{"type":"redacted_thinking","data":"secret"}}"#,
            r#"message_delta {"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":20}}"#,
        ],
    );
    assert!(!format!("{events:?}").contains("secret"));
}

#[test]
fn text_is_the_answer_where_a_forced_tool_never_came() {
    let text = r#"content_block_start {"index":0,"content_block":{"type":"text","text":"I "}}"#;
    let more = r#"content_block_delta {"index":0,"delta":{"type":"text_delta","text":"can't."}}"#;
    for (reason, expected) in [
        ("end_turn", FinishReason::Stop),
        ("refusal", FinishReason::ContentFilter),
        ("max_tokens", FinishReason::Length),
    ] {
        let turn = format!(r#"message_delta {{"delta":{{"stop_reason":"{reason}"}}}}"#);
        let json_tool = Some(JsonTool { name: "json_response".to_owned(), wrapped: true });
        let context = Context { json_tool, ..Context::default() };
        let response = answer(context, &[START, text, more, &turn, "message_stop {}"]);
        let choice = &response.choices[0];
        assert_eq!((choice.message.content.as_deref(), choice.finish.reason), (Some("I can't."), expected));
    }
}

#[test]
fn only_calls_that_were_not_cut_get_the_empty_object() {
    let call = |at: u32, name: &str| {
        format!(
            r#"content_block_start {{"index":{at},"content_block":{{"type":"tool_use","id":"t{at}","name":"{name}","input":{{}}}}}}"#
        )
    };
    let (one, two) = (call(0, "f"), call(1, "g"));
    let stops = [0, 1].map(|at| format!(r#"content_block_stop {{"index":{at}}}"#));
    for (lines, reason, expected) in [
        (&[&one, &stops[0]][..], "tool_use", &["{}"][..]),
        (&[&one, &stops[0]], "max_tokens", &[""]),
        (&[&one], "max_tokens", &[""]),
        (&[&one, &stops[0], &two, &stops[1]], "max_tokens", &["{}", ""]),
        (&[&one, &stops[0], &two, &stops[1]], "tool_use", &["{}", "{}"]),
    ] {
        let turn = format!(r#"message_delta {{"delta":{{"stop_reason":"{reason}"}}}}"#);
        let lines = lines.iter().map(|line| line.as_str());
        let lines: Vec<_> =
            [START].into_iter().chain(lines).chain([turn.as_str(), "message_stop {}"]).collect();
        let response = answer(Context::default(), &lines);
        let calls = response.choices[0].message.tool_calls.iter();
        assert_eq!(calls.map(|call| call.arguments.as_str()).collect::<Vec<_>>(), expected, "{reason}");
    }
    let json_tool = Some(JsonTool { name: "json_response".to_owned(), wrapped: false });
    let context = Context { json_tool, ..Context::default() };
    for (reason, content) in [("tool_use", Some("{}")), ("max_tokens", None)] {
        let turn = format!(r#"message_delta {{"delta":{{"stop_reason":"{reason}"}}}}"#);
        let response =
            answer(context.clone(), &[START, &call(0, "json_response"), &stops[0], &turn, "message_stop {}"]);
        assert_eq!(response.choices[0].message.content.as_deref(), content, "{reason}");
    }
}

#[test]
fn the_tier_is_told_by_the_start_or_by_the_last_counts() {
    for (early, late, expected) in [
        ("", "", None),
        (r#","service_tier":"priority""#, "", Some("priority")),
        ("", r#","service_tier":"priority""#, Some("priority")),
        (r#","service_tier":"priority""#, r#","service_tier":"standard""#, Some("default")),
        (r#","service_tier":"batch""#, "", None),
    ] {
        let start = START.replace(r#""output_tokens":1"#, &format!(r#""output_tokens":1{early}"#));
        let turn = format!(
            r#"message_delta {{"delta":{{"stop_reason":"end_turn"}},"usage":{{"output_tokens":2{late}}}}}"#
        );
        let answer = answer(Context::default(), &[&start, &turn, "message_stop {}"]);
        assert_eq!(answer.service_tier.as_deref(), expected, "{early} {late}");
    }
}
