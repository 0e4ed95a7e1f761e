//! Rankings as servers of OpenAI's dialect have them: Cohere's and Jina's shape, below the same base URL.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::adapters::openai::embed::{base, counts};
use crate::adapters::openai::encode::headers;
use crate::adapters::shared::openai_error::{bare, inside_success};
use crate::adapters::shared::vectors::{Ranking, ranking};
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
        request: &ChatRequest,
        rerank: &Rerank,
        target: &Target<'_>,
    ) -> Result<Encoded, Unsupported> {
        // Whoever wants the documents back gets them from the request.
        let mut patch = base(target).remove("return_documents");
        let name = target.quirks.tasks.top_n.as_str();
        if let Some(most) = rerank.top_n.filter(|_| name != "top_n") {
            patch = patch.set(name, most.to_string().into_bytes()).remove("top_n");
        }
        let mut body = BytesMut::new();
        let patched = patch.apply(&request.source.body, &mut body);
        patched.map_err(|_| Unsupported::new("request", "is no JSON object"))?;
        Ok(Encoded {
            method: Method::POST,
            path: Cow::Borrowed("/rerank"),
            headers: headers(false, &target.quirks.chat),
            body: body.freeze(),
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
        let broken = || Failure::malformed("an answer that is no ranking");
        let said: Said<'_> = serde_json::from_slice(body).map_err(|_| broken())?;
        if let Some(error) = said.error {
            return Err(inside_success(error.get()));
        }
        let mut wire: Ranking = serde_json::from_slice(body).map_err(|_| broken())?;
        let Some(places) = wire.results.take() else { return Err(bare(body)) };
        let tokens = said.usage.and_then(counts);
        // What else the provider counts and bills stays with its tokens.
        let usage = wire.counted(tokens.map(|usage| usage.prompt_tokens)).map(|counted| match tokens {
            Some(tokens) => crate::model::usage::Usage { search_units: counted.search_units, ..tokens },
            None => counted,
        });
        Ok(ChatResponse { model: said.model, ..ranking(places, usage) })
    }
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(default)]
    model: Option<String>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests;
