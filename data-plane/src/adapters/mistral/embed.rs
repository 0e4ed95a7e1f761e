//! Mistral's embeddings: OpenAI's, with names of its own and nothing unknown.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Map, Value};

use crate::adapters::openai::Embeddings as OpenAi;
use crate::adapters::shared::{exact, head};
use crate::adapters::tasks::{Batch, Embedder};
use crate::adapters::{Context, Encoded, Failure, Target, Unsupported};
use crate::model::response::ChatResponse;
use crate::model::task::Encoding;

/// `POST {base}/embeddings`.
#[derive(Debug)]
pub struct Embeddings;

impl Embedder for Embeddings {
    /// 257 were refused as too many.
    fn most_inputs(&self, _model: &str) -> usize {
        128
    }

    fn encode(&self, batch: &Batch<'_>, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        let base64 = batch.embed.encoding == Encoding::Base64;
        let mut body = Map::new();
        body.insert("model".to_owned(), target.model.into());
        body.insert("input".to_owned(), Value::from(batch.texts()?));
        body.insert("encoding_format".to_owned(), batch.embed.encoding.as_str().into());
        if let Some(dimensions) = batch.embed.dimensions {
            body.insert("output_dimension".to_owned(), dimensions.into());
        }
        let lost = batch.embed.input_type.as_ref().map(|_| Cow::Borrowed("input_type"));
        Ok(Encoded {
            method: Method::POST,
            path: Cow::Borrowed("/embeddings"),
            headers: head::headers(false, head::EVENTS),
            body: exact::print(&body),
            dropped: lost.into_iter().collect(),
            context: batch.context(base64),
        })
    }

    fn decode(&self, headers: &HeaderMap, body: &Bytes, context: &Context) -> Result<ChatResponse, Failure> {
        OpenAi.decode(headers, body, context)
    }
}

#[cfg(test)]
mod tests;
