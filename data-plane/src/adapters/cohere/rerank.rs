//! Cohere's rankings, version 2.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Map, Value};

use crate::adapters::cohere::error::inside_success;
use crate::adapters::shared::vectors::{Ranking, ranking};
use crate::adapters::shared::{exact, head};
use crate::adapters::tasks::{Reranker, ranking_context};
use crate::adapters::{Context, Encoded, Failure, Target, Unsupported};
use crate::model::request::ChatRequest;
use crate::model::response::ChatResponse;
use crate::model::task::Rerank;

/// `POST {base}/rerank`.
#[derive(Debug)]
pub struct Rankings;

impl Reranker for Rankings {
    fn encode(
        &self,
        _request: &ChatRequest,
        rerank: &Rerank,
        target: &Target<'_>,
    ) -> Result<Encoded, Unsupported> {
        let mut body = Map::new();
        body.insert("model".to_owned(), target.model.into());
        body.insert("query".to_owned(), rerank.query.as_str().into());
        body.insert("documents".to_owned(), Value::from(texts(rerank)?));
        if let Some(most) = rerank.top_n {
            body.insert("top_n".to_owned(), most.into());
        }
        if let Some(most) = rerank.max_tokens_per_doc {
            body.insert("max_tokens_per_doc".to_owned(), most.into());
        }
        Ok(Encoded {
            method: Method::POST,
            path: Cow::Borrowed("/rerank"),
            headers: head::headers(false, head::EVENTS),
            body: exact::print(&body),
            dropped: Vec::new(),
            context: ranking_context(rerank),
        })
    }

    fn decode(
        &self,
        _headers: &HeaderMap,
        body: &Bytes,
        _context: &Context,
    ) -> Result<ChatResponse, Failure> {
        let wire: Result<Ranking, _> = serde_json::from_slice(body);
        let mut wire = wire.map_err(|_| Failure::malformed("an answer that is no ranking"))?;
        let Some(places) = wire.results.take() else {
            return Err(inside_success(&serde_json::from_slice(body).unwrap_or_default()));
        };
        let usage = wire.counted(None);
        Ok(ranking(places, usage))
    }
}

/// Documents that are nothing but text.
fn texts(rerank: &Rerank) -> Result<Vec<&str>, Unsupported> {
    if let Some(at) = rerank.documents.iter().position(|document| document.image.is_some()) {
        let field = format!("documents[{at}].image");
        return Err(Unsupported::new(field, "is there, and this provider ranks only texts"));
    }
    Ok(rerank.documents.iter().map(|document| document.text.as_deref().unwrap_or_default()).collect())
}

#[cfg(test)]
mod tests;
