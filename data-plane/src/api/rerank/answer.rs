//! Writes rankings.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::openai_chat::decimal;
use crate::api::{AnswerFacts, Bill};
use crate::model::request::ChatRequest;
use crate::model::response::ChatResponse;
use crate::model::task::{Document, Product, Task};
use crate::model::usage::Usage;

/// The body of a whole answer.
pub fn encode(answer: &ChatResponse, facts: &AnswerFacts, request: &ChatRequest, bill: &Bill) -> Bytes {
    let documents = match &request.task {
        Task::Rerank(rerank) if rerank.return_documents => rerank.documents.as_slice(),
        Task::Chat | Task::Embed(_) | Task::Rerank(_) => &[],
    };
    let places = match &answer.product {
        Product::Ranking(places) => places.as_slice(),
        Product::Chat | Product::Vectors(_) => &[],
    };
    let results = places.iter().map(|place| Row {
        index: place.index,
        relevance_score: place.score,
        document: documents.get(place.index).map(Shown::from),
    });
    let body = Body {
        id: &facts.id,
        model: &facts.model,
        provider: &facts.provider,
        results: results.collect(),
        usage: answer.usage.as_ref().map(|usage| WireUsage::new(usage, bill)),
        openrouter_metadata: bill.metadata.as_ref(),
    };
    serde_json::to_vec(&body).expect("texts and numbers are always JSON").into()
}

#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    model: &'a str,
    provider: &'a str,
    results: Vec<Row<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<WireUsage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    openrouter_metadata: Option<&'a Value>,
}

#[derive(Serialize)]
struct Row<'a> {
    index: usize,
    relevance_score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
}

impl<'a> From<&'a Document> for Shown<'a> {
    fn from(document: &'a Document) -> Self {
        Self { text: document.text.as_deref(), image: document.image.as_deref() }
    }
}

#[derive(Serialize)]
struct WireUsage {
    total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    search_units: Option<u64>,
    cost: Box<RawValue>,
    is_byok: bool,
    cost_details: CostDetails,
}

#[derive(Serialize)]
struct CostDetails {
    upstream_inference_cost: Box<RawValue>,
}

impl WireUsage {
    fn new(usage: &Usage, bill: &Bill) -> Self {
        Self {
            total_tokens: usage.total_tokens(),
            search_units: Some(usage.search_units).filter(|units| *units > 0),
            cost: decimal(bill.cost),
            is_byok: bill.is_byok,
            cost_details: CostDetails { upstream_inference_cost: decimal(bill.upstream.total) },
        }
    }
}
