//! Ollama's own `/api/embed`.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::adapters::ollama::error::inside_success;
use crate::adapters::shared::vectors::vectors;
use crate::adapters::shared::{exact, head};
use crate::adapters::tasks::{Batch, Embedder, counted};
use crate::adapters::{Context, Encoded, Failure, Target, Unsupported};
use crate::model::response::ChatResponse;

/// `POST {base}/api/embed`.
#[derive(Debug)]
pub struct Embeddings;

impl Embedder for Embeddings {
    /// It works through what it gets, one after the other.
    fn most_inputs(&self, _model: &str) -> usize {
        2_048
    }

    fn encode(&self, batch: &Batch<'_>, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        let mut body = Map::new();
        body.insert("model".to_owned(), target.model.into());
        body.insert("input".to_owned(), Value::from(batch.texts()?));
        // What does not fit is an error, and not cut off in silence.
        body.insert("truncate".to_owned(), false.into());
        if let Some(dimensions) = batch.embed.dimensions {
            body.insert("dimensions".to_owned(), dimensions.into());
        }
        if let Some(window) = target.quirks.num_ctx {
            body.insert("options".to_owned(), json!({ "num_ctx": window }));
        }
        let lost = batch.embed.input_type.as_ref().map(|_| Cow::Borrowed("input_type"));
        Ok(Encoded {
            method: Method::POST,
            path: Cow::Borrowed("/api/embed"),
            headers: head::headers(false, head::EVENTS),
            body: exact::print(&body),
            dropped: lost.into_iter().collect(),
            context: batch.context(false),
        })
    }

    fn decode(
        &self,
        _headers: &HeaderMap,
        body: &Bytes,
        _context: &Context,
    ) -> Result<ChatResponse, Failure> {
        let wire: Body<'_> = serde_json::from_slice(body)
            .map_err(|_| Failure::malformed("an answer that is no embeddings"))?;
        if let Some(error) = wire.error {
            return Err(inside_success(error.get()));
        }
        let embeddings = wire.embeddings.ok_or_else(|| Failure::malformed("an answer without embeddings"))?;
        Ok(ChatResponse { model: wire.model, ..vectors(embeddings, counted(wire.prompt_eval_count, None)) })
    }
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    embeddings: Option<Vec<Vec<f32>>>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
}

#[cfg(test)]
mod tests;
