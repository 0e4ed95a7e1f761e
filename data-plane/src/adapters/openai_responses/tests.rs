//! Recorded answers and written ones, of this dialect and of chat behind OpenAI and Azure: whole, byte by byte, cut short.
//!
//! The recordings live beside the repository; without them the test says so and the written answers stand alone.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::adapters::{Adapter, Context, Failure, FailureClass, Target, by_name};
use crate::api::openai_chat;
use crate::model::event::{Event, fold};
use crate::model::media::NOTHING;
use crate::model::message::ToolKind;
use crate::model::parameter::Parameters;
use crate::model::response::{ChatResponse, FinishReason, ResponseMessage};

struct Exchange {
    name: String,
    tags: Vec<String>,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    stream: bool,
}

fn list(path: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
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
        tags: serde_json::from_value(file["tags"].clone()).expect("tags"),
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
fn recorded_answers_are_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/recordings");
    if !root.is_dir() {
        println!("skipped: no recordings at {}", root.display());
        return;
    }
    let responses = list(&root).into_iter().flat_map(|provider| list(&provider.join("responses")));
    let azure = list(&root.join("azure/chat"));
    let cases =
        responses.map(|case| (case, "openai_responses")).chain(azure.into_iter().map(|case| (case, "azure")));
    let mut seen = 0;
    for (case, adapter) in cases {
        check(by_name(adapter).expect("listed"), &read(&case));
        seen += 1;
    }
    assert!(seen >= 60, "only {seen} recordings were found");
}

#[test]
fn written_answers_are_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for adapter in ["openai", "openai_responses", "azure"] {
        let cases = list(&root.join(adapter).join("answers"));
        assert!(cases.len() >= 9, "{adapter} has {} fixtures", cases.len());
        cases.iter().for_each(|case| check(by_name(adapter).expect("listed"), &read(case)));
    }
}

#[test]
fn answers_come_back_through_a_client_item_by_item() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recorded = list(&root.join("../../shared/recordings"));
    let recorded = recorded.iter().flat_map(|provider| list(&provider.join("responses")));
    let written = list(&root.join("fixtures/openai_responses/answers"));
    let mut seen = 0;
    for case in recorded.chain(written) {
        // Every event has other ids there.
        if !case.display().to_string().contains("copilot") {
            seen += usize::from(check_replay(&read(&case)));
        }
    }
    assert!(seen >= 3, "only {seen} answers had sealed reasoning");
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
        quirks: &adapter.quirks("m"),
        fetched: &NOTHING,
        supported: Parameters::NONE,
    };
    let encoded = adapter.encode(&request, &target).expect("supported");
    let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
    body["input"].as_array().cloned().expect("items")
}

fn check(adapter: &dyn Adapter, exchange: &Exchange) {
    let name = &exchange.name;
    let is_failure = exchange.tags.iter().any(|tag| tag == "stream_error" || tag == "error_in_200");
    let outcome = if !exchange.status.is_success() || !exchange.stream {
        adapter.decode(exchange.status, &exchange.headers, &exchange.body, &Context::default())
    } else {
        check_stream(adapter, exchange)
    };
    match outcome {
        Ok(response) => {
            assert!(exchange.status.is_success() && !is_failure, "{name} was read");
            check_answer(&response, exchange);
        }
        Err(failure) => {
            assert!(!exchange.status.is_success() || is_failure, "{name}: {failure:?}");
            check_failure(&failure, exchange);
        }
    }
}

fn check_failure(failure: &Failure, exchange: &Exchange) {
    use FailureClass::*;
    let classes: &[FailureClass] = match exchange.status.as_u16() {
        200 => &[Server, RateLimited, Overloaded, Timeout, ContentFiltered, Malformed, ContextLength],
        400 | 422 => &[InvalidRequest, Unsupported, ContextLength, ContentFiltered, NotFound],
        401 => &[Auth],
        403 => &[Permission, ContentFiltered],
        404 => &[NotFound, Permission],
        429 => &[RateLimited, Payment],
        503 => &[Overloaded],
        _ => &[Server],
    };
    assert!(classes.contains(&failure.class), "{}: {failure:?}", exchange.name);
    assert!(!failure.message.is_empty(), "{}", exchange.name);
    let hints = ["retry-after", "retry-after-ms", "x-ratelimit-reset-tokens"];
    if failure.class == RateLimited && hints.iter().any(|name| exchange.headers.contains_key(*name)) {
        assert!(failure.retry_after.is_some(), "{}", exchange.name);
    }
}

fn check_stream(adapter: &dyn Adapter, exchange: &Exchange) -> Result<ChatResponse, Failure> {
    let (events, ended) = run(adapter, [exchange.body.clone()]);
    let bytes = (0..exchange.body.len()).map(|at| exchange.body.slice(at..=at));
    let (byte_by_byte, ended_too) = run(adapter, bytes);
    assert_eq!(format!("{events:?}"), format!("{byte_by_byte:?}"), "{}", exchange.name);
    assert_eq!(ended, ended_too, "{}", exchange.name);
    ended?;
    check_order(&events, exchange);
    check_cuts(adapter, exchange, &events);
    let response = fold(&events);
    check_repeated(adapter, exchange, &response);
    Ok(response)
}

/// The last event of the Responses dialect repeats the whole answer, which must read the same.
fn check_repeated(adapter: &dyn Adapter, exchange: &Exchange, told: &ChatResponse) {
    let text = String::from_utf8_lossy(&exchange.body).into_owned();
    let data =
        text.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?).ok());
    let is_end =
        |data: &Value| matches!(data["type"].as_str(), Some("response.completed" | "response.incomplete"));
    let Some(end) = data.into_iter().find(is_end) else { return };
    // Some hosts repeat nothing; one gives every event another id.
    if end["response"]["output"].as_array().is_none_or(Vec::is_empty) || exchange.name.contains("copilot") {
        return;
    }
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

fn check_order(events: &[Event], exchange: &Exchange) {
    let starts = events.iter().filter(|event| matches!(event, Event::Start(_))).count();
    let ends = events.iter().filter(|event| matches!(event, Event::Done)).count();
    let usages = events.iter().filter(|event| matches!(event, Event::Usage(_))).count();
    assert!(starts == 1 && ends == 1 && usages <= 1, "{}: {starts} {ends} {usages}", exchange.name);
    assert!(matches!(events.first(), Some(Event::Start(_))), "{}", exchange.name);
    assert!(matches!(events.last(), Some(Event::Done)), "{}", exchange.name);
    let mut finished: Vec<u32> = Vec::new();
    for event in events {
        let Event::Chunk(chunk) = event else { continue };
        for choice in &chunk.choices {
            assert!(!finished.contains(&choice.index), "{}: more after the finish", exchange.name);
            finished.extend(choice.finish.as_ref().map(|_| choice.index));
        }
    }
    assert_eq!(finished.len(), fold(events).choices.len(), "{}", exchange.name);
}

/// A stream that ends early fails, unless only what follows the answer's end is missing.
fn check_cuts(adapter: &dyn Adapter, exchange: &Exchange, whole: &[Event]) {
    let chunks = |events: &[Event]| events.iter().filter(|event| matches!(event, Event::Chunk(_))).count();
    let ends = exchange.body.windows(2).enumerate().filter(|(_, pair)| pair == b"\n\n").map(|(at, _)| at + 2);
    for cut in ends {
        let (events, ended) = run(adapter, [exchange.body.slice(..cut)]);
        match ended {
            Ok(()) => assert_eq!(chunks(&events), chunks(whole), "{} cut at {cut}", exchange.name),
            Err(failure) => assert_eq!(failure.class, FailureClass::Malformed, "{}", exchange.name),
        }
    }
}

fn check_answer(response: &ChatResponse, exchange: &Exchange) {
    let has = |tag: &str| exchange.tags.iter().any(|known| known == tag);
    let name = &exchange.name;
    for choice in &response.choices {
        let (message, reason) = (&choice.message, choice.finish.reason);
        for call in &message.tool_calls {
            assert!(!call.id.is_empty() && !call.name.is_empty(), "{name}: {call:?}");
            let is_json = serde_json::from_str::<Value>(&call.arguments).is_ok();
            let is_custom = call.kind == ToolKind::Custom;
            assert!(is_json || is_custom || reason == FinishReason::Length, "{name}: {call:?}");
        }
        assert!(message.tool_calls.is_empty() || reason != FinishReason::Stop, "{name}");
    }
    let first = &response.choices[0];
    assert_eq!(has("max_tokens"), first.finish.reason == FinishReason::Length, "{name}");
    assert!(!has("parallel_tools") || first.message.tool_calls.len() > 1, "{name}");
    assert!(!has("refusal") || first.finish.reason == FinishReason::ContentFilter, "{name}");
    assert!(!has("multi_choice") || response.choices.len() > 1, "{name}");
    if has("usage") {
        let usage = response.usage.unwrap_or_else(|| panic!("{name}: usage was lost"));
        assert!(usage.adds_up(), "{name}: {usage:?}");
        assert_eq!(has("cache"), usage.cached_tokens + usage.cache_write_tokens > 0, "{name}: {usage:?}");
    }
}
