//! Mistral, Cohere and Ollama: recorded and written answers, decoded whole and byte by byte.
//!
//! Recordings live beside the repository, fixtures in it; without the recordings the test says so and goes on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::adapters::mistral::Mistral;
use crate::adapters::{Adapter, Context, Failure, Target, by_name};
use crate::api::openai_chat;
use crate::model::event::{Event, fold};
use crate::model::media::NOTHING;
use crate::model::parameter::Parameters;
use crate::model::response::{ChatResponse, Choice, FinishReason};

/// Adapters and where the answers to them are, under the recordings.
const DIALECTS: [(&str, &str); 3] =
    [("mistral", "mistral/chat"), ("cohere", "cohere/chat_v2"), ("ollama", "ollama/native_chat")];

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

/// What Mistral was sent, and took, is what it gets.
#[test]
fn requests_that_mistral_took_pass_as_they_were() {
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/recordings/mistral/chat");
    let mut passed = 0;
    for path in files(&recordings) {
        let file: Value = serde_json::from_str(&fs::read_to_string(&path).expect("readable")).expect("JSON");
        let body = &file["request"]["body"];
        // What the surface does not read is none of the adapter's.
        let Ok(request) = openai_chat::decode(Bytes::from(body.to_string())) else {
            println!("not read by the surface: {}", path.display());
            continue;
        };
        let target = Target {
            model: body["model"].as_str().expect("a model"),
            output_cap: None,
            stream: request.stream,
            quirks: &Mistral.quirks(),
            fetched: &NOTHING,
            supported: Parameters::NONE,
        };
        let encoded = Mistral.encode(&request, &target).expect("expressible");
        let sent: Value = serde_json::from_slice(&encoded.body).expect("JSON");
        assert_eq!(normal(sent), normal(body.clone()), "{}", path.display());
        assert!(encoded.dropped.is_empty(), "{}: {:?}", path.display(), encoded.dropped);
        passed += 1;
    }
    println!("{passed} requests");
}

/// Without what says nothing, and with what is understood.
fn normal(mut body: Value) -> Value {
    body.as_object_mut().expect("an object").retain(|name, value| name != "stream" || *value == true);
    for tool in body["tools"].as_array_mut().into_iter().flatten() {
        tool["type"] = "function".into();
    }
    body
}

/// Whatever callers sent to anybody is encoded or refused by name.
#[test]
fn every_recorded_chat_request_is_encoded_or_refused_by_name() {
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/recordings");
    let providers = fs::read_dir(&recordings).into_iter().flatten().flatten();
    for path in providers.flat_map(|provider| files(&provider.path().join("chat"))) {
        let file: Value = serde_json::from_str(&fs::read_to_string(&path).expect("readable")).expect("JSON");
        let body = Bytes::from(file["request"]["body"].to_string());
        let Ok(request) = openai_chat::decode(body) else { continue };
        for (name, _) in DIALECTS {
            let adapter = by_name(name).expect("listed");
            let target = Target {
                model: "m",
                output_cap: Some(100),
                stream: request.stream,
                quirks: &adapter.quirks(),
                fetched: &NOTHING,
                supported: Parameters::NONE,
            };
            match adapter.encode(&request, &target) {
                Ok(encoded) => {
                    let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
                    assert!(body["messages"].as_array().is_some_and(|messages| !messages.is_empty()));
                }
                Err(refused) => assert!(refused.message.starts_with(&refused.field), "{refused}"),
            }
        }
    }
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
    let any = |fact: fn(&Choice) -> bool| answer.choices.iter().any(fact);
    let calls = answer.choices.iter().flat_map(|choice| &choice.message.tool_calls);
    let parse = calls.clone().all(|call| serde_json::from_str::<Value>(&call.arguments).is_ok());
    let parse = parse || any(|choice| choice.finish.reason == FinishReason::Length);
    let ids: BTreeSet<&str> = calls.clone().map(|call| call.id.as_str()).collect();
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
    if !usage.adds_up() || !parse || ids.len() != calls.count() {
        return Err(format!("usage, arguments or ids are wrong: {answer:?}"));
    }
    Ok(())
}
