//! Streams that the recordings do not have: the reference's samples, failures, forced tools, pictures, sound.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{StreamDecoder, decode};
use crate::adapters::{Context, Decoder, Failure, FailureClass, JsonTool};
use crate::model::event::{Event, fold};
use crate::model::response::{ChatResponse, FinishReason};

fn run(context: Context, documents: &[&str]) -> (Vec<Event>, Result<(), Failure>) {
    let (mut decoder, mut events) = (StreamDecoder::new(context), Vec::new());
    for document in documents {
        let pushed = decoder.push(Bytes::from(format!("data: {document}\r\n\r\n")), &mut events);
        if pushed.is_err() {
            return (events, pushed);
        }
    }
    let ended = decoder.finish(&mut events);
    (events, ended)
}

/// The answer that a stream tells; the same documents as one array tell the same.
fn answer(context: Context, documents: &[&str]) -> ChatResponse {
    let (events, ended) = run(context.clone(), documents);
    assert_eq!(ended, Ok(()));
    let whole = decode(&Bytes::from(format!("[{}]", documents.join(",\r\n"))), &context).expect("decodes");
    let streamed = fold(&events);
    assert_eq!(format!("{whole:?}"), format!("{streamed:?}"));
    streamed
}

fn failure(documents: &[&str]) -> Failure {
    run(Context::default(), documents).1.expect_err("a failure")
}

/// A document with these parts.
fn parts(parts: Value) -> String {
    json!({"candidates": [{"content": {"parts": parts}}], "responseId": "r"}).to_string()
}

const STOP: &str = r#"{"candidates":[{"finishReason":"STOP"}]}"#;

#[test]
fn the_references_sample_reads_as_it_says() {
    let response = answer(
        Context::default(),
        &[
            r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"t","thought":true}]},"index":0}],"usageMetadata":{"promptTokenCount":10,"thoughtsTokenCount":5,"totalTokenCount":15}}"#,
            r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":1}},"thoughtSignature":"c2ln"},{"functionCall":{"name":"f","args":{}}}]}}],"usageMetadata":{"promptTokenCount":10,"thoughtsTokenCount":5,"totalTokenCount":15}}"#,
            r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":10,"cachedContentTokenCount":4,"candidatesTokenCount":7,"thoughtsTokenCount":5,"totalTokenCount":22}}"#,
        ],
    );
    let choice = &response.choices[0];
    let calls = &choice.message.tool_calls;
    assert_eq!(choice.finish.reason, FinishReason::ToolCalls);
    assert_eq!(choice.finish.native.as_deref(), Some("STOP"));
    assert_eq!(calls.iter().map(|call| call.arguments.as_str()).collect::<Vec<_>>(), [r#"{"a":1}"#, "{}"]);
    assert_ne!(calls[0].id, calls[1].id);
    assert_eq!(choice.message.reasoning.as_deref(), Some("t"));
    let details = [
        json!({"type": "reasoning.text", "text": "t", "format": "google-gemini-v1", "index": 0}),
        json!({"type": "reasoning.encrypted", "data": "c2ln", "id": calls[0].id, "format": "google-gemini-v1", "index": 1}),
    ];
    assert_eq!(choice.message.reasoning_details, details);
    let usage = response.usage.expect("counted");
    assert_eq!((usage.prompt_tokens, usage.cached_tokens), (10, 4));
    assert_eq!((usage.completion_tokens, usage.reasoning_tokens, usage.total_tokens()), (12, 5, 22));
}

#[test]
fn signatures_on_text_and_at_the_end_are_kept_apart() {
    let thought = |text: &str| json!({"text": text, "thought": true});
    let response = answer(
        Context::default(),
        &[
            &parts(json!([thought("a"), thought("b")])),
            &parts(json!([thought("c"), {"text": "Hi", "thoughtSignature": "dGV4dA=="}, thought("d")])),
            &parts(json!([{"text": "", "thoughtSignature": "ZW5k"}])),
            STOP,
        ],
    );
    let message = &response.choices[0].message;
    assert_eq!((message.content.as_deref(), message.reasoning.as_deref()), (Some("Hi"), Some("abcd")));
    let told: Vec<_> = message
        .reasoning_details
        .iter()
        .map(|detail| (detail["text"].as_str().or(detail["data"].as_str()), detail["id"].as_str()))
        .collect();
    let expected = [
        (Some("abc"), None),
        (Some("dGV4dA=="), Some("text_2")),
        (Some("d"), None),
        (Some("ZW5k"), Some("end")),
    ];
    assert_eq!(told, expected);

    let hidden = Context { hide_reasoning: true, ..Context::default() };
    let response =
        answer(hidden, &[&parts(json!([thought("a"), {"text": "Hi", "thoughtSignature": "x"}])), STOP]);
    let message = &response.choices[0].message;
    assert_eq!((message.reasoning.as_deref(), message.reasoning_details.len()), (None, 0));
}

#[test]
fn pictures_and_sound_are_told() {
    let data = |kind: &str, data: &str| json!({"inlineData": {"mimeType": kind, "data": data}});
    let response = answer(
        Context::default(),
        &[
            &parts(
                json!([data("image/png", "AAAA"), {"executableCode": {"code": "x"}, "thoughtSignature": "no"}]),
            ),
            &parts(json!([data("audio/L16;rate=24000", "YQ=="), data("audio/L16;rate=24000", "YmNk")])),
            &parts(
                json!([{"fileData": {"mimeType": "image/png", "fileUri": "gs://b/x.png"}, "thoughtSignature": "s"}]),
            ),
            STOP,
        ],
    );
    let message = &response.choices[0].message;
    let urls: Vec<_> = message.images.iter().map(|image| image["image_url"]["url"].as_str()).collect();
    assert_eq!(urls, [Some("data:image/png;base64,AAAA"), Some("gs://b/x.png")]);
    assert_eq!(message.audio, Some(json!({"id": "audio_r", "data": "YWJjZA==", "transcript": ""})));
    assert_eq!(message.reasoning_details.len(), 1);
    assert_eq!(message.reasoning_details[0]["id"], "image_1");
}

#[test]
fn a_forced_tool_gives_the_answer_unless_it_was_not_called() {
    let tool = JsonTool { name: "json_response".to_owned(), wrapped: true };
    let context = Context {
        json_tool: Some(tool),
        tool_names: vec![("a_b_1".to_owned(), "a b".to_owned())],
        ..Context::default()
    };
    let call = |name: &str, args: Value| json!({"functionCall": {"name": name, "args": args}});
    for (parts_said, content, calls, reason) in [
        (
            json!([{"text": "Sure: "}, call("json_response", json!({"value": [1, 2]}))]),
            Some("[1,2]"),
            vec![],
            FinishReason::Stop,
        ),
        (
            json!([{"text": "Sure: "}, call("a_b_1", json!({}))]),
            Some("Sure: "),
            vec!["a b"],
            FinishReason::ToolCalls,
        ),
        (json!([{"text": "[1]"}]), Some("[1]"), vec![], FinishReason::Stop),
    ] {
        let response = answer(context.clone(), &[&parts(parts_said), STOP]);
        let choice = &response.choices[0];
        assert_eq!(choice.message.content.as_deref(), content);
        let names: Vec<_> = choice.message.tool_calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!((names, choice.finish.reason), (calls, reason));
    }
}

#[test]
fn candidates_end_each_in_its_own_way() {
    let response = answer(
        Context::default(),
        &[
            r#"{"candidates":[{"index":1,"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"},{"index":0,"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"A"}]},"finishReason":"MAX_TOKENS"},{"index":2,"finishReason":"MALFORMED_FUNCTION_CALL"},{"index":3,"finishReason":"SAFETY","finishMessage":"No."}]}"#,
        ],
    );
    let told: Vec<_> = response
        .choices
        .iter()
        .map(|choice| (choice.message.content.as_deref(), choice.finish.reason))
        .collect();
    let expected = [
        (Some("aA"), FinishReason::Length),
        (Some("b"), FinishReason::Stop),
        (None, FinishReason::Error),
        (None, FinishReason::ContentFilter),
    ];
    assert_eq!(told, expected);
    assert_eq!(response.choices[3].message.refusal.as_deref(), Some("No."));
}

#[test]
fn failures_have_their_class() {
    let said = parts(json!([{"text": "a"}]));
    for (documents, class, code) in [
        (vec![], FailureClass::Malformed, None),
        (vec!["{}"], FailureClass::Malformed, None),
        (vec!["[]"], FailureClass::Malformed, None),
        (vec!["nonsense"], FailureClass::Malformed, None),
        (vec![said.as_str()], FailureClass::Malformed, None),
        (
            vec![r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}}"#],
            FailureClass::ContentFiltered,
            Some("PROHIBITED_CONTENT"),
        ),
        (
            vec![
                &said,
                r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#,
            ],
            FailureClass::Overloaded,
            Some("UNAVAILABLE"),
        ),
        (
            vec![&said, r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]}"#],
            FailureClass::Server,
            Some("MALFORMED_FUNCTION_CALL"),
        ),
    ] {
        let found = failure(&documents);
        assert_eq!((found.class, found.provider_code.as_deref()), (class, code), "{documents:?}");
    }
}

#[test]
fn bare_json_in_a_stream_is_read_too() {
    for (body, class) in [
        (
            r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"x"}}"#,
            Some(FailureClass::RateLimited),
        ),
        (r#"[{"error":{"code":500,"status":"INTERNAL","message":"x"}}]"#, Some(FailureClass::Server)),
        (r#" {"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}]}"#, None),
        (
            r#"[{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}]}"#,
            Some(FailureClass::Malformed),
        ),
    ] {
        let (mut decoder, mut events) = (StreamDecoder::new(Context::default()), Vec::new());
        let bytes = Bytes::from(body.to_owned());
        let pushed = (0..bytes.len()).try_for_each(|at| decoder.push(bytes.slice(at..=at), &mut events));
        let ended = pushed.and_then(|()| decoder.finish(&mut events));
        assert_eq!(ended.err().map(|failure| failure.class), class, "{body}");
    }
}

#[test]
fn an_answer_that_broke_off_keeps_its_counts() {
    let (mut decoder, mut events) = (StreamDecoder::new(Context::default()), Vec::new());
    let counted = r#"data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":1}}"#;
    decoder.push(Bytes::from(format!("{counted}\n\n")), &mut events).expect("fine so far");
    let usage = decoder.usage().expect("counted");
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (3, 1));
    assert!(decoder.finish(&mut events).is_err());
}

#[test]
fn a_reason_that_names_none_is_no_end() {
    for reason in [json!("FINISH_REASON_UNSPECIFIED"), json!(0), json!(""), Value::Null] {
        let piece = json!({"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": reason}]});
        let piece = piece.to_string();
        assert_eq!(failure(&[&piece]).class, FailureClass::Malformed, "{reason}");
        let response = answer(Context::default(), &[&piece, STOP]);
        assert_eq!(response.choices[0].finish.reason, FinishReason::Stop, "{reason}");
    }
}

#[test]
fn the_tier_may_come_with_the_last_counts() {
    let first = parts(json!([{"text": "x"}]));
    for (late, expected) in [("PRIORITY", Some("priority")), ("STANDARD", Some("default")), ("OTHER", None)] {
        let last = json!({"candidates": [{"finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "serviceTier": late}});
        let answer = answer(Context::default(), &[&first, &last.to_string()]);
        assert_eq!(answer.service_tier.as_deref(), expected, "{late}");
    }
}
