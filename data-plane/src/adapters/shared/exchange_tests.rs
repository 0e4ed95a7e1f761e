//! Recorded and written exchanges, played to an adapter and told in one line: what tables of tests compare.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use crate::adapters::{Adapter, Context, Failure, by_name};
use crate::model::event::{Event, fold};
use crate::model::message::ToolCall;
use crate::model::response::ChatResponse;

/// The written exchanges of an adapter, in order of their names.
pub fn fixtures(adapter: &str) -> Vec<PathBuf> {
    list(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(adapter).join("answers"))
}

/// The recorded exchanges of a folder such as `bedrock/converse`; none without the recordings.
pub fn recordings(folder: &str) -> Vec<PathBuf> {
    list(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/recordings").join(folder))
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path()).collect();
    files.sort();
    files
}

/// Plays one exchange and tells its outcome; streams whole, byte by byte, and cut short everywhere.
pub fn play(adapter: &str, path: &Path) -> String {
    let adapter = by_name(adapter).expect("listed");
    let file: Value = serde_json::from_slice(&fs::read(path).expect("readable")).expect("JSON");
    let response = &file["response"];
    let status =
        StatusCode::from_u16(response["status"].as_u64().expect("a status") as u16).expect("a status");
    let mut headers = HeaderMap::new();
    for (name, value) in response["headers"].as_object().into_iter().flatten() {
        let value = HeaderValue::from_str(value.as_str().unwrap_or_default()).expect("a header");
        headers.insert(HeaderName::from_bytes(name.as_bytes()).expect("a header"), value);
    }
    let body = match (response["body_text"].as_str(), response["body_base64"].as_str()) {
        (Some(text), _) => Bytes::from(text.to_owned()),
        (_, Some(base64)) => Bytes::from(STANDARD.decode(base64).expect("base64")),
        _ => Bytes::from(response["body"].to_string()),
    };
    let is_stream = status.is_success() && response["body"].is_null();
    let answer = match is_stream {
        true => stream(adapter, &body),
        false => adapter.decode(status, &headers, &body, &Context::default()),
    };
    answer.map_or_else(|failure| failed(&failure), |answer| told(&answer))
}

fn stream(adapter: &dyn Adapter, body: &Bytes) -> Result<ChatResponse, Failure> {
    let whole = run(adapter, [body.clone()]);
    let bytes = run(adapter, (0..body.len()).map(|at| body.slice(at..=at)));
    assert_eq!(format!("{whole:?}"), format!("{bytes:?}"), "byte by byte");
    let complete = whole.as_ref().map_or(0, Vec::len);
    for at in (0..body.len()).step_by(body.len() / 200 + 1) {
        // What is missing at the end may be what follows it, or the counts.
        let events = run(adapter, [body.slice(..at)]);
        assert!(events.is_err() || complete - events.map_or(0, |events| events.len()) <= 1, "cut at {at}");
    }
    let events = whole?;
    let finishes = events.iter().filter(|event| match event {
        Event::Chunk(chunk) => chunk.choices.iter().any(|choice| choice.finish.is_some()),
        _ => false,
    });
    assert_eq!(finishes.count(), 1);
    assert!(matches!((events.first(), events.last()), (Some(Event::Start(_)), Some(Event::Done))));
    Ok(fold(&events))
}

fn run(adapter: &dyn Adapter, pieces: impl IntoIterator<Item = Bytes>) -> Result<Vec<Event>, Failure> {
    let (mut decoder, mut events) = (adapter.decoder(&Context::default()), Vec::new());
    for piece in pieces {
        decoder.push(piece, &mut events)?;
    }
    decoder.finish(&mut events)?;
    Ok(events)
}

fn failed(failure: &Failure) -> String {
    let wait = failure.retry_after.map(|wait| format!(" after {}s", wait.as_secs()));
    let code = failure.provider_code.as_deref().unwrap_or("-");
    format!("{:?} {code}{}", failure.class, wait.unwrap_or_default())
}

/// `content | thought (format of details) | name(arguments) | finish native | refusal | prompt+completion | annotations`.
fn told(answer: &ChatResponse) -> String {
    let [choice] = answer.choices.as_slice() else { return format!("{} choices", answer.choices.len()) };
    let message = &choice.message;
    let mut parts = vec![message.content.clone().unwrap_or("-".to_owned())];
    if !message.reasoning_details.is_empty() {
        let details = message.reasoning_details.iter().map(|detail| {
            let held = ["signature", "data", "text"].into_iter().find_map(|name| detail[name].as_str());
            held.unwrap_or_default().to_owned()
        });
        parts.push(format!(
            "{} ({})",
            message.reasoning.as_deref().unwrap_or("-"),
            details.collect::<Vec<_>>().join(" ")
        ));
    }
    let call = |call: &ToolCall| format!("{}({})", call.name, call.arguments);
    parts.extend(message.tool_calls.iter().map(call));
    parts.push(format!(
        "{} {}",
        choice.finish.reason.as_str(),
        choice.finish.native.as_deref().unwrap_or("-")
    ));
    parts.extend(message.refusal.clone());
    parts.extend(answer.usage.map(|usage| {
        assert!(usage.adds_up(), "{usage:?}");
        format!("{}+{}", usage.prompt_tokens, usage.completion_tokens)
    }));
    parts.extend(message.annotations.iter().map(|annotation| {
        let of =
            annotation["url_citation"]["url"].as_str().or(annotation["file_citation"]["filename"].as_str());
        let place =
            [&annotation["url_citation"], &annotation["file_citation"]].into_iter().find(|it| it.is_object());
        let place = place.map(|place| format!("{}..{}", place["start_index"], place["end_index"]));
        format!("[{} {}]", of.unwrap_or("?"), place.unwrap_or_default())
    }));
    parts.join(" | ")
}
