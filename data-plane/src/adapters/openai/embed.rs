//! Embeddings in OpenAI's dialect: the client's bytes with the few members changed that must be.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::adapters::openai::encode::{ROUTER_FIELDS, headers};
use crate::adapters::openai::usage;
use crate::adapters::shared::openai_error::{bare, inside_success};
use crate::adapters::shared::vectors::{Item, in_order, vectors};
use crate::adapters::tasks::{Batch, Embedder, Expected};
use crate::adapters::{Context, Encoded, Failure, Target, Unsupported};
use crate::model::response::ChatResponse;
use crate::model::task::Encoding;
use crate::model::usage::Usage;
use crate::wire::patch::{Patch, elements, member};

/// Where texts become vectors.
const PATH: &str = "/embeddings";
/// Inputs of one call: OpenAI's own limit.
const MOST: usize = 2_048;

/// `POST {base}/embeddings`.
#[derive(Debug)]
pub struct Embeddings;

impl Embedder for Embeddings {
    fn most_inputs(&self, _model: &str) -> usize {
        MOST
    }

    fn encode(&self, batch: &Batch<'_>, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        let mut dropped = Vec::new();
        let (quirks, source) = (&target.quirks, &batch.request.source.body);
        let mut patch = base(target).remove("stream");
        if !batch.is_whole() {
            patch = patch.set("input", part(source, batch)?);
        }
        if let Some(dimensions) = batch.embed.dimensions
            && quirks.tasks.dimensions != "dimensions"
        {
            patch =
                patch.set(&quirks.tasks.dimensions, dimensions.to_string().into_bytes()).remove("dimensions");
        }
        if batch.embed.input_type.is_some() && !quirks.tasks.input_type && !quirks.router_fields {
            dropped.push(Cow::Borrowed("input_type"));
            patch = patch.remove("input_type");
        }
        let mut body = BytesMut::new();
        patch.apply(source, &mut body).map_err(|_| Unsupported::new("request", "is no JSON object"))?;
        Ok(Encoded {
            method: Method::POST,
            path: Cow::Borrowed(PATH),
            headers: headers(false, &quirks.chat),
            body: body.freeze(),
            dropped,
            context: batch.context(batch.embed.encoding == Encoding::Base64),
        })
    }

    fn decode(&self, _headers: &HeaderMap, body: &Bytes, context: &Context) -> Result<ChatResponse, Failure> {
        let wire: Body<'_> = serde_json::from_slice(body)
            .map_err(|_| Failure::malformed("an answer that is no embeddings"))?;
        if let Some(error) = wire.error {
            return Err(inside_success(error.get()));
        }
        let Some(data) = wire.data else { return Err(bare(body)) };
        let base64 = matches!(context.expected, Expected::Vectors { base64: true, .. });
        let counts = wire.usage.and_then(counts);
        Ok(ChatResponse { model: wire.model, ..vectors(in_order(data, base64)?, counts) })
    }
}

/// What every task's request has changed: the model's name, and members that only routers know.
pub(super) fn base<'a>(target: &Target<'a>) -> Patch<'a> {
    let patch = Patch::new().without_nulls().set_str("model", target.model);
    let patch = if target.quirks.router_fields { patch } else { patch.without(&ROUTER_FIELDS) };
    target.quirks.drop.iter().fold(patch, |patch, name| patch.remove(name))
}

/// The inputs of a batch as they stand in the source.
fn part(source: &Bytes, batch: &Batch<'_>) -> Result<Vec<u8>, Unsupported> {
    let lost = || Unsupported::new("input", "is no list");
    let list = member(source, "input").ok_or_else(lost)?;
    let places = elements(list).map_err(|_| lost())?;
    let own = places.get(batch.first..batch.first + batch.inputs.len()).ok_or_else(lost)?;
    let texts: Vec<&[u8]> = own.iter().map(|place| &list[place.clone()]).collect();
    Ok([b"[", texts.join(&b","[..]).as_slice(), b"]"].concat())
}

/// All that is counted was put in; some count nothing but the total.
pub(super) fn counts(raw: &RawValue) -> Option<Usage> {
    let said = usage::parse(raw)?;
    let prompt_tokens = said.prompt_tokens.max(said.reported_total_tokens.unwrap_or(0));
    Some(Usage { prompt_tokens, completion_tokens: 0, reasoning_tokens: 0, ..said })
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<Vec<Item<'a>>>,
    #[serde(default)]
    model: Option<String>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests;
