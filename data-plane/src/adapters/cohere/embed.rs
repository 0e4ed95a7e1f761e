//! Cohere's embeddings, version 2.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::adapters::cohere::error::inside_success;
use crate::adapters::shared::media::{Place, inline, place};
use crate::adapters::shared::vectors::{Units, count, vectors};
use crate::adapters::shared::{exact, head};
use crate::adapters::tasks::{Batch, Embedder, Purpose, counted};
use crate::adapters::{Context, Encoded, Failure, Target, Unsupported};
use crate::model::message::{Part, PartContent};
use crate::model::response::ChatResponse;
use crate::model::task::Input;
use crate::model::usage::Usage;

/// `POST {base}/embed`.
#[derive(Debug)]
pub struct Embeddings;

impl Embedder for Embeddings {
    fn most_inputs(&self, _model: &str) -> usize {
        96
    }

    fn encode(&self, batch: &Batch<'_>, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        let mut body = Map::new();
        body.insert("model".to_owned(), target.model.into());
        body.insert(
            "input_type".to_owned(),
            Purpose::in_coheres_words(batch.embed.input_type.as_deref()).into(),
        );
        body.insert("embedding_types".to_owned(), json!(["float"]));
        // What does not fit is an error, as it is elsewhere, and not cut off in silence.
        body.insert("truncate".to_owned(), "NONE".into());
        if let Some(dimensions) = batch.embed.dimensions {
            body.insert("output_dimension".to_owned(), dimensions.into());
        }
        if batch.inputs.iter().any(|input| matches!(input, Input::Parts(_))) {
            body.insert("inputs".to_owned(), Value::Array(inputs(batch, target)?));
        } else {
            body.insert("texts".to_owned(), Value::from(batch.texts()?));
        }
        Ok(Encoded {
            method: Method::POST,
            path: Cow::Borrowed("/embed"),
            headers: head::headers(false, head::EVENTS),
            body: exact::print(&body),
            dropped: Vec::new(),
            context: batch.context(false),
        })
    }

    fn decode(
        &self,
        _headers: &HeaderMap,
        body: &Bytes,
        _context: &Context,
    ) -> Result<ChatResponse, Failure> {
        let wire: Body = serde_json::from_slice(body)
            .map_err(|_| Failure::malformed("an answer that is no embeddings"))?;
        let Some(embeddings) = wire.embeddings else {
            return Err(inside_success(&serde_json::from_slice(body).unwrap_or_default()));
        };
        let units = wire.meta.and_then(|meta| meta.billed_units).unwrap_or_default();
        let images = units.image_tokens.and_then(count).unwrap_or(0);
        let tokens = units.input_tokens.and_then(count).map(|tokens| tokens.saturating_add(images));
        let usage = counted(tokens, None).map(|usage| Usage { prompt_image_tokens: images, ..usage });
        Ok(vectors(embeddings.float, usage))
    }
}

fn inputs(batch: &Batch<'_>, target: &Target<'_>) -> Result<Vec<Value>, Unsupported> {
    let input = |(at, input): (usize, &Input)| {
        let content = match input {
            Input::Text(text) => vec![json!({"type": "text", "text": text})],
            Input::Tokens(_) => return Err(batch.no_tokens(at)),
            Input::Parts(parts) => {
                let part = |(number, one): (usize, &Part)| {
                    part(one, target, &format!("{}.content[{number}]", batch.field(at)))
                };
                parts.iter().enumerate().map(part).collect::<Result<_, _>>()?
            }
        };
        Ok(json!({ "content": content }))
    };
    batch.inputs.iter().enumerate().map(input).collect()
}

fn part(part: &Part, target: &Target<'_>, path: &str) -> Result<Value, Unsupported> {
    match &part.content {
        PartContent::Text(text) => Ok(json!({"type": "text", "text": text})),
        PartContent::Image { url, .. } => {
            let url = match place(url, path)? {
                Place::Url(url) => url.to_owned(),
                Place::Inline(_) => {
                    let image = inline(url, target.fetched, path)?;
                    format!("data:{};base64,{}", image.media_type, image.base64)
                }
            };
            Ok(json!({"type": "image_url", "image_url": {"url": url}}))
        }
        _ => Err(Unsupported::new(path, "is neither text nor an image")),
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    embeddings: Option<Typed>,
    #[serde(default)]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Typed {
    float: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    billed_units: Option<Units>,
}

#[cfg(test)]
mod tests;
