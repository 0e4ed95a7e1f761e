//! What Azure changes about the chat dialect: paths, what dated versions know, errors.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::Azure;
use crate::adapters::shared::exchange_tests::{fixtures, play};
use crate::adapters::{Adapter, Context, Encoded, FailureClass, Target, Unsupported};
use crate::api::openai_chat;
use crate::model::event::{Event, fold};
use crate::model::media::NOTHING;
use crate::model::parameter::Parameters;
use crate::model::response::FinishReason;

fn run(model: &str, row: &[(&str, &str)], members: &Value) -> Result<Encoded, Unsupported> {
    let mut quirks = Azure.quirks();
    row.iter().for_each(|(name, value)| quirks.set(name, value).expect("known"));
    let mut request = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    request.as_object_mut().expect("object").extend(members.as_object().expect("object").clone());
    let request = openai_chat::decode(Bytes::from(request.to_string())).expect("well-formed");
    let target = Target {
        model,
        output_cap: Some(100),
        stream: request.stream,
        quirks: &quirks,
        fetched: &NOTHING,
        supported: Parameters::NONE,
        tier: None,
    };
    Azure.encode(&request, &target)
}

#[test]
fn the_path_follows_from_the_row() {
    for (model, row, path) in [
        ("gpt-4o", &[][..], "/chat/completions"),
        (
            "gpt-4o",
            &[("api_version", "2025-04-01-preview")],
            "/openai/deployments/gpt-4o/chat/completions?api-version=2025-04-01-preview",
        ),
        (
            "my/gpt 4?x=1",
            &[("api_version", "2024-10-21&a=b")],
            "/openai/deployments/my%2Fgpt%204%3Fx%3D1/chat/completions?api-version=2024-10-21%26a%3Db",
        ),
        (
            "grok-4",
            &[("api_version", "2024-05-01-preview"), ("deployment_path", "false")],
            "/chat/completions?api-version=2024-05-01-preview",
        ),
    ] {
        let encoded = run(model, row, &json!({})).expect("supported");
        assert_eq!(encoded.path, path);
        assert!(path.parse::<http::uri::PathAndQuery>().is_ok());
        let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
        assert_eq!(body["model"], model);
    }
}

#[test]
fn old_versions_get_what_they_know() {
    for (version, stream_options, cap) in [
        ("", true, "max_completion_tokens"),
        ("2024-10-21", true, "max_completion_tokens"),
        ("2024-09-01-preview", true, "max_completion_tokens"),
        ("2024-06-01", false, "max_tokens"),
        ("2023-07-01-preview", false, "max_tokens"),
    ] {
        let encoded = run("d", &[("api_version", version)], &json!({"stream": true})).expect("supported");
        let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
        assert_eq!(body.get("stream_options").is_some(), stream_options, "{version}");
        assert_eq!(body[cap], 100, "{version}");
    }
    let schema = json!({"response_format": {"type": "json_schema",
        "json_schema": {"name": "x", "schema": {"type": "object"}}}});
    let refused = run("d", &[("api_version", "2024-06-01")], &schema).expect_err("too old");
    assert_eq!(refused.field, "response_format");
    assert!(run("d", &[("api_version", "2024-08-01-preview")], &schema).is_ok());
    assert!(run("d", &[], &schema).is_ok());
}

#[test]
fn members_of_azures_own_pass() {
    let encoded = run("d", &[], &json!({"data_sources": [{"type": "azure_search"}]})).expect("supported");
    let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
    assert_eq!(body["data_sources"][0]["type"], "azure_search");
}

#[test]
fn errors_are_blamed_on_whoever_is_at_fault() {
    use FailureClass::*;
    for (status, body, class) in [
        (
            400,
            r#"{"error":{"message":"The response was filtered","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
            ContentFiltered,
        ),
        (401, r#"{"error":{"code":"401","message":"Access denied"}}"#, Auth),
        (401, r#"{"statusCode":401,"message":"Unauthorized."}"#, Auth),
        (404, r#"{"error":{"code":"404","message":"Resource not found"}}"#, Permission),
        (404, "", NotFound),
        (404, r#"{"error":{"code":"DeploymentNotFound","message":"x"}}"#, NotFound),
        (404, r#"{"error":{"code":"unknown_model","message":"x"}}"#, NotFound),
        (408, r#"{"error":{"code":"Timeout","message":"x"}}"#, Timeout),
        (424, r#"{"error":{"code":"424","message":"x"}}"#, Server),
        (500, "oops", Server),
        (503, "{}", Overloaded),
    ] {
        let status = StatusCode::from_u16(status).expect("status");
        let failure = Azure.failure(status, &HeaderMap::new(), body.as_bytes());
        assert_eq!(failure.class, class, "{status} {body}");
        assert_eq!(failure.status, Some(status));
        assert!(!failure.message.is_empty());
    }
}

#[test]
fn waits_are_read_from_headers_and_from_words() {
    let body = br#"{"error":{"code":"429","message":"Requests have exceeded call rate limit of your tier. Please retry after 7 seconds."}}"#;
    let mut headers = HeaderMap::new();
    let status = StatusCode::TOO_MANY_REQUESTS;
    let failure = Azure.failure(status, &headers, body);
    assert_eq!(
        (failure.class, failure.retry_after),
        (FailureClass::RateLimited, Some(Duration::from_secs(7)))
    );
    headers.insert("retry-after", HeaderValue::from_static("3"));
    assert_eq!(Azure.failure(status, &headers, body).retry_after, Some(Duration::from_secs(3)));
}

#[test]
fn filter_results_tell_nothing() {
    let mut decoder = Azure.decoder(&Context::default());
    let mut events = Vec::new();
    for (data, told) in [
        (r#"{"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[{}]}"#, 0),
        (
            r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"content_filter_results":{},"finish_reason":null}]}"#,
            2,
        ),
        (
            r#"{"id":"","model":"","choices":[{"index":0,"finish_reason":null,"content_filter_results":{},"content_filter_offsets":{"check_offset":1}}]}"#,
            2,
        ),
        (r#"{"id":"","choices":[{"index":0,"delta":null,"content_filter_results":{}}]}"#, 2),
        (r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}"#, 2),
        (r#"{"id":"","choices":[{"index":0,"finish_reason":null,"content_filter_offsets":{}}]}"#, 2),
        (r#"{"id":"c1","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#, 2),
        ("[DONE]", 5),
    ] {
        decoder.push(Bytes::from(format!("data: {data}\n\n")), &mut events).expect("fine");
        assert_eq!(events.len(), told, "{data}: {events:?}");
    }
    decoder.finish(&mut events).expect("ended");
    assert!(matches!(&events[0], Event::Start(start) if start.id.as_deref() == Some("c1")));
    let response = fold(&events);
    assert_eq!(response.choices[0].message.content.as_deref(), Some("Hi"));
    assert_eq!(response.choices[0].finish.reason, FinishReason::ContentFilter);
    assert_eq!(response.usage.map(|usage| usage.total_tokens()), Some(3));
}

/// A written exchange and its outcome.
#[rustfmt::skip] // A table: one row, one line.
const OUTCOMES: &[(&str, &str)] = &[
    ("asynchronous-filter-stream", "Hello! | stop stop | 9+3"),
    ("filter-failed-whole", "Hello! | stop stop | 12+5"),
    ("filtered-output-stream", "First, you | content_filter content_filter | 20+4"),
    ("image-pdf-whole", "A cat and an empty page. | stop stop | 320+5"),
    ("json-schema-whole", r#"{"n":4} | stop stop | 12+5"#),
    ("max-tokens-whole", "Hello! How can | length length | 12+4"),
    ("null-delta-stream", "Hi | stop stop | 9+1"),
    ("parallel-tools-stream", r#"- | get_weather({"place":"Wellington"}) | get_weather({"place":"Nelson"}) | tool_calls tool_calls | 61+41"#),
    ("reasoning-whole", "391 | stop stop | 12+74"),
    ("status-400-content-filter", "ContentFiltered content_filter"),
    ("status-400-context-length", "ContextLength context_length_exceeded"),
    ("status-400", "InvalidRequest decimal_above_max_value"),
    ("status-401-entra", "Auth -"),
    ("status-401", "Auth 401"),
    ("status-403", "Permission 403"),
    ("status-404-deployment", "NotFound DeploymentNotFound"),
    ("status-404-resource", "Permission 404"),
    ("status-429", "RateLimited 429 after 6s"),
    ("status-500", "Server server_error"),
    ("status-503", "Overloaded -"),
    ("stream-cut", "Malformed -"),
    ("stream-error", "Server server_error"),
    ("text-stream", "Hello! | stop stop | 9+3"),
    ("text-whole", "Hello! How can I help? | stop stop | 12+5"),
    ("tool-call-word-whole", r#"- | get_weather({"place":"Nelson"}) | tool_calls tool_call | 12+5"#),
    ("tool-result-cache-whole", "Windy in Wellington, sunny in Nelson. | stop stop | 1190+11"),
];

#[test]
fn written_exchanges_say_what_they_are_written_to_say() {
    let found: Vec<_> = fixtures("azure")
        .iter()
        .map(|path| (path.file_stem().unwrap().display().to_string(), play("azure", path)))
        .collect();
    let found: Vec<_> = found.iter().map(|(name, outcome)| (name.as_str(), outcome.as_str())).collect();
    assert_eq!(found, OUTCOMES);
}
