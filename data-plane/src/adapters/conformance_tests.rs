//! Every recorded exchange of the dialects that we speak, decoded: whole, in pieces, cut short.
//!
//! The recordings are real traffic and live beside the repository; without them the test says so and passes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use crate::adapters::{Adapter, Context, Failure, FailureClass, by_name};
use crate::model::event::{Event, fold};
use crate::model::response::{ChatResponse, FinishReason};
use crate::model::usage::Usage;

/// The folders of the recordings that hold a dialect, and the adapter that speaks it.
const DIALECTS: [(&str, &str); 2] = [("chat", "openai"), ("messages", "anthropic")];

/// Exchanges with a success status that are rightly failures.
const FAILED: &[(&str, FailureClass, &str)] = &[
    (
        "groq/chat/llama-4-scout-17b-16e-instruct-stream-stream-error-97158e",
        FailureClass::Malformed,
        "the model's tool call did not match its schema: an `error` event",
    ),
    (
        "openrouter/chat/gemini-2.5-flash-lite-error-in-200-reasoning-tool-call-6b0164",
        FailureClass::Server,
        "`choices[].error` with code 502",
    ),
    (
        "openrouter/chat/gemini-2.5-flash-lite-stream-odd-finish-reasoning-stream-error-tool-call-c66e15",
        FailureClass::Server,
        "an error with code 502 after finish `tool_calls`",
    ),
];

/// Exchanges whose usage rightly differs from what the provider printed.
const CORRECTED: &[(&str, &str)] = &[
    (
        "azure/chat/grok-4-1-fast-non-reasoning-stream-cache-tool-call-tool-result-429a6a",
        "more cached tokens than prompt tokens: the prompt excludes them",
    ),
    ("google/chat/gemini-2.5-pro-preview-05-06-reasoning-tool-call-97d070", "thoughts are in the total only"),
    ("mistral/chat/voxtral-small-latest-audio-cb6f1c", "audio is in the total only"),
    (
        "xai/chat/grok-4-fast-stream-cache-parallel-tools-reasoning-tool-call-8a8f41",
        "reasoning is in the total only",
    ),
    ("xai/chat/grok-4-fast-stream-cache-reasoning-tool-result-3f22d1", "reasoning is in the total only"),
    (
        "xai/chat/grok-code-fast-1-cache-parallel-tools-reasoning-tool-call-478939",
        "reasoning is in the total only",
    ),
    (
        "xai/chat/grok-code-fast-1-stream-cache-parallel-tools-reasoning-tool-call-23892d",
        "reasoning is in the total only",
    ),
];

struct Exchange {
    /// `provider/api/case`.
    name: String,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    stream: bool,
}

#[test]
fn recorded_exchanges_decode_whole_in_pieces_and_cut_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/recordings");
    if !root.is_dir() {
        println!("skipped: no recordings at {}", root.display());
        return;
    }
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (folder, name) in DIALECTS {
        let adapter = by_name(name).expect("listed");
        for path in cases(&root, folder) {
            let exchange = read(&root, &path);
            *counts.entry(name).or_default() += 1;
            if let Err(reason) = check(adapter, &exchange) {
                wrong.push(format!("{}: {reason}", exchange.name));
            }
        }
    }
    println!("decoded {counts:?}");
    assert!(wrong.is_empty(), "{} exchanges:\n{}", wrong.len(), wrong.join("\n"));
}

fn cases(root: &Path, folder: &str) -> Vec<PathBuf> {
    let list = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let mut cases: Vec<_> = list(root).iter().flat_map(|provider| list(&provider.join(folder))).collect();
    cases.sort();
    cases
}

fn read(root: &Path, path: &Path) -> Exchange {
    let text = fs::read_to_string(path).expect("readable");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let response = &file["response"];
    let status = StatusCode::from_u16(response["status"].as_u64().expect("status") as u16).expect("status");
    let mut headers = HeaderMap::new();
    for (name, value) in response["headers"].as_object().into_iter().flatten() {
        let value = HeaderValue::from_str(value.as_str().unwrap_or_default()).expect("header value");
        headers.insert(HeaderName::from_bytes(name.as_bytes()).expect("header name"), value);
    }
    let text = response["body_text"].as_str();
    let body = match (text, response["body_base64"].as_str()) {
        (Some(text), _) => Bytes::from(text.to_owned()),
        (None, Some(base64)) => Bytes::from(STANDARD.decode(base64).expect("base64")),
        (None, None) => Bytes::from(response["body"].to_string()),
    };
    let stream = text.is_some_and(|text| text.contains("data:"));
    let name = path.strip_prefix(root).expect("inside").with_extension("").display().to_string();
    Exchange { name, status, headers, body, stream }
}

fn check(adapter: &dyn Adapter, exchange: &Exchange) -> Result<(), String> {
    if !exchange.status.is_success() {
        return check_failure(adapter, exchange);
    }
    let failed = FAILED.iter().find(|(name, ..)| *name == exchange.name);
    let outcome =
        if exchange.stream { check_stream(adapter, exchange) } else { check_whole(adapter, exchange) };
    match (outcome, failed) {
        (Err(Wrong::Failed(failure)), Some((_, class, _))) if failure.class == *class => Ok(()),
        (Ok(()), Some((_, class, why))) => Err(format!("decoded, but should be {class:?}: {why}")),
        (Err(Wrong::Failed(failure)), _) => Err(format!("failed: {failure:?}")),
        (Err(Wrong::Fact(fact)), _) => Err(fact),
        (Ok(()), None) => Ok(()),
    }
}

/// Why an exchange does not pass.
enum Wrong {
    Failed(Failure),
    Fact(String),
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<String> for Wrong {
    fn from(fact: String) -> Self {
        Self::Fact(fact)
    }
}

/// A caller's fault must be told from the provider's and from ours.
fn check_failure(adapter: &dyn Adapter, exchange: &Exchange) -> Result<(), String> {
    let failure = adapter.failure(exchange.status, &exchange.headers, &exchange.body);
    let classes: &[FailureClass] = match exchange.status.as_u16() {
        400 | 422 => &[
            FailureClass::InvalidRequest,
            FailureClass::Unsupported,
            FailureClass::ContextLength,
            FailureClass::ContentFiltered,
            FailureClass::NotFound,
            FailureClass::Malformed,
            FailureClass::Auth,
        ],
        401 => &[FailureClass::Auth],
        403 => &[FailureClass::Permission, FailureClass::ContentFiltered],
        404 => &[FailureClass::NotFound],
        429 => &[FailureClass::RateLimited, FailureClass::Payment],
        _ => &[FailureClass::Server, FailureClass::Overloaded, FailureClass::Timeout],
    };
    if !classes.contains(&failure.class) || failure.message.is_empty() {
        return Err(format!("misjudged: {failure:?}"));
    }
    Ok(())
}

fn check_whole(adapter: &dyn Adapter, exchange: &Exchange) -> Result<(), Wrong> {
    let decode = |body: &Bytes| adapter.decode(exchange.status, &exchange.headers, body, &Context::default());
    let response = decode(&exchange.body)?;
    check_answer(&response, exchange)?;
    let wire: Value = serde_json::from_slice(&exchange.body).expect("decoded before");
    compare_text(&response, &said_whole(&wire))?;
    let cuts = (0..exchange.body.len()).step_by((exchange.body.len() / 64).max(1));
    for cut in cuts {
        if decode(&exchange.body.slice(..cut)).is_ok() {
            return Err(Wrong::Fact(format!("decoded although cut at {cut}")));
        }
    }
    Ok(())
}

fn check_stream(adapter: &dyn Adapter, exchange: &Exchange) -> Result<(), Wrong> {
    let whole = run(adapter, [exchange.body.clone()])?;
    check_order(&whole)?;
    let response = fold(&whole);
    check_answer(&response, exchange)?;
    compare_text(&response, &said_stream(&exchange.body))?;
    let printed = format!("{whole:?}");
    let bytes = (0..exchange.body.len()).map(|at| exchange.body.slice(at..=at));
    if format!("{:?}", run(adapter, bytes)?) != printed {
        return Err(Wrong::Fact("other events byte by byte".to_owned()));
    }
    for seed in 1..=3 {
        if format!("{:?}", run(adapter, pieces(&exchange.body, seed))?) != printed {
            return Err(Wrong::Fact(format!("other events in random pieces, seed {seed}")));
        }
    }
    check_cuts(adapter, exchange, &whole)
}

/// A stream that ends early fails, unless only what follows the answer's end is missing.
fn check_cuts(adapter: &dyn Adapter, exchange: &Exchange, whole: &[Event]) -> Result<(), Wrong> {
    let chunks = whole.iter().filter(|event| matches!(event, Event::Chunk(_))).count();
    for cut in (0..exchange.body.len()).step_by((exchange.body.len() / 97).max(1)) {
        let (mut decoder, mut events) = (adapter.decoder(&Context::default()), Vec::new());
        let pushed = decoder.push(exchange.body.slice(..cut), &mut events);
        let ended = pushed.and_then(|()| decoder.finish(&mut events));
        let told = events.iter().filter(|event| matches!(event, Event::Chunk(_))).count();
        match ended {
            Ok(()) if told != chunks => {
                return Err(Wrong::Fact(format!("ended although cut at {cut}")));
            }
            Err(failure) if failure.class != FailureClass::Malformed => return Err(failure.into()),
            _ => {}
        }
    }
    Ok(())
}

fn run(adapter: &dyn Adapter, pieces: impl IntoIterator<Item = Bytes>) -> Result<Vec<Event>, Failure> {
    let (mut decoder, mut events) = (adapter.decoder(&Context::default()), Vec::new());
    for piece in pieces {
        decoder.push(piece, &mut events)?;
    }
    decoder.finish(&mut events)?;
    Ok(events)
}

/// Pieces of up to 200 bytes, the same ones for the same seed.
fn pieces(body: &Bytes, seed: u64) -> Vec<Bytes> {
    let (mut state, mut at, mut pieces) = (seed, 0, Vec::new());
    while at < body.len() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let end = (at + 1 + (state >> 33) as usize % 200).min(body.len());
        pieces.push(body.slice(at..end));
        at = end;
    }
    pieces
}

fn check_order(events: &[Event]) -> Result<(), String> {
    let place = |wanted: fn(&Event) -> bool| -> Vec<usize> {
        events.iter().enumerate().filter(|(_, event)| wanted(event)).map(|(at, _)| at).collect()
    };
    let last_chunk = place(|event| matches!(event, Event::Chunk(_))).last().copied().unwrap_or(0);
    let usage = place(|event| matches!(event, Event::Usage(_)));
    let fine = place(|event| matches!(event, Event::Start(_))) == [0]
        && place(|event| matches!(event, Event::Done)) == [events.len() - 1]
        && usage.len() <= 1
        && usage.iter().all(|at| *at > last_chunk);
    if !fine {
        return Err("events out of order".to_owned());
    }
    let mut finishes: BTreeMap<u32, usize> = BTreeMap::new();
    for event in events {
        let Event::Chunk(chunk) = event else { continue };
        for choice in &chunk.choices {
            *finishes.entry(choice.index).or_default() += usize::from(choice.finish.is_some());
        }
    }
    if finishes.values().any(|count| *count != 1) {
        return Err(format!("finishes per choice: {finishes:?}"));
    }
    Ok(())
}

fn check_answer(response: &ChatResponse, exchange: &Exchange) -> Result<(), String> {
    for choice in &response.choices {
        let reason = choice.finish.reason;
        for call in &choice.message.tool_calls {
            if call.id.is_empty() || call.name.is_empty() {
                return Err(format!("a call without id or name: {call:?}"));
            }
            if reason != FinishReason::Length && serde_json::from_str::<Value>(&call.arguments).is_err() {
                return Err(format!("arguments are no JSON: {call:?}"));
            }
        }
        if !choice.message.tool_calls.is_empty() && reason == FinishReason::Stop {
            return Err("calls, but finish is stop".to_owned());
        }
    }
    check_usage(response.usage.as_ref(), exchange)
}

fn check_usage(usage: Option<&Usage>, exchange: &Exchange) -> Result<(), String> {
    let printed = printed_totals(&exchange.body);
    let Some(usage) = usage else {
        return if printed.is_none() { Ok(()) } else { Err(format!("usage {printed:?} was lost")) };
    };
    if !usage.adds_up() {
        return Err(format!("usage does not add up: {usage:?}"));
    }
    let corrected = CORRECTED.iter().any(|(name, _)| *name == exchange.name);
    let same = printed == Some((usage.prompt_tokens, usage.completion_tokens));
    if same == corrected {
        return Err(format!("usage {usage:?}, but printed {printed:?}"));
    }
    Ok(())
}

/// Prompt and completion as the provider's last report prints them, inclusive of the caches.
fn printed_totals(body: &[u8]) -> Option<(u64, u64)> {
    let mut totals = None;
    for data in documents(body) {
        for usage in [&data["usage"], &data["x_groq"]["usage"]] {
            let pair = (usage["prompt_tokens"].as_u64(), usage["completion_tokens"].as_u64());
            if let (Some(prompt), Some(completion)) = pair {
                totals = Some((prompt, completion));
            }
        }
        for usage in [&data["message"]["usage"], &data["usage"]] {
            let Some(output) = usage["output_tokens"].as_u64() else { continue };
            let parts = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
            let prompt = match usage["input_tokens"].as_u64() {
                Some(_) => parts.iter().filter_map(|part| usage[part].as_u64()).sum(),
                None => totals.map_or(0, |(prompt, _)| prompt),
            };
            totals = Some((prompt, output));
        }
    }
    totals
}

/// The JSON documents of a body, whole or streamed, split in the simplest way.
fn documents(body: &[u8]) -> Vec<Value> {
    if let Ok(whole) = serde_json::from_slice(body) {
        return vec![whole];
    }
    let text = String::from_utf8_lossy(body);
    text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?).ok()).collect()
}

/// What each choice says, read without the adapter.
type Said = BTreeMap<u64, String>;

fn said_whole(wire: &Value) -> Said {
    if wire["type"] == "message" {
        return Said::from([(0, plain(&wire["content"]))]);
    }
    let choices = wire["choices"].as_array().cloned().unwrap_or_default();
    let text = |choice: &Value| plain(&choice["message"]["content"]);
    choices.iter().map(|choice| (choice["index"].as_u64().unwrap_or(0), text(choice))).collect()
}

fn said_stream(body: &[u8]) -> Said {
    let mut said = Said::new();
    for chunk in documents(body) {
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            let text = said.entry(choice["index"].as_u64().unwrap_or(0)).or_default();
            text.push_str(&plain(&choice["delta"]["content"]));
        }
        for text in [&chunk["delta"]["text"], &chunk["content_block"]["text"]] {
            said.entry(0).or_default().push_str(text.as_str().unwrap_or_default());
        }
    }
    said
}

fn plain(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

fn compare_text(response: &ChatResponse, said: &Said) -> Result<(), String> {
    for choice in &response.choices {
        let text = choice.message.content.as_deref().unwrap_or_default();
        let expected = said.get(&u64::from(choice.index)).map_or("", String::as_str);
        if text != expected {
            return Err(format!("text {text:?}, but was sent {expected:?}"));
        }
    }
    Ok(())
}
