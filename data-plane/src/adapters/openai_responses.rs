//! OpenAI's Responses dialect as an upstream, translated both ways; xAI, Azure, OpenRouter and others speak it too.
//!
//! Nothing is stored upstream: reasoning travels sealed in the answer and comes back with the next request.

mod answer;
mod encode;
mod input;
mod items;
mod parts;
mod reasoning;
mod stream;
mod teller;
#[cfg(test)]
mod tests;
mod tools;
mod usage;
mod wire;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::adapters::drift::Vocabulary;
use crate::adapters::openai::{Embeddings, Rankings};
use crate::adapters::shared::openai_error;
use crate::adapters::tasks::{Embedder, Reranker};
use crate::adapters::{Adapter, Context, Decoder, Encoded, Failure, Quirks, Target, Unsupported, vocabulary};
use crate::model::request::{ChatRequest, Dialect};
use crate::model::response::ChatResponse;

/// `POST {base}/responses`.
#[derive(Debug)]
pub struct OpenAiResponses;

impl Adapter for OpenAiResponses {
    fn name(&self) -> &'static str {
        "openai_responses"
    }

    fn dialect(&self) -> Dialect {
        Dialect::OpenAiResponses
    }

    fn quirks(&self) -> Quirks {
        Quirks::default()
    }

    fn encode(&self, request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        encode::encode(request, target)
    }

    fn decode(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &Bytes,
        context: &Context,
    ) -> Result<ChatResponse, Failure> {
        if !status.is_success() {
            return Err(self.failure(status, headers, body));
        }
        answer::decode(body, context)
    }

    fn decoder(&self, context: &Context) -> Box<dyn Decoder> {
        Box::new(stream::StreamDecoder::new(context.clone()))
    }

    fn embedder(&self) -> Option<&'static dyn Embedder> {
        Some(&Embeddings)
    }

    fn reranker(&self) -> Option<&'static dyn Reranker> {
        Some(&Rankings)
    }

    fn vocabulary(&self) -> Option<&'static Vocabulary> {
        Some(&vocabulary::OPENAI_RESPONSES)
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        openai_error::failure(status, headers, body)
    }
}
