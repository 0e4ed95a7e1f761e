//! What compatible providers answer instead of an answer.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::adapters::openai::OpenAi;
use crate::adapters::{Adapter, Context, FailureClass};

#[test]
fn errors_of_compatible_providers_are_classified() {
    use FailureClass::*;
    for (status, body, class) in [
        (402, r#"{"error":"You have exceeded your monthly included credits"}"#, Payment),
        (503, r#"{"error":"Model x is currently loading","estimated_time":20.5}"#, Overloaded),
        (400, r#"{"error":"Bad Request: Invalid state"}"#, InvalidRequest),
        (402, r#"{"status":402,"title":"Payment Required","detail":"no credits left"}"#, Payment),
        (422, r#"{"detail":[{"loc":["body","n"],"msg":"bad"}]}"#, InvalidRequest),
        (
            500,
            r#"{"type":"urn:inference-service:problem-details","status":500,"title":"x","detail":"y"}"#,
            Server,
        ),
        (429, r#"{"error":{"code":"1302","message":"High concurrency"}}"#, RateLimited),
        (429, r#"{"error":{"code":"1113","message":"No resource package"}}"#, Payment),
        (400, r#"{"error":{"code":"1261","message":"Prompt exceeds max length"}}"#, ContextLength),
        (400, r#"{"error":{"code":"1301","message":"Unsafe"}}"#, ContentFiltered),
        (
            400,
            r#"{"message":"Current length is 9000 while limit is 8192","type":"invalid_request_error","code":"x"}"#,
            ContextLength,
        ),
        (
            422,
            r#"{"message":"bad","type":"invalid_request_error","param":"n","code":"wrong_api_format"}"#,
            InvalidRequest,
        ),
        (
            413,
            r#"{"error":{"message":"Too large","type":"tokens","code":"rate_limit_exceeded"}}"#,
            RateLimited,
        ),
    ] {
        let status = StatusCode::from_u16(status).expect("status");
        let failure = OpenAi.failure(status, &HeaderMap::new(), body.as_bytes());
        assert_eq!(failure.class, class, "{status} {body}");
    }
    let loading = br#"{"error":"loading","estimated_time":20.5}"#;
    let failure = OpenAi.failure(StatusCode::SERVICE_UNAVAILABLE, &HeaderMap::new(), loading);
    assert_eq!(failure.retry_after, Some(Duration::from_millis(20_500)));
}

#[test]
fn an_answer_for_later_is_none_now() {
    let decoded = OpenAi.decode(StatusCode::ACCEPTED, &HeaderMap::new(), &Bytes::new(), &Context::default());
    assert_eq!(decoded.expect_err("queued").class, FailureClass::Overloaded);
}

#[test]
fn endings_that_break_off_are_failures_and_words_that_nobody_knows_are_not() {
    use FailureClass::*;
    for (word, class) in [
        ("insufficient_system_resource", Some(Overloaded)),
        ("network_error", Some(Server)),
        ("abort", Some(Server)),
        ("error", Some(Server)),
        ("eos", None),
        ("sensitive", None),
        ("model_context_window_exceeded", None),
        ("frobnicated", None),
    ] {
        let body = format!(
            r#"{{"choices":[{{"index":0,"message":{{"role":"assistant","content":"x"}},"finish_reason":"{word}"}}]}}"#
        );
        let decoded =
            OpenAi.decode(StatusCode::OK, &HeaderMap::new(), &Bytes::from(body), &Context::default());
        assert_eq!(decoded.err().map(|failure| failure.class), class, "{word}");
    }
}
