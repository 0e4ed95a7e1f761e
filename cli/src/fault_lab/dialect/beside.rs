//! Embeddings and rankings in the dialects that have them: each has the errors of its chat.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::fault_lab::ask::Ask;
use crate::fault_lab::beside::{DIMENSIONS, Product, Task};
use crate::fault_lab::dialect::{Answer, Dialect, Event, Peek, bad, between, json_body, texts};
use crate::fault_lab::reply::BYTES_PER_TOKEN;
use crate::fault_lab::script::{Failure, Reason};

/// One such endpoint of a dialect.
pub struct Beside {
    /// Whose names and errors it has.
    pub chat: &'static dyn Dialect,
    pub wire: Wire,
}

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    OpenAi,
    Azure,
    Mistral,
    Gemini,
    /// Vertex AI's `embedContent`.
    EmbedContent,
    /// Vertex AI's `predict`.
    Predict,
    Titan,
    Cohere,
    Ollama,
    OpenAiRank,
    CohereRank,
}

impl Wire {
    fn claims(self, path: &str) -> bool {
        match self {
            Self::OpenAi => path.ends_with("/embeddings"),
            Self::Azure => path.contains("/openai/") && path.ends_with("/embeddings"),
            Self::Mistral => path.contains("/mistral/") && path.ends_with("/embeddings"),
            Self::Gemini => path.ends_with(":batchEmbedContents"),
            Self::EmbedContent => path.ends_with(":embedContent"),
            Self::Predict => path.ends_with(":predict"),
            Self::Titan => path.contains("/model/") && path.ends_with("/invoke"),
            Self::Cohere => path.ends_with("/v2/embed"),
            Self::Ollama => path.ends_with("/api/embed"),
            Self::OpenAiRank => path.ends_with("/rerank"),
            Self::CohereRank => path.ends_with("/v2/rerank"),
        }
    }

    /// The model, where the path says it.
    fn model(self, path: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::Gemini | Self::EmbedContent | Self::Predict => between(path, "/models/", ":"),
            Self::Titan => between(path, "/model/", "/invoke"),
            Self::Azure => between(path, "/openai/deployments/", "/embeddings"),
            Self::OpenAi
            | Self::Mistral
            | Self::Cohere
            | Self::Ollama
            | Self::OpenAiRank
            | Self::CohereRank => None,
        }
    }

    fn task(self, body: &Value) -> Result<Task, Reason> {
        match self {
            Self::OpenAi | Self::Azure => embed(&body["input"], &body["dimensions"], body),
            Self::Mistral => embed(&body["input"], &body["output_dimension"], body),
            Self::Ollama => embed(&body["input"], &body["dimensions"], &Value::Null),
            Self::Titan => embed(&body["inputText"], &body["dimensions"], &Value::Null),
            Self::Cohere => {
                if !body["input_type"].is_string() {
                    return Err(bad("input_type", "input_type is required for this model"));
                }
                let inputs = if body["inputs"].is_array() { &body["inputs"] } else { &body["texts"] };
                embed(inputs, &body["output_dimension"], &Value::Null)
            }
            Self::Gemini => {
                let requests = body["requests"].as_array().into_iter().flatten();
                let contents: Vec<Value> =
                    requests.map(|request| json!({"content": request["content"]["parts"]})).collect();
                embed(&json!(contents), &body["requests"][0]["outputDimensionality"], &Value::Null)
            }
            Self::EmbedContent => {
                let content = json!([{"content": body["content"]["parts"]}]);
                embed(&content, &body["outputDimensionality"], &Value::Null)
            }
            Self::Predict => {
                embed(&body["instances"], &body["parameters"]["outputDimensionality"], &Value::Null)
            }
            Self::OpenAiRank => rank(body, false),
            Self::CohereRank => rank(body, true),
        }
    }
}

impl Dialect for Beside {
    fn name(&self) -> &'static str {
        self.chat.name()
    }

    fn claims(&self, path: &str) -> bool {
        self.wire.claims(path)
    }

    fn is_chat(&self) -> bool {
        false
    }

    fn peek<'a>(&self, path: &'a str, body: &'a [u8]) -> serde_json::Result<Peek<'a>> {
        match self.wire.model(path) {
            Some(model) => Ok(Peek::of_path(model, false)),
            None => serde_json::from_slice(body),
        }
    }

    fn read(&self, path: &str, _: &HeaderMap, body: &[u8]) -> Result<Ask, Reason> {
        let body = json_body(body)?;
        let task = self.wire.task(&body)?;
        let model = self.wire.model(path).map(Cow::into_owned);
        let model = model.or_else(|| body["model"].as_str().map(str::to_owned)).unwrap_or_default();
        Ok(Ask { model, prompt_bytes: bytes(&task), task: Some(task), ..Ask::default() })
    }

    fn whole(&self, answer: &Answer) -> Vec<u8> {
        whole(self.wire, answer).to_string().into_bytes()
    }

    /// There are no streams.
    fn events(&self, _: &Answer) -> Vec<Event> {
        Vec::new()
    }

    fn status(&self, failure: &Failure) -> u16 {
        self.chat.status(failure)
    }

    fn error_body(&self, reason: &Reason) -> Vec<u8> {
        self.chat.error_body(reason)
    }

    fn error_headers(&self, reason: &Reason) -> Vec<(&'static str, String)> {
        self.chat.error_headers(reason)
    }

    fn error_event(&self, reason: &Reason) -> Vec<u8> {
        self.chat.error_event(reason)
    }

    fn malformed_event(&self) -> Vec<u8> {
        self.chat.malformed_event()
    }

    fn request_id(&self) -> &'static str {
        self.chat.request_id()
    }

    fn rate_limits(&self, remaining: u32) -> Vec<(&'static str, String)> {
        self.chat.rate_limits(remaining)
    }
}

// === reading ===

/// Inputs of any form; `body` says the encoding where the dialect has one.
fn embed(inputs: &Value, dimensions: &Value, body: &Value) -> Result<Task, Reason> {
    let missing = || bad("input", "Missing required parameter: 'input'.");
    let texts = match inputs {
        Value::String(text) => vec![text.clone()],
        Value::Array(all) if all.first().is_some_and(Value::is_number) => vec![ids(inputs)],
        Value::Array(all) if !all.is_empty() => all.iter().map(text).collect(),
        _ => return Err(missing()),
    };
    if texts.iter().any(String::is_empty) {
        return Err(bad("input", "The input cannot be an empty string."));
    }
    let dimensions = dimensions.as_u64().and_then(|asked| usize::try_from(asked).ok()).unwrap_or(DIMENSIONS);
    Ok(Task::Embed { texts, dimensions, base64: body["encoding_format"] == "base64" })
}

fn text(input: &Value) -> String {
    match input {
        Value::String(text) => text.clone(),
        Value::Array(_) => ids(input),
        input if input["content"].is_string() => input["content"].as_str().unwrap_or_default().to_owned(),
        input => texts(&input["content"]).concat(),
    }
}

/// Token ids stand for four bytes each.
fn ids(list: &Value) -> String {
    let ids = list.as_array().into_iter().flatten();
    ids.map(|id| format!("{:0>width$}", id.as_u64().unwrap_or(0) % 10_000, width = BYTES_PER_TOKEN)).collect()
}

fn rank(body: &Value, by_search: bool) -> Result<Task, Reason> {
    let query = body["query"].as_str().ok_or_else(|| bad("query", "query is required"))?;
    let documents = body["documents"].as_array().filter(|all| !all.is_empty());
    let documents =
        documents.ok_or_else(|| bad("documents", "\"documents\" must be a non-empty string array"))?;
    let document = |one: &Value| one.as_str().or(one["text"].as_str()).unwrap_or_default().to_owned();
    let top = ["top_n", "top_k"].iter().find_map(|name| body[*name].as_u64());
    let top = top.and_then(|top| usize::try_from(top).ok()).unwrap_or(usize::MAX);
    let documents = documents.iter().map(document).collect();
    Ok(Task::Rank { query: query.to_owned(), documents, top, by_search })
}

/// The query is read with every document.
fn bytes(task: &Task) -> usize {
    match task {
        Task::Embed { texts, .. } => texts.iter().map(String::len).sum(),
        Task::Rank { query, documents, .. } => {
            documents.iter().map(|document| document.len() + query.len()).sum()
        }
    }
}

// === writing ===

fn whole(wire: Wire, answer: &Answer) -> Value {
    match &answer.reply.product {
        Product::Nothing => json!({}),
        Product::Vectors { vectors, base64 } => embeddings(wire, answer, vectors, *base64),
        Product::Ranking { places, searches } => ranking(wire, answer, places, *searches),
    }
}

fn embeddings(wire: Wire, answer: &Answer, vectors: &[Vec<f32>], base64: bool) -> Value {
    let told = answer.told().map(|usage| usage.input);
    let values: Vec<Value> = vectors.iter().map(|vector| json!({ "values": vector })).collect();
    match wire {
        Wire::Gemini | Wire::EmbedContent => {
            let mut body = match wire {
                Wire::EmbedContent => json!({"embedding": values.first()}),
                _ => json!({ "embeddings": values }),
            };
            if let Some(tokens) = told {
                body["usageMetadata"] = json!({"promptTokenCount": tokens});
            }
            body
        }
        Wire::Predict => {
            let count = vectors.len() as u64;
            let predictions = (0..).zip(vectors).map(|(at, vector)| {
                // All of them together are the whole count.
                let until = |place: u64| told.map(|tokens| tokens * place / count);
                let tokens = until(at + 1).zip(until(at)).map(|(until, from)| until - from);
                json!({"embeddings": {"values": vector, "statistics": {"truncated": false, "token_count": tokens}}})
            });
            json!({ "predictions": predictions.collect::<Vec<_>>() })
        }
        Wire::Titan => json!({"embedding": vectors.first(), "inputTextTokenCount": told}),
        Wire::Cohere => {
            let units = told.map(|tokens| json!({"input_tokens": tokens}));
            json!({
                "id": format!("lab-{:08x}", answer.serial),
                "embeddings": {"float": vectors},
                "meta": {"api_version": {"version": "2"}, "billed_units": units},
                "response_type": "embeddings_by_type",
            })
        }
        Wire::Ollama => {
            json!({"model": answer.model, "embeddings": vectors, "prompt_eval_count": told})
        }
        Wire::OpenAi | Wire::Azure | Wire::Mistral | Wire::OpenAiRank | Wire::CohereRank => {
            let items = vectors.iter().enumerate().map(|(index, vector)| {
                let embedding = if base64 { json!(printed(vector)) } else { json!(vector) };
                json!({"object": "embedding", "index": index, "embedding": embedding})
            });
            let mut body =
                json!({"object": "list", "data": items.collect::<Vec<_>>(), "model": answer.model});
            if let Some(tokens) = told {
                body["usage"] = json!({"prompt_tokens": tokens, "total_tokens": tokens});
            }
            body
        }
    }
}

/// Base64 of 32-bit floats, little-endian.
fn printed(vector: &[f32]) -> String {
    STANDARD.encode(vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())
}

fn ranking(wire: Wire, answer: &Answer, places: &[(usize, f64)], searches: Option<usize>) -> Value {
    let row = |(index, score): &(usize, f64)| json!({"index": index, "relevance_score": score});
    let results: Vec<Value> = places.iter().map(row).collect();
    let id = format!("lab-{:08x}", answer.serial);
    if wire == Wire::CohereRank {
        let units = answer.told().map(|_| json!({"search_units": searches}));
        let meta = json!({"api_version": {"version": "2"}, "billed_units": units});
        return json!({"id": id, "results": results, "meta": meta});
    }
    let mut body = json!({"id": id, "model": answer.model, "results": results});
    if let Some(usage) = answer.told() {
        body["usage"] = json!({"total_tokens": usage.input});
    }
    body
}
