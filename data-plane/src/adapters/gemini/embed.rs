//! Google's embeddings: `batchEmbedContents` of the Developer API; on Vertex AI `embedContent` of the newest models and
//! `predict` of the older ones.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::adapters::gemini::error::inside_success;
use crate::adapters::gemini::host::Host;
use crate::adapters::gemini::parts::Desk;
use crate::adapters::shared::vectors::{count, vectors};
use crate::adapters::shared::{exact, head};
use crate::adapters::tasks::{Batch, Embedder, Expected, Purpose, counted, normalised};
use crate::adapters::{Context, Encoded, Failure, Target, Unsupported};
use crate::model::response::ChatResponse;
use crate::model::task::Input;

/// Models from which on the purpose is said in the text, and parts are taken.
const NEWEST: &str = "gemini-embedding-2";

/// `POST {base}/models/{model}:batchEmbedContents`.
#[derive(Debug)]
pub struct Batched;

/// `POST {base}/publishers/google/models/{model}:embedContent` and `:predict`.
#[derive(Debug)]
pub struct Predicted;

impl Embedder for Batched {
    fn most_inputs(&self, _model: &str) -> usize {
        100
    }

    fn encode(&self, batch: &Batch<'_>, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        let path = Host::DEVELOPER.resource(target.model)?;
        let mut requests = Vec::with_capacity(batch.inputs.len());
        for (at, input) in batch.inputs.iter().enumerate() {
            let mut request = wishes(batch, target, "taskType");
            request.insert("model".to_owned(), path.trim_start_matches('/').into());
            request.insert("content".to_owned(), content(batch, at, input, Host::DEVELOPER, target)?);
            requests.push(Value::Object(request));
        }
        let body = Map::from_iter([("requests".to_owned(), Value::Array(requests))]);
        Ok(call(format!("{path}:batchEmbedContents"), &body, batch, target))
    }

    fn decode(&self, _headers: &HeaderMap, body: &Bytes, context: &Context) -> Result<ChatResponse, Failure> {
        read(body, context)
    }
}

impl Embedder for Predicted {
    /// The Gemini models take one text a call, those before them many.
    fn most_inputs(&self, model: &str) -> usize {
        if model.contains("gemini-embedding") { 1 } else { 100 }
    }

    fn encode(&self, batch: &Batch<'_>, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        let path = Host::VERTEX.resource(target.model)?;
        if is_newest(target) {
            let mut body = wishes(batch, target, "taskType");
            for (at, input) in batch.inputs.iter().enumerate() {
                body.insert("content".to_owned(), content(batch, at, input, Host::VERTEX, target)?);
            }
            return Ok(call(format!("{path}:embedContent"), &body, batch, target));
        }
        let task = task(batch, target);
        let instance = |text: &str| match &task {
            Some(task) => json!({"content": text, "task_type": task}),
            None => json!({ "content": text }),
        };
        let instances: Vec<Value> = batch.texts()?.into_iter().map(instance).collect();
        // What does not fit is an error, and not cut off in silence.
        let mut parameters = json!({"autoTruncate": false});
        if let Some(dimensions) = batch.embed.dimensions {
            parameters["outputDimensionality"] = dimensions.into();
        }
        let body = Map::from_iter([
            ("instances".to_owned(), Value::Array(instances)),
            ("parameters".to_owned(), parameters),
        ]);
        Ok(call(format!("{path}:predict"), &body, batch, target))
    }

    fn decode(&self, _headers: &HeaderMap, body: &Bytes, context: &Context) -> Result<ChatResponse, Failure> {
        read(body, context)
    }
}

fn is_newest(target: &Target<'_>) -> bool {
    target.model.contains(NEWEST)
}

/// The purpose in Google's words.
fn task(batch: &Batch<'_>, target: &Target<'_>) -> Option<String> {
    let input_type = batch.embed.input_type.as_deref().filter(|_| !is_newest(target))?;
    Some(match Purpose::of(input_type) {
        Purpose::Query => "RETRIEVAL_QUERY".to_owned(),
        Purpose::Document => "RETRIEVAL_DOCUMENT".to_owned(),
        Purpose::Classification => "CLASSIFICATION".to_owned(),
        Purpose::Clustering => "CLUSTERING".to_owned(),
        Purpose::Own(own) => own.to_ascii_uppercase(),
    })
}

fn wishes(batch: &Batch<'_>, target: &Target<'_>, task_field: &str) -> Map<String, Value> {
    let mut wishes = Map::new();
    if let Some(task) = task(batch, target) {
        wishes.insert(task_field.to_owned(), task.into());
    }
    if let Some(dimensions) = batch.embed.dimensions {
        wishes.insert("outputDimensionality".to_owned(), dimensions.into());
    }
    wishes
}

fn content(
    batch: &Batch<'_>,
    at: usize,
    input: &Input,
    host: Host,
    target: &Target<'_>,
) -> Result<Value, Unsupported> {
    let desk = Desk { host, fetched: target.fetched };
    match input {
        Input::Text(text) => Ok(json!({"parts": [{ "text": text }]})),
        Input::Tokens(_) => Err(batch.no_tokens(at)),
        Input::Parts(parts) => {
            let mut written = Vec::with_capacity(parts.len());
            for (number, part) in parts.iter().enumerate() {
                written.extend(desk.part(part, &format!("{}.content[{number}]", batch.field(at)))?);
            }
            Ok(json!({ "parts": written }))
        }
    }
}

fn call(path: String, body: &Map<String, Value>, batch: &Batch<'_>, target: &Target<'_>) -> Encoded {
    let lost = batch.embed.input_type.as_ref().filter(|_| is_newest(target));
    Encoded {
        method: Method::POST,
        path: Cow::Owned(path),
        headers: head::headers(false, head::EVENTS),
        body: exact::print(body),
        dropped: lost.map(|_| Cow::Borrowed("input_type")).into_iter().collect(),
        context: batch.context(false),
    }
}

/// Reads all three shapes.
fn read(body: &Bytes, context: &Context) -> Result<ChatResponse, Failure> {
    let wire: Body<'_> =
        serde_json::from_slice(body).map_err(|_| Failure::malformed("an answer that is no embeddings"))?;
    if let Some(error) = wire.error {
        return Err(inside_success(error.get()));
    }
    let predictions = wire.predictions.unwrap_or_default();
    let predicted: Option<u64> =
        predictions.iter().map(|one| one.embeddings.statistics.as_ref()?.token_count.and_then(count)).sum();
    let tokens = wire.usage.and_then(|usage| usage.prompt_token_count);
    let tokens = tokens.or(predicted.filter(|_| !predictions.is_empty()));
    let lists = wire.embeddings.unwrap_or_default().into_iter().chain(wire.embedding);
    let all = lists.map(|one| one.values).chain(predictions.into_iter().map(|one| one.embeddings.values));
    // What Google cuts short has not the length 1 any more that whole vectors have.
    let is_cut = matches!(context.expected, Expected::Vectors { dimensions: Some(_), .. });
    let all = all.map(|vector| if is_cut { normalised(vector) } else { vector }).collect();
    Ok(vectors(all, counted(tokens, None)))
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(default)]
    embeddings: Option<Vec<Values>>,
    #[serde(default)]
    embedding: Option<Values>,
    #[serde(default)]
    predictions: Option<Vec<Prediction>>,
    #[serde(default, rename = "usageMetadata")]
    usage: Option<UsageMetadata>,
}

#[derive(Deserialize)]
struct Values {
    values: Vec<f32>,
    #[serde(default)]
    statistics: Option<Statistics>,
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    token_count: Option<f64>,
}

#[derive(Deserialize)]
struct Prediction {
    embeddings: Values,
}

#[derive(Deserialize)]
struct UsageMetadata {
    #[serde(default, rename = "promptTokenCount")]
    prompt_token_count: Option<u64>,
}

#[cfg(test)]
mod tests;
