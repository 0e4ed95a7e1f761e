//! Amazon's embeddings: models behind `invoke`, each maker in its own words. The model's name says which.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::adapters::bedrock::error::inside_success;
use crate::adapters::failure::text;
use crate::adapters::shared::segment::segment;
use crate::adapters::shared::vectors::{count, vectors};
use crate::adapters::shared::{exact, head};
use crate::adapters::tasks::{Batch, Embedder, Purpose, counted};
use crate::adapters::{Context, Encoded, Failure, Target, Unsupported};
use crate::model::response::ChatResponse;

/// Where the count of tokens is, whoever made the model.
const COUNT: &str = "x-amzn-bedrock-input-token-count";

/// `POST {base}/model/{model}/invoke`.
#[derive(Debug)]
pub struct Embeddings;

/// Whose words a model speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maker {
    Titan,
    Nova,
    Cohere,
}

impl Maker {
    fn of(model: &str) -> Self {
        if model.contains("cohere.") {
            Self::Cohere
        } else if model.contains("nova") {
            Self::Nova
        } else {
            Self::Titan
        }
    }
}

impl Embedder for Embeddings {
    fn most_inputs(&self, model: &str) -> usize {
        match Maker::of(model) {
            Maker::Titan | Maker::Nova => 1,
            Maker::Cohere => 96,
        }
    }

    fn encode(&self, batch: &Batch<'_>, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        let maker = Maker::of(target.model);
        let texts = batch.texts()?;
        let body = match (maker, texts.as_slice()) {
            (Maker::Cohere, texts) => cohere(texts, batch),
            (Maker::Titan, [one]) => titan(one, batch),
            (Maker::Nova, [one]) => nova(one, batch),
            _ => return Err(Unsupported::new("input", "holds more texts than this model takes at once")),
        };
        let lost = batch.embed.input_type.as_ref().filter(|_| maker == Maker::Titan);
        Ok(Encoded {
            method: Method::POST,
            path: Cow::Owned(format!("/model/{}/invoke", segment(target.model, b""))),
            headers: head::headers(false, head::EVENTS),
            body: exact::print(&body),
            dropped: lost.map(|_| Cow::Borrowed("input_type")).into_iter().collect(),
            context: batch.context(false),
        })
    }

    fn decode(&self, headers: &HeaderMap, body: &Bytes, _context: &Context) -> Result<ChatResponse, Failure> {
        let wire: Body = serde_json::from_slice(body).map_err(|_| inside_success(body))?;
        let lists = match (wire.embedding, wire.embeddings, wire.data) {
            (Some(one), _, _) => vec![one],
            (None, Some(many), _) => many.vectors(),
            (None, None, Some(many)) => many.into_iter().map(|one| one.embedding).collect(),
            (None, None, None) => return Err(inside_success(body)),
        };
        let told = text(headers, COUNT).and_then(|count| count.parse().ok());
        let tokens = told.or(wire.input_text_token_count.and_then(count));
        Ok(vectors(lists, counted(tokens, None)))
    }
}

fn titan(text: &str, batch: &Batch<'_>) -> Map<String, Value> {
    let mut body = Map::from_iter([("inputText".to_owned(), Value::from(text))]);
    if let Some(dimensions) = batch.embed.dimensions {
        body.insert("dimensions".to_owned(), dimensions.into());
    }
    body
}

fn nova(text: &str, batch: &Batch<'_>) -> Map<String, Value> {
    let purpose = match batch.embed.input_type.as_deref().map(Purpose::of) {
        None | Some(Purpose::Document) => "GENERIC_INDEX".to_owned(),
        Some(Purpose::Query) => "GENERIC_RETRIEVAL".to_owned(),
        Some(Purpose::Classification) => "CLASSIFICATION".to_owned(),
        Some(Purpose::Clustering) => "CLUSTERING".to_owned(),
        Some(Purpose::Own(own)) => own.to_ascii_uppercase(),
    };
    // What does not fit is an error, and not cut off in silence.
    let mut single = json!({"embeddingPurpose": purpose, "text": {"truncationMode": "NONE", "value": text}});
    if let Some(dimensions) = batch.embed.dimensions {
        single["embeddingDimension"] = dimensions.into();
    }
    Map::from_iter([
        ("taskType".to_owned(), "SINGLE_EMBEDDING".into()),
        ("singleEmbeddingParams".to_owned(), single),
    ])
}

fn cohere(texts: &[&str], batch: &Batch<'_>) -> Map<String, Value> {
    let purpose = Purpose::in_coheres_words(batch.embed.input_type.as_deref());
    let mut body = Map::from_iter([
        ("texts".to_owned(), Value::from(texts)),
        ("input_type".to_owned(), purpose.into()),
        ("truncate".to_owned(), "NONE".into()),
        ("embedding_types".to_owned(), json!(["float"])),
    ]);
    if let Some(dimensions) = batch.embed.dimensions {
        body.insert("output_dimension".to_owned(), dimensions.into());
    }
    body
}

#[derive(Deserialize)]
struct Body {
    /// Titan's.
    #[serde(default)]
    embedding: Option<Vec<f32>>,
    #[serde(default, rename = "inputTextTokenCount")]
    input_text_token_count: Option<f64>,
    /// Nova's and Cohere's.
    #[serde(default)]
    embeddings: Option<Many>,
    /// Cohere's older models.
    #[serde(default)]
    data: Option<Vec<Single>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Many {
    Typed { float: Vec<Vec<f32>> },
    Singles(Vec<Single>),
    Plain(Vec<Vec<f32>>),
}

#[derive(Deserialize)]
struct Single {
    embedding: Vec<f32>,
}

impl Many {
    fn vectors(self) -> Vec<Vec<f32>> {
        match self {
            Self::Typed { float } => float,
            Self::Plain(all) => all,
            Self::Singles(all) => all.into_iter().map(|one| one.embedding).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
