//! Cohere's chat, version 2, translated both ways.
//!
//! Requests are built from the typed form. Whole answers are told through the same state as streamed ones, so the
//! two cannot differ.

mod answer;
mod citation;
mod embed;
mod encode;
mod error;
mod messages;
mod names;
mod rerank;
mod stream;
mod telling;
mod tools;
mod usage;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::adapters::cohere::embed::Embeddings;
use crate::adapters::cohere::rerank::Rankings;
use crate::adapters::drift::Vocabulary;
use crate::adapters::tasks::{Embedder, Reranker};
use crate::adapters::{Adapter, Context, Decoder, Encoded, Failure, Quirks, Target, Unsupported, vocabulary};
use crate::model::facts::Media;
use crate::model::file::{FileType, FileTypes};
use crate::model::request::{ChatRequest, Dialect};
use crate::model::response::ChatResponse;

/// `POST {base}/chat`.
#[derive(Debug)]
pub struct Cohere;

impl Adapter for Cohere {
    fn name(&self) -> &'static str {
        "cohere"
    }

    fn dialect(&self) -> Dialect {
        Dialect::CohereChat
    }

    fn quirks(&self) -> Quirks {
        Quirks { prefill: false, ..Quirks::default() }
    }

    fn encode(&self, request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        encode::encode(request, target)
    }

    /// Images may be behind URLs; documents must be here.
    fn must_fetch(&self, media: Media, _url: &str, _quirks: &Quirks) -> bool {
        media == Media::File
    }

    fn files(&self) -> FileTypes {
        FileTypes::of(&[FileType::Text, FileType::Image, FileType::Unknown])
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
        Some(&vocabulary::COHERE)
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        error::failure(status, headers, body)
    }
}
