//! Mistral, Cohere and Ollama: recorded and written answers, decoded whole and byte by byte.
//!
//! Recordings live beside the repository, fixtures in it; without the recordings the test says so and goes on.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::adapters::{Adapter, Context, Failure, by_name};
use crate::model::event::{Event, fold};
use crate::model::response::{ChatResponse, FinishReason};

/// Adapters and where the answers to them are, under the recordings.
const DIALECTS: [(&str, &str); 1] = [("mistral", "mistral/chat")];

#[test]
fn answers_decode_whole_and_byte_by_byte() {
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/recordings");
    if !recordings.is_dir() {
        println!("skipped: no recordings at {}", recordings.display());
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut wrong = Vec::new();
    for (name, folder) in DIALECTS {
        let adapter = by_name(name).expect("listed");
        let own = files(&fixtures.join(name).join("answers"));
        assert!(!own.is_empty(), "{name} has no fixtures");
        for path in own.into_iter().chain(files(&recordings.join(folder))) {
            if let Err(why) = check(adapter, &path) {
                wrong.push(format!("{}: {why}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect()
}

fn check(adapter: &dyn Adapter, path: &Path) -> Result<(), String> {
    let file: Value = serde_json::from_str(&fs::read_to_string(path).expect("readable")).expect("JSON");
    let has = |tag: &str| file["tags"].as_array().into_iter().flatten().any(|known| known == tag);
    let response = &file["response"];
    let status = StatusCode::from_u16(response["status"].as_u64().expect("status") as u16).expect("status");
    let body = match response["body_text"].as_str() {
        Some(text) => Bytes::from(text.to_owned()),
        None => Bytes::from(response["body"].to_string()),
    };
    if !status.is_success() {
        let failure = adapter.failure(status, &HeaderMap::new(), &body);
        return if failure.message.is_empty() { Err("says nothing".to_owned()) } else { Ok(()) };
    }
    let answer = if has("stream") {
        let whole = run(adapter, [body.clone()]);
        let bytes = run(adapter, (0..body.len()).map(|at| body.slice(at..=at)));
        if format!("{whole:?}") != format!("{bytes:?}") {
            return Err("other events byte by byte".to_owned());
        }
        whole.map(|events| fold(&events))
    } else {
        adapter.decode(status, &HeaderMap::new(), &body, &Context::default())
    };
    let fails = has("stream_error") || has("error_in_200") || has("odd_finish") || has("cut");
    match answer {
        Ok(_) if fails => Err("decoded".to_owned()),
        Ok(answer) => facts(&answer, &has),
        Err(_) if fails => Ok(()),
        Err(failure) => Err(format!("{failure:?}")),
    }
}

fn run(adapter: &dyn Adapter, pieces: impl IntoIterator<Item = Bytes>) -> Result<Vec<Event>, Failure> {
    let (mut decoder, mut events) = (adapter.decoder(&Context::default()), Vec::new());
    for piece in pieces {
        decoder.push(piece, &mut events)?;
    }
    decoder.finish(&mut events)?;
    Ok(events)
}

/// What the tags promise.
fn facts(answer: &ChatResponse, has: &dyn Fn(&str) -> bool) -> Result<(), String> {
    let usage = answer.usage.unwrap_or_default();
    let any = |fact: fn(&crate::model::response::Choice) -> bool| answer.choices.iter().any(fact);
    let arguments = answer.choices.iter().flat_map(|choice| &choice.message.tool_calls);
    let parse = arguments.clone().all(|call| serde_json::from_str::<Value>(&call.arguments).is_ok());
    let ids: std::collections::BTreeSet<_> = arguments.clone().map(|call| &call.id).collect();
    for (tag, holds) in [
        ("usage", answer.usage.is_some()),
        ("cache", usage.cached_tokens > 0),
        ("reasoning", any(|choice| choice.message.reasoning.is_some())),
        ("tool_call", any(|choice| choice.finish.reason == FinishReason::ToolCalls)),
        ("parallel_tools", any(|choice| choice.message.tool_calls.len() > 1)),
        ("max_tokens", any(|choice| choice.finish.reason == FinishReason::Length)),
        ("refusal", any(|choice| choice.finish.reason == FinishReason::ContentFilter)),
        ("citations", any(|choice| !choice.message.annotations.is_empty())),
        ("logprobs", any(|choice| choice.logprobs.is_some())),
        ("text", any(|choice| choice.message.content.is_some())),
        ("multi_choice", answer.choices.len() > 1),
    ] {
        if has(tag) && !holds {
            return Err(format!("tagged {tag}, but read as {answer:?}"));
        }
    }
    if !usage.adds_up() || !parse || ids.len() != arguments.count() {
        return Err(format!("usage, arguments or ids are wrong: {answer:?}"));
    }
    Ok(())
}
