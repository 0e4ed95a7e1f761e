//! What whole answers look like.

use bytes::Bytes;
use serde_json::json;
use switchyard_proto::money::NanoUsd;
use switchyard_proto::price::Cost;

use super::{encode, usage_json};
use crate::api::{AnswerFacts, Bill};
use crate::model::message::{ToolCall, ToolKind};
use crate::model::response::{ChatResponse, Choice, Finish, FinishReason, ResponseMessage};
use crate::model::usage::Usage;

fn facts() -> AnswerFacts {
    AnswerFacts {
        id: "gen-1".to_owned(),
        created: 7,
        model: "a/m".to_owned(),
        provider: "Prov \"X\"".to_owned(),
    }
}

fn usage() -> Usage {
    Usage {
        prompt_tokens: 10,
        completion_tokens: 4,
        cached_tokens: 3,
        reasoning_tokens: 2,
        ..Usage::default()
    }
}

const USAGE: &str = concat!(
    r#"{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,"cost":0.0000375,"is_byok":false,"#,
    r#""prompt_tokens_details":{"cached_tokens":3,"cache_write_tokens":0,"audio_tokens":0,"image_tokens":0,"video_tokens":0},"#,
    r#""cost_details":{"upstream_inference_cost":0.00003,"upstream_inference_prompt_cost":0.00002,"upstream_inference_completions_cost":0.00001},"#,
    r#""completion_tokens_details":{"reasoning_tokens":2,"audio_tokens":0,"image_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#,
);

fn bill() -> Bill {
    let upstream = Cost { total: NanoUsd(30_000), prompt: NanoUsd(20_000), completion: NanoUsd(10_000) };
    Bill { cost: NanoUsd(37_500), upstream, is_byok: false, metadata: None }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn usage_tells_tokens_and_exact_cost() {
    assert_eq!(text(&usage_json(&usage(), &bill())), USAGE);
    let searched = Usage { web_search_requests: 2, ..usage() };
    let byok = Bill { is_byok: true, ..bill() };
    let json: serde_json::Value = serde_json::from_slice(&usage_json(&searched, &byok)).expect("JSON");
    assert_eq!(json["server_tool_use_details"]["web_search_requests"], 2);
    assert_eq!(
        (&json["is_byok"], &json["cost_details"]["upstream_inference_cost"]),
        (&json!(true), &json!(0.00003))
    );
}

#[test]
fn a_translated_answer_is_printed_whole() {
    let response = ChatResponse {
        choices: vec![Choice {
            message: ResponseMessage {
                content: Some("Hi".to_owned()),
                reasoning: Some("hm".to_owned()),
                reasoning_details: vec![json!({"type": "reasoning.text", "text": "hm"})],
                tool_calls: vec![ToolCall {
                    id: "c".to_owned(),
                    kind: ToolKind::Function,
                    name: "f".to_owned(),
                    arguments: "{}".to_owned(),
                }],
                ..ResponseMessage::default()
            },
            finish: Finish { reason: FinishReason::ToolCalls, native: Some("tool_use".to_owned()) },
            ..Choice::default()
        }],
        usage: Some(usage()),
        service_tier: Some("standard".to_owned()),
        ..ChatResponse::default()
    };
    let expected = [
        r#"{"id":"gen-1","provider":"Prov \"X\"","model":"a/m","object":"chat.completion","created":7,"service_tier":"standard","system_fingerprint":null,"choices":["#,
        r#"{"index":0,"message":{"role":"assistant","content":"Hi","refusal":null,"reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm"}],"#,
        r#""tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},"#,
        r#""logprobs":null,"finish_reason":"tool_calls","native_finish_reason":"tool_use"}],"usage":"#,
        USAGE,
        "}",
    ]
    .concat();
    assert_eq!(text(&encode(&response, &facts(), &bill())), expected);
}

#[test]
fn an_answer_of_the_same_dialect_keeps_what_nobody_knows() {
    let choice = r#"{"index":0,"message":{"role":"assistant","content":"Hi","odd":[1, 2]},"finish_reason":"eos","seed":5}"#;
    let raw = format!(
        r#"{{"id":"chatcmpl-9","object":"chat.completion","created":1,"model":"up","choices":[{choice}],"usage":{{"total_tokens":1}},"timings" : {{"ms":1.50}}}}"#
    );
    let response = ChatResponse {
        choices: vec![Choice {
            finish: Finish { reason: FinishReason::Stop, native: Some("eos".to_owned()) },
            raw: Some(Bytes::from(choice.to_owned())),
            ..Choice::default()
        }],
        usage: Some(usage()),
        raw: Some(Bytes::from(raw)),
        ..ChatResponse::default()
    };
    let expected = [
        r#"{"id":"gen-1","object":"chat.completion","created":7,"model":"a/m","choices":["#,
        r#"{"index":0,"message":{"role":"assistant","content":"Hi","odd":[1, 2]},"finish_reason":"stop","seed":5,"native_finish_reason":"eos"}],"#,
        r#""usage":"#,
        USAGE,
        r#","timings" : {"ms":1.50},"provider":"Prov \"X\"","system_fingerprint":null}"#,
    ]
    .concat();
    assert_eq!(text(&encode(&response, &facts(), &bill())), expected);
}

#[test]
fn nulls_that_strict_clients_refuse_are_left_out() {
    for (message, passed) in [
        (r#"{"role":"assistant","content":"Hi","refusal":null}"#, true),
        (r#"{"role":"assistant","content":"\"audio\": null"}"#, true),
        (r#"{"role":"assistant","content":"Hi","audio":null}"#, false),
        (r#"{"role":"assistant","content":"Hi","tool_calls" : null}"#, false),
        (r#"{"role":"assistant","content":"Hi","reasoning_details":null}"#, false),
        (
            r#"{"role":"assistant","content":"Hi","images":
null}"#,
            false,
        ),
    ] {
        let raw = format!(r#"{{"index":0,"message":{message},"logprobs":null,"finish_reason":"stop"}}"#);
        let said = ResponseMessage { content: Some("Hi".to_owned()), ..ResponseMessage::default() };
        let choice = Choice { message: said, raw: Some(Bytes::from(raw)), ..Choice::default() };
        let response = ChatResponse { choices: vec![choice], ..ChatResponse::default() };
        let body: serde_json::Value = serde_json::from_slice(&encode(&response, &facts(), &bill())).unwrap();
        let told = &body["choices"][0]["message"];
        assert_eq!(*told == serde_json::from_str::<serde_json::Value>(message).unwrap(), passed, "{told}");
        for member in ["tool_calls", "images", "audio", "annotations", "reasoning_details"] {
            assert!(told.get(member).is_none_or(|value| !value.is_null()), "{told}");
        }
    }
}

#[test]
fn a_fingerprint_is_a_member_of_every_answer() {
    let body = |response: ChatResponse| -> serde_json::Value {
        serde_json::from_slice(&encode(&response, &facts(), &bill())).unwrap()
    };
    let raw = |text: &str| Some(Bytes::from(text.to_owned()));
    for (raw, print, expected) in [
        (None, None, json!(null)),
        (None, Some("fp"), json!("fp")),
        (raw(r#"{"choices":[]}"#), None, json!(null)),
        (raw(r#"{"choices":[],"system_fingerprint":"fp"}"#), Some("fp"), json!("fp")),
    ] {
        let response =
            ChatResponse { raw, system_fingerprint: print.map(str::to_owned), ..ChatResponse::default() };
        assert_eq!(body(response).get("system_fingerprint"), Some(&expected));
    }
}

#[test]
fn metadata_is_printed_where_it_was_asked_for() {
    let bill = Bill { metadata: Some(json!({"attempt": 1})), ..bill() };
    let body = encode(&ChatResponse::default(), &facts(), &bill);
    assert!(
        text(&body)
            .ends_with(r#""system_fingerprint":null,"choices":[],"openrouter_metadata":{"attempt":1}}"#),
        "{}",
        text(&body)
    );
}

#[test]
fn a_tier_that_was_said_elsewhere_in_the_body_is_told_where_callers_look() {
    let raw = r#"{"id":"x","choices":[],"usage":{"service_tier":"priority"}}"#;
    let response = ChatResponse {
        service_tier: Some("priority".to_owned()),
        raw: Some(Bytes::from(raw.to_owned())),
        ..ChatResponse::default()
    };
    let body: serde_json::Value = serde_json::from_slice(&encode(&response, &facts(), &bill())).unwrap();
    assert_eq!(body["service_tier"], "priority");
}
