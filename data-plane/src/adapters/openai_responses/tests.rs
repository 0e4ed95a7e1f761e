//! Exchanges that the recordings do not have, and what they say; then what all of them have to prove: that the end of
//! a stream repeats what was told, and that sealed reasoning comes back as it was given.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::adapters::shared::exchange_tests::{fixtures, play, recordings};
use crate::adapters::{Adapter, Context, Failure, Target, by_name};
use crate::api::openai_chat;
use crate::model::event::{Event, fold};
use crate::model::media::NOTHING;
use crate::model::parameter::Parameters;
use crate::model::response::ResponseMessage;

/// A written exchange and its outcome.
#[rustfmt::skip] // A table: one row, one line.
const OUTCOMES: &[(&str, &str)] = &[
    ("arguments-only-done-stream", r#"- | get_weather({"place":"Wellington"}) | tool_calls completed | 61+20"#),
    ("content-filter-incomplete-stream", "The first step | content_filter content_filter | 20+4"),
    ("custom-tool-stream", "- | run_sql(select 1;) | tool_calls completed | 40+9"),
    ("custom-tool-whole", "- | run_sql(select 1;) | tool_calls completed | 40+9"),
    ("failed-whole", "ContentFiltered invalid_prompt"),
    ("image-pdf-whole", "A cat and an empty page. | stop completed | 320+9"),
    ("json-schema-stream", r#"{"n":4} | stop completed | 40+6"#),
    ("json-schema-whole", r#"{"n":4} | stop completed | 40+6"#),
    ("logprobs-stream", "Hi! | stop completed | 9+2"),
    ("max-tokens-tool-stream", r#"- | get_weather({"place":"Wel) | length max_output_tokens | 61+16"#),
    ("max-tokens-whole", "- | length max_output_tokens | 20+16"),
    ("no-arguments-tool-stream", "- | now({}) | tool_calls completed | 40+9"),
    ("open-reasoning-stream", "391 | Seventeen times twenty-three. (Seventeen times twenty-three.) | stop completed | 20+14"),
    ("parallel-tools-stream", r#"- | get_weather({"place":"Wellington"}) | get_weather({"place":"Nelson"}) | tool_calls completed | 61+40"#),
    ("parallel-tools-whole", r#"- | get_weather({"place":"Wellington"}) | get_weather({"place":"Nelson"}) | tool_calls completed | 61+40"#),
    ("queued-keepalive-stream", "Hi | stop completed | 9+1"),
    ("reasoning-tools-stream", "- | **Looking up**\n\nTwo places.**Calling**\n\nBoth at once. (  gAAAAABwritten-byUs_0123456789 gAAAAABwritten-byUs_01234567892) | get_weather({\"place\":\"Wellington\"}) | get_weather({\"place\":\"Nelson\"}) | tool_calls completed | 80+160"),
    ("reasoning-tools-whole", "- | **Looking up**\n\nTwo places.**Calling**\n\nBoth at once. (  gAAAAABwritten-byUs_0123456789 gAAAAABwritten-byUs_01234567892) | get_weather({\"place\":\"Wellington\"}) | get_weather({\"place\":\"Nelson\"}) | tool_calls completed | 80+160"),
    ("refusal-stream", "- | content_filter completed | I'm sorry, I can't help with that. | 20+11"),
    ("refusal-whole", "- | content_filter completed | I'm sorry, I can't help with that. | 20+11"),
    ("status-400-context-length", "ContextLength context_length_exceeded"),
    ("status-400-unsupported", "Unsupported unsupported_parameter"),
    ("status-400", "InvalidRequest decimal_above_max_value"),
    ("status-401", "Auth invalid_api_key"),
    ("status-403", "Permission model_access_denied"),
    ("status-404", "NotFound model_not_found"),
    ("status-429-insufficient-quota", "Payment insufficient_quota"),
    ("status-429", "RateLimited rate_limit_exceeded after 40s"),
    ("status-500", "Server server_error"),
    ("status-503", "Overloaded service_unavailable_error after 2s"),
    ("stream-cut", "Malformed -"),
    ("stream-error-event", "Server server_error"),
    ("stream-failed-rate-limit", "RateLimited rate_limit_exceeded after 1s"),
    ("stream-failed", "Server server_error"),
    ("text-stream", "Hello, 世界 🌍! | stop completed | 9+9"),
    ("text-whole", "Hello! How can I help? | stop completed | 9+8"),
    ("ticks-and-searches-whole", "Done. | stop completed | 3200+640"),
    ("tool-result-cache-stream", "It is windy. | stop completed | 1400+24"),
    ("unnamed-events-stream", "Hello! | stop completed | 9+3"),
    ("web-search-citations-stream", "Today it rained. | stop completed | 900+30 | [https://news.example/a 0..5] | [notes.txt null..null]"),
    ("web-search-citations-whole", "Today it rained. | stop completed | 900+30 | [https://news.example/a 0..5] | [notes.txt null..null]"),
];

#[test]
fn written_exchanges_say_what_they_are_written_to_say() {
    let found: Vec<_> = fixtures("openai_responses")
        .iter()
        .map(|path| (path.file_stem().unwrap().display().to_string(), play("openai_responses", path)))
        .collect();
    let found: Vec<_> = found.iter().map(|(name, outcome)| (name.as_str(), outcome.as_str())).collect();
    assert_eq!(found, OUTCOMES);
}

struct Exchange {
    name: String,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    stream: bool,
}

/// Recorded exchanges of the dialect, then written ones.
fn exchanges() -> Vec<PathBuf> {
    const PROVIDERS: [&str; 8] = [
        "azure",
        "bedrock-mantle",
        "chatgpt-codex",
        "deepseek",
        "github-copilot",
        "openai",
        "openrouter",
        "xai",
    ];
    let recorded = PROVIDERS.iter().flat_map(|provider| recordings(&format!("{provider}/responses")));
    recorded.chain(fixtures("openai_responses")).collect()
}

fn read(path: &Path) -> Exchange {
    let text = fs::read_to_string(path).expect("readable");
    let file: Value = serde_json::from_str(&text).unwrap_or_else(|bad| panic!("{}: {bad}", path.display()));
    let response = &file["response"];
    let mut headers = HeaderMap::new();
    for (name, value) in response["headers"].as_object().into_iter().flatten() {
        let value = HeaderValue::from_str(value.as_str().unwrap_or_default()).expect("header value");
        headers.insert(HeaderName::from_bytes(name.as_bytes()).expect("header name"), value);
    }
    let text = response["body_text"].as_str();
    Exchange {
        name: path.display().to_string(),
        status: StatusCode::from_u16(response["status"].as_u64().expect("status") as u16).expect("status"),
        headers,
        body: text.map_or_else(|| Bytes::from(response["body"].to_string()), |text| text.to_owned().into()),
        stream: text.is_some_and(|text| text.contains("data:")),
    }
}

fn run(adapter: &dyn Adapter, pieces: impl IntoIterator<Item = Bytes>) -> (Vec<Event>, Result<(), Failure>) {
    let (mut decoder, mut events) = (adapter.decoder(&Context::default()), Vec::new());
    for piece in pieces {
        if let Err(failure) = decoder.push(piece, &mut events) {
            return (events, Err(failure));
        }
    }
    let ended = decoder.finish(&mut events);
    (events, ended)
}

#[test]
fn answers_come_back_through_a_client_item_by_item() {
    // Every event has other ids there.
    let cases = exchanges().into_iter().filter(|case| !case.display().to_string().contains("copilot"));
    let seen = cases.filter(|case| check_replay(&read(case))).count();
    assert!(seen >= 2, "only {seen} answers had sealed reasoning");
}

/// Whether the answer has sealed reasoning that must come back; panics where it does not as it was given.
fn check_replay(exchange: &Exchange) -> bool {
    let given = given(exchange);
    let is_plain = |item: &Value| {
        matches!(item["type"].as_str(), Some("message" | "function_call"))
            || (item["type"] == "reasoning" && item["encrypted_content"].is_string())
    };
    if !given.iter().all(is_plain) || given.iter().all(|item| item["type"] != "reasoning") {
        return false;
    }
    let adapter = by_name("openai_responses").expect("listed");
    let (message, pieces) = if exchange.stream {
        let (events, ended) = run(adapter, [exchange.body.clone()]);
        assert_eq!(ended, Ok(()), "{}", exchange.name);
        let chunks = events.iter().filter_map(|event| match event {
            Event::Chunk(chunk) => Some(&chunk.choices[0].delta.reasoning_details),
            _ => None,
        });
        (fold(&events).choices.swap_remove(0).message, chunks.flatten().cloned().collect())
    } else {
        let decode = adapter.decode(exchange.status, &exchange.headers, &exchange.body, &Context::default());
        (decode.expect("an answer").choices.swap_remove(0).message, Vec::new())
    };
    let expected: Vec<Value> = given.iter().map(as_sent).collect();
    for details in [message.reasoning_details.clone(), pieces].iter().filter(|details| !details.is_empty()) {
        let sent = sent_back(&message, details);
        assert_eq!(sent[1..=expected.len()], expected, "{}", exchange.name);
    }
    true
}

/// The finished items of an answer.
fn given(exchange: &Exchange) -> Vec<Value> {
    if !exchange.stream {
        let body: Value = serde_json::from_slice(&exchange.body).unwrap_or_default();
        return body["output"].as_array().cloned().unwrap_or_default();
    }
    let text = String::from_utf8_lossy(&exchange.body).into_owned();
    let data =
        text.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?).ok());
    let done = data.filter(|data| data["type"] == "response.output_item.done");
    done.map(|mut data| data["item"].take()).collect()
}

/// The item as it goes in again: what the host needs of it and nothing else.
fn as_sent(item: &Value) -> Value {
    match item["type"].as_str() {
        Some("reasoning") => json!({"type": "reasoning", "id": item["id"], "summary": item["summary"],
            "encrypted_content": item["encrypted_content"]}),
        Some("message") => json!({"type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": item["content"][0]["text"]}]}),
        _ => json!({"type": "function_call", "call_id": item["call_id"], "name": item["name"],
            "arguments": item["arguments"]}),
    }
}

/// The input after a client returned the message with these details, and the results of its calls.
fn sent_back(message: &ResponseMessage, details: &[Value]) -> Vec<Value> {
    let calls = message.tool_calls.iter();
    let calls: Vec<Value> = calls
        .map(|call| {
            let function = json!({"name": call.name, "arguments": call.arguments});
            json!({"id": call.id, "type": "function", "function": function})
        })
        .collect();
    let results = message.tool_calls.iter();
    let results = results.map(|call| json!({"role": "tool", "tool_call_id": call.id, "content": "r"}));
    let mut assistant =
        json!({"role": "assistant", "content": message.content, "reasoning_details": details});
    if !calls.is_empty() {
        assistant["tool_calls"] = calls.into();
    }
    let messages: Vec<Value> =
        [json!({"role": "user", "content": "hi"}), assistant].into_iter().chain(results).collect();
    let body = json!({"model": "m", "messages": messages}).to_string();
    let request = openai_chat::decode(Bytes::from(body)).expect("well-formed");
    let adapter = by_name("openai_responses").expect("listed");
    let target = Target {
        model: "m",
        output_cap: None,
        stream: false,
        quirks: &adapter.quirks(),
        fetched: &NOTHING,
        supported: Parameters::NONE,
        tier: None,
    };
    let encoded = adapter.encode(&request, &target).expect("supported");
    let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
    body["input"].as_array().cloned().expect("items")
}

#[test]
fn the_end_of_a_stream_repeats_what_was_told() {
    let seen = exchanges().iter().filter(|case| check_repeated(&read(case))).count();
    assert!(seen >= 10, "only {seen} streams repeat the answer");
}

/// Whether the stream's last event repeats the whole answer; panics where that reads otherwise.
fn check_repeated(exchange: &Exchange) -> bool {
    let adapter = by_name("openai_responses").expect("listed");
    let text = String::from_utf8_lossy(&exchange.body).into_owned();
    let data =
        text.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?).ok());
    let is_end =
        |data: &Value| matches!(data["type"].as_str(), Some("response.completed" | "response.incomplete"));
    let Some(end) = data.into_iter().find(is_end).filter(|_| exchange.stream) else { return false };
    // Some hosts repeat nothing; one gives every event another id.
    if end["response"]["output"].as_array().is_none_or(Vec::is_empty) || exchange.name.contains("copilot") {
        return false;
    }
    let (events, ended) = run(adapter, [exchange.body.clone()]);
    assert_eq!(ended, Ok(()), "{}", exchange.name);
    let told = fold(&events);
    let body = Bytes::from(end["response"].to_string());
    let whole = adapter.decode(StatusCode::OK, &exchange.headers, &body, &Context::default()).expect("ended");
    assert_eq!(whole.id, told.id, "{}", exchange.name);
    assert_eq!(whole.created, told.created, "{}", exchange.name);
    assert_eq!(whole.usage, told.usage, "{}", exchange.name);
    assert_eq!(whole.choices.len(), told.choices.len(), "{}", exchange.name);
    for (whole, told) in whole.choices.iter().zip(&told.choices) {
        assert_eq!(unsealed(&whole.message), unsealed(&told.message), "{}", exchange.name);
        assert_eq!(whole.finish, told.finish, "{}", exchange.name);
        assert_eq!(whole.logprobs.is_some(), told.logprobs.is_some(), "{}", exchange.name);
    }
    true
}

/// Reasoning is sealed anew where it is repeated.
fn unsealed(message: &ResponseMessage) -> ResponseMessage {
    let mut message = message.clone();
    for detail in &mut message.reasoning_details {
        if detail["type"] == "reasoning.encrypted" {
            detail["data"] = Value::Null;
        }
    }
    message
}
