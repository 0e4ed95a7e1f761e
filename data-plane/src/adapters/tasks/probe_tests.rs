//! Embeddings and rankings through an adapter, told in a few words: what tables of tests compare.

use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::adapters::tasks::{self, Expected};
use crate::adapters::{Adapter, Context, Encoded, Failure, Quirks, Target, Unsupported, by_name};
use crate::api::{embeddings, rerank};
use crate::model::media::NOTHING;
use crate::model::parameter::Parameters;
use crate::model::request::ChatRequest;
use crate::model::response::ChatResponse;
use crate::model::task::Product;

/// An embeddings request with these members beside its model.
pub fn embedding(members: &Value) -> ChatRequest {
    embeddings::decode(body("a/m", members)).expect("well-formed")
}

/// A ranking's.
pub fn ranking(members: &Value) -> ChatRequest {
    rerank::decode(body("a/m", members)).expect("well-formed")
}

fn body(model: &str, members: &Value) -> Bytes {
    let mut body = json!({ "model": model });
    let members = members.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    body.to_string().into()
}

/// The calls of a request at a model of this name.
pub fn calls_with(
    adapter: &str,
    request: &ChatRequest,
    model: &str,
    change: impl FnOnce(&mut Quirks),
) -> Result<Vec<Encoded>, Unsupported> {
    let adapter = speaker(adapter);
    let mut quirks = adapter.quirks();
    change(&mut quirks);
    let target = Target {
        model,
        output_cap: None,
        stream: false,
        quirks: &quirks,
        fetched: &NOTHING,
        supported: Parameters::NONE,
        tier: None,
    };
    tasks::encode(adapter, request, &target)
}

pub fn calls(adapter: &str, request: &ChatRequest, model: &str) -> Result<Vec<Encoded>, Unsupported> {
    calls_with(adapter, request, model, |_| {})
}

/// The single call of a request: path and body.
#[track_caller]
pub fn call(adapter: &str, request: &ChatRequest, model: &str) -> (String, Value) {
    let calls = calls(adapter, request, model).expect("supported");
    assert_eq!(calls.len(), 1);
    shown(&calls[0])
}

pub fn shown(call: &Encoded) -> (String, Value) {
    (call.path.to_string(), serde_json::from_slice(&call.body).expect("JSON"))
}

/// Reads an answer to so many inputs.
pub fn read(adapter: &str, expected: Expected, answer: &Value) -> Result<ChatResponse, Failure> {
    let context = Context { expected, ..Context::default() };
    let body = Bytes::from(answer.to_string());
    tasks::decode(speaker(adapter), StatusCode::OK, &HeaderMap::new(), &body, &context)
}

pub fn vectors(count: usize) -> Expected {
    Expected::Vectors { count, dimensions: None, base64: false }
}

/// Plays a recorded exchange: what the request asked for must be in the answer, and an error must be one. Tells the
/// lengths of the vectors or the places, and the tokens; or the failure's class.
pub fn play(adapter: &str, path: &Path) -> String {
    let text = std::fs::read(path).expect("readable");
    let file: Value = serde_json::from_slice(&text).expect("JSON");
    let (asked, answer) = (&file["request"]["body"], &file["response"]);
    let status = answer["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    let status = StatusCode::from_u16(status.expect("a status")).expect("a status");
    let mut headers = HeaderMap::new();
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.insert(name, HeaderValue::from_str(value.as_str().expect("text")).expect("a value"));
    }
    let context = Context { expected: expected(asked), ..Context::default() };
    let body = Bytes::from(answer["body"].to_string());
    match tasks::decode(speaker(adapter), status, &headers, &body, &context) {
        Ok(answer) => told(&answer),
        Err(failure) => format!("{:?}", failure.class),
    }
}

/// What the request of any dialect asked for.
fn expected(asked: &Value) -> Expected {
    if let Some(documents) = asked["documents"].as_array() {
        let top = asked["top_n"].as_u64().or(asked["top_k"].as_u64()).unwrap_or(u64::MAX);
        let ranked = documents.len().min(usize::try_from(top).unwrap_or(usize::MAX));
        return Expected::Ranking { documents: documents.len(), ranked };
    }
    let lists = ["input", "texts", "requests", "instances"];
    let count = lists.iter().find_map(|name| asked[*name].as_array()).map_or(1, Vec::len);
    let dimensions = ["dimensions", "output_dimension"].iter().find_map(|name| asked[*name].as_u64());
    let dimensions = dimensions
        .or(asked["requests"][0]["outputDimensionality"].as_u64())
        .or(asked["singleEmbeddingParams"]["embeddingDimension"].as_u64());
    let base64 = asked["encoding_format"] == "base64";
    Expected::Vectors { count, dimensions: dimensions.and_then(|one| u32::try_from(one).ok()), base64 }
}

fn told(answer: &ChatResponse) -> String {
    let made = match &answer.product {
        Product::Vectors(all) => format!("{}x{}", all.len(), all[0].len()),
        Product::Ranking(places) => {
            places.iter().map(|place| place.index.to_string()).collect::<Vec<_>>().join(">")
        }
        Product::Chat => "a chat".to_owned(),
    };
    let usage = answer.usage.map_or("unsaid".to_owned(), |usage| match usage.search_units {
        0 => usage.prompt_tokens.to_string(),
        units => format!("{} and {units} searches", usage.prompt_tokens),
    });
    format!("{made}, {usage}")
}

fn speaker(name: &str) -> &'static dyn Adapter {
    by_name(name).expect("listed")
}
