//! What streams look like.

use bytes::{Bytes, BytesMut};
use serde_json::json;
use switchyard_proto::code::ErrorCode;
use switchyard_proto::money::NanoUsd;

use super::StreamEncoder;
use crate::api::{AnswerFacts, Bill, ErrorBody};
use crate::model::event::{ChoiceDelta, Chunk, Delta, Event, Start, ToolDelta};
use crate::model::message::{ToolCall, ToolKind};
use crate::model::response::{ChatResponse, Choice, Finish, FinishReason, ResponseMessage};
use crate::model::usage::Usage;

const HEAD: &str =
    r#"data: {"id":"gen-1","provider":"P","model":"a/m","object":"chat.completion.chunk","created":7,"#;

fn encoder() -> StreamEncoder {
    StreamEncoder::new(&AnswerFacts {
        id: "gen-1".to_owned(),
        created: 7,
        model: "a/m".to_owned(),
        provider: "P".to_owned(),
    })
}

fn failure() -> ErrorBody<'static> {
    ErrorBody {
        code: ErrorCode::ProviderUnavailable,
        status: 502,
        message: "provider failed",
        provider: None,
        provider_code: Some("api_error"),
        metadata: None,
        routing: None,
    }
}

/// What the events print after the head that all chunks share.
fn print(encoder: &mut StreamEncoder, events: &[Event]) -> Vec<String> {
    let mut out = BytesMut::new();
    events.iter().for_each(|event| encoder.event(event, &mut out));
    tails(&out)
}

fn tails(out: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(out).expect("UTF-8");
    text.split_terminator("\n\n").map(|chunk| chunk.strip_prefix(HEAD).unwrap_or(chunk).to_owned()).collect()
}

fn piece(delta: Delta) -> Event {
    let choice = ChoiceDelta { delta, ..ChoiceDelta::default() };
    Event::Chunk(Chunk { choices: vec![choice], ..Chunk::default() })
}

fn content(text: &str) -> Event {
    piece(Delta { content: Some(text.to_owned()), ..Delta::default() })
}

fn call(id: Option<&str>, arguments: &str) -> Event {
    let call = ToolDelta {
        id: id.map(str::to_owned),
        name: id.map(|_| "f".to_owned()),
        arguments: arguments.to_owned(),
        ..ToolDelta::default()
    };
    piece(Delta { tool_calls: vec![call], ..Delta::default() })
}

fn finish(reason: FinishReason, native: &str) -> Event {
    let finish = Some(Finish { reason, native: Some(native.to_owned()) });
    let choice = ChoiceDelta { finish, ..ChoiceDelta::default() };
    Event::Chunk(Chunk { choices: vec![choice], ..Chunk::default() })
}

/// A chunk of the same dialect.
fn raw(json: &str, choices: Vec<ChoiceDelta>, raw_choices: bool) -> Event {
    Event::Chunk(Chunk { choices, raw: Some(Bytes::from(json.to_owned())), raw_choices })
}

#[test]
fn translated_events_become_chunks_with_one_role_and_one_finish() {
    let events = [
        content("Hi"),
        content("!"),
        call(Some("c1"), ""),
        call(None, "{}"),
        finish(FinishReason::ToolCalls, "tool_use"),
    ];
    assert_eq!(
        print(&mut encoder(), &events),
        [
            r#""choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null,"native_finish_reason":null}]}"#,
            r#""choices":[{"index":0,"delta":{"content":"!"},"finish_reason":null,"native_finish_reason":null}]}"#,
            r#""choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null,"native_finish_reason":null}]}"#,
            r#""choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]},"finish_reason":null,"native_finish_reason":null}]}"#,
            r#""choices":[{"index":0,"delta":{},"finish_reason":"tool_calls","native_finish_reason":"tool_use"}]}"#,
        ]
    );
}

#[test]
fn the_opening_chunk_has_content_except_beside_calls() {
    let thought = piece(Delta { reasoning: Some("hm".to_owned()), ..Delta::default() });
    assert_eq!(
        print(&mut encoder(), &[thought]),
        [
            r#""choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":"hm"},"finish_reason":null,"native_finish_reason":null}]}"#
        ]
    );
    let printed = print(&mut encoder(), &[call(Some("c1"), "{}")]);
    assert!(
        printed[0].starts_with(r#""choices":[{"index":0,"delta":{"role":"assistant","tool_calls":"#),
        "{printed:?}"
    );
}

#[test]
fn chunks_of_the_same_dialect_keep_what_nobody_knows() {
    let said = || vec![ChoiceDelta::default()];
    let ended = vec![ChoiceDelta {
        finish: Some(Finish { reason: FinishReason::Stop, native: Some("eos".to_owned()) }),
        ..ChoiceDelta::default()
    }];
    let events = [
        raw(
            r#"{"id":"x","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"odd":1,"finish_reason":null}],"usage":null,"obfuscation":"ab"}"#,
            said(),
            true,
        ),
        raw(
            r#"{"id":"x","system_fingerprint":null,"choices":[{"index":0,"delta":{"content":" \u00fc"},"finish_reason":null}]}"#,
            said(),
            true,
        ),
        raw(
            r#"{"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"eos","seed":1}],"usage":{"total_tokens":3},"timings":{}}"#,
            ended,
            true,
        ),
    ];
    assert_eq!(
        print(&mut encoder(), &events),
        [
            r#""obfuscation":"ab","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"odd":1,"finish_reason":null}]}"#,
            r#""choices":[{"index":0,"delta":{"content":" \u00fc"},"finish_reason":null}]}"#,
            r#""timings":{},"choices":[{"index":0,"delta":{},"finish_reason":"stop","seed":1,"native_finish_reason":"eos"}]}"#,
        ]
    );
}

#[test]
fn a_first_chunk_without_a_role_gets_one() {
    let said = ChoiceDelta {
        delta: Delta { content: Some("G".to_owned()), ..Delta::default() },
        ..ChoiceDelta::default()
    };
    let event = raw(
        r#"{"id":"x","citations":["u"],"choices":[{"index":0,"delta":{"content":"G"}}]}"#,
        vec![said],
        true,
    );
    assert_eq!(
        print(&mut encoder(), &[event]),
        [
            r#""citations":["u"],"choices":[{"index":0,"delta":{"role":"assistant","content":"G"},"finish_reason":null,"native_finish_reason":null}]}"#
        ]
    );
}

#[test]
fn choices_that_are_not_canonical_are_written_anew() {
    let said = ChoiceDelta {
        delta: Delta { reasoning: Some("hm".to_owned()), ..Delta::default() },
        ..ChoiceDelta::default()
    };
    let event = raw(
        r#"{"id":"x","choices":[{"index":0,"delta":{"reasoning_content":"hm"}}],"p":"ab"}"#,
        vec![said],
        false,
    );
    let printed = print(&mut encoder(), &[event]);
    assert!(printed[0].starts_with(r#""p":"ab","choices":[{"index":0,"delta":{"role""#), "{printed:?}");
    assert!(!printed[0].contains("reasoning_content"));
}

#[test]
fn chunks_that_strict_clients_refuse_are_written_anew() {
    for choice in [
        r#"{"index":0,"delta":{"role":"assistant","content":"G"}}"#,
        r#"{"index":0,"delta":{"role":"assistant","content":"G","tool_calls":null},"finish_reason":null}"#,
        r#"{"index":0,"delta":{"role": null,"content":"G"},"finish_reason":null}"#,
    ] {
        let said = ChoiceDelta {
            delta: Delta { content: Some("G".to_owned()), ..Delta::default() },
            ..ChoiceDelta::default()
        };
        let event = raw(&format!(r#"{{"id":"x","choices":[{choice}]}}"#), vec![said], true);
        assert_eq!(
            print(&mut encoder(), &[event]),
            [
                r#""choices":[{"index":0,"delta":{"role":"assistant","content":"G"},"finish_reason":null,"native_finish_reason":null}]}"#
            ]
        );
    }
}

#[test]
fn a_stream_ends_with_one_usage_chunk_and_the_mark() {
    let usage = Usage { prompt_tokens: 2, completion_tokens: 1, ..Usage::default() };
    let bill = Bill { cost: NanoUsd(5), metadata: Some(json!({"attempt": 1})), ..Bill::default() };
    let (mut encoder, mut out) = (encoder(), BytesMut::new());
    encoder.event(&Event::Usage(usage), &mut out);
    encoder.event(&Event::Done, &mut out);
    assert!(out.is_empty(), "they wait for the bill");
    encoder.usage(&usage, &bill, &mut out);
    encoder.done(&mut out);
    let printed = tails(&out);
    assert!(printed[0].starts_with(r#""choices":[],"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3,"cost":0.000000005,"#), "{printed:?}");
    assert!(printed[0].ends_with(r#","openrouter_metadata":{"attempt":1}}"#), "{printed:?}");
    assert_eq!(printed[1], "data: [DONE]");
}

#[test]
fn a_late_failure_goes_in_band() {
    let mut out = BytesMut::new();
    encoder().error(&failure(), &mut out);
    assert_eq!(
        tails(&out),
        [concat!(
            r#""error":{"code":502,"message":"provider failed","metadata":{"error_type":"provider_unavailable","provider_code":"api_error"}},"#,
            r#""choices":[{"index":0,"delta":{"content":""},"finish_reason":"error","native_finish_reason":"error"}]}"#
        )]
    );
}

#[test]
fn a_failure_ends_every_choice_that_has_no_end() {
    let at = |index, finish: Option<FinishReason>| {
        let finish = finish.map(|reason| Finish { reason, native: None });
        let delta = Delta { content: Some("x".to_owned()), ..Delta::default() };
        let choice = ChoiceDelta { index, delta, finish, ..ChoiceDelta::default() };
        Event::Chunk(Chunk { choices: vec![choice], ..Chunk::default() })
    };
    for (events, expected) in [
        (vec![], vec![0]),
        (vec![at(0, None)], vec![0]),
        (vec![at(0, None), at(1, None)], vec![0, 1]),
        (vec![at(0, Some(FinishReason::Stop)), at(1, None)], vec![1]),
        (vec![at(0, Some(FinishReason::Stop))], vec![]),
    ] {
        let mut encoder = encoder();
        print(&mut encoder, &events);
        let mut out = BytesMut::new();
        encoder.error(&failure(), &mut out);
        let printed: serde_json::Value = serde_json::from_slice(&out[6..]).unwrap();
        let ended = printed["choices"].as_array().unwrap().iter().map(|choice| {
            assert_eq!(choice["finish_reason"], "error");
            choice["index"].as_u64().unwrap()
        });
        assert_eq!(ended.collect::<Vec<_>>(), expected);
        assert_eq!(printed["error"]["code"], 502);
    }
}

#[test]
fn silence_is_filled_with_comments() {
    let mut out = BytesMut::new();
    StreamEncoder::keep_alive(&mut out);
    assert_eq!(&out[..], b": SWITCHYARD PROCESSING\n\n");
}

#[test]
fn a_whole_answer_can_be_replayed() {
    let message = ResponseMessage {
        content: Some("Hi".to_owned()),
        tool_calls: vec![ToolCall {
            id: "c".to_owned(),
            kind: ToolKind::Function,
            name: "f".to_owned(),
            arguments: "{}".to_owned(),
        }],
        ..ResponseMessage::default()
    };
    let finish = Finish { reason: FinishReason::ToolCalls, native: None };
    let response = ChatResponse {
        choices: vec![Choice { message, finish, ..Choice::default() }],
        ..ChatResponse::default()
    };
    let mut out = BytesMut::new();
    encoder().replay(&response, &mut out);
    assert_eq!(
        tails(&out),
        [
            r#""choices":[{"index":0,"delta":{"role":"assistant","content":"Hi","tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":null,"native_finish_reason":null}]}"#,
            r#""choices":[{"index":0,"delta":{},"finish_reason":"tool_calls","native_finish_reason":"tool_calls"}]}"#,
        ]
    );
}

#[test]
fn the_usage_chunk_tells_the_tier_that_served() {
    let start = |tier: Option<&str>| {
        Event::Start(Start { service_tier: tier.map(str::to_owned), ..Start::default() })
    };
    let late = |tier: &str| Event::Tier(tier.to_owned());
    for (events, expected) in [
        (vec![start(None), content("x")], None),
        (vec![start(Some("flex")), content("x")], Some("flex")),
        (vec![start(None), content("x"), late("flex")], Some("flex")),
        (vec![start(Some("auto")), content("x"), late("default")], Some("default")),
    ] {
        let mut encoder = encoder();
        print(&mut encoder, &events);
        let mut out = BytesMut::new();
        encoder.usage(&Usage::default(), &Bill::default(), &mut out);
        let told = expected.map(|tier| format!(r#""service_tier":"{tier}","choices":[]"#));
        let tail = tails(&out).remove(0);
        assert!(tail.starts_with(&told.unwrap_or(r#""choices":[]"#.to_owned())), "{tail}");
    }
    let mut encoder = encoder();
    let response = ChatResponse { service_tier: Some("flex".to_owned()), ..ChatResponse::default() };
    let mut out = BytesMut::new();
    encoder.replay(&response, &mut out);
    encoder.usage(&Usage::default(), &Bill::default(), &mut out);
    assert!(tails(&out)[0].starts_with(r#""service_tier":"flex","#));
}
